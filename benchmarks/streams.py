"""Streams beside their peers: messages that go to an echo server and come back, as CPU time per message.

    python benchmarks/streams.py [--rounds 5] [--json]

Client and server share one loop and one process, over TCP on this machine, so a figure is what both sides and the
kernel take together. Each row of the table below is one pair of loop and streams in a process of its own, and the
pairs take turns, round by round. A figure is CPU time (user + system) of the process divided by the messages, the
median of the rounds; the ratio to rota's streams on rota is the median of the ratios within each round.

============  ========================================================================
1 KiB, 1      1 KiB, one connection: ``write``, ``drain``, ``readexactly``; the server reads what is there
1 KiB, 50     the same over 50 connections at once
line          lines of 100 bytes, ``readline`` on both sides, one connection
300 kB        300,000 bytes, one connection
============  ========================================================================

The kernel's own part, the same for all, is the row ``sockets``: ``send`` and ``recv`` of the same messages.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

LIMIT = 1 << 20  # of every reader: no message is cut

#: name -> (connections, bytes of a message, whether it is read as a line, messages)
CASES = {
    "1 KiB, 1": (1, 1024, False, 10_000),
    "1 KiB, 50": (50, 1024, False, 10_000),
    "line": (1, 100, True, 10_000),
    "300 kB": (1, 300_000, False, 600),
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
    connections, size, line, count = CASES[case]
    each = count // connections
    server = await streams.start_server(echo_lines if line else echo, "127.0.0.1", 0, limit=LIMIT)
    async with server:
        address = server.sockets[0].getsockname()
        await asyncio.gather(*[client(streams, address, size, line, 20) for _ in range(connections)])
        gc.collect()
        began = time.process_time_ns()
        await asyncio.gather(*[client(streams, address, size, line, each) for _ in range(connections)])
        return (time.process_time_ns() - began) / (each * connections) / 1000


def kernel(case: str) -> float:
    """The same messages over two sockets: no loop, no streams."""
    _, size, _, count = CASES[case]
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


def measure(pair: str, case: str) -> float:
    loop, _, streams = pair.partition("+")
    if loop == "sockets":
        return kernel(case)
    import rota

    if loop == "uvloop":
        import uvloop

        make: Any = uvloop.new_event_loop
    else:
        make = rota.new_event_loop if loop == "rota" else asyncio.SelectorEventLoop
    with asyncio.Runner(loop_factory=make) as runner:
        return runner.run(exchange(rota if streams == "rota" else asyncio, case))


def one_round(pairs: list[str], case: str) -> dict[str, float]:
    figures = {}
    for pair in pairs:
        command = [sys.executable, __file__, "--one", pair, case]
        figures[pair] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES, action="append", help="this case only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("LOOP+STREAMS", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(measure(*arguments.one))
        return 0
    import rota

    pairs = ["rota+rota", "rota+asyncio", "asyncio+asyncio"]
    if importlib.util.find_spec("uvloop"):
        pairs.append("uvloop+asyncio")
    pairs.append("sockets")
    table: dict[str, dict[str, Any]] = {}
    for case in arguments.only or CASES:
        rounds = [one_round(pairs, case) for _ in range(arguments.rounds)]
        table[case] = {
            pair: {
                "us": statistics.median(figures[pair] for figures in rounds),
                "ratio": statistics.median(figures[pair] / figures["rota+rota"] for figures in rounds),
            }
            for pair in pairs
        }
    if arguments.json:
        print(json.dumps(table, indent=2))
        return 0
    mode = "compiled" if rota.COMPILED else "plain"
    print(f"rota {rota.__version__} ({mode}), Python {platform.python_version()}, {os.cpu_count()} cores")
    print("CPU microseconds per message there and back, and how many times that of rota+rota")
    print(f"{'loop+streams':16}" + "".join(f"{case:>18}" for case in table))
    for pair in pairs:
        cells = [f"{row[pair]['us']:.1f} ({row[pair]['ratio']:.2f}x)" for row in table.values()]
        print(f"{pair:16}" + "".join(f"{cell:>18}" for cell in cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
