"""Chart: an operation's figures as bars of text.

rota's bar is solid and the others' are not, so that it is found without colour. Colour comes on top where ``style``
says so, which is for the caller to find out.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import dataclass
from typing import TextIO

from .peers import US
from .report import Report, Row, Setting

#: Columns where there is no terminal, and the most that are used: longer bars say no more.
WIDTH, WIDEST = 80, 120

#: The shortest bars worth drawing; where there is no room for them, the figures stand alone.
SHORTEST_BAR = 8

#: Columns of a figure: "9.04 us".
FIGURE = 7

#: What stands beside rota's figure where another loop has a lower one.
BEHIND = "<- behind"

#: Running text wraps here at the narrowest.
NARROWEST = 20

BOLD, GREEN, YELLOW, DIM, PLAIN = "\033[1m", "\033[32m", "\033[33m", "\033[2m", "\033[0m"


@dataclass(frozen=True, slots=True)
class Paper:
    """What is drawn on: so many columns, in colour or not, and what rota's bars and the others' are made of."""

    columns: int
    style: bool
    solid: str
    light: str

    @classmethod
    def of(cls, stream: TextIO, style: bool) -> Paper:
        columns = min(shutil.get_terminal_size().columns, WIDEST) if stream.isatty() else WIDTH
        try:
            "█▒".encode(stream.encoding or "ascii")
        except UnicodeEncodeError:
            return cls(columns, style, "#", "=")
        return cls(columns, style, "█", "▒")

    def styled(self, text: str, style: str) -> str:
        return f"{style}{text}{PLAIN}" if self.style and text else text

    def wrapped(self, text: str, indent: str = "") -> str:
        width = max(self.columns, NARROWEST)
        return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def heading(setting: Setting, paper: Paper) -> str:
    """Where the figures come from."""
    lines = [setting.machine, ", ".join(setting.loops.values())]
    lines += [f"{name} is left out: {why}" for name, why in setting.left_out.items()]
    lines.append(f"CPU time per operation, {rounds(setting)}: shorter is better")
    return "\n".join(map(paper.wrapped, lines))


def rounds(setting: Setting) -> str:
    return "one round" if setting.rounds == 1 else f"the median of {setting.rounds} rounds"


def plain_warning(pure: bool, paper: Paper) -> str:
    """What stands above all when rota is not compiled; ``pure`` where that was asked for."""
    what = "rota is not compiled here: it runs as plain Python, many times slower."
    if pure:
        todo = "ROTA_PURE is set in the environment: unset it."
    else:
        todo = "Install it again where there is a C compiler; with ROTA_BUILD=require, pip says what is in the way."
    return paper.styled(paper.wrapped(f"{what} {todo}"), BOLD + YELLOW)


def chart(row: Row, paper: Paper) -> str:
    """The bars of one operation, its name above them."""
    names = max(map(len, row.cells))
    # Each part but the first follows two spaces: the loop's name, its bar, its figure, a note.
    room = paper.columns - (2 + names + 2 + 2 + FIGURE + 2 + len(BEHIND))
    longest = max((cell.figure for cell in row.cells.values() if cell.figure is not None), default=0.0)
    title = paper.wrapped(f"{row.name}  {row.what}", "  ")
    lines = [paper.styled(row.name, BOLD) + title.removeprefix(row.name)]
    for loop, cell in row.cells.items():
        parts = [f"  {loop:<{names}}"]
        if cell.figure is None:
            parts.append(f"-  {cell.why or 'no figure'}")
            lines.append(paper.wrapped("  ".join(parts), " " * (names + 7)))
            continue
        if room >= SHORTEST_BAR:
            share = cell.figure / longest if longest else 0
            parts.append(bar(share, room, paper, loop == US, bool(row.behind)))
        parts += [f"{seconds(cell.figure):>{FIGURE}}", note(loop, row, paper)]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def bar(share: float, room: int, paper: Paper, ours: bool, behind: bool) -> str:
    """As much of the ``room`` as its ``share``, never nothing; padded to all of it."""
    drawn = max(round(share * room), 1)
    text = (paper.solid if ours else paper.light) * drawn
    if ours:
        text = paper.styled(text, YELLOW if behind else GREEN)
    return text + " " * (room - drawn)


def note(loop: str, row: Row, paper: Paper) -> str:
    """How many times rota's; and beside rota's own, whether another's is less."""
    if loop == US:
        return paper.styled(BEHIND, YELLOW) if row.behind else ""
    ratio = row.cells[loop].ratio
    return "" if ratio is None else paper.styled(times(ratio), YELLOW if loop in row.behind else DIM)


def summary(report: Report, paper: Paper) -> str:
    """The last words: where rota is behind whom, and what a ratio means."""
    compared = [row for row in report.rows if any(row.cells[loop].ratio for loop in row.cells if loop != US)]
    if not compared:
        return paper.wrapped("There is no other loop to compare rota with.")
    behind = [f"{row.name} ({', '.join(against(row))})" for row in compared if row.behind]
    text = f"rota is behind in {len(behind) or 'none'} of {len(compared)} operations"
    text += f": {', '.join(behind)}." if behind else "."
    meaning = "3.0x: that loop takes three times the CPU that rota takes. Ratios hold on a busy machine, times don't."
    return f"{paper.wrapped(text)}\n{paper.styled(paper.wrapped(meaning), DIM)}"


def against(row: Row) -> list[str]:
    """The loops that take less than rota, and how much."""
    return [f"{loop} {times(row.cells[loop].ratio or 0)}" for loop in row.behind]


def times(ratio: float) -> str:
    """As many places as make a difference: 0.94x, 1.27x, 3.2x, 12x."""
    return f"{ratio:.2f}x" if ratio < 1.995 else f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:.0f}x"


def seconds(value: float) -> str:
    """Three digits and a unit: 92.1 ns, 9.04 us, 1.20 ms."""
    for factor, unit in ((1e9, "ns"), (1e6, "us")):
        if value * factor < 999.5:
            return f"{digits(value * factor)} {unit}"
    return f"{digits(value * 1e3)} ms"


def digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
