"""Choose: from the figures of a function, where its calls run best. Nothing here measures, waits or remembers.

The figures are those that a busy machine does not bend: CPU time, and the time that a call waited for something
outside, without what it waited for a core or the GIL. What is true of them:

- Who waits needs a thread, and as many at once as Little's law says: what arrives in a second, times what one takes.
- Who computes without the GIL needs a thread, as many at once as cores.
- Who computes with it stops all others of the process, the loop first: it needs a process, if that is cheaper than what
  it saves, and safe.
- Who takes less than a thread's round trip is best done many at a time.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

from .wording import seconds

THREADS, PROCESSES = "threads", "processes"

#: Who waits outside for so much of its own time (without the waits for a core and for the GIL) belongs in threads.
WAITS = 0.7

#: Who waits for no more than this computes; in between it is mixed.
COMPUTES = 0.5

#: Seconds of CPU with the GIL that a loop, or a user, feels: from here on a process for the asking ...
LONG = 0.005

#: ... and from here on if all of its kind together take too much of the one GIL.
SHORT = 0.001

#: That is, this share of a core.
DEMAND = 0.3

#: A call that takes less, in seconds, is less than the way to a thread and back.
TINY = 0.000_2

#: Of the looks that would have met it computing without the GIL, this share must have: holders have 0 to 0.2, others
#: 0.8 and more.
FREE = 0.4

#: What ships may take this share of what it saves.
SHIPS = 0.5

#: More calls in threads than that at once at least: a rate that is low for a while is no reason to queue.
FEWEST = 8

#: Room for what comes in bursts.
ROOM = 1.5


class Figures(NamedTuple):
    """One function's: seconds a call of ``cpu``, on the clock (``wall``), and blocked by something outside
    (``blocked``); ``held``, the share of its CPU time with the GIL, None where that is unknown; ``rate``, calls that
    come in a second; ``ship``, the seconds that it takes to send one call to a process and its result back.
    """

    cpu: float
    wall: float
    blocked: float
    held: float | None
    rate: float
    ship: float

    @property
    def waits(self) -> float:
        """The share of its own time that it waits outside."""
        own = self.cpu + self.blocked
        return self.blocked / own if own > 0 else 0.0

    @property
    def holds(self) -> bool:
        """Whether its computing keeps others from theirs. Where nobody can tell, it does."""
        return self.held is None or self.held > 1 - FREE


@dataclass(frozen=True, slots=True)
class Decision:
    """Where calls run: ``lane``, ``width`` of them at once, many in one go if they are ``tiny``. If they ``crowd``,
    more than that at once are in one another's way. ``reason`` is one line, without the lane: that is named beside it.
    """

    lane: str
    width: int
    tiny: bool
    reason: str
    crowd: bool = False


def choose(
    figures: Figures,
    *,
    unsafe: str | None = None,
    cores: int = 1,
    most: int = 500,
    processes_allowed: bool = True,
    gil: bool = True,
    gil_demand: float = 0.0,
    foremost: bool = True,
) -> Decision:
    """The lane for a function.

    ``unsafe`` is why its calls can't move to a process, None if they can; ``cores``, how many calls compute at once;
    ``most``, the threads that there may be. Without ``processes_allowed`` none moves. ``gil`` is whether this Python
    has one at this moment; ``gil_demand``, the share of it that all functions in threads take together, this one with
    them, and ``foremost`` whether this one takes the largest part.
    """
    if figures.cpu < TINY and figures.blocked < TINY:
        took = seconds(figures.cpu + figures.blocked)
        return Decision(THREADS, cores, True, f"takes {took} a call, too little to be sent away alone")
    if figures.waits >= WAITS:
        own = figures.cpu + figures.blocked
        width = waiting_width(figures, most, gil)
        return Decision(THREADS, width, False, f"waits {figures.waits:.0%} of its {seconds(own)}")
    computes = f"computes {seconds(figures.cpu)} a call"
    if not gil:
        return Decision(THREADS, cores, False, f"{computes}, and this Python has no GIL", True)
    if not figures.holds:
        return Decision(THREADS, cores, False, f"{computes} and lets go of the GIL", True)
    computes += " and holds the GIL" if figures.held is not None else ", whether with the GIL could not be seen"
    staying = functools.partial(Decision, THREADS, holding_width(figures, cores), False, crowd=True)
    if not is_long(figures):
        share = f"{figures.rate * figures.cpu:.0%} of a core"
        if figures.cpu < SHORT:
            return staying(f"{computes}, less than the way to a process saves")
        if gil_demand < DEMAND:
            return staying(f"{computes}, {share}")
        if not foremost:
            return staying(f"{computes}, {share}, and others more")
        computes += f", {share}"
    if not processes_allowed:
        return staying(f"{computes}, but stays: there are no processes")
    if figures.ship >= figures.cpu * SHIPS:
        return staying(f"{computes}, but stays: to ship a call takes {seconds(figures.ship)}")
    if unsafe is not None:
        return staying(f"{computes}, but stays: {unsafe}")
    return Decision(PROCESSES, cores, False, computes)


def is_long(figures: Figures) -> bool:
    """Whether one call alone is worth a process."""
    return figures.cpu >= LONG and figures.waits <= COMPUTES


def asks_for_gil(figures: Figures) -> bool:
    """Whether it matters if the function holds the GIL."""
    return figures.waits < WAITS and figures.cpu >= SHORT


def waiting_width(figures: Figures, most: int, gil: bool) -> int:
    """How many at once where calls wait: those that are on their way by Little's law, but no more than one core has
    time for.
    """
    width = max(FEWEST, math.ceil(ROOM * figures.rate * figures.wall))
    if gil and figures.holds and figures.cpu > 0:
        width = min(width, math.ceil((figures.cpu + figures.blocked) / figures.cpu))
    return max(1, min(width, most))


def holding_width(figures: Figures, cores: int) -> int:
    """How many at once where each has the GIL in turn: some more than cores, as they wait for other things at times."""
    if figures.cpu <= 0:
        return cores + 1
    return cores + math.ceil(figures.blocked / figures.cpu)


def gain(figures: Figures, before: str, after: str, cores: int, gil: bool = True) -> float:
    """How many times cheaper a call becomes when the function moves, by what it takes of what is scarce: of the one
    GIL in threads, of a core in processes or without a GIL, of a process's time while it waits there.
    """
    cost = {
        THREADS: figures.cpu if gil and figures.holds else figures.cpu / cores,
        PROCESSES: max((figures.cpu + figures.blocked) / cores, figures.ship),
    }
    return cost[before] / cost[after] if cost[after] > 0 else math.inf
