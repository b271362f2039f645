"""``rota bench``: what a loop's operations cost on this machine, on rota and on the loops that are installed."""

from __future__ import annotations

import argparse
import json
import os
import sys

EPILOG = """\
A figure is CPU time (user + system) per operation, from a process and on a core of its own; the loops take
turns, and the median counts. Beside a figure stands how many times rota's it is: 3.2x takes that much more,
0.9x takes less. Nothing else should run meanwhile; ratios bear it better than times.

exit codes: 0 every operation was measured on rota, 1 one was not, 2 wrong arguments or a loop that is not
installed, 130 interrupted
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ..bench import ROUNDS, SECONDS

    parser = commands.add_parser(
        "bench",
        help="what tasks, timers and echoes cost on this machine, on rota and the other loops that are installed",
        description="Measure rota beside asyncio, and uvloop, rloop and blazio where they are installed, on this\n"
        "machine. With one of them it takes about half a minute, with four a minute.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", metavar="A,B", action="append", help="only these operations: see --list")
    add("--loops", metavar="A,B", action="append", help="beside rota, only these loops")
    patience = parser.add_mutually_exclusive_group()
    patience.add_argument("--rounds", type=int, metavar="N", default=ROUNDS, help="rounds (default: %(default)s)")
    patience.add_argument("--quick", action="store_const", const=1, dest="rounds", help="one round: rougher figures")
    add(
        "--seconds",
        type=float,
        metavar="S",
        default=SECONDS,
        help="how long is measured for each figure (default: %(default)g)",
    )
    add("--json", action="store_true", help="one JSON document on stdout and nothing else there; seconds")
    add("--list", action="store_true", help="say which operations there are, and what each is")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from ..bench.chart import summary
    from ..bench.live import Live
    from ..bench.measure import measure

    if arguments.list:
        return tell_operations()
    style = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    live = Live(sys.stderr, None if arguments.json else sys.stdout, style)
    try:
        report = measure(
            names(arguments.only),
            loops=names(arguments.loops),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            watcher=live,
        )
    finally:
        live.clear()
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        print(f"\n{summary(report, live.paper)}")
    for row in report.failed:
        print(f"rota: {row.name} was not measured: {row.cells['rota'].why}", file=sys.stderr)
    return 1 if report.failed else 0


def names(given: list[str] | None) -> list[str] | None:
    """What stands between the commas, of all times that the option was given."""
    return None if given is None else [name.strip() for name in ",".join(given).split(",") if name.strip()]


def tell_operations() -> int:
    from ..bench import SHORT
    from ..bench.measure import known

    operations = known()
    width = max(map(len, operations))
    print("measured by rota bench:")
    for name in SHORT:
        print(f"  {name:<{width}}  {operations.pop(name)}")
    print("and by rota bench --only:")
    for name, what in operations.items():
        print(f"  {name:<{width}}  {what}")
    return 0
