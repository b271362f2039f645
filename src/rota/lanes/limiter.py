"""Limiter: at most so many at once, first come first served, and the number may change while they wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from types import TracebackType

logger = logging.getLogger("rota")

#: Calls that nobody waits for any more may hold up others for so many seconds before that is said.
JAMMED = 1.0


class Limiter:
    """``async with limiter:`` around what is limited. ``most`` may be set at any time.

    Who stands for several takes as many places at once, and waits for them; if that is more than ``most``, until nobody
    else is in.
    """

    __slots__ = ("__weakref__", "_abandoned", "_last", "_look", "_most", "_moved", "_told", "_waiting", "running")

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self.running = 0
        self._abandoned = 0  # places of calls that run, but that nobody waits for any more
        self._last = ""  # what the last of these is called
        self._look: asyncio.TimerHandle | None = None  # as long as there are any
        self._moved = False  # since the last look, somebody has left
        self._told = False  # of this jam

    @property
    def most(self) -> int:
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        self._most = most
        self._let_in()

    @property
    def waiting(self) -> int:
        """How many would like to."""
        return len(self._waiting)

    def take(self, places: int = 1) -> bool:
        """Come in if there is room and nobody waits; whether it was so."""
        if self._has_room(places) and not self._waiting:
            self.running += places
            return True
        return False

    async def acquire(self, places: int = 1) -> None:
        """Come in, after those who came before."""
        if self.take(places):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, places))
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release(places)  # it was let in and leaves at once
            else:
                with contextlib.suppress(ValueError):  # it was passed over, being done
                    self._waiting.remove((turn, places))
                self._let_in()  # those behind may be content with less room
            raise

    def release(self, places: int = 1, abandoned: bool = False) -> None:
        """Leave; ``abandoned`` by who was told so before."""
        self.running -= places
        self._moved = True
        if abandoned:
            self._abandoned -= places
            if not self._abandoned and self._look is not None:
                self._look.cancel()
                self._look = None
        self._let_in()

    def abandon(self, places: int, name: str) -> None:
        """Nobody waits any more for a call of ``name`` that runs there, but it goes on."""
        self._abandoned += places
        self._last = name
        if self._look is None:
            self._told = self._moved = False
            self._look = asyncio.get_running_loop().call_later(JAMMED, self._look_for_jam)

    def _look_for_jam(self) -> None:
        """Warn, once, if others have waited since the last look for nothing but such calls."""
        jammed = self.running == self._abandoned and any(not turn.done() for turn, _ in self._waiting)
        if jammed and not self._moved and not self._told:
            self._told = True
            logger.warning(
                "calls wait: all %d that run at once were given up, but go on in their threads; the last is of %s",
                self._abandoned,
                self._last,
            )
        elif not jammed:
            self._told = False
        self._moved = False
        self._look = asyncio.get_running_loop().call_later(JAMMED, self._look_for_jam)

    def _has_room(self, places: int) -> bool:
        return self.running + places <= self._most or not self.running

    def _let_in(self) -> None:
        while self._waiting and self._has_room(self._waiting[0][1]):
            turn, places = self._waiting.popleft()
            if not turn.done():
                self.running += places
                turn.set_result(None)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Permit:
    """A call's places in limiters, given back once. ``kept``: not by whoever awaits the call but when its thread is
    done with it.
    """

    __slots__ = ("_abandoned", "_taken", "kept")

    def __init__(self) -> None:
        self._taken: list[tuple[Limiter, int]] = []
        self._abandoned = False
        self.kept = False

    async def take(self, limiter: Limiter, places: int = 1) -> None:
        """So many places more, as soon as there are."""
        await limiter.acquire(places)
        self._taken.append((limiter, places))

    def release(self) -> None:
        """In the loop's thread."""
        while self._taken:
            limiter, places = self._taken.pop()
            limiter.release(places, self._abandoned)

    def abandon(self, name: str) -> None:
        """Nobody waits any more for the call of ``name``, but its thread goes on."""
        self._abandoned = True
        for limiter, places in self._taken:
            limiter.abandon(places, name)
