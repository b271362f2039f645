"""Whom rota is measured beside, and how: each figure from a process of its own, by turns, the median of the rounds.

A benchmark is a script that, called with ``--one PEER CASE``, prints one figure; called without, it has
:func:`by_turns` call it for each peer and case. What slows the machine for a while then slows them all, and the ratio
to rota within a round holds when the figure does not.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

#: name -> the module that has new_event_loop
LOOPS = {"rota": "rota", "asyncio": "asyncio", "uvloop": "uvloop", "rloop": "rloop", "blazio": "blazio"}

US = "rota"


def installed() -> list[str]:
    """The loops that this Python can make, rota first."""
    return [name for name, module in LOOPS.items() if importlib.util.find_spec(module)]


def maker(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop called ``name``."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    make: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(LOOPS[name]).new_event_loop
    return make


def title(name: str) -> str:
    """What it is, with its version."""
    if name == "asyncio":
        return f"asyncio {platform.python_version()}"
    if name == "rota":
        import rota

        return f"rota {rota.__version__} ({'compiled' if rota.COMPILED else 'plain'})"
    return f"{name} {importlib.metadata.version(LOOPS[name])}"


def machine() -> str:
    """One line on where the figures come from."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"CPython {platform.python_version()}, {platform.system()} {platform.release()}, {os.cpu_count()} x {model}"


def nth(core: int) -> int:
    """The number of the ``core``-th of the cores that there are."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[core % len(cores)]


def on_core(core: int) -> list[str]:
    """What goes before a command to keep it on a core."""
    return ["taskset", "--cpu-list", str(nth(core))]


def stay_on(core: int) -> None:
    """Keep this process, and what it starts, on a core."""
    os.sched_setaffinity(0, {nth(core)})


@dataclasses.dataclass
class Cell:
    """One figure of a table: the median, and how many times rota's it is; None where a peer could not do it."""

    figure: float | None
    ratio: float | None
    why: str = ""


def by_turns(script: str, peers: list[str], case: str, rounds: int) -> dict[str, Cell]:
    """Call ``script --one PEER CASE`` for each of ``peers``, ``rounds`` times by turns."""
    figures: dict[str, list[float]] = {peer: [] for peer in peers}
    why: dict[str, str] = {}
    for _ in range(rounds):
        for peer in peers:
            if peer in why:
                continue
            done = subprocess.run(
                [sys.executable, script, "--one", peer, case],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                why[peer] = (done.stderr.strip() or "no reason given").splitlines()[-1]
            else:
                figures[peer].append(float(done.stdout.split()[-1]))
    return {peer: cell(figures[peer], figures[US], why.get(peer, "")) for peer in peers}


def cell(mine: list[float], rotas: list[float], why: str) -> Cell:
    if why or not mine:
        return Cell(None, None, why)
    ratio = statistics.median(a / b for a, b in zip(mine, rotas, strict=True)) if len(rotas) == len(mine) else None
    return Cell(statistics.median(mine), ratio)


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
