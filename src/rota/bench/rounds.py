"""Rounds: a figure from a process of its own, by turns, the median of the rounds.

What slows the machine for a while slows all who take turns: the ratio within a round holds when the figure does not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import RotaError

#: What a Python is told by its environment that would slow it down, or asyncio on it.
SLOWING = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONMALLOC"}

#: Seconds after which a process that has said nothing stands still: several times what the longest figure takes, on a
#: slow machine.
PATIENCE = 60.0

Figure = TypeVar("Figure")


class NoFigure(RotaError):  # noqa: N818 - it is named for what there is not
    """A process ended without a figure. The text is why, in a line."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of a table: the median of the rounds, and how many times better rota is, by the median of the ratios
    within each round; None where there is none, and ``why``. ``range`` is the least and the greatest of those ratios.
    """

    figure: float | None
    ratio: float | None
    why: str = ""
    range: tuple[float, float] | None = None


def by_turns(
    peers: Sequence[str], rounds: int, turn: Callable[[str], Figure]
) -> tuple[dict[str, list[Figure]], dict[str, str]]:
    """Call ``turn`` for each of ``peers``, round by round; returns all figures, and why a peer lacks some.

    Each round begins with another peer, so that none always follows the same one. Whoever raises NoFigure is left out
    from then on.
    """
    figures: dict[str, list[Figure]] = {peer: [] for peer in peers}
    why: dict[str, str] = {}
    for number in range(rounds):
        first = number % len(peers)
        for peer in [*peers[first:], *peers[:first]]:
            if peer in why:
                continue
            try:
                figures[peer].append(turn(peer))
            except NoFigure as reason:
                why[peer] = str(reason)
    return figures, why


def cell(mine: Sequence[float], rotas: Sequence[float], why: str = "", more_is_better: bool = False) -> Cell:
    """The cell of a peer that had these figures, where rota had those."""
    if why or not mine:
        return Cell(None, None, why)
    figure = statistics.median(mine)
    if len(rotas) != len(mine) or min(*mine, *rotas) <= 0:
        return Cell(figure, None)
    ratios = [b / a if more_is_better else a / b for a, b in zip(mine, rotas, strict=True)]
    return Cell(figure, statistics.median(ratios), range=(min(ratios), max(ratios)))


def is_behind(ratio: float | None) -> bool:
    """Whether rota is, by what can be read in two places after the point."""
    return ratio is not None and round(ratio, 2) < 1


def ask(command: Sequence[str], patience: float = PATIENCE) -> str:
    """The last line that a command prints. Raises NoFigure where it fails, with the last line of its stderr.

    It runs in a process group of its own, which is ended when this is interrupted, or after ``patience``, in seconds: a
    terminal's Ctrl-C reaches only the one who can tidy up. Its stdin is open for as long as somebody waits for it.
    """
    stdin, held = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=unslowed(os.environ),
            process_group=0,
        )
        with process:
            try:
                said, complaint = process.communicate(timeout=patience)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()  # Popen does not, after a Ctrl-C
                raise
    except subprocess.TimeoutExpired:
        raise NoFigure(f"nothing came in {patience:g} s") from None
    finally:
        os.close(stdin)
        os.close(held)
    if process.returncode or not said.strip():
        raise NoFigure(last_line(complaint) or how_ended(process.returncode))
    return last_line(said)


def unslowed(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in SLOWING}


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def how_ended(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code} and without a word"
    return f"it was ended by signal {-code} ({signal.strsignal(-code)})"
