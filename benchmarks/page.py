"""The figures that users read: the tables of docs/benchmarks.md and README.md, written from benchmarks/results.

    python benchmarks/page.py [--check]

The prose is written by hand, the tables never: what stands between ``<!-- figures: NAME -->`` and ``<!-- end -->`` in
docs/benchmarks.md comes from the saved runs of NAME, one table for each Python, and so the page can't disagree with the
runs. ``machine`` is what they ran on, and ``behind`` each row in which a peer is ahead of rota: a page that has no
place for these, or for a run that was saved, is refused. README.md has the ratios of a few rows, ``overview``.
``--check`` changes nothing and fails where a file is not as the runs would have it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from table import Table, load

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"

MACHINE, BEHIND, OVERVIEW, CHOOSING = "machine", "behind", "overview", "choosing"

#: The rows of the README: of each table those that a program meets most, where rota is ahead and where it is not.
CHOSEN = {
    "clockwork": {
        "step": "a task's step",
        "wake": "a task wakes from a future",
        "spawn": "a task is spawned and awaited",
        "gather": "`asyncio.gather` of 100,000, each",
        "call_soon": "`call_soon`",
        "call_later": "`call_later` and cancel",
        "timeout": "`asyncio.timeout`",
        "queue": "an item through `asyncio.Queue`",
    },
    "echo": {
        "protocol 1 KiB x200": "echo of 1 KiB, Protocol, 200 connections",
        "protocol 1 MiB x10": "... of 1 MiB, 10 connections",
        "streams 1 KiB x200": "... through streams",
        "sock 1 KiB x200": "... by `loop.sock_recv` and `sock_sendall`",
    },
    "secured": {"protocol 1 KiB x200": "... over TLS"},
    "web": {"uvicorn": "a request to uvicorn", "aiohttp": "... to aiohttp"},
}

#: Runs of rota without its compiled modules: their own tables say how far behind asyncio they are.
PLAIN = "-plain"
PLACE = re.compile(r"(<!-- figures: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.S)

Runs = dict[str, list[Table]]


def runs(folder: Path) -> Runs:
    """Each name with its tables, the newest Python first."""
    found: Runs = {}
    for path in folder.glob("*/*.json"):
        if path.stem == CHOOSING:  # no table of figures
            continue
        found.setdefault(path.stem, []).append(load(path))
    for tables in found.values():
        tables.sort(key=lambda table: [int(part) for part in re.findall(r"\d+", table.python)], reverse=True)
    return found


def tables(name: str, found: Runs) -> str:
    """What was run, a table for each Python."""
    if name not in found:
        return f"Not measured yet: `python benchmarks/all.py {name}`.\n"
    return "\n".join(
        f"{table.versions[0]} on CPython {table.python}, {table.date}, rounds: {table.rounds}. "
        f"{table.caption()}.\n\n{table.markdown()}"
        for table in found[name]
    )


def machines(found: Runs) -> str:
    """What everything was measured on, each once."""
    headings = {table.heading(): None for name in sorted(found) for table in found[name]}
    return "".join(f"- {heading}\n" for heading in sorted(headings, reverse=True)) or "Nothing was measured yet.\n"


def behind(found: Runs) -> str:
    """Each row where a peer is ahead, or rota has no figure."""
    compiled = {name: tables for name, tables in sorted(found.items()) if not name.endswith(PLAIN)}
    lines = [
        f"| {name} | {table.python} | {row} | {table.behind(row)} |\n"
        for name, tables in compiled.items()
        for table in tables
        for row in table.rows
        if table.behind(row)
    ]
    rows = sum(len(table.rows) for tables in compiled.values() for table in tables)
    if not rows:
        return "Nothing was measured yet.\n"
    if not lines:
        return f"In none of compiled rota's {rows} rows.\n"
    head = "| table | Python | row | rota is |\n|---|---|---|---|\n"
    return f"In {len(lines)} of compiled rota's {rows} rows.\n\n{head}{''.join(lines)}"


def choices(folder: Path) -> str:
    """Which lane was chosen for each kind of function, the newest Python first."""
    pages = []
    for path in sorted(folder.glob(f"*/{CHOOSING}.json"), key=lambda path: path.parent.name, reverse=True):
        found = json.loads(path.read_text())
        counts, cost = found["counts"], found["cost"]
        first = next(iter(found["cases"].values()))
        conditions, rounds = list(first), len(next(iter(first.values())))
        lines = [f"| | {' | '.join(conditions)} |", f"|---|{'---|' * len(conditions)}"]
        for name, row in found["cases"].items():
            words = [lanes(row[condition]) for condition in conditions]
            lines.append(f"| {name} | {' | '.join(words)} |")
        pages.append(
            f"{found['version']} on CPython {found['python']}, {found['date']}, each case {rounds} "
            f"{'times' if rounds > 1 else 'time'}: {counts['right']} of {counts['cases']} "
            f"right, {counts['right without the GIL']} of {counts['without the GIL']} without others at the GIL. "
            f"Choosing costs a measured call {cost['metered']:.1f} µs, any other {cost['unmetered']:.2f} µs.\n\n"
            + "\n".join(lines)
            + "\n"
        )
    return "\n".join(pages) or f"Not measured yet: `python benchmarks/all.py {CHOOSING}`.\n"


def lanes(rounds: list[dict[str, Any]]) -> str:
    """Where a case went in its rounds, and in how many of them that was wrong."""
    wrong = sum(not each["right"] for each in rounds)
    said = f" **{wrong} of {len(rounds)} wrong**" if wrong else ""
    return " or ".join(sorted({each["lane"] for each in rounds})) + said


def overview(found: Runs) -> str:
    """The ratios of a few rows, on the newest Python."""
    newest = {name: found[name][0] for name in CHOSEN if name in found}
    chosen = [(table, row, words) for name, table in newest.items() for row, words in CHOSEN[name].items()]
    loops = [loop for table in newest.values() for loop in table.columns[1:] if loop not in table.limits]
    peers = list(dict.fromkeys(loops))
    lines = [f"| | {' | '.join(peers)} |", f"|---|{'---:|' * len(peers)}"]
    for table, row, words in chosen:
        ratios = [table.rows[row][peer].ratio if peer in table.rows[row] else None for peer in peers]
        lines.append(f"| {words} | {' | '.join('-' if ratio is None else f'{ratio:.2f}x' for ratio in ratios)} |")
    return "\n".join(lines) + "\n" if chosen else "Nothing was measured yet.\n"


def written(text: str, found: Runs, chosen: str, needed: Iterable[str]) -> str:
    """A text with its tables, a place for each of those that are needed. SystemExit says which is missing."""
    places = [name for _, name, _, _ in PLACE.findall(text)]
    for name in needed:
        if places.count(name) != 1:
            raise SystemExit(f"the page needs one place for {name!r}: <!-- figures: {name} -->, a line, <!-- end -->")

    special: dict[str, Callable[[Runs], str]] = {
        MACHINE: machines,
        BEHIND: behind,
        OVERVIEW: overview,
        CHOOSING: lambda _: chosen,
    }

    def fill(match: re.Match[str]) -> str:
        begin, name, _, end = match.groups()
        return f"{begin}\n{special[name](found) if name in special else tables(name, found)}\n{end}"

    return PLACE.sub(fill, text)


def main(arguments: list[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where the page is not as the runs would have it")
    parser.add_argument("--page", type=Path, default=PAGE, help="another page")
    parser.add_argument("--readme", type=Path, default=README, help="another README")
    parser.add_argument("--results", type=Path, default=RESULTS, help="another folder of runs")
    options = parser.parse_args(arguments)
    found = runs(options.results)
    chosen = choices(options.results)
    measured = [*sorted(found), *([CHOOSING] if any(options.results.glob(f"*/{CHOOSING}.json")) else [])]
    places = {options.page: (MACHINE, BEHIND, *measured), options.readme: (OVERVIEW,)}
    texts = {path: path.read_text() for path in places}
    pages = {path: written(texts[path], found, chosen, needed) for path, needed in places.items()}
    differ = [path for path in places if pages[path] != texts[path]]
    for path in differ:
        if options.check:
            print(f"{path} is not what {options.results} says: run benchmarks/page.py", file=sys.stderr)
        else:
            path.write_text(pages[path])
    return int(options.check and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
