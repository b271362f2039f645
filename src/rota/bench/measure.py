"""Measure: every operation on every loop, round by round, for whoever wants to watch."""

from __future__ import annotations

import itertools
import platform
import shutil
import sys
from collections.abc import Sequence

from .. import COMPILED
from ..errors import UsageError
from ..version import VERSION
from . import AROUND_A_FIGURE, MOST_SECONDS, ROUNDS, SECONDS, SHORT, echo, operations, peers
from .machine import machine
from .report import Report, Row, Setting
from .rounds import ask, by_turns, cell

CHILD = "rota.bench.child"


class Watcher:
    """Who wants to see the figures as they come; this one looks away."""

    def began(self, setting: Setting, figures: int, seconds: float) -> None:
        """So many figures are about to be taken, which takes about so many seconds."""

    def measuring(self, operation: str, loop: str, done: int) -> None:
        """A loop has its turn; ``done`` figures came before."""

    def measured(self, row: Row) -> None:
        """All loops have had all their turns with an operation."""


def known() -> dict[str, str]:
    """Every operation, with what it is in one line."""
    clockwork = {name: work.__doc__ or "" for name, (work, _) in operations.OPERATIONS.items()}
    return clockwork | {name: what for name, (_, what) in echo.ECHOES.items()}


def missing(operation: str) -> str | None:
    """Why an operation can't be measured here, on any loop; None when it can."""
    if operation == "echo-tls" and shutil.which("openssl") is None:
        return "it needs the openssl command, to make a certificate"
    return None


def measure(
    names: Sequence[str] | None = None,
    *,
    loops: Sequence[str] | None = None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    watcher: Watcher | None = None,
) -> Report:
    """Measure the operations ``names`` (None: the short version) on rota and on ``loops`` (None: all installed).

    Each loop has ``rounds`` turns with each operation, and about ``seconds`` are measured in a turn. Raises UsageError
    for a name or a number that isn't one, and for what isn't installed. A loop that can't do an operation is no
    exception but a cell without a figure.
    """
    runners = choose(loops)
    absent = {name: why for name in SHORT if (why := missing(name)) is not None}
    chosen = list(dict.fromkeys([name for name in SHORT if name not in absent] if names is None else names))
    check(chosen, rounds, seconds)
    setting = Setting(
        rota=VERSION,
        compiled=COMPILED,
        python=platform.python_version(),
        machine=machine(),
        loops={loop: peers.title(loop) for loop in runners},
        rounds=rounds,
        seconds=seconds,
        left_out=absent if names is None else {},
    )
    figures = len(runners) * rounds  # of an operation
    watcher = watcher or Watcher()
    watcher.began(setting, figures * len(chosen), figures * len(chosen) * (AROUND_A_FIGURE + seconds))
    rows = []
    for index, name in enumerate(chosen):
        rows.append(take_turns(name, setting, watcher, figures * index))
        watcher.measured(rows[-1])
    return Report(setting, tuple(rows))


def take_turns(name: str, setting: Setting, watcher: Watcher, before: int) -> Row:
    """One operation on all loops, after so many figures of others."""
    done = itertools.count(before)

    def turn(loop: str) -> float:
        watcher.measuring(name, loop, next(done))
        # -P: what lies in the current directory must not stand in for a module of the standard library
        return float(ask([sys.executable, "-P", "-m", CHILD, loop, name, str(setting.seconds)]))

    figures, why = by_turns(list(setting.loops), setting.rounds, turn)
    cells = {loop: cell(mine, figures[peers.US], why.get(loop, "")) for loop, mine in figures.items()}
    return Row(name, known()[name], cells)


def check(names: Sequence[str], rounds: int, seconds: float) -> None:
    if not names:
        raise UsageError("nothing to measure: rota bench --list names the operations")
    for name in names:
        if name not in known():
            raise UsageError(f"no operation is called {name!r}: rota bench --list names them")
        why = missing(name)
        if why is not None:
            raise UsageError(f"{name} can't be measured here: {why}")
    if rounds < 1:
        raise UsageError(f"rounds must be at least 1, not {rounds}")
    if not 0 < seconds <= MOST_SECONDS:
        raise UsageError(f"seconds must be above 0 and at most {MOST_SECONDS:g}, not {seconds:g}")


def choose(loops: Sequence[str] | None) -> list[str]:
    """rota and those of the ``loops``, in the order in which they are always shown."""
    found = peers.installed()
    for loop in loops or ():
        if loop not in peers.LOOPS:
            raise UsageError(f"no loop is called {loop!r}: choose from {', '.join(peers.LOOPS)}")
        if loop not in found:
            raise UsageError(f"{loop} is not installed: pip install {loop}")
    return [loop for loop in found if loop == peers.US or loops is None or loop in loops]
