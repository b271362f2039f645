"""The clockwork beside its peers: task step, wake, spawn, call_soon, timers, as CPU time per operation.

    python benchmarks/clockwork.py [--rounds 5] [--json]

Each loop runs in a process of its own, and the loops take turns, round by round: what slows the machine for a while
slows them all. A figure is CPU time (user + system) of the process divided by the operations, the median of the
rounds; the ratio to rota is the median of the ratios within each round. Nothing else should run on the machine.

=============  ============================================================================================
step           one of 200 tasks has its turn and yields (a bare ``yield``, by :func:`types.coroutine`)
sleep(0)       one of 200 tasks awaits ``asyncio.sleep(0)``
wake           one of 200 tasks awaits a future, and another task finishes it
spawn          ``await create_task(nothing())``
gather         ``asyncio.gather`` of 1,000 coroutines that yield once, per coroutine
call_soon      a callback that calls ``call_soon`` with itself
threadsafe     ``call_soon_threadsafe`` from the loop's own thread, per call
call_later     ``call_later`` and ``cancel``, with 1,000 other timers waiting
timers         1,000 timers come due, per timer
queue          an item through an ``asyncio.Queue(1)`` between two tasks
=============  ============================================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from types import coroutine
from typing import Any

TASKS = 200


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
    for _ in range(count // 1000):
        await asyncio.gather(*[yield_once() for _ in range(1000)])
    return count // 1000 * 1000


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


#: name -> (what runs, how many operations)
OPERATIONS: dict[str, tuple[Callable[[int], Coroutine[Any, Any, int]], int]] = {
    "step": (step, 200_000),
    "sleep(0)": (sleep_zero, 200_000),
    "wake": (wake, 60_000),
    "spawn": (spawn, 60_000),
    "gather": (gather, 60_000),
    "call_soon": (call_soon, 200_000),
    "threadsafe": (threadsafe, 60_000),
    "call_later": (call_later, 100_000),
    "timers": (timers, 60_000),
    "queue": (queue, 40_000),
}


def factory(name: str) -> tuple[Callable[[], asyncio.AbstractEventLoop], str]:
    """How to make a loop called ``name``, and what it calls itself."""
    if name == "rota":
        import rota

        return rota.new_event_loop, f"rota {rota.__version__} ({'compiled' if rota.COMPILED else 'plain'})"
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop, f"uvloop {uvloop.__version__}"
    return asyncio.SelectorEventLoop, f"asyncio {platform.python_version()}"


def measure(name: str, operation: str) -> dict[str, Any]:
    """Nanoseconds of CPU per operation, in this process."""
    make, title = factory(name)
    work, count = OPERATIONS[operation]

    async def main() -> float:
        await work(max(count // 20, 1000))  # caches, free lists, lazy imports
        gc.collect()
        began = time.process_time_ns()
        done = await work(count)
        return (time.process_time_ns() - began) / done

    with asyncio.Runner(loop_factory=make) as runner:
        return {"loop": title, "ns": runner.run(main())}


def one_round(names: list[str], operation: str) -> dict[str, dict[str, Any]]:
    figures = {}
    for name in names:
        command = [sys.executable, __file__, "--one", name, operation]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        figures[name] = json.loads(done.stdout)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=OPERATIONS, action="append", help="this operation only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("LOOP", "OPERATION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return 0
    names = ["rota", "asyncio"]
    if importlib.util.find_spec("uvloop"):
        names.append("uvloop")
    table = []
    for operation in arguments.only or OPERATIONS:
        rounds = [one_round(names, operation) for _ in range(arguments.rounds)]
        row: dict[str, Any] = {"operation": operation}
        for name in names:
            row[name] = statistics.median(figures[name]["ns"] for figures in rounds)
            row[f"{name}/rota"] = statistics.median(figures[name]["ns"] / figures["rota"]["ns"] for figures in rounds)
        table.append(row)
        if not arguments.json:
            show(row, names, {name: rounds[0][name]["loop"] for name in names}, first=len(table) == 1)
    if arguments.json:
        print(json.dumps(table, indent=2))
    return 0


def show(row: dict[str, Any], names: list[str], titles: dict[str, str], first: bool) -> None:
    if first:
        print(", ".join(titles.values()), f"on Python {platform.python_version()}, {os.cpu_count()} cores")
        print("CPU nanoseconds per operation, and how many times rota's that is")
        print(f"{'':12}" + "".join(f"{name:>18}" for name in names))
    cells = [f"{row['rota']:18.0f}"]
    cells += [f"{row[name]:10.0f} ({row[f'{name}/rota']:4.1f}x)" for name in names if name != "rota"]
    print(f"{row['operation']:12}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
