"""Starting: what a whole process costs that imports a loop, and that runs an empty coroutine on it.

    python benchmarks/startup.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

A figure is CPU time (user + system) of a Python from its first instruction to its end, by the kernel: the median of 20
starts, after one that fills the caches. The last column, ``python``, does nothing at all.

======  =======================================================================================
import  ``import X``
run     ``import X``, and an empty coroutine by ``X.run``, or an ``asyncio.Runner`` where a loop has none
======  =======================================================================================
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import peers

STARTS = 20
NOTHING = "python"
CASES = ["import", "run"]

BY_RUN = """
async def main(): pass
{0}.run(main())
"""
BY_RUNNER = """
import asyncio
async def main(): pass
with asyncio.Runner(loop_factory={0}.new_event_loop) as runner: runner.run(main())
"""


def program(peer: str, case: str) -> str:
    if peer == NOTHING:
        return "pass"
    name = peers.module(peer).__name__
    text = f"import {name}"
    if case == "run":
        text += (BY_RUN if hasattr(peers.module(peer), "run") else BY_RUNNER).format(name)
    return text


def start(text: str) -> float:
    """Milliseconds of a Python that runs it."""
    process = subprocess.Popen([sys.executable, "-c", text])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(1)  # it has said why
    return (used.ru_utime + used.ru_stime) * 1000


def measure(peer: str, case: str) -> float:
    """Milliseconds of CPU for a start."""
    text = program(peer, case)
    start(text)
    return statistics.median(start(text) for _ in range(max(int(STARTS * peers.SHARE), 1)))


if __name__ == "__main__":
    assert __doc__
    unit = "CPU milliseconds of a whole process"
    sys.exit(peers.run(__file__, __doc__, unit, CASES, measure, more=(NOTHING,), core=1))
