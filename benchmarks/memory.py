"""Memory: what an idle connection and an idle task take, and what a million tasks do.

    python benchmarks/memory.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

A figure is the difference of the process's proportional set size (PSS, by the kernel) between a few hundred and 20,000
(connections: 10,000) more of the same, divided by how many more, after a garbage collection; so it has in it what the
allocators lose. The kernel's own memory for a socket is not in it. The last column, ``floor``, is the same without any
loop: a connection of the server in C, and coroutines that are suspended in a list.

=================  =====================================================================================
protocol           a server's connection: an asyncio.Protocol that has echoed one byte and waits for more
streams            the same of ``start_server``; of rota's streams on rota, of asyncio's on the others
asyncio streams    the same of asyncio's streams on all
task, future       a task that awaits a future of its own
task, asleep       a task in ``asyncio.sleep``
a million tasks    of the process altogether, in MB: a million tasks that each await a future of their own
=================  =====================================================================================
"""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import sys
from collections.abc import Callable, Coroutine
from types import coroutine
from typing import Any

import peers
from server import Server, in_c

TASKS = 20_000
CONNECTIONS = 10_000
WARM = 300
FLOOR = "floor"
COLLECT = b"collect"

Waiter = Callable[[], Coroutine[Any, Any, None]]


def pss(pid: int | str = "self") -> int:
    """Bytes of the process, its share of what it has in common with others."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("a process without memory")


class Idle(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data == COLLECT:
            gc.collect()
        self.transport.write(data)


async def idle(reader: Any, writer: Any) -> None:
    while data := await reader.read(100):
        if data == COLLECT:
            gc.collect()
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(peer: str, case: str) -> None:
    """Until the process is ended; prints the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    if case == "protocol":
        server: Any = await asyncio.get_running_loop().create_server(Idle, sock=listener)
    else:
        streams = peers.streams(peer) if case == "streams" else asyncio
        server = await streams.start_server(idle, sock=listener)
    await peers.forever(server)


def connection(peer: str, case: str) -> float:
    """Bytes of one in the server."""
    count = max(int(CONNECTIONS * peers.SHARE), 1)
    # A descriptor each, here and in the server, which inherits the limit.
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    command = [in_c(), "server", "tcp"] if peer == FLOOR else [sys.executable, __file__, "--serve", peer, case]
    with Server(command) as server:
        ends: list[socket.socket] = []

        def more(count: int) -> int:
            for _ in range(count):
                end = socket.create_connection(("127.0.0.1", int(server.port)))
                said(end, b"x")
                ends.append(end)
            said(ends[0], COLLECT)
            return pss(server.pid)

        before = more(WARM)
        taken = (more(count) - before) / count
        for end in ends:
            end.close()
    return taken


def said(end: socket.socket, words: bytes) -> None:
    """Send and have it back: the server has accepted, and goes back to waiting."""
    end.sendall(words)
    assert end.recv(100) == words


async def on_a_future() -> None:
    await asyncio.get_running_loop().create_future()


async def asleep() -> None:
    await asyncio.sleep(3600)


async def suspended() -> None:
    await once()


@coroutine
def once() -> Any:
    yield


async def tasks(wait: Waiter, count: int) -> tuple[float, int]:
    """Bytes of one of ``count`` more tasks, and of the process with them."""
    loop = asyncio.get_running_loop()
    held = []
    taken = []
    for many in (WARM, count):
        held += [loop.create_task(wait()) for _ in range(many)]
        await asyncio.sleep(0.05)
        gc.collect()
        taken.append(pss())
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    return (taken[1] - taken[0]) / count, taken[1]


def coroutines(count: int) -> tuple[float, int]:
    """The same of coroutines that nobody runs."""
    held = []
    taken = []
    for many in (WARM, count):
        held += [suspended() for _ in range(many)]
        for one in held[-many:]:
            one.send(None)
        gc.collect()
        taken.append(pss())
    for one in held:
        one.close()
    return (taken[1] - taken[0]) / count, taken[1]


#: name -> (what a task does, how many)
WAITS: dict[str, tuple[Waiter, int]] = {
    "task, future": (on_a_future, TASKS),
    "task, asleep": (asleep, TASKS),
    "a million tasks": (on_a_future, 1_000_000),
}
CASES = ["protocol", "streams", "asyncio streams", *WAITS]


def measure(peer: str, case: str) -> float:
    """Bytes of one, or megabytes of a million."""
    if case not in WAITS:
        return connection(peer, case)
    wait, many = WAITS[case]
    count = max(int(many * peers.SHARE), 1)
    if peer == FLOOR:
        each, whole = coroutines(count)
    else:
        with asyncio.Runner(loop_factory=peers.maker(peer)) as runner:
            each, whole = runner.run(tasks(wait, count))
    return whole / 1e6 if case == "a million tasks" else each


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        with asyncio.Runner(loop_factory=peers.maker(sys.argv[2])) as runner:
            runner.run(serve(sys.argv[2], sys.argv[3]))
        return 0
    assert __doc__
    unit = "bytes of memory (a million tasks: megabytes)"
    return peers.run(__file__, __doc__, unit, CASES, measure, more=(FLOOR,))


if __name__ == "__main__":
    sys.exit(main())
