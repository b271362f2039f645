"""Live: a comparison while it runs, one line for each model, and its table when it is complete.

On a terminal the line of the model that runs is redrawn in place; elsewhere it is written once, when the run
has ended. Progress and results are different streams: who redirects the results still sees the progress.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from typing import TextIO

from . import Watcher
from .report import Comparison, Run
from .table import columns_of, table
from .units import seconds

#: Seconds between two drawings: ten a second look smooth.
DRAW_EVERY = 0.1

#: Characters of the bar.
BAR = 24


class Live(Watcher):
    """Progress on ``stream``, tables on ``results`` (None: nowhere), in colour where ``style`` says so.

    ``intro`` is written before the first job.
    """

    def __init__(self, stream: TextIO, results: TextIO | None, style: bool, intro: str) -> None:
        self.stream = stream
        self.intro = intro
        self.results = results
        self.style = style
        self.terminal = stream.isatty()
        self.model: str | None = None
        self.began = 0.0
        self.drawn = 0.0

    def job(self, title: str, notices: Sequence[str]) -> None:
        self.stream.write(f"{self.intro}\n{title}\n")
        self.intro = ""
        for notice in notices:
            self.stream.write(f"  ({notice})\n")
        self.stream.flush()

    def progress(self, model: str, done: int, total: int) -> None:
        now = time.monotonic()
        if model != self.model:
            self.model, self.began = model, now
        if self.terminal and now - self.drawn >= DRAW_EVERY:
            self.drawn = now
            filled = BAR * done // total
            bar = "#" * filled + "." * (BAR - filled)
            self.draw(f"  {model:<10} {bar} {done} of {total}, {now - self.began:.1f} s")

    def ended(self, run: Run, total: int) -> None:
        self.model = None
        if run.figures is None:
            text = f"died, {run.done} of {total} done"
        else:
            text = f"{run.done} of {total} in {seconds(run.figures.wall)}"
            if run.failures:
                text += f", {run.failures} failed"
        self.draw(f"  {run.model:<10} {text}")
        self.stream.write("\n")
        self.stream.flush()

    def compared(self, comparison: Comparison) -> None:
        if self.results is not None:
            if not same_file(self.stream, self.results):
                # Whoever reads the results alone has not seen what job they are of.
                self.results.write(f"\n{comparison.title}\n")
            self.results.write(f"\n{table(comparison, self.style, columns_of(self.results))}\n")
            self.results.flush()

    def clear(self) -> None:
        """Leave no half-drawn line when the comparison stops early."""
        if self.terminal and self.model is not None:
            self.stream.write("\r\033[K")
            self.stream.flush()

    def draw(self, text: str) -> None:
        if self.terminal:
            text = "\r" + text[: shutil.get_terminal_size().columns - 1] + "\033[K"
        self.stream.write(text)
        self.stream.flush()


def same_file(one: TextIO, other: TextIO) -> bool:
    """Whether what is written to both stands in one place, such as a terminal."""
    try:
        return os.path.sameopenfile(one.fileno(), other.fileno())
    except (OSError, ValueError):  # no file behind one of them
        return one is other
