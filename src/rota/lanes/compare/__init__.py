"""Compare: run the same work in every model, measure it, and say which model to use.

    report = compare("job.py")              # a file with items and job(item)
    report = compare(None)                  # three built-in jobs against a local server
    report = compare("job.py", on="dask://host:8786")      # on a cluster as well

Every job runs in every model that can run it, each in a fresh process, one after the other: the figures don't
mix. The verdict comes from the figures alone.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import closing, nullcontext

from ...errors import UsageError
from ...version import VERSION
from ..machine import cores
from . import builtin
from .job import Source
from .models import CLUSTER, MODELS, missing
from .parent import Message, ask, describe_job, run_of
from .report import Comparison, Report, Run
from .verdict import decide

__all__ = ["MODELS", "Comparison", "Report", "Watcher", "compare"]


class Watcher:
    """Who wants to see the comparison while it runs; this one looks away."""

    def job(self, title: str, notices: Sequence[str]) -> None:
        """A job is about to run; ``notices`` are lines about what is left out."""

    def progress(self, model: str, done: int, total: int) -> None:
        """A model runs: called about ten times a second."""

    def ended(self, run: Run, total: int) -> None:
        """A model has run."""

    def compared(self, comparison: Comparison) -> None:
        """All models have run the job."""


def compare(
    path: str | None,
    *,
    watcher: Watcher | None = None,
    models: Sequence[str] = MODELS,
    items: int | None = None,
    concurrency: int | None = None,
    on: str | None = None,
) -> Report:
    """Compare the job in the file at ``path``, or the built-in jobs for None, and return the report.

    ``items`` takes only the first so many, ``concurrency`` is how many run at once; None leaves both to the
    job. ``on`` is the address of a Dask cluster, ``dask://host:port``: the job runs there too, which the built-in
    ones can't, whose server is on this machine. Raises UsageError for a model, a number or an address that isn't
    one, or a file that defines no job; MissingExtra when the built-in jobs or the cluster lack a library. An item
    that raises is no exception but a figure of its Run, and so is a cluster that is not there.
    """
    from ... import COMPILED  # here, since the package's own door may import this room

    check(models, items, concurrency, on)
    if on is not None:
        check_cluster(on, path)
        models = [*(model for model in models if model != CLUSTER), CLUSTER]
    if path is None:
        jobs = [(builtin.path(name), name, title) for name, title in builtin.JOBS]
    else:
        jobs = [(path, os.path.basename(path), os.path.basename(path))]
    with builtin.sites() if path is None else nullcontext():
        comparisons = [
            compare_job(Source(file, items, concurrency), name, title, watcher or Watcher(), models, on)
            for file, name, title in jobs
        ]
    return Report(VERSION, COMPILED, platform.python_version(), cores(), tuple(comparisons))


def check(models: Sequence[str], items: int | None, concurrency: int | None, on: str | None) -> None:
    for model in models:
        if model == CLUSTER and on is None:
            raise UsageError("dask takes the address of a cluster: --on dask://host:port")
        if model not in (*MODELS, CLUSTER):
            raise UsageError(f"no model is called {model!r}: choose from {', '.join(MODELS)}")
    if not models:
        raise UsageError(f"no model to compare: choose from {', '.join(MODELS)}")
    for name, number in (("items", items), ("concurrency", concurrency)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be at least 1, not {number}")


def check_cluster(on: str, path: str | None) -> None:
    """Before anything runs: better now than after two minutes."""
    from ..cluster import Cluster

    Cluster(on)
    if path is None:
        raise UsageError(f"on={on!r} takes a job file: the built-in jobs talk to a server on this machine")


def compare_job(
    source: Source, name: str, title: str, watcher: Watcher, models: Sequence[str], on: str | None
) -> Comparison:
    found = describe_job(source)
    runnable, notices = choose(models, found)
    if not runnable:
        raise UsageError("no model left to run: " + "; ".join(notices))
    watcher.job(title, notices)
    runs = tuple(run_model(source, model, watcher, found["items"], on) for model in runnable)
    verdict = decide(runs, found["call_async"])
    comparison = Comparison(name, title, found["items"], found["concurrency"], tuple(notices), runs, verdict)
    watcher.compared(comparison)
    return comparison


def choose(models: Sequence[str], found: Message) -> tuple[list[str], list[str]]:
    """Those of the models that can run the job, each once, and a line for each reason why others can't."""
    runnable: list[str] = []
    left_out: dict[str, list[str]] = {}
    for model in dict.fromkeys(models):
        why = missing(model, found["call"], found["call_async"])
        if why is None:
            runnable.append(model)
        else:
            left_out.setdefault(why, []).append(model)
    notices = [*found["notices"], *(f"{', '.join(names)} left out: {why}" for why, names in left_out.items())]
    if "sync" in runnable and not found["call"]:
        notices.append("sync: no plain def job, so asyncio's loop awaits it one item at a time")
    if CLUSTER in runnable:
        cpu = "only the items' own CPU" if found["call"] else "no CPU"
        notices.append(f"dask: of the cluster {cpu} is counted; memory and switches are this program's")
    return runnable, notices


def run_model(source: Source, model: str, watcher: Watcher, total: int, on: str | None) -> Run:
    done = 0
    run: Run | None = None
    with closing(ask(source, model, on)) as messages:
        for message in messages:
            if message is not None:
                done = message.get("done", done)
                run = run or run_of(model, done, total, message)
            if run is None:
                watcher.progress(model, done, total)
    assert run is not None
    watcher.ended(run, total)
    return run
