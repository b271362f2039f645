"""Counts stay what they are over many of each operation: references, objects, memory blocks, file descriptors.

    python -m tests.soak.operations [COUNT]

Each operation is done COUNT times (a million) to warm up, then again: what is counted after the first must be there
after the second, but for a few. One reference lost in a thousand operations fails. Operations that use the kernel are
done fewer times; the table says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import rota

Operation = Callable[[int], Coroutine[Any, Any, None]]


def nothing(*_: object) -> None:
    pass


async def yields(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def call_soon(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // 100):
        for number in range(100):
            loop.call_soon(nothing, number)
        await asyncio.sleep(0)


async def call_soon_threadsafe(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // 100):
        for number in range(100):
            loop.call_soon_threadsafe(nothing, number)
        await asyncio.sleep(0)


async def call_later_and_cancel(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // 100):
        for number in range(100):
            loop.call_later(3600 + number, nothing, number).cancel()
        await asyncio.sleep(0)


async def call_later(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // 100):
        for number in range(100):
            loop.call_later(0, nothing, number)
        await asyncio.sleep(0)


async def step(count: int) -> None:
    await asyncio.gather(*[yields(count // 10) for _ in range(10)])


async def wake(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


async def wake_with_an_exception(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future = loop.create_future()
        loop.call_soon(future.set_exception, ValueError())
        try:
            await future
        except ValueError:
            pass


async def done_callbacks(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // 4):
        future = loop.create_future()
        for _ in range(4):
            future.add_done_callback(nothing)
        future.remove_done_callback(print)
        future.set_result(None)
        await asyncio.sleep(0)


async def spawn(count: int) -> None:
    for _ in range(count):
        await asyncio.create_task(yields(1))


async def gather(count: int) -> None:
    for _ in range(count // 10):
        await rota.gather(*[yields(1) for _ in range(10)])


async def cancel(count: int) -> None:
    for _ in range(count):
        task = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        task.cancel("enough")
        try:
            await task
        except asyncio.CancelledError:
            pass


async def timeout_that_ends_early(count: int) -> None:
    for _ in range(count):
        async with asyncio.timeout(3600):
            await asyncio.sleep(0)


async def timeout_that_ends_late(count: int) -> None:
    for _ in range(count):
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(3600)
        except TimeoutError:
            pass


async def queue(count: int) -> None:
    channel: asyncio.Queue[int] = asyncio.Queue(1)

    async def consume() -> None:
        for _ in range(count):
            await channel.get()

    task = asyncio.create_task(consume())
    for number in range(count):
        await channel.put(number)
    await task


async def async_generators(count: int) -> None:
    async def numbers():
        yield 1
        yield 2

    for _ in range(count):
        async for _ in numbers():
            break
        await asyncio.sleep(0)


async def run_in_executor(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count // 10):
        await asyncio.gather(*[loop.run_in_executor(None, nothing) for _ in range(10)])


async def signals(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        came = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, came.set_result, None)
        os.kill(os.getpid(), signal.SIGUSR1)
        await came
        loop.remove_signal_handler(signal.SIGUSR1)


async def add_reader(count: int) -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.send(b"x")
    with ours, theirs:
        for _ in range(count):
            ready = loop.create_future()
            loop.add_reader(ours, ready.set_result, None)
            await ready
            loop.remove_reader(ours)


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[Any]:
    """Sends back what it gets; its address. When this ends, every connection has."""
    serving: set[asyncio.Task[None] | None] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        serving.discard(asyncio.current_task())

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        # Before Python 3.12, wait_closed() does not wait for the connections.
        await asyncio.gather(*(task for task in serving if task is not None))
        await server.wait_closed()


async def packets(count: int) -> None:
    async with echo_server() as address:
        reader, writer = await asyncio.open_connection(*address)
        for _ in range(count):
            writer.write(b"hello")
            await reader.readexactly(5)
        writer.close()
        await writer.wait_closed()


async def connections(count: int) -> None:
    """Connect, say something, hear it back, close."""
    async with echo_server() as address:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"hello")
            await reader.readexactly(5)
            writer.close()
            await writer.wait_closed()


#: name -> (what is done, of how many of a million)
OPERATIONS: dict[str, tuple[Operation, float]] = {
    "call_soon": (call_soon, 1),
    "call_soon_threadsafe": (call_soon_threadsafe, 1),
    "call_later": (call_later, 1),
    "call_later and cancel": (call_later_and_cancel, 1),
    "task step": (step, 1),
    "future wake": (wake, 1),
    "wake with an exception": (wake_with_an_exception, 1),
    "done callbacks": (done_callbacks, 1),
    "spawn": (spawn, 1),
    "gather": (gather, 1),
    "cancel": (cancel, 1),
    "timeout, not reached": (timeout_that_ends_early, 1),
    "timeout, reached": (timeout_that_ends_late, 1),
    "queue": (queue, 1),
    "async generators": (async_generators, 1),
    "packets": (packets, 0.2),
    "add_reader": (add_reader, 0.2),
    "run_in_executor": (run_in_executor, 0.05),
    "signals": (signals, 0.05),
    "connections": (connections, 0.02),
}

#: What must not gather references: singletons, and the classes of what is made and dropped.
WATCHED = (None, (), True, asyncio.CancelledError, rota.Future, rota.Task, rota.Handle, rota.TimerHandle, nothing)


def counted() -> dict[str, int]:
    """What there is now, after a collection."""
    gc.collect()
    gc.collect()
    counts = {
        "memory blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "files": len(os.listdir("/proc/self/fd")),
    }
    for thing in WATCHED:
        counts[f"references to {getattr(thing, '__name__', thing)!r}"] = sys.getrefcount(thing)
    return counts


def grown(operation: Operation, count: int) -> dict[str, int]:
    """What is more after the second ``count`` times than after the first, by name."""

    async def main() -> dict[str, int]:
        await operation(count)
        before = counted()
        await operation(count)
        after = counted()
        return {name: after[name] - number for name, number in before.items()}

    return rota.run(main())


def allowance(name: str, count: int) -> int:
    """How much more there may be: caches settle, and a file is a file."""
    return 0 if name == "files" else 100 + count // 1000


def excess(operation: Operation, count: int) -> dict[str, int]:
    """What is too much more, twice: a leak leaks each time, while what the process keeps for itself settles."""
    for _ in range(2):
        found = {name: more for name, more in grown(operation, count).items() if more > allowance(name, count)}
        if not found:
            break
    return found


def main(count: int) -> int:
    failed = 0
    for name, (operation, share) in OPERATIONS.items():
        times = max(100, int(count * share))
        began = time.perf_counter()
        found = excess(operation, times)
        failed += bool(found)
        verdict = f"FAILED: grown by {found}" if found else "steady"
        print(f"{name:24} 2 x {times:>9,}  {time.perf_counter() - began:6.1f} s  {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000))
