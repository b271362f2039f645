"""What time it is, and how long it may take until then.

The loop owns a clock and asks nobody else, so time can be made: a clock that does not sleep is a subclass with its
own :meth:`Clock.time` and :meth:`Clock.until`, and neither the timers nor the turn know the difference.
"""

from __future__ import annotations

from collections.abc import Callable

from . import native


class Clock:
    """The wall: seconds of ``CLOCK_MONOTONIC``, which is what :func:`time.monotonic` gives."""

    __slots__ = ()

    def time(self) -> float:
        """Seconds since a fixed moment; never goes back."""
        return native.monotonic()

    def until(self, when: float) -> float:
        """How many real seconds the loop may sleep for ``when`` to come, if nothing else happens: 0 or more.

        Asked only when nothing is ready. A clock of its own time may move it to ``when`` here and answer 0.
        """
        delay = when - self.time()
        return delay if delay > 0.0 else 0.0


class Told(Clock):
    """Time as a program tells it, that has put a function of its own in the place of ``loop.time``."""

    __slots__ = ("_time", "replaced")

    def __init__(self, time: Callable[[], float], replaced: Clock) -> None:
        self._time = time
        self.replaced = replaced

    def time(self) -> float:
        return self._time()


def time_of(clock: Clock) -> Callable[[], float]:
    """Its ``time`` for a caller in Python, where compiled modules see a C function."""
    return clock.time
