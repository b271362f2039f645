"""A kernel that runs out of room for files to watch."""

from __future__ import annotations

import errno
from typing import Any

from rota.net.poller import new_poller


class Full:
    """A poller that watches nothing new once it is ``full``, as a kernel that has run out of room."""

    def __init__(self) -> None:
        self.poller = new_poller()
        self.full = False

    def __getattr__(self, name: str) -> Any:
        if self.full and name.startswith("add_"):
            raise OSError(errno.ENOSPC, "No room for one more to watch")
        return getattr(self.poller, name)
