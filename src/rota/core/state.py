"""What those who run on a loop see of it: futures and tasks push to its ready list and ask if they are watched.

It stands apart from ``turn`` because the loop knows futures and tasks, and they must not know the turn.
"""

from __future__ import annotations

from typing import Any

from .ended import Ended
from .probes import Probes
from .ready import Ready


class LoopState:
    """The part of a loop that futures, tasks and handles use."""

    __slots__ = ("_debug", "_ended", "_observed", "_probes", "_ready", "_stepping", "_thread_id")

    _ready: Ready
    _probes: Probes
    #: How the coroutine that was stepped last has ended, for the moment until its task is told.
    _ended: Ended
    #: Debug mode.
    _debug: bool
    #: Debug mode, or somebody listens to the probes.
    _observed: bool
    #: A task runs, or has just run: asyncio's book names it as the current one until somebody runs who is no task.
    #: Where tasks follow one another, as they mostly do, the book is written once a step instead of twice.
    _stepping: bool
    #: The thread that runs the loop, or None while none does.
    _thread_id: int | None

    def is_running(self) -> bool:
        return self._thread_id is not None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Told of every exception that nobody awaits. ``core.trouble`` says where it goes."""
        raise NotImplementedError

    def _forget_timer(self, timer: Any) -> None:
        """Told of each timer that is cancelled while it waits."""
        raise NotImplementedError
