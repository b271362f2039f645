"""What can be ready: a task, a handle, a transport with bytes to read. A turn calls the one method that they share."""

from __future__ import annotations


class Runnable:
    """Something that can stand in the ready list. It stands there once at most: ``_queued`` says that it does.

    ``_is_task`` is true for those that run as asyncio's current task.
    """

    __slots__ = ("__weakref__", "_is_task", "_queued")

    _is_task: bool
    _queued: bool

    def _run(self) -> None:
        raise NotImplementedError
