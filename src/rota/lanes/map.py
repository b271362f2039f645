"""Map: one function over many items, as results that come one by one or as a list."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

from ..errors import UsageError
from .flight import Flight, Options
from .function import name_of
from .pools import Pools, check_lane
from .progress import Progress
from .wording import short


class Map:
    """What :func:`rota.map` returns: ``async for result in it``, or ``await it`` for a list. Each runs the map once."""

    def __init__(
        self, pools: Callable[[], Pools], fn: Callable[..., Any], items: Any, options: Options, progress: Any
    ) -> None:
        check(fn, items, options, progress)
        self._pools = pools
        self._fn = fn
        self._items = items
        self._options = options
        self._progress = progress

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        # An asynchronous generator is closed when its reader leaves it half-way, and then nothing may be left running.
        flight = self._flight()
        try:
            flight.begin()
            while not flight.over:
                while flight.ready:
                    ok, value = flight.take()
                    if not ok and not self._options.returns_errors:
                        try:
                            raise value
                        finally:
                            del value
                    yield value
                await flight.wait()
            if flight.error is not None:
                raise flight.error
        finally:
            await flight.stop()

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._all().__await__()

    async def _all(self) -> list[Any]:
        return [result async for result in self]

    def _flight(self) -> Flight:
        source: Iterator[Any] | AsyncIterator[Any]
        if hasattr(self._items, "__aiter__"):
            source, total = aiter(self._items), None
        elif hasattr(self._items, "__anext__"):
            source, total = self._items, None
        else:
            source = iter(self._items)
            total = length_of(self._items)
        progress = None
        if self._progress:
            progress = Progress(self._progress, total, name_of(self._fn))
        return Flight(self._pools(), self._fn, source, total, self._options, progress)

    def __repr__(self) -> str:
        return f"<rota.map of {name_of(self._fn)}: await it, or go through it with async for>"


def check(fn: Any, items: Any, options: Options, progress: Any) -> None:
    """Raises UsageError for what can't be done as asked."""
    check_function(fn, "map")
    if not is_iterable(items):
        raise UsageError(f"rota.map goes through items, and {short(items)} has none: give it an iterable")
    check_lane(options.on, fn)
    if options.limit is not None and (type(options.limit) is not int or options.limit < 1):
        raise UsageError(f"limit={options.limit!r}: at least 1 can run at once, or None for as many as is good")
    if type(options.retries) is not int or options.retries < 0:
        raise UsageError(f"retries={options.retries!r}: say how often, 0 for never")
    check_timeout(options.timeout)
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise UsageError(f"progress={progress!r}: True draws a bar, a function is called, False is silent")


def is_iterable(items: Any) -> bool:
    """Whether one can go through ``items``, in any of the ways there are."""
    if hasattr(items, "__iter__") or hasattr(items, "__aiter__") or hasattr(items, "__anext__"):
        return True
    try:
        iter(items)  # what has indexes from 0 on
    except TypeError:
        return False
    return True


def length_of(items: Any) -> int | None:
    """How many there are, if they say so."""
    try:
        return len(items)
    except Exception:  # the program's own code, perhaps, and it only serves those who look on
        return None


def check_function(fn: Any, name: str) -> None:
    """Raises UsageError unless ``fn`` can be called."""
    if callable(fn):
        return
    if hasattr(fn, "__await__"):
        close = getattr(fn, "close", None)
        if close is not None:
            close()  # it is never awaited, and need not warn of it
        raise UsageError(f"rota.{name} makes the call itself: rota.{name}(fn, ...), not rota.{name}(fn(...))")
    raise UsageError(f"rota.{name} needs a function, not {short(fn)}")


def check_timeout(timeout: Any) -> None:
    """Raises UsageError unless ``timeout`` is None or a number of seconds above zero."""
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise UsageError(f"timeout={timeout!r}: seconds above zero, or None for as long as it takes")
