"""A limit on the time of a block of code, with the contract of :func:`asyncio.timeout` as of Python 3.13.

``async with timeout(5):`` sets a timer, and most of the time cancels it again before it comes up. Neither end of the
block waits for anything, so nothing here is a coroutine: what ``async with`` awaits is a :class:`Reached`, which is
over at once.
"""

from __future__ import annotations

import asyncio
from asyncio import tasks
from asyncio.exceptions import CancelledError
from types import TracebackType
from typing import Any

from . import native
from .handle import Handle
from .task import Task
from .turn import LoopCore

get_running_loop = asyncio.get_running_loop
current_task = tasks.current_task

CREATED = 0
ENTERED = 1
EXPIRING = 2  # the task was cancelled; the block has not ended yet
EXPIRED = 3
EXITED = 4
STATES = ("created", "active", "expiring", "expired", "finished")


class Timeout:
    """Made by :func:`timeout` and :func:`timeout_at`; ``async with`` enters it, once."""

    __slots__ = ("__weakref__", "_cancelling", "_core", "_loop", "_status", "_task", "_timer", "_when")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.Timeout

    def __init__(self, when: float | None) -> None:
        self._prepare(when)

    def _prepare(self, when: Any) -> None:
        self._status = CREATED
        self._when = when
        self._loop: Any = None
        self._core: LoopCore | None = None  # the loop, if it is rota's: then it is asked in C
        self._task: Any = None
        self._timer: Any = None
        self._cancelling = 0

    def when(self) -> float | None:
        """The loop's time at which the block is cancelled; None for never."""
        return self._when  # type: ignore[no-any-return]

    def reschedule(self, when: float | None) -> None:
        """Have the block cancelled at ``when`` of the loop's time, at once if that is past, or never for None.

        Raises RuntimeError before the block has begun and after its time was up or it ended.
        """
        if self._status != ENTERED:
            if self._status == CREATED:
                raise RuntimeError("Timeout has not been entered")
            raise RuntimeError(f"Cannot change state of {STATES[self._status]} Timeout")
        self._set(when)

    def expired(self) -> bool:
        """Whether the time was up before the block ended."""
        return self._status in (EXPIRING, EXPIRED)

    def __repr__(self) -> str:
        when = ""
        if self._status == ENTERED:
            when = f" when={None if self._when is None else round(self._when, 3)}"
        return f"<Timeout [{STATES[self._status]}]{when}>"

    def __aenter__(self) -> Reached:
        if self._status != CREATED:
            raise RuntimeError("Timeout has already been entered")
        task = current_task()
        if task is None:
            raise RuntimeError("Timeout should be used inside a task")
        self._meet(get_running_loop())
        self._enter(task)
        self._status = ENTERED
        self._set(self._when)
        return reached(self)

    def _meet(self, loop: Any) -> None:
        if loop is not self._loop:
            self._loop = loop
            self._core = loop if isinstance(loop, LoopCore) else None

    def _enter(self, task: Any) -> None:
        self._task = task
        if isinstance(task, Task):
            mine: Task = task
            self._cancelling = mine._cancels
        else:
            self._cancelling = task.cancelling()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Reached:
        self._stop()
        if self._status == EXPIRING:
            self._status = EXPIRED
            left = self._task.uncancel()
            self._task = None
            # Not if somebody else has asked for the cancellation, too: that one goes on.
            if left <= self._cancelling and error is not None:
                if isinstance(error, CancelledError):
                    raise TimeoutError from error
                say_timeout(error)
                if isinstance(error, ExceptionGroup):
                    for member in error.exceptions:
                        say_timeout(member)
        elif self._status == ENTERED:
            self._status = EXITED
            self._task = None
        return reached(None)

    def _set(self, when: Any) -> None:
        self._when = when
        self._stop()
        if when is None:
            return
        core = self._core
        if core is not None:
            if when > core._clock.time():
                self._timer = core._call_at(when, expire, (self,), None, "call_at")
                return
        elif when > self._loop.time():
            self._timer = self._loop.call_at(when, expire, self)
            return
        self._timer = self._loop.call_soon(expire, self)

    def _stop(self) -> None:
        """Set no timer, or not any more."""
        timer = self._timer
        if timer is not None:
            self._timer = None
            if isinstance(timer, Handle):
                mine: Handle = timer
                mine.cancel()
            else:
                timer.cancel()


def expire(scope: Any) -> None:
    """The time is up."""
    it: Timeout = scope
    it._task.cancel()
    it._status = EXPIRING
    it._timer = None


class Reached:
    """An awaitable that is over at once, with a value."""

    __slots__ = ("_value",)

    _value: Any

    def __await__(self) -> Reached:
        return self

    def __iter__(self) -> Reached:
        return self

    def __next__(self) -> Any:
        go_on(self)
        raise StopIteration(native.given())


def go_on(iterator: Any) -> None:
    it: Reached = iterator
    native.give(it._value)
    it._value = None


native.iterate_by(Reached, go_on)


def reached(value: object) -> Reached:
    it = native.another(UNTOUCHED)
    it._value = value
    return it


def say_timeout(error: BaseException) -> None:
    """Where ``error`` was raised while the cancellation was handled, have it say that this was a timeout."""
    while error.__context__ is not None:
        if isinstance(error.__context__, CancelledError):
            timeout_error = TimeoutError()
            timeout_error.__context__ = timeout_error.__cause__ = error.__context__
            error.__context__ = timeout_error
            return
        error = error.__context__


UNTOUCHED = native.untouched(Reached)
UNTOUCHED_TIMEOUT = native.untouched(Timeout)


def timeout(delay: float | None) -> Timeout:
    """Cancel what the block does when it takes longer than ``delay`` seconds, and raise TimeoutError after it.

    None is no limit, yet; see :meth:`Timeout.reschedule`. The block runs in a task of any loop.
    """
    scope = native.another(UNTOUCHED_TIMEOUT)
    scope._prepare(None)
    scope._meet(get_running_loop())
    if delay is not None:
        core = scope._core
        scope._when = scope._loop.time() + delay if core is None else native.later(core._clock.time(), delay)
    return scope


def timeout_at(when: float | None) -> Timeout:
    """The same, at ``when`` on the loop's clock."""
    return Timeout(when)
