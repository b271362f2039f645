"""Tally: the items of a run as they begin and end, counted by whoever runs them.

Threads, tasks and the pool's chunks all report here; a lock keeps the counts whole. ``report`` hears of the
progress at a person's pace, not of every item.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

#: Seconds between two reports of progress: ten a second look smooth and cost a run nothing.
REPORT_EVERY = 0.1

Span = tuple[float, float]


class Tally:
    """Counts of one run: ``done``, ``failures`` of them, the first failure's text, the peak ``in_flight``."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self.done = 0
        self.failures = 0
        self.error: str | None = None
        self.in_flight = 0
        self._running = 0
        self._lock = threading.Lock()
        self._report = report
        self._reported = 0.0

    def began(self) -> None:
        with self._lock:
            self._running += 1
            if self._running > self.in_flight:
                self.in_flight = self._running

    def ended(self, error: str | None = None) -> None:
        """One item is over; ``error`` names the item and what it raised."""
        with self._lock:
            self._running -= 1
            self._count(error)

    def elsewhere(self, errors: Iterable[str | None]) -> None:
        """Items that began and ended in another process: only their ends are counted."""
        with self._lock:
            for error in errors:
                self._count(error)

    def _count(self, error: str | None) -> None:
        self.done += 1
        if error is not None:
            self.failures += 1
            self.error = self.error or error
        now = time.monotonic()
        if now - self._reported >= REPORT_EVERY:
            self._reported = now
            self._report(self.done)


def most_at_once(spans: Iterable[Span]) -> int:
    """The most (began, ended) spans that overlap; one that begins as another ends does not overlap it."""
    changes = sorted(change for began, ended in spans for change in ((began, 1), (ended, -1)))
    most = running = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most
