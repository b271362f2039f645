"""A server on a Unix socket that leaves no file behind."""

from __future__ import annotations

import os
import socket
from asyncio.log import logger
from typing import Any

from .server import Server


class TidyServer(Server):
    """A server that takes its file away when it is closed."""

    def __init__(self, loop: Any, sockets: list[socket.socket], *rest: Any) -> None:
        super().__init__(loop, sockets, *rest)
        self._path: str | bytes = sockets[0].getsockname()
        self._inode = inode_of(self._path)

    def close(self) -> None:
        inode, self._inode = self._inode, None
        super().close()
        # The path may be somebody else's by now, and in a forked child it is the parent's.
        if inode is not None and not self._loop._inherited and inode == inode_of(self._path):
            try:
                os.unlink(self._path)
            except OSError as error:
                logger.error("Unable to clean up listening UNIX socket %r: %r", self._path, error)


def inode_of(path: str | bytes) -> int | None:
    """The number of the file at ``path``; None if there is none, or ``path`` is an abstract name."""
    if not path or path[0] in (0, "\0"):
        return None
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
