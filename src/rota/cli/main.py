"""``rota``: find the command, run it, turn a mistake into one line.

Each command is a file of this room with ``add_parser(commands)``, which names its arguments, and ``run(arguments)``,
which returns the exit code. A command imports what it needs inside ``run``: ``rota run`` must not pay for aiohttp.

Exit codes, unless a command's own help says more: 0 done, 1 the work failed, 2 the command line or its input was
wrong, 130 interrupted (128 + SIGINT), 141 the reader of the output went away (128 + SIGPIPE).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import RotaError, UsageError
from . import compare, fetch, run

COMMANDS = (run, compare, fetch)


def parser() -> argparse.ArgumentParser:
    """The whole command line, for ``main`` and for whoever wants to look at it."""
    top = argparse.ArgumentParser(
        prog="rota",
        description="An async runtime for Python: says whose turn it is.",
        epilog="exit codes: 0 done, 1 the work failed, 2 wrong arguments or input, 130 interrupted",
    )
    top.add_argument("--version", action="store_true", help="print the version and whether rota is compiled")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; a user's mistake is one line on stderr, never a traceback."""
    top = parser()
    arguments = top.parse_args(argv)
    try:
        if arguments.version:
            print(version_line())
            return 0
        if arguments.command is None:
            top.print_help()
            return 2
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return complain(error, 2)
    except RotaError as error:
        return complain(error, 1)
    except KeyboardInterrupt:
        print("rota: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`rota compare | head`). Python would complain once more at exit
        # when it flushes stdout, so give it somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def complain(error: RotaError, code: int) -> int:
    print(f"rota: {error}", file=sys.stderr)
    return code


def version_line() -> str:
    import platform

    from .. import COMPILED, __version__

    how = "compiled" if COMPILED else "plain Python"
    return f"rota {__version__} ({how}) on {platform.python_implementation()} {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
