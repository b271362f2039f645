"""``rota``: find the command, run it, turn a mistake into one line.

Each command is a file of this room with ``add_parser(commands)``, which names its arguments, and ``run(arguments)``,
which returns the exit code. A command imports what it needs inside ``run``: ``rota run`` must not pay for aiohttp.

Exit codes, unless a command's own help says more: 0 done, 1 the work failed, 2 the command line or its input was
wrong, 130 interrupted (128 + SIGINT), 141 the reader of the output went away (128 + SIGPIPE).
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from ..errors import RotaError, UsageError

#: What writing says when the disk under stdout is full, over quota, past a limit of size, or broken.
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def parser() -> argparse.ArgumentParser:
    """The whole command line, for ``main`` and for whoever wants to look at it."""
    from . import bench, compare, fetch, run  # here, where main turns a Ctrl-C meanwhile into its exit code

    top = argparse.ArgumentParser(
        prog="rota",
        description="An async runtime for Python: says whose turn it is.",
        epilog="exit codes: 0 done, 1 the work failed, 2 wrong arguments or input, 130 interrupted",
    )
    top.add_argument("--version", action="store_true", help="print the version and whether rota is compiled")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for command in (run, compare, fetch, bench):
        command.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; a user's mistake is one line on stderr, never a traceback."""
    try:
        return run_command(argv)
    except UsageError as error:
        return complain(error, 2)
    except RotaError as error:
        return complain(error, 1)
    except KeyboardInterrupt:
        return complain("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has gone (`rota compare | head`).
        discard_output()
        return 141
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        discard_output()
        return complain(f"can't write the output: {error.strerror}", 1)


def run_command(argv: Sequence[str] | None) -> int:
    """All output is flushed when it returns, and when argparse ends it: what fails then, ``main`` turns into words."""
    top = parser()
    try:
        arguments = top.parse_args(argv)
    except SystemExit:
        if sys.stdout is not None:
            sys.stdout.flush()
        raise
    if arguments.command != "run":  # whose program shall find the streams as it would without us
        open_closed_streams()
    if arguments.version:
        print(version_line())
        code = 0
    elif arguments.command is None:
        print(top.format_help(), end="")
        code = 2
    else:
        code = arguments.run(arguments)
    sys.stdout.flush()
    return code


def open_closed_streams() -> None:
    """Where stdout or stderr was closed (``>&-``) and is None, write to nowhere; for child processes as well."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w"))  # noqa: SIM115 - open until the process ends


def discard_output() -> None:
    """Python would complain once more at exit, when it flushes stdout: give it somewhere to flush to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(what: object, code: int) -> int:
    if sys.stderr is not None:  # as which print would take stdout
        print(f"rota: {what}", file=sys.stderr)
    return code


def version_line() -> str:
    import platform

    from .. import COMPILED, __version__

    how = "compiled" if COMPILED else "plain Python"
    return f"rota {__version__} ({how}) on {platform.python_implementation()} {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
