"""Job: the work to compare, read from a Python file.

The file defines ``items`` (any iterable, or a callable that returns one) and ``job(item)``: ``def``, ``async
def``, or both kinds with the async one under the name ``job_async``. It may define ``concurrency`` (how many
at once) and ``async def close()``, awaited on the loop after the last item, for what the async jobs share.

    items = range(100)
    def job(item): ...
    async def job_async(item): ...

The file is executed under the name ``rota_job`` in every process that runs it, so what it defines can be
pickled between them; like a script it sees its own directory first on ``sys.path`` and leaves no
``__pycache__`` behind. A cluster gets the function by value and never sees the file.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sized
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ...errors import RotaError, UsageError

#: Items taken from an iterable that doesn't say its length: it may be endless, and a thousand are enough for
#: a figure.
UNSIZED_ITEMS = 1000

#: How many at once when nobody says: where ThreadPoolExecutor's own default stops, and what a stranger's
#: server bears.
DEFAULT_CONCURRENCY = 32

#: The name under which the file is a module, the same in every process, so that what it defines pickles.
MODULE = "rota_job"

#: What an item may raise without ending the run.
RAISED = (Exception, SystemExit, asyncio.CancelledError)

#: Characters of an item in an error: enough for a URL, and the line stays a line.
ITEM_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Source:
    """Where a job comes from: a file, and what was asked for beyond it.

    ``items`` takes only the first so many, ``concurrency`` beats the file's own; None leaves it to the file.
    """

    path: str
    items: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: the items, taken once, and the function for one of them in either or both kinds."""

    path: str
    items: list[Any]
    call: Callable[[Any], Any] | None
    call_async: Callable[[Any], Awaitable[Any]] | None
    close: Callable[[], Awaitable[Any]] | None
    concurrency: int
    notices: tuple[str, ...]


def load(source: Source) -> Job:
    """Execute the file and return its job.

    Raises UsageError, with the line where there is one, for a file that can't be read, that raises, or that
    doesn't define a job.
    """
    path = source.path
    module = execute(path)
    call, call_async = functions(module, path)
    taken, notices = take(module, path, source.items)
    close = getattr(module, "close", None)
    if close is not None and not inspect.iscoroutinefunction(close):
        raise UsageError(f"{path}: close must be an async def")
    concurrency = source.concurrency or own_concurrency(module, path)
    return Job(path, taken, call, call_async, close, concurrency, notices)


def execute(path: str) -> ModuleType:
    module = ModuleType(MODULE)
    module.__file__ = path
    sys.modules[MODULE] = module
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise UsageError(f"can't read the job file {path}: {error.strerror}") from None
    try:
        exec(compile(source, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise UsageError(f"the job file can't be imported: {describe(error, path)}") from None
    return module


Functions = tuple[Callable[[Any], Any] | None, Callable[[Any], Awaitable[Any]] | None]


def functions(module: ModuleType, path: str) -> Functions:
    job = getattr(module, "job", None)
    twin = getattr(module, "job_async", None)
    if not callable(job):
        raise UsageError(f"{path} defines no job: write def job(item) or async def job(item)")
    if inspect.iscoroutinefunction(job):
        if twin is not None:
            raise UsageError(f"{path}: job is async already: make it a plain def, or remove job_async")
        return None, job
    if twin is not None and not inspect.iscoroutinefunction(twin):
        raise UsageError(f"{path}: job_async must be an async def")
    return job, twin


def take(module: ModuleType, path: str, limit: int | None) -> tuple[list[Any], tuple[str, ...]]:
    """The first ``limit`` items; without one all of what has a length and a bounded part of what hasn't."""
    if not hasattr(module, "items"):
        raise UsageError(f"{path} defines no items: write items = [...], one element for each call of job")
    notices: tuple[str, ...] = ()
    most = None if limit is None else min(limit, sys.maxsize)  # islice takes no more
    try:
        source: Iterable[Any] = module.items() if callable(module.items) else module.items
        unsized = limit is None and not isinstance(source, Sized)
        iterator = iter(source)
        taken = list(itertools.islice(iterator, UNSIZED_ITEMS if unsized else most))
        more = unsized and len(taken) == UNSIZED_ITEMS and next(iterator, MODULE) is not MODULE
    except (Exception, SystemExit) as error:
        raise UsageError(f"the items of {path} can't be read: {describe(error, path)}") from None
    if not taken:
        raise UsageError(f"{path}: items is empty, so there is nothing to compare")
    if more:
        notices = (f"only the first {UNSIZED_ITEMS} items: there are more, --items N takes N of them",)
    return taken, notices


def own_concurrency(module: ModuleType, path: str) -> int:
    value = getattr(module, "concurrency", DEFAULT_CONCURRENCY)
    if not isinstance(value, int) or value < 1:
        raise UsageError(f"{path}: concurrency must be a whole number of at least 1, not {value!r}")
    return value


async def close(job: Job) -> None:
    """What the file wants done on the loop after the last item. Raises RotaError for whatever it raises."""
    if job.close is None:
        return
    try:
        await job.close()
    except RAISED as raised:
        raise RotaError(f"close() raised {describe(raised, job.path)}") from None


def describe(error: BaseException, path: str) -> str:
    """One line for what a job file raised: where in the file, if there, then the error's own first line."""
    line: int | None = None
    if isinstance(error, SyntaxError) and error.filename == path:
        line = error.lineno
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == path:
            line = frame.lineno
    message = error.msg if isinstance(error, SyntaxError) else first_line(error)
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if line is None else f"{path}:{line}: {text}"


def first_line(error: BaseException) -> str:
    """The first line of the error's text that says something; empty where there is none."""
    try:
        lines = (line.strip() for line in str(error).splitlines())
        return next(filter(None, lines), "")
    except Exception:
        return ""


def failure(index: int, item: object, error: BaseException, path: str) -> str:
    """One line: which item (counted from 0, as in ``items``), and what it raised where."""
    return f"item {index} ({shown(item)}): {describe(error, path)}"


def shown(item: object) -> str:
    """An item in a few words, whatever its own repr does."""
    try:
        text = " ".join(repr(item).split())
    except Exception:
        text = f"<{type(item).__name__}>"
    return text if len(text) <= ITEM_SHOWN else text[: ITEM_SHOWN - 3] + "..."
