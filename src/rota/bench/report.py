"""Report: what ``rota bench`` found, as plain frozen values.

``as_json`` is the contract of ``rota bench --json``: the fields by their names here, figures in seconds of CPU time per
operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .peers import US
from .rounds import Cell, is_behind


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how: the loops by name with their versions, the rounds, the seconds of a figure.

    ``left_out`` is what can't be measured here, with the reason.
    """

    rota: str
    compiled: bool
    python: str
    machine: str
    loops: Mapping[str, str]
    rounds: int
    seconds: float
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation on all loops; the figures of its cells are seconds."""

    name: str
    what: str
    cells: Mapping[str, Cell]

    @property
    def behind(self) -> list[str]:
        """The loops that take less than rota."""
        return [loop for loop, cell in self.cells.items() if is_behind(cell.ratio)]


@dataclass(frozen=True, slots=True)
class Report:
    """All rows."""

    setting: Setting
    rows: tuple[Row, ...]

    @property
    def failed(self) -> list[Row]:
        """The rows in which rota itself has no figure."""
        return [row for row in self.rows if row.cells[US].figure is None]

    def as_json(self) -> dict[str, Any]:
        rows = [asdict(row) | {"behind": row.behind} for row in self.rows]
        return asdict(self.setting) | {"rows": rows}
