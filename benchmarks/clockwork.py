"""The clockwork beside its peers: task step, wake, spawn, call_soon, timers, as CPU time per operation.

    python benchmarks/clockwork.py [--rounds 5] [--only OPERATION] [--peer LOOP] [--json]

Each loop runs in a process of its own, pinned to a core, and the loops take turns, round by round: what slows the
machine for a while slows them all. A figure is CPU time (user + system) of the process divided by the operations, the
median of the rounds; the ratio to rota is the median of the ratios within each round. Nothing else should run on the
machine. The column ``bare`` is the operation without any loop where there is such a thing: the coroutines are
resumed one after the other from a deque, and nobody can be below that by much. ``no collector`` is rota with the
garbage collector off, where many tasks are alive: the difference is what it takes.

The operations are those of ``rota bench``, which says what each is: ``rota bench --list``.
"""

from __future__ import annotations

import collections
import gc
import sys
import time

import peers

from rota.bench import operations
from rota.bench.operations import OPERATIONS, TASKS, turns

BARE, UNCOLLECTED = "bare", "no collector"


def without_a_loop(operation: str, count: int) -> float:
    """Nanoseconds for a step or a spawn of coroutines that a deque keeps, and nothing more."""
    run_all(operation, count // 20)  # as ``operations.measure`` warms up
    gc.collect()
    began = time.process_time_ns()
    run_all(operation, count)
    return (time.process_time_ns() - began) / count


def run_all(operation: str, count: int) -> None:
    if operation == "spawn":
        for _ in range(count):
            try:
                turns_of(0).send(None)
            except StopIteration:
                continue
        return
    each = {"step": count // TASKS, "gather": 1, "TaskGroup": 1}.get(operation)
    if each is None:
        sys.exit("nothing to compare with: it is the loop that is measured")
    ready = collections.deque(turns_of(each) for _ in range(count // each))
    while ready:
        one = ready.popleft()
        try:
            one.send(None)
        except StopIteration:
            continue
        ready.append(one)


async def turns_of(count: int) -> None:
    await turns(count)


def measure(peer: str, operation: str) -> float:
    """Nanoseconds of CPU per operation, in this process."""
    if peer == BARE:
        return without_a_loop(operation, int(OPERATIONS[operation][1] * peers.SHARE))
    if peer == UNCOLLECTED:
        if operation not in operations.WHOLE:
            sys.exit("the collector has little to look at")
        gc.disable()
        peer = "rota"
    return operations.measure(peers.maker(peer), operation) * 1e9


if __name__ == "__main__":
    assert __doc__
    sys.exit(
        peers.run(
            __file__, __doc__, "CPU nanoseconds per operation", OPERATIONS, measure, more=(BARE, UNCOLLECTED), core=1
        )
    )
