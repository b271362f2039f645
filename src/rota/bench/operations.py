"""Operations: what the clockwork of a loop does for a program, each as a coroutine function that does it so many times.

``OPERATIONS`` has them all; the first line of an operation's docstring says what one is. They run on whatever loop is
running. :func:`measure` is what one costs.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine
from types import coroutine
from typing import Any

import rota

TASKS = 200
MANY = 100_000

#: The fewest operations that are measured, and done before: some are counted in thousands.
FEWEST = 1000


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
    """one of 200 tasks has its turn and yields, by a bare yield"""

    async def work(each: int) -> None:
        await turns(each)

    return await crowd(work, count)


async def sleep_zero(count: int) -> int:
    """one of 200 tasks awaits asyncio.sleep(0)"""

    async def work(each: int) -> None:
        for _ in range(each):
            await asyncio.sleep(0)

    return await crowd(work, count)


async def wake(count: int) -> int:
    """one of 200 tasks awaits a future, and another task finishes it"""
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
    """await create_task(nothing())"""
    loop = asyncio.get_running_loop()

    async def work(each: int) -> None:
        for _ in range(each):
            await loop.create_task(nothing())

    return await crowd(work, count)


async def gather(count: int) -> int:
    """asyncio.gather of 100,000 coroutines that yield once, per coroutine"""
    await asyncio.gather(*[yield_once() for _ in range(count)])
    return count


async def rota_gather(count: int) -> int:
    """the same by rota.gather; on other loops by asyncio's"""
    library: Any = rota if isinstance(asyncio.get_running_loop(), rota.Loop) else asyncio
    await library.gather(*[yield_once() for _ in range(count)])
    return count


async def task_group(count: int) -> int:
    """asyncio.TaskGroup of 100,000 coroutines that yield once, per coroutine"""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(yield_once())
    return count


async def yield_once() -> None:
    await turns(1)


async def call_soon(count: int) -> int:
    """a callback that calls call_soon with itself"""
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
    """call_soon_threadsafe in the loop's own thread, per call"""
    loop = asyncio.get_running_loop()

    def nothing_at_all() -> None:
        pass

    for _ in range(count // 1000):
        for _ in range(1000):
            loop.call_soon_threadsafe(nothing_at_all)
        await asyncio.sleep(0)
    return count // 1000 * 1000


async def from_thread(count: int) -> int:
    """call_soon_threadsafe in another thread, 100 at a time, until the loop has called the last, per call"""
    loop = asyncio.get_running_loop()
    called = threading.Event()

    def call() -> None:
        for _ in range(count // 100):
            for _ in range(99):
                loop.call_soon_threadsafe(nothing_sync)
            loop.call_soon_threadsafe(called.set)
            called.wait()
            called.clear()

    await loop.run_in_executor(None, call)
    return count // 100 * 100


async def call_later(count: int) -> int:
    """call_later and cancel, with 1,000 other timers waiting"""
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
    """1,000 timers come due, per timer"""
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
    """100,000 tasks asleep at once, from their start to their end, per task"""
    loop = asyncio.get_running_loop()
    # All are asleep before the first wakes: they sleep until a time when even a slow loop has started them.
    end = loop.time() + count * 30e-6

    async def work() -> None:
        await asyncio.sleep(end - loop.time())

    tasks = [loop.create_task(work()) for _ in range(count)]
    for task in tasks:
        await task
    return count


async def timeout(count: int) -> int:
    """an asyncio.timeout entered and left"""
    for _ in range(count):
        async with asyncio.timeout(30):
            pass
    return count


async def rota_timeout(count: int) -> int:
    """a rota.timeout entered and left; on other loops asyncio's"""
    library: Any = rota if isinstance(asyncio.get_running_loop(), rota.Loop) else asyncio
    for _ in range(count):
        async with library.timeout(30):
            pass
    return count


async def queue(count: int) -> int:
    """an item through an asyncio.Queue(1) between two tasks"""
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
    """run_in_executor of a function that does nothing, there and back"""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.run_in_executor(None, nothing_sync)
    return count


#: What one of these costs depends on how many there are: the collector looks at all tasks that are alive.
WHOLE = {"gather", "rota.gather", "TaskGroup", "sleeps"}

#: name -> (what runs, how many operations)
OPERATIONS: dict[str, tuple[Callable[[int], Coroutine[Any, Any, int]], int]] = {
    "step": (step, 400_000),
    "sleep(0)": (sleep_zero, 200_000),
    "wake": (wake, 100_000),
    "spawn": (spawn, 100_000),
    "gather": (gather, MANY),
    "rota.gather": (rota_gather, MANY),
    "TaskGroup": (task_group, MANY),
    "call_soon": (call_soon, 400_000),
    "threadsafe": (threadsafe, 100_000),
    "from a thread": (from_thread, 100_000),
    "call_later": (call_later, 100_000),
    "timers": (timers, 100_000),
    "sleeps": (sleeps, MANY),
    "timeout": (timeout, 50_000),
    "rota.timeout": (rota_timeout, 50_000),
    "queue": (queue, 50_000),
    "executor": (executor, 10_000),
}


def measure(new_loop: Callable[[], asyncio.AbstractEventLoop], operation: str, seconds: float | None = None) -> float:
    """Seconds of CPU per operation on a new loop, in this process.

    It is done as often as ``OPERATIONS`` says, or as often as about ``seconds`` take; those of ``WHOLE`` as often as
    ``OPERATIONS`` says, or several times that.
    """
    work, count = OPERATIONS[operation]

    async def main() -> float:
        began = time.process_time_ns()
        few = await work(max(count // 20, FEWEST))  # caches, free lists, lazy imports
        piece, pieces = count, 1
        if seconds is not None:
            enough = int(few * seconds * 1e9 / (time.process_time_ns() - began))
            pieces = max(round(enough / count), 1)
            if operation not in WHOLE:
                piece = min(max(enough, FEWEST), count)
        gc.collect()
        done = 0
        began = time.process_time_ns()
        for _ in range(pieces):
            done += await work(piece)
        return (time.process_time_ns() - began) / done / 1e9

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main())
