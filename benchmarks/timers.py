"""How late timers are on an idle loop.

    python benchmarks/timers.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

One timer at a time, nothing else to do: 1,000 of ``call_later``, due in 0.1 to 5 ms, and 500 of
``asyncio.sleep(0.0021)``. The rows are the median and the 99th percentile of how late they were, in microseconds, and
how many were early. A timer can't be better than the machine: the last column is ``time.sleep``, for what the kernel
takes to wake a process.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time

import peers

KERNEL = "time.sleep"
MANY = {"0.1 to 5 ms": 1000, "sleep(2.1 ms)": 500}


def delays(case: str) -> list[float]:
    """The same for every loop."""
    count = max(int(MANY[case] * peers.SHARE), 2)
    chance = random.Random(1)
    return [0.002_1 if case.startswith("sleep") else 0.000_1 + chance.random() * 0.004_9 for _ in range(count)]


def come(future: asyncio.Future[float]) -> None:
    future.set_result(time.monotonic())


async def called(seconds: list[float]) -> list[float]:
    """How late each was, in seconds by the clock that all share."""
    loop = asyncio.get_running_loop()
    late = []
    for delay in seconds:
        came: asyncio.Future[float] = loop.create_future()
        due = time.monotonic() + delay
        loop.call_later(delay, come, came)
        late.append(await came - due)
    return late


async def slept(seconds: list[float]) -> list[float]:
    late = []
    for delay in seconds:
        due = time.monotonic() + delay
        await asyncio.sleep(delay)
        late.append(time.monotonic() - due)
    return late


def asleep(seconds: list[float]) -> list[float]:
    """The same without a loop."""
    late = []
    for delay in seconds:
        due = time.monotonic() + delay
        time.sleep(delay)
        late.append(time.monotonic() - due)
    return late


def measure(peer: str, case: str) -> dict[str, float]:
    if peer == KERNEL:
        late = asleep(delays(case))
    else:
        work = slept if case.startswith("sleep") else called
        with asyncio.Runner(loop_factory=peers.maker(peer)) as runner:
            late = runner.run(work(delays(case)))
    microseconds = sorted(second * 1e6 for second in late)
    return {
        "median": statistics.median(microseconds),
        "p99": microseconds[int(len(microseconds) * 0.99)],
        "early": sum(value < 0 for value in microseconds),
    }


if __name__ == "__main__":
    assert __doc__
    unit = "microseconds late"
    sys.exit(peers.run(__file__, __doc__, unit, MANY, measure, more=(KERNEL,), core=1))
