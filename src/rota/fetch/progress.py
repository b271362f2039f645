"""How a run is getting on: one line at the foot of a terminal, or a line now and then anywhere else.

The counts are looked at, at most ten times a second; no download ever calls. On a terminal the line is drawn
over itself, lines that are said go above it, and it is gone in the end. Where there is no terminal (a file, a
pipe, a screen reader with TERM=dumb) it is an ordinary line, every few seconds.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TextIO

from ..lanes.progress import bar_characters
from .figures import clock, rate, size
from .result import Tally

#: Seconds between two looks on a terminal: smooth to the eye, and 0.3 ms of work a second.
DRAW_EVERY = 0.1

#: Seconds between two lines elsewhere: a run of an hour makes a log that can still be read.
SAY_EVERY = 5.0

#: Rates and the time left are those of the last so many seconds: they follow a change and don't flicker.
RECENT = 5.0

#: Columns of the bar itself, at most; on a narrow terminal the words come first ...
BAR = 24

#: ... and with less than this left, there is no bar.
BAR_LEAST = 8

ERASE = "\r\x1b[K"


class Progress:
    """Shows ``tally`` on ``stream`` while the ``async with`` lasts; ``total()`` is the number of URLs, if known."""

    def __init__(self, stream: TextIO, tally: Tally, total: Callable[[], int | None]) -> None:
        self._stream = stream
        self._tally = tally
        self._total = total
        self.terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._full, self._empty = bar_characters(stream.encoding or "ascii")
        self._looks: deque[tuple[float, int, int]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._drawn = False

    async def __aenter__(self) -> Self:
        self.also(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.clear()

    def also(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside the progress, and no longer."""
        self._tasks.append(asyncio.create_task(work))

    def clear(self) -> None:
        """Take the bar away, for whoever prints next; it comes back by itself."""
        if self._drawn:
            self._stream.write(ERASE)
            self._stream.flush()
            self._drawn = False

    async def _run(self) -> None:
        every = DRAW_EVERY if self.terminal else SAY_EVERY
        self._look()
        while True:
            await asyncio.sleep(every)
            self._look()
            if self.terminal:
                columns = shutil.get_terminal_size().columns
                # One column stays free: some terminals go to the next line when the last one is written.
                self._stream.write(ERASE + self.line(columns - 1))
                self._drawn = True
            else:
                self._stream.write(f"rota: {self.words()}\n")
            self._stream.flush()

    def _look(self) -> None:
        now = time.monotonic()
        self._looks.append((now, self._tally.done, self._tally.received))
        while len(self._looks) > 2 and now - self._looks[0][0] > RECENT:
            self._looks.popleft()

    def line(self, columns: int) -> str:
        """The words in at most so many ``columns``, after a bar if there is a total and room for it."""
        words, total = self.words(), self._total()
        cells = min(columns - len(words) - len(" 100%  "), BAR)
        if not total or cells < BAR_LEAST:
            return words[:columns]
        share = min(self._tally.done / total, 1.0)
        full = int(cells * share)
        return f"{self._full * full}{self._empty * (cells - full)} {share:4.0%}  {words}"

    def words(self) -> str:
        """What is known now: ``1,204/20,000, 3 failed, 24.1 MB, 3.2 MB/s, 160/s, 1:57 left``."""
        tally, total = self._tally, self._total()
        (then, done_then, received_then), (now, done, received) = self._looks[0], self._looks[-1]
        elapsed = max(now - then, 1e-9)
        done_rate = (done - done_then) / elapsed
        parts = [f"{tally.saved:,} saved" if total is None else f"{tally.done:,}/{total:,}"]
        if tally.skipped:
            parts.append(f"{tally.skipped:,} skipped")
        if tally.failed:
            parts.append(f"{tally.failed:,} failed")
        parts += [size(tally.received), f"{size((received - received_then) / elapsed)}/s", rate(done_rate)]
        if total is not None and done_rate > 0:
            parts.append(f"{clock((total - done) / done_rate)} left")
        return ", ".join(parts)
