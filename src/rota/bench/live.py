"""Live: the figures while they come. Bars go to where results go as each operation is done, progress beside them.

On a terminal one line tells how far it is, drawn anew at each turn and taken away before anything else is written.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import TextIO

from .chart import Paper, chart, heading, plain_warning
from .measure import Watcher
from .report import Row, Setting

#: Characters of the progress bar.
BAR = 24


class Live(Watcher):
    """Progress on ``stream``, bars on ``results`` (None: nowhere), in colour where ``style`` says so."""

    def __init__(self, stream: TextIO, results: TextIO | None, style: bool) -> None:
        self.stream = stream
        self.results = results
        self.terminal = stream.isatty()
        self.paper = Paper.of(stream if results is None else results, style)
        self.drawn = False
        self.figures = 0
        self.started = 0.0

    def began(self, setting: Setting, figures: int, seconds: float) -> None:
        self.figures, self.started = figures, time.monotonic()
        self.stream.write(f"rota bench: {figures} figures, about {max(seconds, 1):.0f} s\n")
        self.stream.flush()
        if not setting.compiled:
            asked_for = os.environ.get("ROTA_PURE", "") not in ("", "0")
            (self.results or self.stream).write(plain_warning(asked_for, self.paper) + "\n\n")
        self.write(heading(setting, self.paper))

    def measuring(self, operation: str, loop: str, done: int) -> None:
        if self.terminal:
            filled = BAR * done // self.figures
            bar = "#" * filled + "." * (BAR - filled)
            elapsed = time.monotonic() - self.started
            text = f"  {bar} {done} of {self.figures}, {elapsed:.0f} s: {operation} on {loop}"
            self.stream.write("\r" + text[: shutil.get_terminal_size().columns - 1] + "\033[K")
            self.stream.flush()
            self.drawn = True

    def measured(self, row: Row) -> None:
        self.clear()
        self.write("\n" + chart(row, self.paper))

    def write(self, text: str) -> None:
        if self.results is not None:
            self.results.write(text + "\n")
            self.results.flush()

    def clear(self) -> None:
        """Take the progress away."""
        if self.drawn:
            self.stream.write("\r\033[K")
            self.stream.flush()
            self.drawn = False
