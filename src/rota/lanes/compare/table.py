"""Table: a comparison as text for a terminal or a file.

Colour only where ``style`` allows it, which is for the caller to find out; the words say the same without it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TextIO

from .report import Comparison, Run, Verdict
from .units import in_lines, megabytes, seconds

HEAD = ("model", "wall", "speed", "cpu", "core wait", "start", "memory", "in flight", "switches", "items")

#: What a terminal that is too narrow goes without, in this order; items only where every run did all of them.
SPARED = ("start", "core wait", "switches", "items")

#: What the heads mean, printed once below the last table.
LEGEND = (
    "wall: the work alone; speed: against one by one; cpu and core wait: running, and ready to run but "
    "without a core, all threads and processes; start: what came before, importing the job and starting "
    "loop or workers; memory: peak of all processes; in flight: most items at once; switches between "
    "threads: own + forced."
)

#: Columns of running text: what reads well, and what a narrow terminal has.
WIDTH = 100

#: Columns below which running text is no longer made to fit.
NARROWEST = 20

BOLD, GREEN, DIM, PLAIN = "\033[1m", "\033[32m", "\033[2m", "\033[0m"


def columns_of(stream: TextIO) -> int | None:
    """The columns of the terminal that ``stream`` writes to; None where it is none, and lines may be of any length."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def table(comparison: Comparison, style: bool, columns: int | None = None) -> str:
    """The runs as aligned rows, what left its mark on them, and the verdict; in at most so many ``columns``.

    Where that is too narrow, the marks are shortened and columns that can be spared are left out.
    """
    runs, verdict = comparison.runs, comparison.verdict
    sync = next((run for run in runs if run.model == "sync"), None)
    rows = [HEAD, *(cells(run, sync) for run in runs)]
    widths = {head: max(len(row[column]) for row in rows) for column, head in enumerate(HEAD)}
    all_done = all(run.done - run.failures == comparison.items for run in runs)
    notes = ["", *(noted(run, verdict) for run in runs)]
    short = ["", *(noted(run, verdict, short=True) for run in runs)]
    for head in SPARED if all_done else SPARED[:-1]:
        if columns is not None and length(widths, short) > columns:
            del widths[head]
    if columns is not None and length(widths, notes) > columns:
        notes = short
    lines = []
    for row, note, run in zip(rows, notes, (None, *runs), strict=True):
        first, *others = (
            cell.rjust(widths[head]) if column else cell.ljust(widths[head])
            for column, (head, cell) in enumerate(zip(HEAD, row, strict=True))
            if head in widths
        )
        line = "  ".join((first, *others, note)).rstrip()
        if style and run is None:
            line = DIM + line + PLAIN
        elif style and run is not None and run.model == verdict.winner:
            line = GREEN + line + PLAIN
        lines.append("  " + line)
    text = indented(verdict.sentence, columns)
    return "\n".join((*lines, "", BOLD + text + PLAIN if style else text))


def length(widths: Mapping[str, int], notes: Sequence[str]) -> int:
    """Of the longest row: each cell after two spaces, and so the note."""
    note = max(map(len, notes))
    return sum(2 + width for width in widths.values()) + (2 + note if note else 0)


def legend(style: bool, columns: int | None = None) -> str:
    text = indented(LEGEND, columns)
    return DIM + text + PLAIN if style else text


def indented(text: str, columns: int | None = None) -> str:
    width = WIDTH if columns is None else min(WIDTH, max(columns, NARROWEST))
    return "\n".join(f"  {line}" for line in in_lines(text, width - 2))


def cells(run: Run, sync: Run | None) -> Sequence[str]:
    items = f"{run.done - run.failures}" + (f", {run.failures} failed" if run.failures else "")
    if run.figures is None:
        return (run.model, *["-"] * (len(HEAD) - 2), items)
    figures = run.figures
    against = None if sync is None else sync.figures
    return (
        run.model,
        seconds(figures.wall),
        "-" if against is None else f"{against.wall / figures.wall:.1f}x",
        seconds(figures.cpu),
        "-" if figures.queued is None else seconds(figures.queued),
        seconds(figures.start),
        megabytes(figures.memory),
        str(figures.in_flight),
        f"{figures.voluntary} + {figures.involuntary}",
        items,
    )


def marks(run: Run, verdict: Verdict, short: bool = False) -> list[str]:
    """What is to be said of this run, in words: the verdict, or where its items went."""
    said = ["best"] if run.model == verdict.winner else []
    if run.model == verdict.pick:
        said.append("rule" if short else "the rule's pick")
    if run.lane is not None:
        some = "" if short or run.in_lane == run.done else f"{run.in_lane} of {run.done} "
        said.append(run.lane if short else f"{some}{'on the' if run.lane == 'loop' else 'in'} {run.lane}")
    return said


def noted(run: Run, verdict: Verdict, short: bool = False) -> str:
    said = marks(run, verdict, short)
    return "<- " + ", ".join(said) if said else ""
