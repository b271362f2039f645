# cython: boundscheck=False, wraparound=False
# Every index comes from the length of the list, or from a place that the timer was given in it.
"""The calls that wait for their time: the young, in no order, and a binary heap, earliest on top.

Most timers are timeouts that are cancelled, not reached, and most of those soon. So a timer is young first: one of a
few (``limits.TIMERS_YOUNG``) that stand in no order, each knowing its place, where it costs next to nothing to come and
to go. When they are too many, or one of them is due, they all enter the heap. One that is cancelled there stays where
it is and is dropped when it comes up; only when the cancelled are many and more than half is the heap built anew
(``limits.TIMERS_CANCELLED_*``). Timers of the same time come up in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import limits
from .handle import TimerHandle
from .ready import Ready

YOUNG = limits.TIMERS_YOUNG
CANCELLED_MIN = limits.TIMERS_CANCELLED_MIN
CANCELLED_SHARE = limits.TIMERS_CANCELLED_SHARE
NEVER = float("inf")


class Timers:
    """The waiting whose time is known."""

    __slots__ = ("_cancelled", "_heap", "_pushed", "_young", "_young_known", "_young_when")

    def __init__(self) -> None:
        self._young: list[TimerHandle] = []
        self._young_when = NEVER  # none of them is due before
        self._young_known = True  # ... and one of them is due then
        self._heap: list[TimerHandle] = []
        self._pushed = 0
        self._cancelled = 0  # of those in the heap

    def __len__(self) -> int:
        """How many wait, without the cancelled."""
        return len(self._young) + len(self._heap) - self._cancelled

    def __iter__(self) -> Iterator[TimerHandle]:
        """Who waits, earliest first."""
        waiting = self._young + [timer for timer in self._heap if not timer._cancelled]
        waiting.sort(key=when_and_number)
        return iter(waiting)

    def push(self, timer: TimerHandle) -> None:
        """Let ``timer`` wait for its time."""
        self._pushed += 1
        timer._number = self._pushed
        timer._scheduled = True
        young = self._young
        timer._place = len(young)
        young.append(timer)
        if timer._when < self._young_when:
            self._young_when = timer._when
            self._young_known = True
        if len(young) >= YOUNG:
            self._settle()

    def forget(self, timer: TimerHandle) -> None:
        """``timer``, one of the waiting, was cancelled."""
        place = timer._place
        if place < 0:
            self._cancelled += 1
            if self._cancelled > CANCELLED_MIN and self._cancelled > len(self._heap) * CANCELLED_SHARE:
                self._sweep()
            return
        young = self._young
        last = young.pop()
        if last is not timer:
            young[place] = last
            last._place = place
        timer._place = -1
        timer._scheduled = False
        if timer._when == self._young_when:
            self._young_known = False

    def next_when(self) -> float:
        """When the earliest is due, in seconds of the loop's clock; infinity when nobody waits."""
        when = NEVER
        while self._heap:
            timer = self._heap[0]
            if not timer._cancelled:
                when = timer._when
                break
            self._cancelled -= 1
            self._pop()
        if self._young_when < when:
            if not self._young_known:
                self._find_young_when()
            when = min(when, self._young_when)
        return when

    def move_due(self, now: float, ready: Ready) -> None:
        """Move all that are due at ``now`` to the ready list, earliest first."""
        if self._young_when <= now:
            self._settle()
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
        for timer in self._young:
            timer._scheduled = False
            timer._place = -1
        for timer in self._heap:
            timer._scheduled = False
        self._young = []
        self._young_when = NEVER
        self._young_known = True
        self._heap = []
        self._cancelled = 0

    def _find_young_when(self) -> None:
        """The earliest of the young was cancelled: see who is now."""
        when = NEVER
        for timer in self._young:
            when = min(when, timer._when)
        self._young_when = when
        self._young_known = True

    def _settle(self) -> None:
        """Let the young enter the heap."""
        # First, since it may set off a garbage collection (Python 3.11), and what is collected may ask for timers.
        new: list[TimerHandle] = []
        young = self._young
        self._young = new
        self._young_when = NEVER
        self._young_known = True
        for timer in young:
            timer._place = -1
            self._heap.append(timer)
            self._rise(len(self._heap) - 1)

    def _sweep(self) -> None:
        """Build the heap anew, without the cancelled. Those go last of all: what they held may cancel others."""
        swept = self._heap
        waiting = []
        for timer in swept:
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


def when_and_number(timer: TimerHandle) -> tuple[float, int]:
    """The order in which timers come up."""
    return timer._when, timer._number
