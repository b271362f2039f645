"""Absence: a cluster has no workers, and somebody waits for one.

To wait is right: clusters grow when there is work. But not in silence, and not for those who can't.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator
from typing import NamedTuple

from .connection import Connection

logger = logging.getLogger("rota")

#: When nobody has been there for so many seconds, say so in the log: a worker that died has been replaced by then.
SAY_NO_WORKERS = 5.0

#: How often to look, in seconds, while somebody waits.
LOOK_EVERY = 0.5

#: So many of the functions that wait are named.
NAMED = 3


class Unattended(Exception):  # noqa: N818
    """There has been no worker for as long as somebody could wait."""


class Waiter(NamedTuple):
    """A function that waits for a worker, or runs on one."""

    name: str
    since: float  # by the loop's clock
    patience: float | None  # in seconds
    clock: asyncio.Timeout


class Absence:
    """The absence of workers behind a connection, while somebody waits: told of in the log, once until some come."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiters: list[Waiter] = []
        self._timer: asyncio.TimerHandle | None = None  # of the next look
        self._looking = False
        self._since: float | None = None  # when nobody was found there, by the loop's clock
        self._said = False

    @contextlib.asynccontextmanager
    async def waits(self, name: str, patience: float | None) -> AsyncIterator[None]:
        """For the time in which a function waits for a worker, or runs on one. Raises Unattended when there has been
        none for ``patience`` seconds; never if None.
        """
        now = asyncio.get_running_loop().time()
        waiter = Waiter(name, now, patience, asyncio.timeout(None))
        self._waiters.append(waiter)
        seems_absent = not self._connection.width
        if not seems_absent:
            self._said = False
        if not self._looking and (self._timer is None or seems_absent):
            self._look_at(now if seems_absent else now + LOOK_EVERY)
        try:
            async with waiter.clock:
                yield
            self._found()  # somebody has done it
        except TimeoutError:
            if waiter.clock.expired():
                raise Unattended from None
            raise
        finally:
            self._waiters.remove(waiter)
            if not self._waiters:
                self._since = None
                self._stop_timer()

    def _look_at(self, when: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_at(when, self._begin_to_look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_to_look(self) -> None:
        self._timer = None
        self._looking = True
        self._connection.apart(self._look())

    async def _look(self) -> None:
        # If the connection is closed, or breaks, who waits hears of that without us.
        with contextlib.suppress(Exception):
            if await self._connection.ask_width():
                self._found()
            elif self._since is None and self._waiters:
                self._since = asyncio.get_running_loop().time()
        self._looking = False
        if self._waiters:
            # Where nobody can be asked it is as it was: patience goes on to run out.
            now = asyncio.get_running_loop().time()
            self._tell(now)
            self._look_at(self._next_look(now))

    def _found(self) -> None:
        self._since = None
        self._said = False

    def _tell(self, now: float) -> None:
        """Whom it concerns, that nobody is there."""
        for waiter in self._waiters:
            if now >= self._end_of_patience(waiter):
                waiter.clock.reschedule(now)
        if self._since is not None and not self._said and now >= self._since + SAY_NO_WORKERS:
            self._said = True
            self._say()

    def _end_of_patience(self, waiter: Waiter) -> float:
        """When to tell it that nobody is there: never if it can wait, or has been told and takes its time to end."""
        if waiter.patience is None or self._since is None or waiter.clock.when() is not None:
            return math.inf
        return max(self._since, waiter.since) + waiter.patience

    def _next_look(self, now: float) -> float:
        """When somebody may have come, or it is time to tell somebody that nobody has."""
        said = math.inf if self._said or self._since is None else self._since + SAY_NO_WORKERS
        return min(now + LOOK_EVERY, said, *map(self._end_of_patience, self._waiters))

    def _say(self) -> None:
        address = self._connection.address
        names = list(dict.fromkeys(waiter.name for waiter in self._waiters))
        more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
        logger.warning(
            "the cluster at %s has no workers; waiting for one: %s. Start some (dask worker %s), or give a timeout= to "
            "what can't wait",
            address,
            ", ".join(names[:NAMED] + more),
            address,
        )
