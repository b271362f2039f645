"""Note: what became of one item, written where it ran.

``rota.map`` decides where an item runs, and brings back a result; when it began and ended, in which process, and what
it raised on which line is known only there. So the job's function goes into a map as a ``Noted``, which the lanes take
for the function inside: its figures, its safety and its name are the job's own.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .job import MODULE, RAISED, Job, describe, execute, functions, shown

#: The process; when the item began and ended, on the clock that machines share; the seconds that its thread computed;
#: the item in a few words and what it raised, or None; the result. A plain tuple: it may come from a machine without
#: rota.
Note = tuple[int, float, float, float, tuple[str, str] | None, Any]

N = TypeVar("N", bound="Noted")


class Noted(functools.partial[Any]):
    """A job's function that returns a ``Note``, whatever it raises that is no end of the whole run.

    Another process gets it by the job's file, which it executes as the processes model does.
    """

    path: str
    note: Callable[..., Any]

    def __call__(self, item: Any) -> Any:
        return self.note(self.func, self.path, item)

    def __reduce__(self) -> tuple[Any, ...]:
        return from_file, (self.path,)


class Sent(Noted):
    """The same for other machines, which have neither the file nor rota: by value, with what the function uses."""

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial, (self.note, self.func, self.path)


def noted(job: Job) -> Noted:
    """The job's plain function, if it has one, else its coroutine function."""
    return make(Noted, job.call or job.call_async, job.path)


def sent(job: Job) -> Sent:
    """The same, ready for other machines; cloudpickle is told what they lack."""
    import cloudpickle

    for name in (MODULE, __name__, describe.__module__):
        cloudpickle.register_pickle_by_value(sys.modules[name])
    return make(Sent, job.call or job.call_async, job.path)


def make(kind: type[N], function: Any, path: str) -> N:
    made = kind(function)
    made.path = path
    made.note = note_async if inspect.iscoroutinefunction(function) else note
    return made


def from_file(path: str) -> Noted:
    """In a worker: the plain function of the job in the file, which is executed once."""
    return make(Noted, functions(sys.modules.get(MODULE) or execute(path), path)[0], path)


def note(function: Callable[[Any], Any], path: str, item: Any) -> Note:
    began, computed = time.time(), time.thread_time()
    error = result = None
    try:
        result = function(item)
    except RAISED as raised:
        error = shown(item), describe(raised, path)
    return os.getpid(), began, time.time(), time.thread_time() - computed, error, result


async def note_async(function: Callable[[Any], Awaitable[Any]], path: str, item: Any) -> Note:
    """The same; what it computed is not known, as others compute in its thread meanwhile."""
    began = time.time()
    error = result = None
    try:
        result = await function(item)
    except RAISED as raised:
        error = shown(item), describe(raised, path)
    return os.getpid(), began, time.time(), 0.0, error, result
