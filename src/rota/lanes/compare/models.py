"""Models: the ways to run the same items, each written as a program would write it.

``MODELS`` names them in the order they are shown. ``run_in`` takes a job through one of them: it starts what
the model needs, meters the work alone, and counts every item in the tally. What an item raises is counted too
and stops nobody; what breaks the model itself (a worker process that dies) is raised as a RotaError.

Threads start as the work comes, so starting them is part of it; a pool of processes is started and has loaded
the job before the clock runs, and the time for that is reported on its own. On a loop a fixed number of tasks
pull from one iterator: never a task for each item. ``auto`` is ``rota.map`` on its own choice, and ``dask`` the
same on a cluster, which is there only for who gives its address.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...run import new_event_loop
from ..machine import cores
from .job import RAISED, Job, close, failure
from .meter import Meter, Spent
from .tally import Tally

MODELS = ("sync", "threads", "processes", "asyncio", "uvloop", "rota", "auto")
CLUSTER = "dask"
LOOPS = ("asyncio", "uvloop", "rota")

Indexed = Iterator[tuple[int, Any]]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def missing(model: str, call: bool, call_async: bool) -> str | None:
    """Why this model can't run a job that has these functions; None when it can."""
    if model in LOOPS and not call_async:
        return "no async def job, and a plain one would hold the loop until it returns"
    if model in ("threads", "processes") and not call:
        return "no plain def job to call there"
    if model == "uvloop" and importlib.util.find_spec("uvloop") is None:
        return "not installed (pip install uvloop)"
    return None


def slots_for(model: str, concurrency: int, items: int) -> int:
    """How many items at once: one for sync, at most one a core in processes, else what was asked for."""
    if model == "sync":
        return 1
    return min(concurrency, items, cores()) if model == "processes" else min(concurrency, items)


def run_in(model: str, job: Job, tally: Tally, on: str | None = None) -> Spent:
    """Run every item of the job in the model and count it in the tally; ``on`` is the cluster for ``dask``."""
    slots = slots_for(model, job.concurrency, len(job.items))
    if model == "processes":
        from .pool import in_processes  # here, so that no other model carries multiprocessing with it

        return in_processes(job, slots, tally)
    if model in ("auto", CLUSTER):
        from .mapped import mapped  # the same with the lanes

        return mapped(job, None if model == "auto" else on, tally)
    if model == "threads":
        return in_threads(job, slots, tally)
    if model == "sync" and job.call is not None:
        return one_by_one(job, tally)
    return on_loop(loop_of(model), job, slots, tally)


def one_by_one(job: Job, tally: Tally) -> Spent:
    with Meter() as meter:
        pull(job, enumerate(job.items), tally)
    return Spent(meter)


def in_threads(job: Job, slots: int, tally: Tally) -> Spent:
    def one(indexed: tuple[int, Any]) -> None:
        pull(job, iter((indexed,)), tally)

    with ThreadPoolExecutor(slots) as pool:
        with Meter() as meter:  # ends before the pool does: its threads must be there to be metered
            for _ in pool.map(one, enumerate(job.items)):
                pass
        return Spent(meter)


def pull(job: Job, indexed: Indexed, tally: Tally) -> None:
    """Call the job with each item, one after the other."""
    assert job.call is not None
    for index, item in indexed:
        tally.began()
        error = None
        try:
            job.call(item)
        except RAISED as raised:
            error = failure(index, item, raised, job.path)
        tally.ended(error)


def on_loop(new_loop: NewLoop, job: Job, slots: int, tally: Tally) -> Spent:
    async def work() -> Spent:
        indexed = iter(enumerate(job.items))
        with Meter() as meter:
            await asyncio.gather(*(pull_async(job, indexed, tally) for _ in range(slots)))
        await close(job)
        return Spent(meter)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work())


async def pull_async(job: Job, indexed: Indexed, tally: Tally) -> None:
    """One slot: await the job with the next item until there are none."""
    assert job.call_async is not None
    for index, item in indexed:
        tally.began()
        error = None
        try:
            await job.call_async(item)
        except RAISED as raised:
            error = failure(index, item, raised, job.path)
        tally.ended(error)


def loop_of(model: str) -> NewLoop:
    if model == "rota":
        return new_event_loop
    if model == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop
