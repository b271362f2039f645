"""Progress: how a map is getting on, as one line at the foot of a terminal or to a function of the program.

The map tells of every item; what is shown or called is at most ten a second. One line is drawn over itself, and stays
when the map has ended. Of several maps at once the first has the line; the others show how they ended above it. Where
there is no terminal (a file, a pipe, a screen reader with TERM=dumb) nothing is drawn.
"""

from __future__ import annotations

import inspect
import math
import os
import shutil
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from ..errors import UsageError

#: Seconds between two draws, or two calls: smooth to the eye, and a thousandth of the loop's time.
EVERY = 0.1

#: Rates and the time left are those of the last so many seconds: they follow a change and don't flicker.
RECENT = 5.0

#: Columns of the bar itself, at most; on a narrow terminal the words come first ...
BAR = 24

#: ... and with less than this left, there is no bar.
BAR_LEAST = 8

ERASE = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class State:
    """How far a map is: ``done`` items of ``total`` (None: nobody knows), of which ``failed`` have failed.

    It runs for ``seconds``; ``rate`` is items a second lately, in the last call those of the whole. ``note`` is
    something to know besides, such as the address of a cluster's dashboard.
    """

    done: int
    failed: int
    total: int | None
    seconds: float
    rate: float
    note: str | None


class Progress:
    """Shows how a map of ``total`` items (None if nobody knows) is getting on.

    With ``target`` True it is drawn on ``stream`` (standard error), if that is a terminal, behind ``name``. A function
    gets a :class:`State`, at most ten times a second and once at the end; what it raises comes out of ``update`` or
    ``end``, and it is not called again. With False or None nobody is told. Raises UsageError for anything else.

    ``total`` and ``note`` may be set while it runs.
    """

    def __init__(
        self,
        target: bool | Callable[[State], object] | None,
        total: int | None,
        name: str,
        *,
        note: str | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.note = note
        self._name = name
        self._clock = clock
        self._call: Callable[[State], object] | None = None
        self._stream: TextIO | None = None
        if callable(target):
            if inspect.iscoroutinefunction(target):
                raise UsageError(f"progress is {target!r}, which is async: nobody would await it; give a function")
            self._call = target
        elif target is True:
            stream = sys.stderr if stream is None else stream
            self._stream = stream if stream is not None and is_terminal(stream) else None
        elif target is not False and target is not None:
            raise UsageError(f"progress is {target!r}: it must be True, False or a function")
        self._done = 0
        self._failed = 0
        self._began = clock()
        self._due = self._began + EVERY if self._call or self._stream else math.inf
        self._looks = deque([(self._began, 0)])
        self._draw()

    def update(self, done: int, failed: int) -> None:
        """So many items are done, of which so many have failed. To be called for each item."""
        self._done = done
        self._failed = failed
        now = self._clock()
        if now < self._due:
            return
        self._due = now + EVERY
        self._looks.append((now, done))
        while len(self._looks) > 2 and now - self._looks[0][0] > RECENT:
            self._looks.popleft()
        self._say(now)
        self._draw()

    def end(self) -> None:
        """The map has ended, with what ``update`` has told of last. Nothing if it is called again."""
        if self._due == math.inf:
            return
        self._due = math.inf
        now = self._clock()
        self._looks = deque([(self._began, 0), (now, self._done)])
        self._draw(took=now - self._began)
        self._say(now)

    def _say(self, now: float) -> None:
        """Call the function. Not again, once it has raised."""
        if self._call is not None:
            call, self._call = self._call, None
            call(State(self._done, self._failed, self.total, now - self._began, self._rate(), self.note))
            self._call = call

    def _draw(self, took: float | None = None) -> None:
        """Draw the line over itself, or for the last time. Of several, the first that is there has the line."""
        global drawing
        if self._stream is None:
            return
        who = drawing() if drawing is not None else None
        if took is None and who is not None and who is not self:
            return
        # One column stays free: some terminals go to the next line when the last one is written.
        line = self.line(shutil.get_terminal_size().columns - 1, took)
        try:
            self._stream.write(f"{ERASE}{line}" if took is None else f"{ERASE}{line}\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal is gone, or the stream was closed: the work goes on.
            self._stream = None
        if self._stream is not None and took is None:
            drawing = weakref.ref(self)
        elif who is self:
            drawing = None

    def line(self, columns: int, took: float | None = None) -> str:
        """The words in at most so many ``columns``, behind a bar if there is a total and room for it."""
        name, words = printable(self._name), self._words(took)
        cells = min(columns - len(name) - len(words) - len("   100%  "), BAR)
        if not self.total or cells < BAR_LEAST:
            return f"{name}  {words}"[: max(columns, 0)]
        share = min(self._done / self.total, 1.0)
        full, empty = bar_characters(getattr(self._stream, "encoding", None) or "ascii")
        cells_full = int(cells * share)
        return f"{name}  {full * cells_full}{empty * (cells - cells_full)} {share:4.0%}  {words}"

    def _words(self, took: float | None) -> str:
        """What is known now: ``512/1,000, 3 failed, 120/s, 0:04 left``, or at the end ``in 8.2 s``."""
        rate = self._rate()
        parts = [f"{self._done:,}" if self.total is None else f"{self._done:,}/{self.total:,}"]
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        parts.append(f"{rate:.1f}/s" if rate < 9.95 else f"{rate:,.0f}/s")
        if took is not None:
            parts.append(f"in {took:.1f} s" if took < 59.95 else f"in {clock_face(took)}")
        elif self.total is not None and rate > 0:
            parts.append(f"{clock_face(max(self.total - self._done, 0) / rate)} left")
        if self.note:
            parts.append(printable(self.note))
        return ", ".join(parts)

    def _rate(self) -> float:
        """Items a second, lately."""
        (then, before), (now, done) = self._looks[0], self._looks[-1]
        return (done - before) / (now - then) if now > then else 0.0


#: Who draws the line at the foot of the terminal.
drawing: weakref.ref[Progress] | None = None


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False  # it was closed


def bar_characters(encoding: str) -> tuple[str, str]:
    """The bar's full and empty cell: blocks where the ``encoding`` has them."""
    try:
        "━─".encode(encoding)
    except (UnicodeError, LookupError):
        return "#", "."
    return "━", "─"


def clock_face(seconds: float) -> str:
    """``0:07``, ``3:05``, ``2:00:00``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def printable(text: str) -> str:
    """``text`` without what would move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
