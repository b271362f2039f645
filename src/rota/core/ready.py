# cython: boundscheck=False, wraparound=False
# Every index is masked to the ring, or counts within it.
"""The ready list: whatever can run now, in the order in which it became ready.

Everything that can be ready is a :class:`Runnable` with one ``_run()``: a task, a handle, a transport with bytes to
read. So a turn is one loop over this list, with nothing allocated between a finished future and the task that
awaited it.

:class:`Ready` is first come first served, a ring that grows by doubling and never moves what it holds. Another
policy (``policy.py``) is another ``push`` and ``pop``; the turn does not change.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import native
from .runnable import Runnable

RING = 64  # slots of a new ring: a small program never grows it. A power of two, for the mask.


class Ready:
    """First come first served.

    With a ``guard``, every push calls it first, and what it raises leaves the list as it was. That is how a closed
    loop refuses work, and how a loop in debug mode finds a future that another thread finished.
    """

    __slots__ = ("_count", "_guard", "_head", "_mask", "_ring", "_watched")

    def __init__(self) -> None:
        self._ring: list[Runnable | None] = [None] * RING
        self._mask = RING - 1
        self._head = 0
        self._count = 0
        self._guard: object = None
        self._watched = False

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Runnable]:
        """What is ready, first to run first: a copy, which stays true while the list changes."""
        ring = self._ring
        return iter([ring[(self._head + offset) & self._mask] for offset in range(self._count)])  # type: ignore[misc]

    def push(self, runnable: Runnable) -> None:
        """Put ``runnable`` behind all that are ready."""
        if self._watched:
            self._guard()  # type: ignore[operator]
        if self._count > self._mask:
            self._grow()
        runnable._queued = True
        self._ring[(self._head + self._count) & self._mask] = runnable
        self._count += 1

    def pop(self) -> Runnable:
        """Take out who runs next. The caller has seen that somebody is there."""
        runnable: Runnable = native.take(self._ring, self._head)
        self._head = (self._head + 1) & self._mask
        self._count -= 1
        runnable._queued = False
        return runnable

    def clear(self) -> None:
        """Drop everybody, unrun."""
        while self._count:
            self.pop()

    def guard(self, guard: object) -> None:
        """Call ``guard()`` before each push, or stop doing so with None."""
        self._guard = guard
        self._watched = guard is not None

    def _grow(self) -> None:
        """Make room. The new lists may set off a garbage collection (Python 3.11), and what is collected may push; so
        may a signal handler, which plain Python runs after any call, here ``len``. Whoever did has grown the ring then.
        """
        while self._count > self._mask:
            ring = self._ring
            grown = ring[self._head :] + ring[: self._head] + [None] * len(ring)
            mask = len(grown) - 1
            if self._ring is ring:
                self._ring, self._head, self._mask = grown, 0, mask
