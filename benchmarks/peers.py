"""The command line of a benchmark: each figure from a process of its own, by turns, the median of the rounds.

A benchmark is a script that, called with ``--one PEER CASE``, prints one figure; called without, it has
:func:`by_turns` call it for each peer and case. Who the peers are and how they take turns is ``rota.bench``'s, so that
``rota bench`` and the scripts here are one method.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from rota.bench import rounds as turns
from rota.bench.machine import machine, nth, stay_on
from rota.bench.peers import LOOPS, US, installed, maker, title
from rota.bench.rounds import Cell, cell

__all__ = [
    "LOOPS",
    "US",
    "Cell",
    "by_turns",
    "cell",
    "installed",
    "machine",
    "maker",
    "nth",
    "on_core",
    "run",
    "show",
    "stay_on",
    "title",
]


#: Seconds after which a peer that has no figure has none.
PATIENCE = 300.0


def on_core(core: int) -> list[str]:
    """What goes before a command to keep it on a core."""
    return ["taskset", "--cpu-list", str(nth(core))]


def by_turns(script: str, peers: list[str], case: str, rounds: int) -> dict[str, Cell]:
    """Call ``script --one PEER CASE`` for each of ``peers``, ``rounds`` times by turns."""

    def turn(peer: str) -> float:
        return float(turns.ask([sys.executable, script, "--one", peer, case], patience=PATIENCE))

    figures, why = turns.by_turns(peers, rounds, turn)
    return {peer: cell(mine, figures[US], why.get(peer, "")) for peer, mine in figures.items()}


def show(row: str, cells: dict[str, Cell], first: bool, unit: str) -> None:
    """Print a row of the table, and what stands above it before the ``first``."""
    if first:
        print(machine())
        print(", ".join(title(peer) for peer in cells if peer in LOOPS))
        print(f"{unit}, and how many times rota's that is\n")
        print(f"{'':24}" + "".join(f"{peer:>17}" for peer in cells))
    words = []
    for peer, found in cells.items():
        if found.figure is None:
            words.append("-")
        elif peer == US:
            words.append(f"{found.figure:.3g}" if found.figure < 100 else f"{found.figure:.0f}")
        else:
            figure = f"{found.figure:.3g}" if found.figure < 100 else f"{found.figure:.0f}"
            words.append(f"{figure} ({found.ratio:.2f}x)" if found.ratio else figure)
    print(f"{row:24}" + "".join(f"{word:>17}" for word in words), flush=True)
    for peer, found in cells.items():
        if found.why:
            print(f"    {peer}: {found.why[:100]}")


def run(
    script: str,
    description: str,
    unit: str,
    cases: Iterable[str],
    measure: Callable[[str, str], float],
    *,
    more: tuple[str, ...] = (),
    core: int | None = None,
) -> int:
    """The command line of a benchmark: all ``cases`` for all loops (and ``more``, the limits that are no loop)."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(cases), action="append", metavar="CASE", help="this case only")
    parser.add_argument("--peer", choices=[*LOOPS, *more], action="append", help="beside rota, this one only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("PEER", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        if core is not None:
            stay_on(core)
        print(measure(*options.one))
        return 0
    peers = [peer for peer in [*installed(), *more] if peer == US or not options.peer or peer in options.peer]
    table: dict[str, Any] = {}
    for case in options.only or cases:
        cells = by_turns(script, peers, case, options.rounds)
        if not options.json:
            show(case, cells, first=not table, unit=unit)
        table[case] = {peer: dataclasses.asdict(found) for peer, found in cells.items()}
    if options.json:
        print(json.dumps({"machine": machine(), "unit": unit, "loops": list(map(title, peers)), "table": table}))
    return 0
