"""Window: how many threads a map of calls that wait has at once, found while it runs.

As long as none of the calls comes back, they may wait for one another, or just long: each look doubles the window. Once
they do come back, more at once must bring more of them in a second, or the window goes back to what it was. It is never
wider than one core can serve, and gets narrower when the loop is late: threads by the thousand that all wake up at once
leave it no turn.
"""

from __future__ import annotations

from .choose import Figures

#: Seconds between two looks.
LOOK_EVERY = 0.02

#: A look that comes so many seconds late says that the threads are too many ...
LATE = 0.02

#: ... unless they are so few that something else must have held the loop.
FEW = 64

#: With so much of a core in use, calls that don't come back may be those that compute: then the window is doubled only
#: after so many seconds.
BUSY = 0.5
PATIENCE = 0.25

#: A look so late says the same: that is how long a thread that computes keeps the interpreter from others.
TURN = 0.004

#: A window twice as wide must bring so many times as many calls in a second.
GAIN = 1.1

#: After more had brought nothing, or had made the loop late, so many seconds pass until more are tried again.
REST = 1.0

#: Seconds that a call in a thread costs this process beside itself: the way there, and its result's way back.
WAY = 0.000_1


class Window:
    """``width`` is how many at once, from ``start`` on, which is the least, up to ``most``. ``look`` every
    ``LOOK_EVERY`` seconds.
    """

    def __init__(self, start: int, most: int) -> None:
        self.most = most
        self.least = self.width = min(start, most)
        self._ended = self._seen = 0  # calls, until the last change of width and the last look
        self._since = self._last_end = 0.0  # when that change was, and when a call was last seen to have ended
        self._rate = 0.0  # calls a second at half the width; 0 if unknown
        self._began = 0.0
        self._first = 0.0  # seconds until the first call came back; 0 if none has
        self._rest = -1e9  # until when nothing is tried
        self._due = 0.0
        self._computing = 0.0  # at the last look

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to find."""
        return self.least == self.most

    def begin(self, now: float, ended: int, computing: float, width: int = 0) -> None:
        """The first look is due in ``LOOK_EVERY`` from ``now``; ``ended`` and ``computing`` are as in ``look``.
        ``width`` is what is known to be good.
        """
        self.width = max(self.width, min(width, self.most))
        self._seen, self._computing = ended, computing
        self._due = now + LOOK_EVERY
        self._began = now
        self._measure_from(now, ended)

    def look(self, now: float, ended: int, full: bool, computing: float, figures: Figures | None) -> None:
        """Change ``width`` if that is called for. ``full``: as many run as may; ``computing`` is how many seconds of a
        core this process has had; ``figures`` are the function's, if they are known.
        """
        passed = now - self._due + LOOK_EVERY
        busy = computing - self._computing > BUSY * passed or passed > LOOK_EVERY + TURN
        self._computing = computing
        late = now - self._due
        self._due = now + LOOK_EVERY
        if ended > self._seen:
            self._seen, self._last_end = ended, now
            self._first = self._first or now - self._began
        wall = self._first if figures is None else figures.wall
        served = self.most
        if figures is not None and now - self._last_end <= 2 * wall + LOOK_EVERY:
            # Calls come back, so they have to take turns.
            served = min(self.most, max(self.least, served_by_one_core(figures)))
        if self.width > served:
            self._become(served, now)
        elif late > LATE and self.width > FEW:
            self._become(max(FEW, self.least, self.width * 3 // 4), now)
            self._rest = now + REST
        elif not full or now < self._rest:
            self._measure_from(now, ended)  # these say nothing of the width
        else:
            self._try_more(now, ended, served, wall, busy)

    def _try_more(self, now: float, ended: int, most: int, wall: float, busy: bool) -> None:
        came = ended - self._ended
        if came >= self.width:  # each of those that run once, or so
            rate = came / max(now - self._since, 1e-9)
            if rate >= self._rate * GAIN:
                self._rate = rate
                self._grow(now, most)
            else:
                self._become(max(self.least, self.width // 2), now)
                self._rest, self._rate = now + REST, 0.0
        elif now - max(self._since, self._last_end) > max(PATIENCE if busy else 0.0, 2 * wall if self._first else 0.0):
            self._grow(now, most)

    def _grow(self, now: float, most: int) -> None:
        if self.width < most:
            self._become(min(2 * self.width, most), now)
        else:
            self._measure_from(now, self._seen)

    def _become(self, width: int, now: float) -> None:
        self.width = width
        self._measure_from(now, self._seen)

    def _measure_from(self, now: float, ended: int) -> None:
        self._since, self._ended = now, ended


def served_by_one_core(figures: Figures) -> int:
    """How many calls that wait one core can keep going, as all have one interpreter."""
    computing = figures.cpu if figures.holds else 0.0
    return int((figures.cpu + figures.blocked) / (computing + WAY)) + 1
