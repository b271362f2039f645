"""Table: a comparison as text for a terminal or a file.

Colour only where ``style`` allows it, which is for the caller to find out; the words say the same without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from .report import Comparison, Run, Verdict
from .units import in_lines, megabytes, seconds

HEAD = ("model", "wall", "speed", "cpu", "core wait", "start", "memory", "in flight", "switches", "items")

#: What the heads mean, printed once below the last table.
LEGEND = (
    "wall: the work alone; speed: against one by one; cpu and core wait: running, and ready to run but "
    "without a core, all threads and processes; start: what came before, importing the job and starting "
    "loop or workers; memory: peak of all processes; in flight: most items at once; switches between "
    "threads: own + forced."
)

#: Columns of running text: what reads well, and what a narrow terminal has.
WIDTH = 100

BOLD, GREEN, DIM, PLAIN = "\033[1m", "\033[32m", "\033[2m", "\033[0m"


def table(comparison: Comparison, style: bool) -> str:
    """The runs as aligned rows, what left its mark on them, and the verdict."""
    sync = next((run for run in comparison.runs if run.model == "sync"), None)
    rows = [(HEAD, ""), *((cells(run, sync), noted(run, comparison.verdict)) for run in comparison.runs)]
    widths = [max(len(row[column]) for row, _ in rows) for column in range(len(HEAD))]
    lines = []
    for (row, note), run in zip(rows, (None, *comparison.runs), strict=True):
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        line = "  ".join((first, *others, note)).rstrip()
        if style and run is None:
            line = DIM + line + PLAIN
        elif style and run is not None and run.model == comparison.verdict.winner:
            line = GREEN + line + PLAIN
        lines.append("  " + line)
    text = indented(comparison.verdict.sentence)
    return "\n".join((*lines, "", BOLD + text + PLAIN if style else text))


def legend(style: bool) -> str:
    text = indented(LEGEND)
    return DIM + text + PLAIN if style else text


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in in_lines(text, WIDTH - 2))


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


def marks(run: Run, verdict: Verdict) -> list[str]:
    """What the verdict says of this run, in words."""
    said = ["best"] if run.model == verdict.winner else []
    return [*said, "the rule's pick"] if run.model == verdict.pick else said


def noted(run: Run, verdict: Verdict) -> str:
    said = marks(run, verdict)
    return "<- " + ", ".join(said) if said else ""
