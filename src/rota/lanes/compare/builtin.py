"""Builtin: the three jobs that ``rota compare`` runs when it is given none, and the server they talk to."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import MissingExtra, RotaError
from .parent import started

#: File in jobs/ and title, in the order of the rule: slow I/O, fast I/O, CPU.
JOBS = (
    ("slow_sites", "slow I/O: download 180 sites that take 30 to 300 ms each"),
    ("fast_reads", "fast I/O: read 3000 short records, about 1 ms each"),
    ("computation", "CPU: compute 24 times for about a fifth of a second"),
)


def path(name: str) -> str:
    """The file of a built-in job."""
    return os.path.join(os.path.dirname(__file__), "jobs", f"{name}.py")


@contextmanager
def sites() -> Iterator[None]:
    """Run the site server; the jobs find its ports in the environment.

    Raises MissingExtra when a library that the jobs use is not installed.
    """
    for module in ("aiohttp", "requests"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra("rota compare", module, "compare")
    with started("rota.lanes.compare.sites") as server:
        assert server.stdout is not None
        ports = server.stdout.readline().split()
        if len(ports) != 2:
            raise RotaError("the local site server didn't start: its own words stand above")
        names = ("ROTA_COMPARE_SITES", "ROTA_COMPARE_RECORDS")
        os.environ.update(zip(names, (port.decode() for port in ports), strict=True))
        try:
            yield
        finally:
            for name in names:
                del os.environ[name]
