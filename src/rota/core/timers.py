"""The calls that wait for their time: a binary heap, earliest on top.

Most timers are timeouts that are cancelled, not reached. So a cancelled one stays where it is and is dropped when it
comes up; only when the cancelled are many and more than half is the heap built anew (``limits.TIMERS_CANCELLED_*``).
Timers of the same time come up in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import limits
from .handle import TimerHandle
from .ready import Ready

CANCELLED_MIN = limits.TIMERS_CANCELLED_MIN
CANCELLED_SHARE = limits.TIMERS_CANCELLED_SHARE
NEVER = float("inf")


class Timers:
    """The waiting whose time is known."""

    __slots__ = ("_cancelled", "_heap", "_pushed")

    def __init__(self) -> None:
        self._heap: list[TimerHandle] = []
        self._pushed = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """How many wait, without the cancelled."""
        return len(self._heap) - self._cancelled

    def __iter__(self) -> Iterator[TimerHandle]:
        """Who waits, earliest first."""
        waiting = [timer for timer in self._heap if not timer._cancelled]
        waiting.sort(key=TimerHandle.when)
        return iter(waiting)

    def push(self, timer: TimerHandle) -> None:
        """Let ``timer`` wait for its time."""
        self._pushed += 1
        timer._number = self._pushed
        timer._scheduled = True
        self._heap.append(timer)
        self._rise(len(self._heap) - 1)

    def forget(self) -> None:
        """One of the waiting was cancelled: count it, and sweep when it is worth it."""
        self._cancelled += 1
        if self._cancelled > CANCELLED_MIN and self._cancelled > len(self._heap) * CANCELLED_SHARE:
            self._sweep()

    def next_when(self) -> float:
        """When the earliest is due, in seconds of the loop's clock; infinity when nobody waits."""
        while self._heap:
            timer = self._heap[0]
            if not timer._cancelled:
                return timer._when
            self._cancelled -= 1
            self._pop()
        return NEVER

    def move_due(self, now: float, ready: Ready) -> None:
        """Move all that are due at ``now`` to the ready list, earliest first."""
        while self._heap:
            timer = self._heap[0]
            if timer._cancelled:
                self._cancelled -= 1
                self._pop()
            elif timer._when <= now:
                self._pop()
                ready.push(timer)
            else:
                break

    def clear(self) -> None:
        for timer in self._heap:
            timer._scheduled = False
        self._heap = []
        self._cancelled = 0

    def _sweep(self) -> None:
        waiting = []
        for timer in self._heap:
            if timer._cancelled:
                timer._scheduled = False
            else:
                waiting.append(timer)
        self._heap = waiting
        self._cancelled = 0
        place = len(waiting) // 2
        while place > 0:
            place -= 1
            self._sink(place)

    def _pop(self) -> None:
        """Take the top out."""
        heap = self._heap
        top = heap[0]
        top._scheduled = False
        last = heap.pop()
        if heap:
            heap[0] = last
            self._sink(0)

    def _rise(self, place: int) -> None:
        """Move who stands at ``place`` up to where nobody above is later."""
        heap = self._heap
        timer = heap[place]
        while place > 0:
            parent = (place - 1) >> 1
            above = heap[parent]
            if above._when < timer._when or (above._when == timer._when and above._number < timer._number):
                break
            heap[place] = above
            place = parent
        heap[place] = timer

    def _sink(self, place: int) -> None:
        """Move who stands at ``place`` down to where nobody below is earlier."""
        heap = self._heap
        size = len(heap)
        timer = heap[place]
        while True:
            child = 2 * place + 1
            if child >= size:
                break
            below = heap[child]
            if child + 1 < size:
                other = heap[child + 1]
                if other._when < below._when or (other._when == below._when and other._number < below._number):
                    below = other
                    child += 1
            if timer._when < below._when or (timer._when == below._when and timer._number < below._number):
                break
            heap[place] = below
            place = child
        heap[place] = timer
