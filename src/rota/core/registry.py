"""asyncio's own book of tasks, so that ``asyncio.all_tasks`` and ``asyncio.current_task`` know rota's.

A task of rota is entered with a strong reference and taken out when it is done: a task that nobody else refers to
runs to its end (asyncio keeps weak references and may lose it). Where Python has a set of eager tasks (3.12 and
later), that set is the book: it costs far less than a ``WeakSet``. Python 3.11 has only the ``WeakSet``, so a set here
holds the reference.

``current_tasks`` is the dictionary of Python 3.11 to 3.13 from a loop to its current task; where there is none (3.14
keeps the current task in the thread's state), ``swap_current`` does the same through asyncio's functions.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from typing import Any

tasks: Any = asyncio.tasks

#: The dictionary of current tasks, loop by loop, or None where Python keeps none.
current_tasks: dict[Any, Any] | None = tasks._current_tasks if sys.version_info < (3, 14) else None

#: The set that holds every unfinished task of rota, and on Python 3.12 and 3.13 asyncio's own set of eager tasks.
unfinished: set[Any] = tasks._eager_tasks if (3, 12) <= sys.version_info < (3, 14) else set()

#: Whether ``unfinished`` alone makes a task known to asyncio.
UNFINISHED_IS_BOOK = (3, 12) <= sys.version_info < (3, 14)


def enrol(task: Any) -> None:
    """Make ``task`` known to ``asyncio.all_tasks``, where ``unfinished`` alone does not."""
    if sys.version_info >= (3, 14):
        tasks._register_eager_task(task)
    else:
        tasks._all_tasks.data.add(weakref.ref(task))


def strike(task: Any) -> None:
    """Take ``task`` out again."""
    if sys.version_info >= (3, 14):
        tasks._unregister_eager_task(task)
    else:
        # ref() gives back the very reference that was entered.
        tasks._all_tasks.data.discard(weakref.ref(task))


def swap_current(loop: Any, task: Any) -> Any:
    """Make ``task`` (or None) the current one of ``loop`` and return who was."""
    if current_tasks is None:
        return tasks._swap_current_task(loop, task)
    previous = current_tasks.pop(loop, None)
    if task is not None:
        current_tasks[loop] = task
    return previous


def abandon(loop: Any) -> None:
    """Let go of the unfinished tasks of a loop that has been closed."""
    for task in [task for task in list(unfinished) if task._loop is loop]:  # a copy: other threads have loops, too
        unfinished.discard(task)
        if not UNFINISHED_IS_BOOK:
            strike(task)


def disown(loop: Any) -> set[Any]:
    """In a forked child: the unfinished tasks of ``loop`` are the parent's. Nobody here finds them any more, to cancel
    them above all, and they end unheard; returns them, to be kept.
    """
    found = asyncio.all_tasks(loop)
    for task in found:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        unfinished.discard(task)
        if not UNFINISHED_IS_BOOK:
            strike(task)
        tasks._unregister_task(task)  # one of asyncio's own
    return found
