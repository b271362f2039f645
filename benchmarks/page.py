"""The page of figures: docs/benchmarks.md, its tables written from benchmarks/results.

    python benchmarks/page.py [--check]

The prose of the page is written by hand, the tables never: what stands between ``<!-- figures: NAME -->`` and
``<!-- end -->`` comes from the saved runs of NAME, one table for each Python, and so the page can't disagree with the
runs. ``machine`` is what they ran on, and ``behind`` each row in which a peer is ahead of rota: a page that has no
place for these, or for a run that was saved, is refused. ``--check`` changes nothing and fails where the page is not as
the runs would have it.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from table import Table, load

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"

MACHINE, BEHIND = "machine", "behind"
#: Runs of rota without its compiled modules: their own tables say how far behind asyncio they are.
PLAIN = "-plain"
PLACE = re.compile(r"(<!-- figures: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.S)

Runs = dict[str, list[Table]]


def runs(folder: Path) -> Runs:
    """Each name with its tables, the newest Python first."""
    found: Runs = {}
    for path in folder.glob("*/*.json"):
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
        return f"In none of the {rows} rows of this page.\n"
    head = "| table | Python | row | rota is |\n|---|---|---|---|\n"
    return f"In {len(lines)} of the {rows} rows of this page.\n\n{head}{''.join(lines)}"


def written(text: str, found: Runs) -> str:
    """The page with its tables. SystemExit says which place is missing."""
    places = [name for _, name, _, _ in PLACE.findall(text)]
    for name in (MACHINE, BEHIND, *sorted(found)):
        if places.count(name) != 1:
            raise SystemExit(f"the page needs one place for {name!r}: <!-- figures: {name} -->, a line, <!-- end -->")

    def fill(match: re.Match[str]) -> str:
        begin, name, _, end = match.groups()
        special = {MACHINE: machines, BEHIND: behind}
        return f"{begin}\n{special[name](found) if name in special else tables(name, found)}\n{end}"

    return PLACE.sub(fill, text)


def main(arguments: list[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where the page is not as the runs would have it")
    parser.add_argument("--page", type=Path, default=PAGE, help="another page")
    parser.add_argument("--results", type=Path, default=RESULTS, help="another folder of runs")
    options = parser.parse_args(arguments)
    text = options.page.read_text()
    page = written(text, runs(options.results))
    if options.check:
        if page != text:
            print(f"{options.page} is not what {options.results} says: run benchmarks/page.py", file=sys.stderr)
        return int(page != text)
    options.page.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
