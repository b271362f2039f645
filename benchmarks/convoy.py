"""A loop beside a thread that holds the GIL: what is left of an echo server's throughput, and how late its echoes are.

    python benchmarks/convoy.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

The server of ``echo.py`` (an asyncio.Protocol, 1 KiB) shares its process with one thread that computes in Python and
never waits. Whoever lets go of the GIL for a system call waits up to a switch interval (5 ms) to have it back: the
convoy effect, bpo-7946. The server, the thread included, has one core, the client in C another. A case is the
connections; its rows are the echoes in a second, the more the better, and the 99th percentile of the time one took.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import echo
import peers
from server import Server, talk

SECONDS = 3.0
SIZE = 1024
CASES = {"1 connection": 1, "50 connections": 50}
RATE, LATE = "echoes/s", "p99 µs"


def compute() -> None:
    """Hold the GIL, as far as Python lets one."""
    number = 0
    while True:
        number = (number * 3 + 1) % 1_000_003


def measure(peer: str, case: str) -> dict[str, float]:
    """Echoes in a second, and microseconds that all but one of a hundred took at most."""
    seconds = SECONDS * peers.SHARE
    with Server([sys.executable, __file__, "--serve", peer]) as server:
        talk("tcp", server.port, CASES[case], SIZE, seconds / 10)
        echoes, _, p99 = talk("tcp", server.port, CASES[case], SIZE, seconds)
    return {RATE: echoes / seconds, LATE: p99}


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        threading.Thread(target=compute, daemon=True).start()
        with asyncio.Runner(loop_factory=peers.maker(sys.argv[2])) as runner:
            runner.run(echo.serve("protocol"))
        return 0
    assert __doc__
    return peers.run(
        __file__,
        __doc__,
        "echoes in a second, and microseconds of the 99th percentile",
        CASES,
        measure,
        more_is_better=(RATE,),
    )


if __name__ == "__main__":
    sys.exit(main())
