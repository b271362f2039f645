"""The clockwork beside its peers: task step, wake, spawn, call_soon, timers, as CPU time per operation.

    python benchmarks/clockwork.py [--rounds 5] [--only OPERATION] [--peer LOOP] [--json]

Each loop runs in a process of its own, pinned to a core, and the loops take turns, round by round: what slows the
machine for a while slows them all. A figure is CPU time (user + system) of the process divided by the operations, the
median of the rounds; the ratio to rota is the median of the ratios within each round. Nothing else should run on the
machine. The last column, ``bare``, is the operation without any loop where there is such a thing: the coroutines are
resumed one after the other from a deque, and nobody can be below that by much.

The operations are those of ``rota bench``, which says what each is: ``rota bench --list``.
"""

from __future__ import annotations

import collections
import sys
import time

import peers

from rota.bench import operations
from rota.bench.operations import OPERATIONS, TASKS, turns


def without_a_loop(operation: str, count: int) -> float:
    """Nanoseconds for a step or a spawn of coroutines that a deque keeps, and nothing more."""
    each = {"step": count // TASKS, "spawn": 0, "gather": 1, "TaskGroup": 1}.get(operation)
    if each is None:
        sys.exit("nothing to compare with: it is the loop that is measured")
    many = TASKS if operation == "step" else count
    began = time.process_time_ns()
    ready = collections.deque(turns_of(each) for _ in range(many))
    while ready:
        one = ready.popleft()
        try:
            one.send(None)
        except StopIteration:
            continue
        ready.append(one)
    return (time.process_time_ns() - began) / count


async def turns_of(count: int) -> None:
    await turns(count)


def measure(peer: str, operation: str) -> float:
    """Nanoseconds of CPU per operation, in this process."""
    if peer == "bare":
        return without_a_loop(operation, OPERATIONS[operation][1])
    return operations.measure(peers.maker(peer), operation) * 1e9


if __name__ == "__main__":
    assert __doc__
    sys.exit(peers.run(__file__, __doc__, "CPU nanoseconds per operation", OPERATIONS, measure, more=("bare",), core=1))
