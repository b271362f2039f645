"""Plot: a report as an SVG picture, a panel for each job and a row for each model.

A row holds two bars on one scale, the wall time above and the CPU time below it, and their values in words.
The best model has its own colour and says so, the rule's pick is named; nothing is told by colour alone. The
picture follows the reader's light or dark mode. It is written under a temporary name and renamed, so a reader
finds all of it or none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape

from ...errors import RotaError, UsageError
from .report import Comparison, Report, Run
from .table import marks
from .units import in_lines, seconds

WIDTH = 960
MARGIN = 32

#: Where the bars begin, after the longest model's name, and how long the longest is: the rest is for values.
BARS_LEFT = 128
BARS_WIDTH = 460

ROW = 38
WALL_BAR, CPU_BAR = 14, 6
LINE = 19

#: Characters that fit a line of the verdict at its size, with room for wide ones.
VERDICT_CHARACTERS = 122

#: A bar of almost nothing is still a bar.
THINNEST = 1.5

STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
.paper { fill: #ffffff; } .rule { stroke: #dfe3e8; }
.head { fill: #15202b; font-size: 22px; font-weight: 700; }
.title { fill: #15202b; font-size: 16px; font-weight: 600; }
.text { fill: #44515e; font-size: 13.5px; } .model { fill: #15202b; font-size: 14px; }
.value { fill: #15202b; font-size: 13px; } .soft { fill: #5d6b78; font-size: 12.5px; }
.strong { font-weight: 700; } .bad { fill: #b3261e; font-size: 13px; }
.wall { fill: #9dbfe3; } .cpu { fill: #2c6aa6; }
.best .wall { fill: #f2b56b; } .best .cpu { fill: #a85a00; }
@media (prefers-color-scheme: dark) {
.paper { fill: #12181f; } .rule { stroke: #2b3641; }
.head, .title, .model, .value { fill: #eef2f6; }
.text { fill: #b9c4ce; } .soft { fill: #9aa8b5; } .bad { fill: #ff9d94; }
.wall { fill: #3f6d9e; } .cpu { fill: #a9d0f7; }
.best .wall { fill: #b06f1c; } .best .cpu { fill: #ffd59a; }
}
"""


def check_writable(path: str) -> None:
    """Raise UsageError if no picture could be written there: better now than after two minutes."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UsageError(f"can't write the plot to {path}: it is a directory")
    if not os.path.isdir(folder):
        raise UsageError(f"can't write the plot to {path}: there is no directory {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"can't write the plot to {path}: no permission in {folder}")


def write(report: Report, path: str) -> None:
    """Write the picture of the report to ``path``, replacing what is there. Raises RotaError if it can't."""
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(svg(report))
        os.replace(temporary, path)
    except OSError as error:
        raise RotaError(f"can't write the plot to {path}: {error.strerror}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def svg(report: Report) -> str:
    """The picture as text."""
    top = 56.0
    parts: list[str] = []
    for comparison in report.comparisons:
        drawn, height = panel(comparison, top)
        parts.append(drawn)
        top += height
    how = "compiled" if report.compiled else "plain Python"
    parts.append(key(top + 22))
    parts.append(
        f'<text class="soft" x="{WIDTH - MARGIN}" y="{top + 22}" text-anchor="end">'
        f"rota {escape(report.rota)} ({how}), Python {escape(report.python)}, {report.cores} cores</text>"
    )
    height = top + 44
    said = " ".join(f"{each.title}. {each.verdict.sentence}" for each in report.comparisons)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">rota compare: the same work in every model</title>\n'
        f'<desc id="desc">{escape(said)}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}" rx="10"/>\n'
        f'<text class="head" x="{MARGIN}" y="46">The same work in every model</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def panel(comparison: Comparison, top: float) -> tuple[str, float]:
    """One job from ``top`` down: title, verdict, rows; with its height."""
    y = top + 26
    parts = [
        f'<line class="rule" x1="{MARGIN}" y1="{top + 2}" x2="{WIDTH - MARGIN}" y2="{top + 2}"/>',
        f'<text class="title" x="{MARGIN}" y="{y}">{escape(comparison.title)}</text>',
    ]
    for line in in_lines(comparison.verdict.sentence, VERDICT_CHARACTERS):
        y += LINE
        parts.append(f'<text class="text" x="{MARGIN}" y="{y}">{escape(line)}</text>')
    y += 18
    measured = [run.figures for run in comparison.runs if run.figures is not None]
    longest = max((max(each.wall, each.cpu) for each in measured), default=1.0)
    for run in comparison.runs:
        parts.extend(row(run, comparison, y, BARS_WIDTH / longest))
        y += ROW
    return "\n".join(parts), y + 10 - top


def row(run: Run, comparison: Comparison, y: float, scale: float) -> Iterator[str]:
    """One model: its name, the two bars, and in words what they show."""
    best = run.model == comparison.verdict.winner
    strong = " strong" if best else ""
    yield f'<g class="{"best" if best else "other"}">'
    yield f'<text class="model{strong}" x="{MARGIN}" y="{y + 15}">{run.model}</text>'
    if run.figures is None:
        error = run.error or ""
        shown = error if len(error) <= VERDICT_CHARACTERS - 16 else error[: VERDICT_CHARACTERS - 19] + "..."
        yield f'<text class="bad" x="{BARS_LEFT}" y="{y + 15}">{escape(shown)}</text></g>'
        return
    wall, cpu = (max(THINNEST, scale * value) for value in (run.figures.wall, run.figures.cpu))
    yield bar("wall", y, wall, WALL_BAR)
    yield bar("cpu", y + WALL_BAR + 2, cpu, CPU_BAR)
    x = BARS_LEFT + max(wall, cpu) + 10
    notes = " · ".join(marks(run, comparison.verdict))
    failed = f'<tspan class="bad" dx="8">{run.failures} failed</tspan>' if run.failures else ""
    yield (
        f'<text class="value{strong}" x="{x:.1f}" y="{y + 15}">{seconds(run.figures.wall)}'
        f'<tspan class="soft" dx="8">{seconds(run.figures.cpu)} CPU</tspan>{failed}'
        f'<tspan dx="12">{notes}</tspan></text></g>'
    )


def bar(kind: str, y: float, width: float, height: int) -> str:
    return f'<rect class="{kind}" x="{BARS_LEFT}" y="{y}" width="{width:.1f}" height="{height}" rx="2"/>'


def key(y: float) -> str:
    """What the two bars of a row are."""
    return (
        f'<rect class="wall" x="{MARGIN}" y="{y - 11}" width="22" height="12" rx="2"/>'
        f'<text class="soft" x="{MARGIN + 30}" y="{y}">wall time</text>'
        f'<rect class="cpu" x="{MARGIN + 110}" y="{y - 7}" width="22" height="6" rx="2"/>'
        f'<text class="soft" x="{MARGIN + 140}" y="{y}">CPU time, all threads and processes</text>'
    )
