"""Mapped: the models that leave the whole job to ``rota.map``.

``auto`` goes where rota's own choice sends it: a coroutine function to the loop, a plain function to threads first and
then, by what was measured, perhaps to processes. Whatever it starts on the way it starts while the clock runs, as a
program's first map does. ``dask`` goes to a cluster, to which the connection stands before the clock runs.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from typing import Any

from ...run import new_event_loop
from ..lanes import Lanes
from .job import Job, close, first_line, shown
from .meter import Cost, Meter, Spent, core_wait, peak_memory_of
from .note import Note, noted, sent
from .tally import Span, Tally, most_at_once


def mapped(job: Job, cluster: str | None, tally: Tally) -> Spent:
    """Run the job's items through a map, on a cluster or on auto. Raises RotaError if the cluster can't do it."""
    work = on_auto(job, tally) if cluster is None else on_cluster(job, cluster, tally)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


async def on_auto(job: Job, tally: Tally) -> Spent:
    function, notes = noted(job), Notes(job, tally)
    async with Lanes() as lanes:
        with Meter() as meter:
            await go_through(lanes, function, job, "auto", notes)
        if job.call is None:
            await close(job)
        lane = lanes.explain(function).lane
        # These while the workers live; what they computed is known when they have been waited for.
        waited, memory = waits(notes.workers), sum(peak_memory_of(worker) or 0 for worker in notes.workers)
        before = Cost.of_children()
    spent = Spent(meter, replace(Cost.of_children() - before, queued=waited), memory)
    moved = sum(notes.workers.values())
    spent.lane = "threads" if lane == "processes" and not moved else lane
    spent.in_lane = moved if spent.lane == "processes" else tally.done - moved
    return spent


async def on_cluster(job: Job, cluster: str, tally: Tally) -> Spent:
    function, notes = sent(job), Notes(job, tally)
    async with Lanes() as lanes:
        await lanes.call(os.getpid, on=cluster)
        with Meter() as meter:
            await go_through(lanes, function, job, cluster, notes)
    # How long anybody there waited for a core, and the memory that it took, the cluster does not say.
    return Spent(meter, Cost(notes.cpu, None, 0, 0))


async def go_through(lanes: Lanes, function: Any, job: Job, on: str, notes: Notes) -> None:
    results = lanes.map(function, job.items, limit=job.concurrency, on=on, ordered=False, on_error="return")
    async for result in results:
        notes.add(result)
    notes.tally.in_flight = most_at_once(notes.spans)


class Notes:
    """The notes of a run as they arrive: each is counted in the tally, and kept as far as the figures want it.

    ``workers`` are other processes of this machine, or of any, with how many items they ran; ``cpu`` is what those
    computed.
    """

    def __init__(self, job: Job, tally: Tally) -> None:
        self.job = job
        self.tally = tally
        self.spans: list[Span] = []
        self.workers: Counter[int] = Counter()
        self.cpu = 0.0
        self._here = os.getpid()

    def add(self, result: Note | BaseException) -> None:
        """Count a note, or what befell an item on its way; raises what is no item's matter."""
        if isinstance(result, Exception):
            self.tally.elsewhere([first_line(result)])
            return
        if isinstance(result, BaseException):
            raise result
        process, began, ended, cpu, error, _ = result
        self.spans.append((began, ended))
        if process != self._here:
            self.workers[process] += 1
            self.cpu += cpu
        self.tally.elsewhere([None if error is None else self.failure(*error)])

    def failure(self, item: str, what: str) -> str:
        """One line, as that of the other models. Which item it was is found by how it is shown, if only one is so."""
        if self.tally.error is not None:
            return ""  # one is enough
        places = [place for place, each in enumerate(self.job.items) if shown(each) == item]
        return f"item {places[0]} ({item}): {what}" if len(places) == 1 else f"an item ({item}): {what}"


def waits(workers: Any) -> float | None:
    """Seconds for which processes that live waited for a core; None where unknown."""
    each = [core_wait(worker) for worker in workers]
    known = [wait for wait in each if wait is not None]
    return sum(known) if len(known) == len(each) else None
