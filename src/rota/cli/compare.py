"""``rota compare``: the same work one by one, in threads, in processes and on the loops, and which to use."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..lanes.compare import Report

INTRO = """\
Three jobs, each one by one, in threads, in processes, on the loops and where rota.map sends it, every run in
a fresh process. All of it on this machine, against a local server. It takes one to two minutes.
"""

EXAMPLE = """\
a job file:
  items = range(100)              # any iterable, or a callable that returns one
  def job(item): ...              # for sync, threads, processes and auto
  async def job_async(item): ...  # for asyncio, uvloop and rota; a job that is async only is called job
  concurrency = 50                # optional: how many at once
  async def close(): ...          # optional: awaited on the loop after the last item
what the job prints goes to stderr.

auto is rota.map on its own choice: the def job in threads or in processes, as it measures; a job that is async
only on the loop. --on adds the row dask: the same items on a cluster, which gets the job's function by value.

exit codes: 0 every model ran every item, 1 an item or a run failed, 2 wrong arguments or input,
130 interrupted
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "compare",
        help="the same work one by one, in threads, in processes, on the loops: time, cost, and which to use",
        description="Run the same work in every model, each in a fresh process, and say which one to use.\n"
        "Without a file, three built-in jobs run against a local server, in one to two minutes.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("job", nargs="?", metavar="job.py", help="a file with items and job(item)")
    add("--items", type=int, metavar="N", help="only the first N items")
    add("--concurrency", type=int, metavar="N", help="how many at once: tasks, threads, processes")
    add("--models", metavar="A,B", help="only these: sync,threads,processes,asyncio,uvloop,rota,auto")
    add("--on", metavar="dask://HOST:PORT", help="on this Dask cluster as well (takes a job file)")
    add("--json", action="store_true", help="one JSON document on stdout and nothing else there")
    add("--plot", metavar="OUT.svg", help="draw the result as an SVG picture")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from ..lanes.compare import MODELS, compare
    from ..lanes.compare.live import Live
    from ..lanes.compare.plot import check_writable, write
    from ..lanes.compare.table import columns_of, legend

    models = MODELS if arguments.models is None else [name.strip() for name in arguments.models.split(",")]
    if arguments.plot is not None:
        check_writable(arguments.plot)
    style = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    intro = INTRO if arguments.job is None else ""
    live = Live(sys.stderr, None if arguments.json else sys.stdout, style, intro)
    try:
        report = compare(
            arguments.job,
            watcher=live,
            models=models,
            items=arguments.items,
            concurrency=arguments.concurrency,
            on=arguments.on,
        )
    finally:
        live.clear()
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        print(f"\n{legend(style, columns_of(sys.stdout))}\n  {footing(report)}")
    if arguments.plot is not None:
        write(report, arguments.plot)
    complain(report)
    return 1 if report.failed else 0


def footing(report: Report) -> str:
    how = "compiled" if report.compiled else "plain Python"
    return f"rota {report.rota} ({how}), Python {report.python}, {report.cores} cores"


def complain(report: Report) -> None:
    """One line on stderr for each run that had an error: which model, which item, what."""
    for comparison in report.comparisons:
        for run in comparison.runs:
            if run.error is not None:
                more = f" ({run.failures} of {run.done} items failed)" if run.failures else ""
                print(f"rota: {comparison.job}: {run.model}: {run.error}{more}", file=sys.stderr)
