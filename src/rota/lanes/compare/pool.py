"""Pool: the processes model, from both ends.

The main process pickles items and hands them out in chunks; a worker loads the job's file when it starts, and
answers each chunk with when every item began and ended, the pickled results (moving them is part of what
processes cost) and what the worker has spent so far. Errors travel as text: an exception that doesn't
unpickle would break the pool.

Workers are spawned, not forked: that works from threads and is the same on every system.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from threading import BrokenBarrierError
from typing import Any

from ...errors import RotaError
from .job import RAISED, Job, Source, failure, load
from .meter import Cost, Meter, Spent, peak_memory
from .tally import Span, Tally, most_at_once

#: Chunks for each worker: several, so that the last to finish isn't long alone, and few, since each is a
#: round trip.
CHUNKS_PER_WORKER = 8

#: Seconds for all workers to start and load the job: generous, since only a worker that hangs ever takes it.
START_TIMEOUT = 60.0

Chunk = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker sends back for a chunk; cost and memory are the worker's since it was ready."""

    pid: int
    spans: list[Span]
    errors: list[str | None]
    results: list[bytes]
    cost: Cost
    memory: int


def in_processes(job: Job, workers: int, tally: Tally) -> Spent:
    """Run the job's items in that many worker processes. Raises RotaError when one of them dies."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(workers)
    try:
        with ProcessPoolExecutor(workers, context, Worker.start, (job.path, together)) as pool:
            for ready in [pool.submit(Worker.ready) for _ in range(workers)]:
                ready.result()
            with Meter() as meter:  # ends before the pool does: workers already waited for would count twice
                answers = hand_out(job, workers, pool, tally)
            return spent(meter, answers, tally)
    except BrokenBarrierError:
        raise RotaError(f"the {workers} worker processes didn't start within {START_TIMEOUT:.0f} s") from None
    except BrokenProcessPool:
        after = f"after {tally.done} of {len(job.items)} items"
        raise RotaError(f"a worker process died {after}") from None


def hand_out(job: Job, workers: int, pool: ProcessPoolExecutor, tally: Tally) -> list[Answer]:
    answers: list[Answer] = []
    packed: Chunk = []
    for index, item in enumerate(job.items):
        try:
            packed.append((index, pickle.dumps(item)))
        except Exception as error:
            tally.elsewhere([failure(index, item, error, job.path)])
    size = max(1, len(packed) // (workers * CHUNKS_PER_WORKER))
    chunks = (packed[first : first + size] for first in range(0, len(packed), size))
    for future in as_completed([pool.submit(Worker.work, chunk) for chunk in chunks]):
        answer = future.result()
        for result in answer.results:
            pickle.loads(result)
        tally.elsewhere(answer.errors)
        answers.append(answer)
    return answers


def spent(meter: Meter, answers: list[Answer], tally: Tally) -> Spent:
    """The main process's cost with that of every worker, whose last answer holds its total."""
    tally.in_flight = most_at_once(span for answer in answers for span in answer.spans)
    last: dict[int, Answer] = {}
    for answer in answers:
        if answer.pid not in last or answer.cost.cpu >= last[answer.pid].cost.cpu:
            last[answer.pid] = answer
    if not last:
        return Spent(meter)
    first, *others = last.values()
    cost = sum((each.cost for each in others), start=first.cost)
    return Spent(meter, cost, sum(each.memory for each in last.values()))


class Worker:
    """The far end: the job and the counters of one worker process, and what the pool calls in it."""

    job: Job
    together: Any
    before: Cost

    @classmethod
    def start(cls, path: str, together: Any) -> None:
        cls.job, cls.together = load(Source(path, items=1)), together

    @classmethod
    def ready(cls) -> None:
        """Return when all workers are here: each takes one of these calls, and the clock finds all ready."""
        cls.together.wait(START_TIMEOUT)
        cls.before = Cost.now()

    @classmethod
    def work(cls, chunk: Chunk) -> Answer:
        spans, errors, results = [], [], []
        for index, packed in chunk:
            began = time.monotonic()
            error, item = None, None
            try:
                item = pickle.loads(packed)
                assert cls.job.call is not None
                results.append(pickle.dumps(cls.job.call(item)))
            except RAISED as raised:
                error = failure(index, item, raised, cls.job.path)
            spans.append((began, time.monotonic()))
            errors.append(error)
        return Answer(os.getpid(), spans, errors, results, Cost.now() - cls.before, peak_memory())
