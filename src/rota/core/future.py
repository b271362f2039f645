"""A result that arrives later, and the tasks and callbacks that wait for it.

:class:`Future` keeps the contract of :class:`asyncio.Future` (PEP 3156), the private names that libraries read
included, and answers ``isinstance`` for it. What differs is how it wakes: whoever waits is a
:class:`~rota.core.runnable.Runnable` that goes to the ready list itself. The first one stands in ``_waiter``, since
most futures are awaited by one task; all others stand in ``_others`` in the order in which they came. A callback stands
there as the handle that will call it.

====================== ====================================================================
``_status``            PENDING, then CANCELLED or FINISHED, once
``_result``            the result, when FINISHED without an exception
``_exception``         the exception, when FINISHED with one; ``_exception_tb`` its traceback
``_cancel_message``    what ``cancel`` was given, for the CancelledError made when it is asked for
``_unretrieved``       an exception is here that nobody has looked at
====================== ====================================================================
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from asyncio import base_futures
from asyncio.exceptions import CancelledError, InvalidStateError
from collections.abc import Callable, Generator, Iterator
from contextvars import Context
from types import GenericAlias, TracebackType
from typing import Any

from . import native
from .debugging import source_traceback
from .handle import Handle, new_handle
from .ready import Ready
from .runnable import Runnable
from .state import LoopState
from .states import CANCELLED, FINISHED, PENDING, STATES

#: Since Python 3.12 there is no more to throw() than the exception.
THROW_TAKES_ONE = sys.version_info >= (3, 12)


def wraps_stop_iteration() -> bool:
    """Whether the futures of this Python take a StopIteration, as the cause of a RuntimeError, or refuse it with
    TypeError. They are asked: that changed in bug-fix releases of 3.12 (gh-112182 of CPython).
    """

    class Loop:
        def get_debug(self) -> bool:
            return False

    future: asyncio.Future[None] = asyncio.Future(loop=Loop())  # type: ignore[arg-type]
    try:
        future.set_exception(StopIteration())
    except TypeError:
        return False
    return future.exception() is not None


WRAP_STOP_ITERATION = wraps_stop_iteration()
STOP_ITERATION = "StopIteration interacts badly with generators and cannot be raised into a Future"


class Future(Runnable):
    """A result that arrives later. Made by ``loop.create_future()``."""

    __slots__ = (
        "__dict__",
        "_asyncio_future_blocking",
        "_cancel_message",
        "_cancelled_exc",
        "_exception",
        "_exception_tb",
        "_loop",
        "_others",
        "_ready",
        "_result",
        "_source_traceback",
        "_status",
        "_unretrieved",
        "_waiter",
    )

    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.Future

    def __init__(self, *, loop: LoopState | None = None) -> None:
        self._prepare(loop_of(loop))

    def _prepare(self, loop: Any) -> None:
        self._loop = loop
        self._ready: Ready = loop._ready
        self._status = PENDING
        self._waiter: Runnable | None = None
        self._others: list[Any] | None = None
        self._result: Any = None
        self._exception: BaseException | None = None
        self._exception_tb: TracebackType | None = None
        self._cancel_message: Any = None
        self._cancelled_exc: BaseException | None = None
        self._unretrieved = False
        self._is_task = False
        self._queued = False
        # Set while the future is handed from `await` to the task that drives the coroutine (asyncio's protocol).
        self._asyncio_future_blocking = False
        self._source_traceback: Any = source_traceback() if loop._debug else None

    # -- for whoever waits --------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._iterate()  # type: ignore[return-value]

    def __iter__(self) -> Generator[Any, Any, Any]:
        return self._iterate()  # type: ignore[return-value]

    def _iterate(self) -> FutureIterator:
        iterator = native.another(UNTOUCHED_ITERATOR)
        iterator._future = self
        iterator._given = False
        return iterator

    def add_done_callback(self, fn: Callable[..., object], /, *, context: Context | None = None) -> None:
        """Call ``fn(self)`` in a turn after the one in which this future is done."""
        self._check_made()
        if self._status != PENDING:
            self._ready.push(new_handle(fn, (self,), self._loop, context))
        else:
            # Without its argument: the two would hold one another.
            self._add_waiter(new_handle(fn, (), self._loop, context))

    def remove_done_callback(self, fn: Callable[..., object], /) -> int:
        """Forget every callback that equals ``fn``; returns how many there were."""
        self._check_made()
        others = self._others or ()
        kept = []
        for waiter in others:
            if not calls(waiter, fn):
                kept.append(waiter)
        removed = len(others) - len(kept)
        first = self._waiter
        if calls(first, fn):
            removed += 1
            first = kept.pop(0) if kept else None
        if removed:
            # Equality is the program's: it may have had this future finish.
            self._waiter = first if self._status == PENDING else None
            self._others = kept or None if self._status == PENDING else None
        return removed

    def _add_waiter(self, waiter: Runnable) -> None:
        """Make ``waiter`` ready once this future is done."""
        self._check_made()
        if self._status != PENDING:
            # A callback too: what was collected while its handle was made may have had this future finish.
            self._wake(waiter)
        elif self._others is not None:
            self._others.append(waiter)
        elif self._waiter is None:
            self._waiter = waiter
        else:
            others = [waiter]  # which may set off a garbage collection (Python 3.11), too
            if self._status == PENDING and self._others is None:
                self._others = others
            else:
                self._add_waiter(waiter)

    # -- for whoever finishes -----------------------------------------------------------------------------------

    def set_result(self, result: Any, /) -> None:
        """Be done with ``result``. Raises InvalidStateError if already done."""
        self._check_pending()
        self._result = result
        self._finish(FINISHED)

    def set_exception(self, exception: BaseException | type[BaseException], /) -> None:
        """Be done with ``exception``, an instance or a class. Raises InvalidStateError if already done."""
        self._check_pending()
        self._fail(exception)

    def cancel(self, msg: Any = None) -> bool:
        """Be done as cancelled; False if already done."""
        self._unretrieved = False
        if self._status != PENDING:
            return False
        self._check_made()
        self._cancel_message = msg
        self._finish(CANCELLED)
        return True

    def _check_made(self) -> None:
        """A subclass that does not call ``super().__init__()`` has no loop."""
        if self._ready is None:
            raise RuntimeError("Future object is not initialized.")

    def _check_pending(self) -> None:
        self._check_made()
        if self._status != PENDING:
            raise InvalidStateError(f"{STATES[self._status]}: {self!r}")

    def _fail(self, exception: Any) -> None:
        if isinstance(exception, type):
            exception = exception()
        if isinstance(exception, StopIteration):
            if not WRAP_STOP_ITERATION:
                raise TypeError(STOP_ITERATION)
            exception = stop_iteration_error(exception)
        if not isinstance(exception, BaseException):
            raise TypeError(f"an exception was expected, got {exception!r}")
        self._exception = exception
        self._exception_tb = exception.__traceback__
        self._unretrieved = True
        self._finish(FINISHED)

    def _finish(self, status: int) -> None:
        """Be done, and move everybody who waits to ready."""
        self._status = status
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            self._wake(waiter)
        others = self._others
        if others is not None:
            self._others = None
            for waiter in others:
                self._wake(waiter)

    def _wake(self, waiter: Runnable) -> None:
        """Move ``waiter`` to ready, a callback with its argument."""
        if type(waiter) is Handle:
            handle: Any = waiter
            handle._args = (self,)
            if self._loop._debug:
                handle._source_traceback = source_traceback()
        self._ready.push(waiter)

    # -- what has become of it ----------------------------------------------------------------------------------

    def done(self) -> bool:
        return self._status != PENDING

    def cancelled(self) -> bool:
        return self._status == CANCELLED

    def result(self) -> Any:
        """The result; raises the exception, CancelledError, or InvalidStateError before it is done."""
        if self._status == FINISHED:
            self._unretrieved = False
            if self._exception is not None:
                try:
                    raise self._raised()
                finally:
                    # Uncompiled, the exception holds this frame, which would hold the exception.
                    del self
            return self._result
        if self._status == CANCELLED:
            raise self._make_cancelled_error()
        raise InvalidStateError("Result is not set.")

    def exception(self) -> BaseException | None:
        """The exception or None; raises CancelledError, or InvalidStateError before it is done."""
        if self._status == FINISHED:
            self._unretrieved = False
            return self._exception
        if self._status == CANCELLED:
            raise self._make_cancelled_error()
        raise InvalidStateError("Exception is not set.")

    def get_loop(self) -> Any:
        self._check_made()
        return self._loop

    def _make_cancelled_error(self) -> BaseException:
        """The CancelledError to raise: the one that ended the coroutine, once, then new ones."""
        error = self._cancelled_exc
        if error is not None:
            self._cancelled_exc = None
            return error
        if self._cancel_message is None:
            return CancelledError()
        return CancelledError(self._cancel_message)

    def _trouble(self) -> BaseException | None:
        """What a task that awaited this gets thrown: the exception, a CancelledError, or None. It is done."""
        if self._status == CANCELLED:
            return self._make_cancelled_error()
        if self._exception is not None:
            self._unretrieved = False
            return self._raised()
        return None

    def _raised(self) -> BaseException:
        """The exception to raise: the first time with the traceback with which it came. Whoever asks again, as each of
        several waiters does, would else see where it was raised before, in others; asyncio's C has it so.
        """
        error: Any = self._exception
        error = error.with_traceback(self._exception_tb)
        self._exception_tb = None
        return error  # type: ignore[no-any-return]

    # -- names that libraries and asyncio's own helpers read -----------------------------------------------------

    @property
    def _state(self) -> str:
        return STATES[self._status]

    @property
    def _callbacks(self) -> list[tuple[Any, Any]] | None:
        waiters: list[Any] = [] if self._waiter is None else [self._waiter]
        waiters += self._others or []
        pairs: list[tuple[Any, Any]] = []
        for waiter in waiters:
            if type(waiter) is Handle:
                pairs.append((waiter._callback, waiter._context))
            else:
                pairs.append((getattr(waiter, "_wakeup", waiter), getattr(waiter, "_context", None)))
        return pairs or None

    @property
    def _log_traceback(self) -> bool:
        return self._unretrieved

    @_log_traceback.setter
    def _log_traceback(self, value: object) -> None:
        if value:
            raise ValueError("_log_traceback can only be set to False")
        self._unretrieved = False

    def __repr__(self) -> str:
        words = base_futures._future_repr_info(self)  # type: ignore[arg-type]
        return f"<{type(self).__name__} {' '.join(words)}>"

    def __del__(self) -> None:
        try:
            unretrieved = self._unretrieved
        except AttributeError:  # in plain Python, when __init__ refused its arguments
            return
        if unretrieved:
            self._report_unretrieved()

    def _report_unretrieved(self) -> None:
        trouble = {
            "message": f"{type(self).__name__} exception was never retrieved",
            "exception": self._exception,
            "future": self,
        }
        if self._source_traceback:
            trouble["source_traceback"] = self._source_traceback
        self._report(trouble)

    def _report(self, trouble: dict[str, Any]) -> None:
        """For a finalizer: what the loop makes of it is raised nowhere."""
        try:
            self._loop.call_exception_handler(trouble)
        except BaseException as error:
            native.unraisable(self, error)


class FutureIterator:
    """What ``await future`` runs: give the future to the task once, then its result to the coroutine."""

    __slots__ = ("_future", "_given")

    _future: Future | None
    _given: bool

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        future = go_on(self)
        if future is None:
            raise StopIteration(native.given())
        return future

    def send(self, value: object, /) -> Any:
        return self.__next__()

    def throw(self, kind: Any, /, *rest: Any) -> Any:
        """Raise in the coroutine that awaits; this iterator is over. Given is an exception, or its class, value and
        traceback as before Python 3.12.
        """
        if rest and THROW_TAKES_ONE:
            text = "the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead."
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        self._future = None
        value = rest[0] if rest else None
        trace = rest[1] if len(rest) > 1 else None
        if isinstance(kind, BaseException):
            if value is not None:
                raise TypeError("instance exception may not have a separate value")
            try:
                raise kind.with_traceback(trace) if trace is not None else kind
            finally:
                # Its traceback leads to this frame in plain Python: the two would hold one another.
                kind = None
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError("exceptions must be classes deriving BaseException or instances of such a class")
        error = value if isinstance(value, BaseException) else kind() if value is None else kind(value)
        raise error.with_traceback(trace)

    def close(self) -> None:
        self._future = None


UNTOUCHED = native.untouched(Future)
UNTOUCHED_ITERATOR = native.untouched(FutureIterator)


def go_on(iterator: Any) -> Future | None:
    """The future while it is pending; then None, with its result left to ``native.given``; or raises what it has."""
    it: FutureIterator = iterator
    future = it._future
    if future is None:
        native.give(None)
        return None
    if future._status == PENDING:
        if it._given:
            it._future = None
            raise RuntimeError("await wasn't used with future")
        it._given = True
        future._asyncio_future_blocking = True
        return future
    it._future = None
    if future._status == FINISHED and future._exception is None:
        native.give(future._result)
        return None
    try:
        native.give(future.result())
    finally:
        # Uncompiled, the exception holds this frame, which would hold the exception.
        future = None
    return None


native.iterate_by(FutureIterator, go_on)


def calls(waiter: Any, callback: object) -> bool:
    """Whether ``waiter`` is a handle of ``callback`` or what equals it."""
    if type(waiter) is not Handle:
        return False
    handle: Handle = waiter
    return bool(handle._callback == callback)


def loop_of(given: Any) -> LoopState:
    """The loop for a future: ``given``, or the current one for None. Raises TypeError unless it is rota's."""
    loop = asyncio.get_event_loop() if given is None else given
    if not isinstance(loop, LoopState):
        raise TypeError(f"rota's futures and tasks need rota's loop, not {loop!r}: start the program with rota.run()")
    if loop._ready is None:
        raise RuntimeError(f"{type(loop).__name__}.__init__ did not call super().__init__()")
    return loop


def stop_iteration_error(stop: StopIteration) -> RuntimeError:
    """What a future holds in place of ``stop``, which would end whatever generator awaits it. As asyncio has it."""
    error = RuntimeError(STOP_ITERATION)
    error.__cause__ = stop
    error.__context__ = stop
    return error


def new_future(loop: Any) -> Future:
    """A Future, without the price of a Python-level call."""
    future = native.another(UNTOUCHED)
    future._prepare(loop)
    return future
