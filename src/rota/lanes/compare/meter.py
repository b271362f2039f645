"""Meter: what a stretch of work cost this process.

A ``Cost`` is a reading of counters that only grow; the difference of two readings is what happened between
them, and the sum over processes is what a tree of them spent. Everything comes from the kernel
(``getrusage``, ``/proc``), so metering costs the work nothing while it runs.

The wait for a core is what tells a job that computes on a busy machine from one that waits for the network:
both take far longer on the clock than on the processor. Linux keeps it for each thread, and a thread takes
its figure with it when it ends: read while the threads that did the work still live. Elsewhere it is None.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of processor and of waiting for a core, and the switches between threads."""

    cpu: float
    queued: float | None
    voluntary: int
    involuntary: int

    @classmethod
    def now(cls) -> Cost:
        """Read this process's counters, with those of the children that it has already waited for."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            cpu=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
            queued=core_wait(),
            voluntary=own.ru_nvcsw + children.ru_nvcsw,
            involuntary=own.ru_nivcsw + children.ru_nivcsw,
        )

    def __sub__(self, earlier: Cost) -> Cost:
        # A thread that ended in between took its figure with it, which can make the difference negative.
        ours, theirs = self.queued, earlier.queued
        queued = None if ours is None or theirs is None else max(0.0, ours - theirs)
        return Cost(
            self.cpu - earlier.cpu,
            queued,
            self.voluntary - earlier.voluntary,
            self.involuntary - earlier.involuntary,
        )

    def __add__(self, other: Cost) -> Cost:
        queued = None if self.queued is None or other.queued is None else self.queued + other.queued
        return Cost(
            self.cpu + other.cpu,
            queued,
            self.voluntary + other.voluntary,
            self.involuntary + other.involuntary,
        )


class Meter:
    """``with meter:`` around the work; afterwards ``wall`` (seconds) and ``cost`` say what it took."""

    def __init__(self) -> None:
        self.began = 0.0
        self.wall = 0.0
        self.cost = Cost(0.0, None, 0, 0)

    def __enter__(self) -> Meter:
        self.cost = Cost.now()
        self.began = time.monotonic()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.wall = time.monotonic() - self.began
        self.cost = Cost.now() - self.cost


class Spent:
    """What one run took: the wall and cost of its work, and the peak memory of its processes."""

    def __init__(self, meter: Meter, workers_cost: Cost | None = None, workers_memory: int = 0) -> None:
        self.began = meter.began
        self.wall = meter.wall
        self.cost = meter.cost if workers_cost is None else meter.cost + workers_cost
        self.memory = peak_memory() + workers_memory


def core_wait() -> float | None:
    """Seconds that this process's living threads were ready and waited for a core; None where unknown."""
    if not os.path.exists("/proc/self/schedstat"):
        return None
    waited = 0
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/schedstat", "rb", buffering=0) as file:
                waited += int(file.read().split()[1])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue  # the thread ended meanwhile: its file is gone, can't be read, or is empty
    return waited / 1e9


def peak_memory() -> int:
    """The most bytes of memory that this process ever had resident.

    Not ``ru_maxrss`` where /proc knows better: after fork and exec that still holds the parent's peak.
    """
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
