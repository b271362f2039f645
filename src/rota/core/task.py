"""A coroutine being run: one step each time it comes up in the ready list.

:class:`Task` keeps the contract of :class:`asyncio.Task`, with the private names that libraries read, and answers
``isinstance`` for it. A step resumes the coroutine until it awaits something that is not there yet, and then

* a rota future gets the task itself as its waiter: no callback, no handle;
* any other future-like object (asyncio's own among them) gets a callback, through the protocol that asyncio's tasks
  use (``_asyncio_future_blocking``, ``add_done_callback``);
* a bare ``yield`` puts the task behind those that are ready;
* anything else is an error that the coroutine gets thrown in its next step.

======================= ===================================================================
``_fut_waiter``         what it awaits, or None: ready, running or done
``_must_cancel``        ``cancel`` was called and the coroutine has not been told yet
``_cancels``            how many times ``cancel`` was called, less ``uncancel``
``_pending_error``      what the coroutine gets thrown in the next step, or None
======================= ===================================================================
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import base_tasks
from asyncio.exceptions import CancelledError, InvalidStateError
from collections.abc import Coroutine
from contextvars import Context
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from . import native
from .future import Future, loop_of
from .registry import UNFINISHED_IS_BOOK, current_tasks, enrol, strike, swap_current, unfinished
from .states import FINISHED, PENDING

if TYPE_CHECKING:
    from .state import LoopState

#: Since Python 3.13, withdrawing the last request to cancel withdraws a cancellation not yet delivered, too.
UNCANCEL_FORGETS = sys.version_info >= (3, 13)

tasks_made = 0


class Task(Future):
    """A coroutine being run. Made by ``loop.create_task()``."""

    __slots__ = (
        "_cancels",
        "_context",
        "_coro",
        "_fut_waiter",
        "_log_destroy_pending",
        "_must_cancel",
        "_name",
        "_number",
        "_pending_error",
    )

    _coro: Any

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.Task

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        loop: LoopState | None = None,
        name: object = None,
        context: Context | None = None,
        eager_start: bool = False,
    ) -> None:
        self._drive(loop_of(loop), coro, name, context)
        if eager_start and self._loop.is_running():
            self._enrol()
            self._start_eagerly()
            if self._status != PENDING:
                # As in asyncio: a task that has ended at once keeps no coroutine.
                self._coro = None
        else:
            self._ready.push(self)
            self._enrol()

    def _drive(self, loop: Any, coro: Any, name: object, context: Context | None) -> None:
        """Set everything up but the first step."""
        global tasks_made
        self._prepare(loop)
        self._coro = coro
        self._fut_waiter: Any = None
        self._must_cancel = False
        self._log_destroy_pending = False
        self._cancels = 0
        self._is_task = True
        self._number = 0
        self._name: str | None = None
        self._pending_error: BaseException | None = None
        if type(coro) is not CoroutineType and not asyncio.iscoroutine(coro):
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        if name is None:
            tasks_made += 1
            self._number = tasks_made
        else:
            self._name = str(name)
        self._context = native.copy_context() if context is None else context

    def _enrol(self) -> None:
        """Be known to ``all_tasks``, and referred to, until done. Not before the first step is sure to come."""
        self._log_destroy_pending = True
        unfinished.add(self)
        if not UNFINISHED_IS_BOOK:
            enrol(self)

    # -- the step -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """One step, as the loop's current task."""
        if self._status != PENDING:
            # Not by its own end: somebody called Future.set_result() on it, or the like.
            raise InvalidStateError(f"__step(): already done: {self!r}, {self._pending_error!r}")
        # The turn takes this back before anybody runs who is no task (``LoopState._stepping``).
        loop = self._loop
        loop._stepping = True
        if current_tasks is None:
            swap_current(loop, self)
        else:
            current_tasks[loop] = self
        self._step()
        self = None  # type: ignore[assignment]  # noqa: PLW0642 - as in _step

    def _start_eagerly(self) -> None:
        """The first step now, inside the step of whoever made this task (Python 3.12's ``eager_start``)."""
        previous = swap_current(self._loop, self)
        try:
            self._step()
        finally:
            swap_current(self._loop, previous)

    def _wakeup(self, future: Any) -> None:
        """A future of another kind is done: go on with what it brought."""
        try:
            future.result()
        except BaseException as error:
            self._pending_error = error
        future = None  # as in _step
        self._fut_waiter = None
        self._run()
        self = None  # type: ignore[assignment]  # noqa: PLW0642

    def _step(self) -> None:
        """Resume the coroutine with what it waited for, and wait for what it asks for next."""
        error = self._pending_error
        self._pending_error = None
        waited = self._fut_waiter
        if waited is not None:
            self._fut_waiter = None
            if error is None and isinstance(waited, Future):
                awaited = waited
                error = awaited._trouble()
        if self._must_cancel:
            if not isinstance(error, CancelledError):
                error = self._make_cancelled_error()
            self._must_cancel = False
        ended = self._loop._ended
        if error is None:
            outcome = native.step(self._context, self._coro, ended)
        else:
            outcome = native.throw(self._context, self._coro, error, ended)
            # Its traceback leads to this frame in plain Python: the two would hold one another.
            error = waited = awaited = None  # type: ignore[assignment]
        if outcome is None:
            self._ready.push(self)
        elif outcome is ended:
            self._end(ended.take_value(), ended.take_error())
            # What the coroutine raised leads here, too, and would keep the task with it.
            self = None  # type: ignore[assignment]  # noqa: PLW0642
        elif isinstance(outcome, Future):
            awaited = outcome
            if awaited._asyncio_future_blocking and awaited._loop is self._loop and awaited is not self:
                awaited._asyncio_future_blocking = False
                awaited._add_waiter(self)
                self._fut_waiter = awaited
                if self._must_cancel and awaited.cancel(self._cancel_message):
                    self._must_cancel = False
            else:
                self._await_foreign(outcome)
        else:
            self._await_foreign(outcome)

    def _end(self, value: Any, error: BaseException | None) -> None:
        """The coroutine has returned ``value`` or raised ``error``."""
        if error is None:
            if self._must_cancel:
                # cancel() came during the last step: the coroutine never heard of it, whoever awaits this does.
                self._must_cancel = False
                Future.cancel(self, self._cancel_message)
            else:
                self._result = value
                self._finish(FINISHED)
        elif isinstance(error, CancelledError):
            self._cancelled_exc = error
            # No message: it may be that of an earlier request, which the coroutine has swallowed.
            Future.cancel(self, None)
        elif isinstance(error, (KeyboardInterrupt, SystemExit)):
            try:
                self._fail(error)
            finally:
                # A forked child leaves, too, though its parent's loop refuses to tell whoever waits for this.
                raise error
        else:
            self._fail(error)

    def _await_foreign(self, outcome: Any) -> None:
        """Wait for a future of another kind, or throw into the coroutine why that can't be done."""
        try:
            problem = self._subscribe(outcome)
            if problem is None:
                return
            self._pending_error = RuntimeError(problem)
        except Exception as error:
            # What was yielded looks like a future and is none.
            self._fut_waiter = None
            self._pending_error = error
        self._ready.push(self)

    def _subscribe(self, outcome: Any) -> str | None:
        """Hear when ``outcome`` is done, or return what is wrong with it."""
        if outcome is self:
            return f"Task cannot await on itself: {self!r}"
        blocking = getattr(outcome, "_asyncio_future_blocking", None)
        if blocking is None:
            if isinstance(outcome, GeneratorType):
                return f"yield was used instead of yield from for generator in task {self!r} with {outcome!r}"
            return f"Task got bad yield: {outcome!r}"
        if asyncio.futures._get_loop(outcome) is not self._loop:  # type: ignore[attr-defined]
            return f"Task {self!r} got Future {outcome!r} attached to a different loop"
        if not blocking:
            return f"yield was used instead of yield from in task {self!r} with {outcome!r}"
        outcome._asyncio_future_blocking = False
        # Not in this task's context: the step enters that itself.
        outcome.add_done_callback(self._wakeup)
        self._fut_waiter = outcome
        if self._must_cancel and outcome.cancel(msg=self._cancel_message):
            self._must_cancel = False
        return None

    def _finish(self, status: int) -> None:
        unfinished.discard(self)
        if not UNFINISHED_IS_BOOK:
            strike(self)
        Future._finish(self, status)
        if self._loop._observed:
            self._loop._probes.task_done(self)

    # -- for whoever holds it -----------------------------------------------------------------------------------

    def cancel(self, msg: Any = None) -> bool:
        """Throw CancelledError into the coroutine as soon as it can be; False if it is done.

        The coroutine may catch it. Each call counts, and ``uncancel`` takes one back.
        """
        self._unretrieved = False
        if self._status != PENDING:
            return False
        self._cancels += 1
        if self._fut_waiter is not None and native.cancel(self._fut_waiter, msg):
            # The future's end wakes the task with the CancelledError.
            return True
        self._must_cancel = True
        self._cancel_message = msg
        return True

    def cancelling(self) -> int:
        """How many requests to cancel have not been taken back."""
        return self._cancels

    def uncancel(self) -> int:
        """Take one request to cancel back; returns how many are left."""
        if self._cancels > 0:
            self._cancels -= 1
            if self._cancels == 0 and UNCANCEL_FORGETS:
                self._must_cancel = False
        return self._cancels

    def set_result(self, result: Any, /) -> None:
        raise RuntimeError("Task does not support set_result operation")

    def set_exception(self, exception: Any, /) -> None:
        raise RuntimeError("Task does not support set_exception operation")

    def get_coro(self) -> Any:
        return self._coro

    def get_context(self) -> Context:
        return self._context

    def get_name(self) -> str:
        if self._name is None:
            self._name = f"Task-{self._number}"
        return self._name

    def set_name(self, value: object, /) -> None:
        self._name = str(value)

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """The frames of the suspended coroutine, or of the traceback if it raised."""
        return base_tasks._task_get_stack(self, limit)  # type: ignore[arg-type]

    def print_stack(self, *, limit: int | None = None, file: Any = None) -> None:
        """Write ``get_stack`` as a traceback, to stderr unless ``file`` is given."""
        base_tasks._task_print_stack(self, limit, file)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        words = base_tasks._task_repr_info(self)  # type: ignore[arg-type]
        return f"<{type(self).__name__} {' '.join(words)}>"

    def __del__(self) -> None:
        try:
            lost = self._log_destroy_pending and self._status == PENDING
        except AttributeError:  # in plain Python, when __init__ refused its arguments
            return
        if lost:
            trouble = {"task": self, "message": "Task was destroyed but it is pending!"}
            if self._source_traceback:
                trouble["source_traceback"] = self._source_traceback
            self._report(trouble)
        if self._unretrieved:
            self._report_unretrieved()


UNTOUCHED = native.untouched(Task)


def new_task(loop: Any, coro: Any, name: object, context: Context | None) -> Task:
    """A Task that takes its first step in the next turn, without the price of a Python-level call."""
    task = native.another(UNTOUCHED)
    task._drive(loop, coro, name, context)
    task._ready.push(task)
    task._enrol()
    return task
