"""``rota run``: run a Python program as python does, with its ``asyncio.run`` on rota."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run",
        help="run any asyncio program, unchanged, on rota",
        usage="rota run [-h] [--debug] app.py [ARG ...]\n       rota run [-h] [--debug] -m module [ARG ...]",
        description="Run a Python program as python does, with its asyncio.run on rota.",
        epilog="Whatever stands after the program belongs to it. The exit code is the program's own; 1 if it "
        "ended with an exception, 130 if Ctrl-C ended it, 2 if there is no such program.",
    )
    add = parser.add_argument
    add("--debug", action="store_true", help="asyncio's debug mode, as with PYTHONASYNCIODEBUG=1")
    add("-m", dest="module", action="store_true", help="the program is a module or a package")
    # One argument for the program and its own: as two, argparse would keep a -- between them for itself.
    add(
        "program",
        metavar="app.py",
        nargs=argparse.PARSER,
        help="a script, or a folder or zip file with a __main__.py, and its arguments",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> NoReturn:
    from ..program import run_file, run_module
    from ..run import install

    if arguments.debug:
        # In the environment, where the program's child processes see it too.
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    install()
    if arguments.module:
        run_module(*arguments.program)
    run_file(*arguments.program)
