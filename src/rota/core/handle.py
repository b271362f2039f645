"""One call: now (:class:`Handle`) or at a time (:class:`TimerHandle`).

Both answer ``isinstance`` for asyncio's class of the same name, though they are none of it: asyncio's are plain
Python, and these are what a turn runs a million times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from . import native
from .debugging import callback_source, source_traceback
from .runnable import Runnable

if TYPE_CHECKING:
    from .state import LoopState


class Handle(Runnable):
    """A callback with its arguments and its context, waiting for its turn. Made by ``call_soon`` and its like."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_loop", "_source_traceback")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.Handle

    def __init__(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: LoopState,
        context: Context | None = None,
    ) -> None:
        self._prepare(callback, tuple(args), loop, context)

    def _prepare(
        self, callback: Callable[..., Any], args: tuple[Any, ...], loop: LoopState, context: Context | None
    ) -> None:
        if loop is None:
            raise TypeError("a handle needs rota's loop, not None")
        self._callback: Callable[..., Any] | None = callback
        self._args: tuple[Any, ...] | None = args
        self._loop = loop
        self._context = native.copy_context() if context is None else context
        self._cancelled = False
        self._is_task = False
        self._queued = False
        self._source_traceback: Any = source_traceback() if loop._debug else None

    def __repr__(self) -> str:
        words = [type(self).__name__]
        if self._cancelled:
            words.append("cancelled")
        self._describe_time(words)
        if self._callback is not None:
            words.append(callback_source(self._callback, self._args, self._loop._debug))
        if self._source_traceback:
            frame = self._source_traceback[-1]
            words.append(f"created at {frame[0]}:{frame[1]}")
        return f"<{' '.join(words)}>"

    def _describe_time(self, words: list[str]) -> None:
        """Add when it runs, if that is not as soon as can be."""

    def get_context(self) -> Context:
        """The context in which the callback runs."""
        return self._context

    def cancel(self) -> None:
        """Don't run the callback. Nothing happens if it ran or was cancelled before."""
        if not self._cancelled:
            self._cancelled = True
            # What the callback holds on to is let go now, not when the handle comes up.
            self._callback = None
            self._args = None

    def cancelled(self) -> bool:
        return self._cancelled

    def _run(self) -> None:
        if self._cancelled:
            return
        error = native.run(self._context, self._callback, self._args)  # type: ignore[arg-type]
        if error is not None:
            self._failed(error)
        # What was raised in there may be kept, with this frame in plain Python.
        self = None  # type: ignore[assignment]  # noqa: PLW0642

    def _failed(self, error: BaseException) -> None:
        """The callback raised ``error``."""
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            try:
                raise error
            finally:
                # In plain Python its traceback leads here: the two would hold one another.
                del self, error
        source = "a cancelled callback"
        if self._callback is not None:
            source = callback_source(self._callback, self._args, self._loop._debug)
        trouble = {"message": f"Exception in callback {source}", "exception": error, "handle": self}
        if self._source_traceback:
            trouble["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(trouble)


class TimerHandle(Handle):
    """A call that waits for its time on the loop's clock."""

    __slots__ = ("_number", "_place", "_scheduled", "_when")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.TimerHandle

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: LoopState,
        context: Context | None = None,
    ) -> None:
        self._prepare(callback, tuple(args), loop, context)
        self._wait_for(when)

    def _wait_for(self, when: float) -> None:
        self._when = when
        self._number = 0  # the timers give it one, so that equal times come up in the order in which they were asked
        self._scheduled = False  # in the timers?
        self._place = -1  # ... and there among the young, or not

    def _describe_time(self, words: list[str]) -> None:
        words.append(f"when={self._when}")

    def when(self) -> float:
        """The time on the loop's clock, in seconds."""
        return self._when

    # As asyncio's: ordered by time, and equal if they'd do the same at the same time.

    def __hash__(self) -> int:
        return hash(self._when)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimerHandle):
            return NotImplemented
        return (
            self._when == other._when
            and self._callback == other._callback
            and self._args == other._args
            and self._cancelled == other._cancelled
        )

    def __lt__(self, other: object) -> bool:
        return self._when < other._when if isinstance(other, TimerHandle) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self._when < other._when or self == other if isinstance(other, TimerHandle) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self._when > other._when if isinstance(other, TimerHandle) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self._when > other._when or self == other if isinstance(other, TimerHandle) else NotImplemented

    def cancel(self) -> None:
        if not self._cancelled:
            # First, so that a sweep that this one sets off takes it along.
            Handle.cancel(self)
            if self._scheduled:
                self._loop._forget_timer(self)


UNTOUCHED_HANDLE = native.untouched(Handle)
UNTOUCHED_TIMER = native.untouched(TimerHandle)


def new_handle(callback: Callable[..., Any], args: tuple[Any, ...], loop: LoopState, context: Context | None) -> Handle:
    """A Handle, without the price of a Python-level call."""
    handle = native.another(UNTOUCHED_HANDLE)
    handle._prepare(callback, args, loop, context)
    return handle


def new_timer(
    when: float, callback: Callable[..., Any], args: tuple[Any, ...], loop: LoopState, context: Context | None
) -> TimerHandle:
    """A TimerHandle, without the price of a Python-level call."""
    timer = native.another(UNTOUCHED_TIMER)
    timer._prepare(callback, args, loop, context)
    timer._wait_for(when)
    return timer
