"""How late timers are on an idle loop, beside the peers that are installed.

    python benchmarks/timers.py [--count 2000] [--json]

One timer at a time, due in 0.1 to 5 ms, nothing else to do. Each loop runs in a process of its own. Prints the median
and the 99th percentile of how late the callbacks were, in microseconds, and how many were early. A timer can't be
better than the machine: the first row is ``time.sleep``, for what the kernel takes to wake a process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from typing import Any

import peers

SLEEP = "time.sleep"


def delays(count: int) -> list[float]:
    chance = random.Random(1)
    return [0.000_1 + chance.random() * 0.004_9 for _ in range(count)]


async def on_a_loop(count: int) -> list[float]:
    """How late each was, in seconds by the clock that all share."""
    loop = asyncio.get_running_loop()
    late = []
    for delay in delays(count):
        came: asyncio.Future[float] = loop.create_future()
        due = time.monotonic() + delay
        loop.call_later(delay, lambda came=came: came.set_result(time.monotonic()))
        late.append(await came - due)
    return late


def asleep(count: int) -> list[float]:
    late = []
    for delay in delays(count):
        due = time.monotonic() + delay
        time.sleep(delay)
        late.append(time.monotonic() - due)
    return late


def measure(name: str, count: int) -> dict[str, Any]:
    if name == SLEEP:
        late = asleep(count)
    else:
        with asyncio.Runner(loop_factory=peers.maker(name)) as runner:
            late = runner.run(on_a_loop(count))
    microseconds = sorted(second * 1e6 for second in late)
    return {
        "loop": name,
        "median": statistics.median(microseconds),
        "p99": microseconds[int(len(microseconds) * 0.99)],
        "early": sum(value < 0 for value in microseconds),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=[SLEEP, *peers.LOOPS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.count)))
        return 0
    rows = []
    for name in [SLEEP, *peers.installed()]:
        command = [sys.executable, __file__, "--one", name, "--count", str(arguments.count)]
        rows.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"{'':12}{'median':>10}{'p99':>10}   microseconds late, of {arguments.count} timers")
    for row in rows:
        print(f"{row['loop']:12}{row['median']:10.0f}{row['p99']:10.0f}   {row['early']} early")
    return 0


if __name__ == "__main__":
    sys.exit(main())
