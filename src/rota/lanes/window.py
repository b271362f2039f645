"""Window: how many threads a map of calls that wait has at once, found while it runs.

As long as none of the calls comes back, they may wait for one another, or just long: each look doubles the window. Once
they do come back, more at once must bring more of them in a second, or the window goes back to what it was. It is never
wider than one core can serve, and gets narrower when the loop is late: threads by the thousand that all wake up at once
leave it no turn.

Calls that compute are few at first: with the GIL they take turns, and all end late, the first too, by which it is known
where they belong. Where the user has said how many (``told``), it is as many as soon as they are seen to wait.
"""

from __future__ import annotations

from .choose import Figures

#: So many calls at first: those that compute with the GIL are known after as many times their time ...
START = 4

#: ... and so many where the width is told, as that need not grow step by step: of long ones two are enough to know.
START_TOLD = 2

#: Seconds between two looks ...
LOOK_EVERY = 0.02

#: ... and at first, where the width is told and what calls do is not seen yet: who waits has begun to by then.
LOOK_FIRST = 0.01

#: A look that comes so many seconds late says that the threads are too many ...
LATE = 0.02

#: ... unless they are so few that something else must have held the loop.
FEW = 64

#: While calls of which nothing is known compute, and none comes back, the window is doubled after so many seconds, and
#: not before it has been as it is for so many times as long as all before: they may wait for one another all the same,
#: but those that just take long only take longer for it.
PATIENCE = 5.0
SLOWER = 3

#: Where it can't be seen what they do, that is what they may do if so much of a core is in use ...
BUSY = 0.5

#: ... or if a look is so late: that is how long a thread that computes keeps the interpreter from others ...
TURN = 0.004

#: ... and then the window is doubled after so many seconds.
PATIENCE_UNSEEN = 0.25

#: A window twice as wide must bring so many times as many calls in a second.
GAIN = 1.1

#: After more had brought nothing, or had made the loop late, so many seconds pass until more are tried again.
REST = 1.0

#: Seconds that a call in a thread costs this process beside itself: the way there, and its result's way back.
WAY = 0.000_1


class Window:
    """``width`` is how many at once, from ``start`` on, which is the least, up to ``most``; if that is ``told``, it is
    reached as soon as the calls turn out to wait. ``look`` when it is ``due``.
    """

    def __init__(self, start: int, most: int, told: bool = False) -> None:
        self.most = most
        self.told = told
        self.least = self.width = min(start, most)
        self.due = 0.0
        self._ended = self._seen = 0  # calls, until the last change of width and the last look
        self._since = self._last_end = 0.0  # when that change was, and when a call was last seen to have ended
        self._rate = 0.0  # calls a second at half the width; 0 if unknown
        self._began = self._looked = 0.0
        self._first = 0.0  # seconds until the first call came back; 0 if none has
        self._rest = -1e9  # until when nothing is tried
        self._spent = 0.0  # at the last look

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to find."""
        return self.least == self.most

    def begin(self, now: float, ended: int, spent: float, width: int = 0) -> None:
        """Calls begin; ``ended`` and ``spent`` are as in ``look``. ``width`` is what is known to be good."""
        self.width = max(self.width, min(width, self.most))
        self._seen, self._spent = ended, spent
        self._began = self._looked = now
        self.due = now + (LOOK_FIRST if self.told else LOOK_EVERY)
        self._measure_from(now, ended)

    def look(
        self, now: float, ended: int, full: bool, computing: bool | None, spent: float, figures: Figures | None
    ) -> None:
        """Change ``width`` if that is called for. ``ended`` is how many calls have; ``full``, whether as many run as
        may; ``computing``, whether they are seen to compute, None if that can't be seen; ``spent``, how many seconds of
        a core this process has had. ``figures`` are the function's, if they are known.
        """
        late = now - self.due
        patience = 0.0 if figures is not None else self._patience(now, late, computing, spent)
        self._spent, self._looked = spent, now
        self.due = now + (LOOK_FIRST if self.told and computing is None else LOOK_EVERY)
        if ended > self._seen:
            self._seen, self._last_end = ended, now
            self._first = self._first or now - self._began
        if self.told and not patience:
            self.least = self.width = self.most
            return
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
            self._try_more(now, ended, served, wall, patience)

    def _patience(self, now: float, late: float, computing: bool | None, spent: float) -> float:
        """How many seconds a window of calls of which nothing is known stays as it is, if none comes back: 0 unless
        they compute, or may.
        """
        if computing is not None:
            return max(PATIENCE, SLOWER * (self._since - self._began)) if computing else 0.0
        if self.told and self._looked == self._began:
            return PATIENCE_UNSEEN  # the next look may see it
        is_busy = spent - self._spent > BUSY * (now - self._looked) or late > TURN
        return PATIENCE_UNSEEN if is_busy else 0.0

    def _try_more(self, now: float, ended: int, most: int, wall: float, patience: float) -> None:
        came = ended - self._ended
        if came >= self.width and patience:
            self._measure_from(now, ended)  # it is soon known where they belong
        elif came >= self.width:  # each of those that run once, or so
            rate = came / max(now - self._since, 1e-9)
            if rate >= self._rate * GAIN:
                self._rate = rate
                self._grow(now, most)
            else:
                self._become(max(self.least, self.width // 2), now)
                self._rest, self._rate = now + REST, 0.0
        elif now - max(self._since, self._last_end) > max(patience, 2 * wall if self._first else 0.0):
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
