"""The command line of a benchmark: each figure from a process of its own, by turns, the median of the rounds.

A benchmark is a script that, called with ``--one PEER CASE``, prints one figure (or several, by name); called without,
it has :func:`by_turns` call it for each peer and case. Who the peers are and how they take turns is ``rota.bench``'s:
``rota bench`` and the tables are one method.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plain import PLAIN  # before anything of rota's
from table import Row, Table

import rota
from rota.bench import peers as loops
from rota.bench import rounds as turns
from rota.bench.machine import machine, nth, stay_on
from rota.bench.peers import LOOPS, US, installed

__all__ = ["SHARE", "by_turns", "forever", "installed", "maker", "module", "on_core", "run", "stay_on", "streams"]

#: What part of the operations to do. The tests do a tenth, to see that a script runs.
SHARE = float(os.environ.get("ROTA_BENCH_SHARE", "1"))

#: Seconds after which a peer that has no figure has none.
PATIENCE = 300


def maker(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop called ``name``."""
    return module(name).new_event_loop if name == PLAIN else loops.maker(name)


def module(name: str) -> Any:
    """What a program that uses the loop called ``name`` imports."""
    if name != PLAIN:
        return loops.module(name)
    assert not rota.COMPILED, "rota is compiled in this process: ROTA_PURE=1 makes it plain"
    return rota


def streams(name: str) -> Any:
    """Whose streams are measured on a loop: rota's own on rota, asyncio's on the others."""
    return module(name) if name in (US, PLAIN) else asyncio


async def forever(server: Any) -> None:
    """Keep a server that serves already, until the process is ended: rloop's ``serve_forever`` closes such a one."""
    await asyncio.get_running_loop().create_future()
    del server


def title(name: str) -> str:
    """What it is, with its version."""
    if name == PLAIN:
        return "plain: the same without compiled modules"
    if name in LOOPS:
        return loops.title(name)
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:  # Python's own
        return name


def on_core(core: int) -> list[str]:
    """What goes before a command to keep it on a core."""
    return ["taskset", "--cpu-list", str(nth(core))]


def by_turns(
    script: str, peers: list[str], case: str, rounds: int, more_is_better: Container[str] = ()
) -> dict[str, Row]:
    """Call ``script --one PEER CASE`` for each of ``peers``, ``rounds`` times by turns: the rows of the table."""

    def turn(peer: str) -> dict[str, float]:
        found = json.loads(turns.ask([sys.executable, script, "--one", peer, case], PATIENCE))
        return found if isinstance(found, dict) else {"": found}

    figures, why = turns.by_turns(peers, rounds, turn)
    names = next((found[0] for found in figures.values() if found), {"": 0.0})
    rows: dict[str, Row] = {}
    for name in names:
        lists = {peer: [found[name] for found in figures[peer]] for peer in peers}
        rows[f"{case}, {name}" if name else case] = {
            peer: turns.cell(lists[peer], lists[US], why.get(peer, ""), name in more_is_better) for peer in peers
        }
    return rows


def run(
    script: str,
    description: str,
    unit: str,
    cases: Iterable[str],
    measure: Callable[[str, str], float | dict[str, float]],
    *,
    more: tuple[str, ...] = (),
    core: int | None = None,
    more_is_better: Container[str] = (),
    others: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """The command line of a benchmark: all ``cases`` for all loops (and ``more``, the limits that are no loop).

    Where the peers are no loops, ``others`` has those of each case, by what pip calls them. ``measure`` returns a
    figure in ``unit``, or several by name, a row each; the less the better, but for those that ``more_is_better``
    names. ``core`` is the core that it is kept on.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(cases), action="append", metavar="CASE", help="this case only")
    known = list(LOOPS) if others is None else list(dict.fromkeys(peer for case in others.values() for peer in case))
    choices = [*known, *([PLAIN] if others is None else []), *more]
    parser.add_argument(
        "--peer", choices=choices, action="append", help="beside rota, this one only; plain is rota's .py"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the table as JSON")
    form.add_argument("--markdown", action="store_true", help="print it as it stands in docs/benchmarks.md")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write it to FILE, as JSON")
    parser.add_argument("--one", nargs=2, metavar=("PEER", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1")
    if options.one:
        if core is not None:
            stay_on(core)
        print(json.dumps(measure(*options.one)))
        return 0
    for peer in options.peer or ():
        if peer in known and peer not in found(known):
            parser.error(f"--peer {peer}: it is not installed (pip install {peer})")
    asked = options.peer or [*known, *more]
    there = [*found(known), *([PLAIN] if others is None else []), *more]
    table = empty(unit, [US, *(peer for peer in there if peer in asked and peer != US)], more)
    table.rounds = options.rounds
    as_text = not options.json and not options.markdown
    if as_text:
        print(table.head())
    for case in options.only or cases:
        takes_part = (
            table.columns if others is None else [US, *(each for each in table.columns if each in others[case])]
        )
        rows = by_turns(script, takes_part, case, options.rounds, more_is_better)
        table.rows.update(rows)
        if as_text:
            for row in rows:
                print(table.line(row), flush=True)
    if as_text:
        print(*table.reasons(), sep="\n")
    elif options.json:
        print(table.json())
    else:
        print(f"{table.heading()}. {table.caption()}.\n\n{table.markdown()}", end="")
    failed = [name for name, row in table.rows.items() if row[US].figure is None]
    if failed:
        print(f"rota has no figure for {', '.join(failed)}: {table.rows[failed[0]][US].why}", file=sys.stderr)
    elif options.save:
        table.save(options.save)
    return int(bool(failed))


def found(names: Sequence[str]) -> list[str]:
    """Those that are installed: loops, libraries, and what is Python's own."""
    own = {"asyncio", "concurrent.futures", "pickle"}
    return [name for name in names if name in (*installed(), *own) or importlib.util.find_spec(name)]


def empty(unit: str, columns: list[str], more: tuple[str, ...]) -> Table:
    """A table of this machine and this Python, without rows."""
    return Table(
        unit=unit,
        machine=machine(),
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        rounds=0,
        versions=[title(column) for column in columns if column not in more],
        columns=columns,
        limits=list(more),
    )
