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
        return cls.read(resource.RUSAGE_SELF, core_wait()) + cls.of_children()

    @classmethod
    def of_children(cls) -> Cost:
        """Read the counters of the children, and of theirs, that were waited for; nobody knows what those waited."""
        return cls.read(resource.RUSAGE_CHILDREN, 0.0)

    @classmethod
    def read(cls, who: int, queued: float | None) -> Cost:
        usage = resource.getrusage(who)
        return cls(usage.ru_utime + usage.ru_stime, queued, usage.ru_nvcsw, usage.ru_nivcsw)

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
    """What one run took: the wall and cost of its work, and the peak memory of its processes.

    ``lane`` is the one that was chosen for it, ``in_lane`` how many items ran there; None for a model that is one.
    """

    lane: str | None = None
    in_lane: int | None = None

    def __init__(self, meter: Meter, workers_cost: Cost | None = None, workers_memory: int = 0) -> None:
        self.began = meter.began
        self.wall = meter.wall
        self.cost = meter.cost if workers_cost is None else meter.cost + workers_cost
        self.memory = peak_memory() + workers_memory


def core_wait(process: int | str = "self") -> float | None:
    """Seconds that a process's living threads were ready and waited for a core; None where unknown."""
    if not os.path.exists("/proc/self/schedstat"):
        return None
    waited = 0
    for thread in threads_of(process):
        try:
            with open(f"/proc/{process}/task/{thread}/schedstat", "rb", buffering=0) as file:
                waited += int(file.read().split()[1])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue  # the thread ended meanwhile: its file is gone, can't be read, or is empty
    return waited / 1e9


def threads_of(process: int | str) -> list[str]:
    try:
        return os.listdir(f"/proc/{process}/task")
    except OSError:
        return []  # it has ended


def peak_memory() -> int:
    """The most bytes of memory that this process ever had resident.

    Not ``ru_maxrss`` where /proc knows better: after fork and exec that still holds the parent's peak.
    """
    peak = peak_memory_of("self")
    if peak is None:
        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return usage if sys.platform == "darwin" else usage * 1024
    return peak


def peak_memory_of(process: int | str) -> int | None:
    """The same of any process that lives; None where the system doesn't say."""
    try:
        with open(f"/proc/{process}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
