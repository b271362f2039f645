"""Where work runs best: on the loop, in threads, in processes, on a cluster.

    door            call, map, explain: what programs use; lanes the pools behind them, one's own or a loop's
    pools           which lane, and the way there; limiter how many at once
    map, flight     many items: in chunks, in order; window how many threads, batch tiny ones, progress how far it is
    profile, choose what was measured of a function, and what follows; meter and sampler measure, word overrules
    safety          whether a call may move: reading what its code does, bytecode the ways through it, origins whose a
                    value is, objects what is known
    processes       worker processes: job, child, catalogue (dependencies) here; nursery, worker, outbox there; shipping
                    and wire between
    cluster         more than one machine, by Dask: connection, stock what its workers hold, chunk what travels, absence
                    of workers, quiet what Dask says at the end; runner there
    explain         figures and reasons for people
    compare         the same work in every model, side by side
    machine         the cores that there are

The room itself is a function, ``rota.lanes()``: the state of all of them.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .explain import State


class Room(ModuleType):
    """This package: ``rota.lanes`` is the room, and ``rota.lanes()`` what is in it."""

    def __call__(self) -> State:
        from .door import state

        return state()


sys.modules[__name__].__class__ = Room
