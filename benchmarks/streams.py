"""Streams beside their peers: messages that go to an echo server and come back, as CPU time per message.

    python benchmarks/streams.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

Client and server share one loop and one process, over TCP on this machine, so a figure is what both sides and the
kernel take together. A figure is CPU time (user + system) of the process divided by the messages. On rota the streams
are rota's, on the others asyncio's; two columns more are asyncio's streams on rota, and ``sockets``: ``send`` and
``recv`` of the same messages, which is the kernel's own part.

============  ========================================================================
1 KiB, 1      1 KiB, one connection: ``write``, ``drain``, ``readexactly``; the server reads what is there
1 KiB, 50     the same over 50 connections at once
line          lines of 100 bytes, ``readline`` on both sides, one connection
300 kB        300,000 bytes, one connection
connect, 1    1 KiB over a connection of its own, opened before and closed after, one at a time
connect, 50   the same, 50 at once
============  ========================================================================
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
from typing import Any

import peers

ASYNCIO_ON_ROTA = "asyncio's on rota"
SOCKETS = "sockets"
LIMIT = 1 << 20  # of every reader: no message is cut

#: name -> (connections at once, bytes of a message, whether it is read as a line, messages, whether each has a
#: connection of its own)
CASES = {
    "1 KiB, 1": (1, 1024, False, 10_000, False),
    "1 KiB, 50": (50, 1024, False, 10_000, False),
    "line": (1, 100, True, 10_000, False),
    "300 kB": (1, 300_000, False, 600, False),
    "connect, 1": (1, 1024, False, 2000, True),
    "connect, 50": (50, 1024, False, 4000, True),
}


async def echo(reader: Any, writer: Any) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def echo_lines(reader: Any, writer: Any) -> None:
    async for line in reader:
        writer.write(line)
        await writer.drain()
    writer.close()


async def client(streams: Any, address: tuple[str, int], size: int, line: bool, count: int) -> None:
    reader, writer = await streams.open_connection(*address, limit=LIMIT)
    message = b"x" * (size - 1) + b"\n"
    for _ in range(count):
        writer.write(message)
        await writer.drain()
        found = await (reader.readline() if line else reader.readexactly(size))
        assert len(found) == size
    writer.close()
    await writer.wait_closed()


async def exchange(streams: Any, case: str) -> float:
    """Microseconds of CPU per message."""
    connections, size, line, count, anew = CASES[case]
    each = max(int(count * peers.SHARE) // connections, 1)

    async def talk(count: int) -> None:
        for _ in range(count if anew else 1):
            await client(streams, address, size, line, 1 if anew else count)

    server = await streams.start_server(echo_lines if line else echo, "127.0.0.1", 0, limit=LIMIT)
    async with server:
        address = server.sockets[0].getsockname()
        await asyncio.gather(*[talk(20) for _ in range(connections)])
        gc.collect()
        began = time.process_time_ns()
        await asyncio.gather(*[talk(each) for _ in range(connections)])
        return (time.process_time_ns() - began) / (each * connections) / 1000


def kernel(case: str) -> float:
    """The same messages over two sockets: no loop, no streams."""
    _, size, _, whole, anew = CASES[case]
    if anew:
        sys.exit("only messages are sent over bare sockets")
    count = max(int(whole * peers.SHARE), 1)
    message = b"x" * size
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = [socket.create_connection(listener.getsockname()), listener.accept()[0]]
    for end in ends:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setblocking(False)
    began = time.process_time_ns()
    for _ in range(count):
        for sender, receiver in (ends, ends[::-1]):
            left, sent = size, 0
            while left:
                if sent < size:
                    sent += sender.send(message[sent : sent + 65536])
                left -= len(receiver.recv(65536))
    taken = (time.process_time_ns() - began) / count / 1000
    for end in ends:
        end.close()
    return taken


def measure(peer: str, case: str) -> float:
    """Microseconds of CPU for a message there and back."""
    if peer == SOCKETS:
        return kernel(case)
    streams = asyncio if peer == ASYNCIO_ON_ROTA else peers.streams(peer)
    with asyncio.Runner(loop_factory=peers.maker("rota" if peer == ASYNCIO_ON_ROTA else peer)) as runner:
        return runner.run(exchange(streams, case))


if __name__ == "__main__":
    assert __doc__
    unit = "CPU microseconds per message there and back"
    sys.exit(peers.run(__file__, __doc__, unit, CASES, measure, more=(ASYNCIO_ON_ROTA, SOCKETS), core=1))
