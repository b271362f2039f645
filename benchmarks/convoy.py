"""A loop beside a thread that holds the GIL: what is left of an echo server's throughput, and how late its echoes are.

    python benchmarks/convoy.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

The server of ``echo.py`` (an asyncio.Protocol, 1 KiB) shares its process with one thread that computes in Python and
never waits. Whoever lets go of the GIL for a system call waits up to a switch interval to have it back: the convoy
effect, bpo-7946. rota keeps the GIL on calls that can't block, and shortens the interval, from 5 ms to 0.5, while it
waits for such a thread. The columns ``asyncio, 0.5 ms`` and ``uvloop, 0.5 ms`` are those loops in a program that has
called ``sys.setswitchinterval(0.0005)`` itself.

The server, the thread included, has one core, the client in C another. A case is the connections; its rows are the
echoes in a second, the 99th percentile of the time one took, and the share of the core that the thread had: what the
loop takes it has not.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import echo
import peers
from server import Server, client

SECONDS = 3.0
SIZE = 1024
CASES = {"1 connection": 1, "50 connections": 50}
RATE, LATE, THREAD = "echoes/s", "p99 µs", "the thread's % of the core"
SHORT = ", 0.5 ms"  # after a loop's name: with that switch interval


def compute() -> None:
    """Hold the GIL, as far as Python lets one."""
    number = 0
    while True:
        number = (number * 3 + 1) % 1_000_003


def measure(peer: str, case: str) -> dict[str, float]:
    """Echoes in a second, microseconds that all but one of a hundred took at most, and the thread's share."""
    seconds = SECONDS * peers.SHARE
    command = [sys.executable, __file__, "--serve", peer]
    with Server(command) as server, client("tcp", server.port, CASES[case], SIZE) as other:
        other.talk(seconds / 10)
        before, began = server.threads(), time.monotonic()
        echoes, _, p99 = other.talk(seconds)
        took = time.monotonic() - began
        ran = {thread: after - before.get(thread, 0) for thread, after in server.threads().items()}
    _, *others = ran.values()
    return {RATE: echoes / took, LATE: p99, THREAD: max(others) / took * 100}


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        name = sys.argv[2].removesuffix(SHORT)
        if name != sys.argv[2]:
            sys.setswitchinterval(0.0005)
        threading.Thread(target=compute, daemon=True).start()
        with asyncio.Runner(loop_factory=peers.maker(name)) as runner:
            runner.run(echo.serve("protocol"))
        return 0
    assert __doc__
    return peers.run(
        __file__,
        __doc__,
        "echoes in a second, microseconds of the 99th percentile, and the computing thread's share",
        CASES,
        measure,
        more=tuple(f"{name}{SHORT}" for name in ("asyncio", "uvloop") if name in peers.installed()),
        more_is_better=(RATE, THREAD),
    )


if __name__ == "__main__":
    sys.exit(main())
