"""``rota fetch``: download many URLs into a folder, with progress for people and JSON for programs."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..fetch import Result, Summary, Tally
    from ..fetch.lines import Lines
    from ..fetch.progress import Progress

EPILOG = """\
names:
  A file is called what the last part of its URL's path is, made safe. Nothing is written over: if the name is
  taken, by another URL or from before, the file is called NAME-2, NAME-3 ... (--skip-existing leaves out what
  was there before). It is NAME.part until it is complete, and removed if it never is; a NAME.part that a run
  left behind when it was killed stays, and its name is taken. Bodies are saved as they were sent.

tries:
  Another try is made on the statuses 408, 425, 429, 500, 502, 503 and 504, when the connection is lost or the
  body cut short, on timeouts, and when the name server does not answer. The waits are about 1, 2, 4 ... up to
  30 seconds, or what the server asks for with Retry-After, up to 5 minutes. Ten redirects are followed.

exit codes:
  0 everything arrived, 1 some of it failed, 2 wrong arguments or input, 3 interrupted (Ctrl-C or SIGTERM once
  downloading has begun, before that 130; nothing half done is left), 4 the disk is full or can't be written to,
  141 the reader of --json went away
"""

#: How many kinds of error the summary names: the usual run has one or two, and a line has room for five.
KINDS_NAMED = 5


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .. import fetch

    parser = commands.add_parser(
        "fetch",
        help="download many, politely, with a progress bar",
        description="Save each URL as a file in a folder. A list of any length runs in the same memory.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("urls", nargs="*", metavar="URL", help="an http:// or https:// URL")
    add("-i", "--input", metavar="FILE", help="read URLs from FILE, one a line; - is standard input")
    add(
        "-o",
        "--output",
        metavar="DIR",
        default=".",
        help="the folder to save into, made if need be (default: this one)",
    )
    add(
        "--concurrency",
        type=int,
        metavar="N",
        default=fetch.CONCURRENCY,
        help="downloads at a time (default: %(default)s)",
    )
    add(
        "--per-host",
        type=int,
        metavar="N",
        default=fetch.PER_HOST,
        help="downloads at a time from one host (default: %(default)s); others go first meanwhile",
    )
    add(
        "--timeout",
        type=float,
        metavar="S",
        default=fetch.TIMEOUT,
        help="seconds for connecting, for each silence of the server, and over which a body may come at less "
        "than 30 bytes a second (default: %(default)g); waiting in line does not count",
    )
    add(
        "--retries",
        type=int,
        metavar="N",
        default=fetch.RETRIES,
        help="more tries after a failure that may pass (default: %(default)s)",
    )
    add("--skip-existing", action="store_true", help="leave out a URL if a file of its name was there before")
    add("--json", action="store_true", help="one line of JSON on stdout for each URL as it ends")
    add("-q", "--quiet", action="store_true", help="no progress and no summary, only what failed")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from ..fetch import DiskError, Tally
    from ..fetch.descriptors import make_room
    from ..fetch.lines import Lines
    from ..run import run as run_on_rota

    if not arguments.urls and arguments.input is None:
        raise UsageError("nothing to fetch: name a URL, or a list of them with -i FILE")
    make_room(arguments.concurrency)
    lines = None if arguments.input is None else Lines(arguments.input)
    tally = Tally()
    started = time.monotonic()
    ending = ""
    try:
        finished = run_on_rota(fetch_all(arguments, lines, tally))
        code = 1 if tally.failed else 0
        if not finished:
            code, ending = 3, f"; interrupted: {unfinished(arguments, lines, tally)}"
    except DiskError as error:
        print(f"rota: {error}", file=sys.stderr)
        code, ending = 4, f"; stopped: {unfinished(arguments, lines, tally)}"
    finally:
        if lines is not None:
            lines.close()
    if ending or not arguments.quiet:
        summary = tally.summary(time.monotonic() - started)
        print(f"rota: {told(summary, arguments.output)}{ending}", file=sys.stderr)
    return code


def total(arguments: argparse.Namespace, lines: Lines | None) -> int | None:
    listed = 0 if lines is None else lines.total
    return None if listed is None else len(arguments.urls) + listed


async def fetch_all(arguments: argparse.Namespace, lines: Lines | None, tally: Tally) -> bool:
    """Fetch what the command line names and then the list; ``False`` if a signal stopped it."""
    from ..fetch import fetch
    from ..fetch.attend import attend
    from ..fetch.lines import after
    from ..fetch.progress import Progress

    async def work(progress: Progress | None) -> None:
        await fetch(
            after(arguments.urls, lines),
            arguments.output,
            concurrency=arguments.concurrency,
            per_host=arguments.per_host,
            timeout=arguments.timeout,
            retries=arguments.retries,
            skip_existing=arguments.skip_existing,
            on_result=lambda result: show(result, arguments.json, progress),
            tally=tally,
        )

    if arguments.quiet:
        return await attend(work(None))
    async with Progress(sys.stderr, tally, lambda: total(arguments, lines)) as progress:
        if lines is not None:
            progress.also(lines.count())
        return await attend(work(progress))


def show(result: Result, as_json: bool, progress: Progress | None) -> None:
    """Print what became of one URL: everything for a program, what failed for a person."""
    if progress is not None:
        progress.clear()
    if as_json:
        print(result.as_json(), flush=True)
    elif not result.ok:
        print(f"rota: {result.url}: {result.error}", file=sys.stderr)


def unfinished(arguments: argparse.Namespace, lines: Lines | None, tally: Tally) -> str:
    """What a run that was stopped leaves: ``3 unfinished and removed, 1,204 not begun``."""
    known = total(arguments, lines)
    rest = "the rest of the list" if known is None else f"{known - tally.started:,}"
    return f"{tally.running:,} unfinished and removed, {rest} not begun"


def told(summary: Summary, folder: str) -> str:
    """The summary in one line: ``12 saved in 'out' (3.4 MB in 1.20 s, 2.8 MB/s), 2 failed (HTTP 404: 2)``."""
    from ..fetch.figures import size, span

    much = f"{size(summary.bytes)} in {span(summary.seconds)}"
    speed = f"{size(summary.bytes / max(summary.seconds, 1e-9))}/s"
    parts = [f"{summary.saved:,} saved in {folder!r} ({much}, {speed})"]
    if summary.skipped:
        parts.append(f"{summary.skipped:,} skipped")
    if summary.failed:
        kinds = sorted(summary.errors.items(), key=lambda kind: -kind[1])
        named = [f"{kind}: {count:,}" for kind, count in kinds[:KINDS_NAMED]]
        others = sum(count for _, count in kinds[KINDS_NAMED:])
        named += [f"others: {others:,}"] if others else []
        parts.append(f"{summary.failed:,} failed ({', '.join(named)})")
    return ", ".join(parts)
