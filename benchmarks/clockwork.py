"""The clockwork beside its peers: task step, wake, spawn, call_soon, timers, as CPU time per operation.

    python benchmarks/clockwork.py [--rounds 5] [--only OPERATION] [--peer LOOP] [--json]

Each loop runs in a process of its own, pinned to a core, and the loops take turns, round by round: what slows the
machine for a while slows them all. A figure is CPU time (user + system) of the process divided by the operations, the
median of the rounds; the ratio to rota is the median of the ratios within each round. Nothing else should run on the
machine. The last column, ``bare``, is the operation without any loop where there is such a thing: the coroutines are
resumed one after the other from a deque, and nobody can be below that by much.

=============  ============================================================================================
step           one of 200 tasks has its turn and yields (a bare ``yield``, by :func:`types.coroutine`)
sleep(0)       one of 200 tasks awaits ``asyncio.sleep(0)``
wake           one of 200 tasks awaits a future, and another task finishes it
spawn          ``await create_task(nothing())``
gather         ``asyncio.gather`` of 100,000 coroutines that yield once, per coroutine
TaskGroup      the same in an ``asyncio.TaskGroup``
call_soon      a callback that calls ``call_soon`` with itself
threadsafe     ``call_soon_threadsafe`` from the loop's own thread, per call
call_later     ``call_later`` and ``cancel``, with 1,000 other timers waiting
timers         1,000 timers come due, per timer
sleeps         100,000 tasks asleep at once, from their start to their end, per task
timeout        an ``asyncio.timeout`` entered and left
queue          an item through an ``asyncio.Queue(1)`` between two tasks
executor       ``run_in_executor`` of a function that does nothing, there and back
=============  ============================================================================================
"""

from __future__ import annotations

import asyncio
import collections
import gc
import sys
import time
from collections.abc import Callable, Coroutine
from types import coroutine
from typing import Any

import peers

TASKS = 200
MANY = 100_000


@coroutine
def turns(count: int) -> Any:
    """Go behind all that are ready, ``count`` times."""
    for _ in range(count):
        yield


async def crowd(make: Callable[[int], Coroutine[Any, Any, None]], count: int) -> int:
    """``TASKS`` tasks that share ``count`` operations; returns how many that were."""
    each = count // TASKS
    await asyncio.gather(*[make(each) for _ in range(TASKS)])
    return each * TASKS


async def step(count: int) -> int:
    async def work(each: int) -> None:
        await turns(each)

    return await crowd(work, count)


async def sleep_zero(count: int) -> int:
    async def work(each: int) -> None:
        for _ in range(each):
            await asyncio.sleep(0)

    return await crowd(work, count)


async def wake(count: int) -> int:
    loop = asyncio.get_running_loop()
    waiting: list[Any] = []

    async def work(each: int) -> None:
        for _ in range(each):
            future = loop.create_future()
            waiting.append(future)
            await future

    async def finish(each: int) -> None:
        for _ in range(each):
            await turns(1)
            ready = waiting.copy()
            waiting.clear()
            for future in ready:
                future.set_result(None)

    each = count // TASKS
    await asyncio.gather(*[work(each) for _ in range(TASKS)], finish(each))
    return each * TASKS


async def nothing() -> None:
    pass


async def spawn(count: int) -> int:
    loop = asyncio.get_running_loop()

    async def work(each: int) -> None:
        for _ in range(each):
            await loop.create_task(nothing())

    return await crowd(work, count)


async def gather(count: int) -> int:
    await asyncio.gather(*[yield_once() for _ in range(count)])
    return count


async def task_group(count: int) -> int:
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(yield_once())
    return count


async def yield_once() -> None:
    await turns(1)


async def call_soon(count: int) -> int:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def again() -> None:
        nonlocal left
        left -= 1
        if left > 0:
            loop.call_soon(again)
        elif left == 0:
            done.set_result(None)

    for _ in range(100):
        loop.call_soon(again)
    await done
    return count


async def threadsafe(count: int) -> int:
    loop = asyncio.get_running_loop()

    def nothing_at_all() -> None:
        pass

    for _ in range(count // 1000):
        for _ in range(1000):
            loop.call_soon_threadsafe(nothing_at_all)
        await asyncio.sleep(0)
    return count // 1000 * 1000


async def call_later(count: int) -> int:
    loop = asyncio.get_running_loop()
    waiting = [loop.call_later(3600 + number, nothing_sync) for number in range(1000)]
    for _ in range(count // 100):
        for _ in range(100):
            loop.call_later(30, nothing_sync).cancel()
        await asyncio.sleep(0)
    for timer in waiting:
        timer.cancel()
    return count // 100 * 100


def nothing_sync() -> None:
    pass


async def timers(count: int) -> int:
    loop = asyncio.get_running_loop()
    for _ in range(count // 1000):
        done = loop.create_future()
        when = loop.time()
        for _ in range(999):
            loop.call_at(when, nothing_sync)
        loop.call_at(when, done.set_result, None)
        await done
    return count // 1000 * 1000


async def sleeps(count: int) -> int:
    """All are asleep before the first wakes: they sleep until a time when even a slow loop has started them."""
    loop = asyncio.get_running_loop()
    end = loop.time() + count * 10e-6

    async def work() -> None:
        await asyncio.sleep(end - loop.time())

    tasks = [loop.create_task(work()) for _ in range(count)]
    for task in tasks:
        await task
    return count


async def timeout(count: int) -> int:
    for _ in range(count):
        async with asyncio.timeout(30):
            pass
    return count


async def queue(count: int) -> int:
    channel: asyncio.Queue[int] = asyncio.Queue(1)

    async def produce() -> None:
        for number in range(count):
            await channel.put(number)

    async def consume() -> None:
        for _ in range(count):
            await channel.get()

    await asyncio.gather(produce(), consume())
    return count


async def executor(count: int) -> int:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.run_in_executor(None, nothing_sync)
    return count


#: name -> (what runs, how many operations)
OPERATIONS: dict[str, tuple[Callable[[int], Coroutine[Any, Any, int]], int]] = {
    "step": (step, 400_000),
    "sleep(0)": (sleep_zero, 200_000),
    "wake": (wake, 100_000),
    "spawn": (spawn, 100_000),
    "gather": (gather, MANY),
    "TaskGroup": (task_group, MANY),
    "call_soon": (call_soon, 400_000),
    "threadsafe": (threadsafe, 100_000),
    "call_later": (call_later, 100_000),
    "timers": (timers, 100_000),
    "sleeps": (sleeps, MANY),
    "timeout": (timeout, 50_000),
    "queue": (queue, 50_000),
    "executor": (executor, 10_000),
}


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
    work, count = OPERATIONS[operation]
    if peer == "bare":
        return without_a_loop(operation, count)

    async def main() -> float:
        await work(max(count // 20, 1000))  # caches, free lists, lazy imports
        gc.collect()
        began = time.process_time_ns()
        done = await work(count)
        return (time.process_time_ns() - began) / done

    with asyncio.Runner(loop_factory=peers.maker(peer)) as runner:
        return runner.run(main())


if __name__ == "__main__":
    assert __doc__
    sys.exit(peers.run(__file__, __doc__, "CPU nanoseconds per operation", OPERATIONS, measure, more=("bare",), core=1))
