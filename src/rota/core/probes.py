"""What an observer of a loop can hear.

An observer is any object with some of these methods; what it lacks it does not hear:

=========================== =================================================================
``task_created(task)``      a task was made; it has not run yet, unless it started eagerly
``task_done(task)``         a task is done
``before_run(runnable)``    a task, handle or transport comes up in its turn
``after_run(runnable)``     ... and has had it
``before_poll(timeout)``    the loop looks at the waiting, for at most ``timeout`` seconds (negative: no bound)
``after_poll(moved)``       ... and moved so many to ready
=========================== =================================================================

With no observer (and no debug mode) each of these places costs the loop one branch. An observer that raises is taken
off and its exception goes to the loop's exception handler: to be watched must not break a program.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

HOOKS = ("task_created", "task_done", "before_run", "after_run", "before_poll", "after_poll")


class Probes:
    """The observers of one loop, which need not be known here: it is told of those that failed."""

    def __init__(self, loop: Any) -> None:
        self._loop = weakref.ref(loop)  # the loop owns this, and a closed loop should not wait for the collector
        self._observers: list[Any] = []
        self._listeners: dict[str, list[tuple[Any, Callable[[Any], None]]]] = {hook: [] for hook in HOOKS}

    def __len__(self) -> int:
        return len(self._observers)

    def add(self, observer: object) -> None:
        """Let ``observer`` hear from now on."""
        self._observers.append(observer)
        for hook, listeners in self._listeners.items():
            listener = getattr(observer, hook, None)
            if listener is not None:
                listeners.append((observer, listener))

    def remove(self, observer: object) -> None:
        """Let ``observer`` hear no more. Nothing happens if it never did."""
        self._observers = [other for other in self._observers if other is not observer]
        for hook, listeners in self._listeners.items():
            self._listeners[hook] = [pair for pair in listeners if pair[0] is not observer]

    def task_created(self, task: Any) -> None:
        self._tell("task_created", task)

    def task_done(self, task: Any) -> None:
        self._tell("task_done", task)

    def before_run(self, runnable: Any) -> None:
        self._tell("before_run", runnable)

    def after_run(self, runnable: Any) -> None:
        self._tell("after_run", runnable)

    def before_poll(self, timeout: float) -> None:
        self._tell("before_poll", timeout)

    def after_poll(self, moved: int) -> None:
        self._tell("after_poll", moved)

    def _tell(self, hook: str, what: Any) -> None:
        for observer, listener in self._listeners[hook]:
            try:
                listener(what)
            except Exception as error:
                loop = self._loop()
                if loop is None:
                    return
                loop.unobserve(observer)
                loop.call_exception_handler(
                    {
                        "message": f"{hook} of observer {observer!r} failed; it hears no more",
                        "exception": error,
                    }
                )
