"""A table of figures: rota beside its peers, as text and as Markdown, with the rows where rota is behind.

A ratio says how many times better rota is, whatever the unit: 2.0 is half the time, or twice the echoes. So below 1 a
peer is ahead, and a row where that is so says it itself, in each form of the table.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plain import PLAIN  # before anything of rota's

from rota.bench.peers import US
from rota.bench.rounds import Cell, is_behind

Row = dict[str, Cell]


@dataclasses.dataclass
class Table:
    """What one run of a benchmark found."""

    unit: str
    machine: str
    python: str  # "3.13.0"
    date: str
    rounds: int
    versions: list[str]  # of each loop
    columns: list[str]  # rota's is the first
    limits: list[str]  # the columns that are no peer: what nobody can pass by much
    rows: dict[str, Row] = dataclasses.field(default_factory=dict)

    def others(self, row: str) -> list[tuple[float, str]]:
        """The peers of a row, the best first, each after how many times better rota is."""
        cells = self.rows[row].items()
        peers = [(peer, cell.ratio) for peer, cell in cells if peer not in (US, PLAIN, *self.limits)]
        return sorted((ratio, peer) for peer, ratio in peers if ratio is not None)

    def behind(self, row: str) -> str:
        """Who is ahead of rota in a row, with the least and the greatest ratio of a round; nothing where nobody is."""
        if self.rows[row][US].figure is None:
            return "without a figure"
        ahead = [(ratio, peer) for ratio, peer in self.others(row) if is_behind(ratio)]
        words = ", ".join(f"{peer} {ratio:.2f}x{self.between(row, peer)}" for ratio, peer in ahead)
        return f"behind {words}" if words else ""

    def between(self, row: str, peer: str) -> str:
        found = self.rows[row][peer].range
        return f" ({found[0]:.2f} to {found[1]:.2f})" if found else ""

    def verdict(self, row: str) -> str:
        """Rota beside the best peer, as it stands in the last column."""
        if behind := self.behind(row):
            return f"**{behind}**"
        return next((f"{ratio:.2f}x {peer}" for ratio, peer in self.others(row)), "")

    def heading(self) -> str:
        return f"{self.machine}; {', '.join(self.versions)}; {self.date}"

    def caption(self) -> str:
        return f"{self.unit[0].upper()}{self.unit[1:]}; in brackets, how many times better rota is"

    def markdown(self) -> str:
        """The table as it stands in the documentation."""
        columns = [*self.columns, "rota and the best peer"]
        lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        for name, row in self.rows.items():
            words = " | ".join(word(row, column) for column in self.columns)
            lines.append(f"| {name} | {words} | {self.verdict(name)} |")
        if reasons := list(self.reasons()):
            lines += ["", "; ".join(reasons) + "."]
        return "\n".join(lines) + "\n"

    def reasons(self) -> Iterator[str]:
        """Why there is no figure, once for each peer and reason. A limit that a row has not needs none."""
        found: dict[str, list[str]] = {}
        for name, row in self.rows.items():
            for peer, cell in row.items():
                if cell.why and peer not in self.limits:
                    found.setdefault(f"{peer} has none: `{cell.why[:100]}`", []).append(name)
        for reason, names in found.items():
            yield f"{', '.join(names)}: {reason}"

    def head(self) -> str:
        """What stands above the rows of the text."""
        names = "".join(f"{column:>18}" for column in self.columns)
        return f"{self.heading()}\n{self.caption()}\n\n{'':28}{names}"

    def line(self, name: str) -> str:
        """A row of the text."""
        row = self.rows[name]
        words = "".join(f"{word(row, column):>18}" for column in self.columns)
        return f"{name:28}{words}   {self.behind(name)}".rstrip()

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.json() + "\n")

    def json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)


def word(row: Row, column: str) -> str:
    """A figure with its ratio, as it stands in a table."""
    cell = row.get(column)
    if cell is None or cell.figure is None:
        return "-"
    figure = f"{cell.figure:.3g}" if abs(cell.figure) < 100 else f"{cell.figure:,.0f}"
    return figure if column == US or cell.ratio is None else f"{figure} ({cell.ratio:.2f}x)"


def load(path: Path) -> Table:
    """A table that was saved."""
    found: dict[str, Any] = json.loads(path.read_text())
    rows = {name: {peer: Cell(**cell) for peer, cell in row.items()} for name, row in found.pop("rows").items()}
    return Table(**found, rows=rows)
