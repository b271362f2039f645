"""Many awaitables as one: :func:`gather`, with the contract of :func:`asyncio.gather`.

Each child that rota made gets a :class:`Arrival` as its waiter, which tells the :class:`Gathering` when its turn
comes; other futures get a callback. The gathering holds the children, the children hold their arrivals, and all of
it is let go when the last one is in.
"""

from __future__ import annotations

import asyncio
from asyncio.exceptions import CancelledError
from types import CoroutineType
from typing import Any

from . import native
from .future import Future
from .runnable import Runnable
from .state import LoopState
from .states import CANCELLED, FINISHED, PENDING


class Gathering(Future):
    """The future of all results, in the order in which the children were given."""

    __slots__ = ("_awaited", "_cancel_requested", "_children", "_return_exceptions")

    def __init__(self, loop: LoopState, children: list[Any], return_exceptions: bool) -> None:
        self._prepare(loop)
        self._children: list[Any] | None = children
        self._awaited = 0  # how many distinct children are not in yet
        self._return_exceptions = return_exceptions
        self._cancel_requested = False

    def cancel(self, msg: Any = None) -> bool:
        """Cancel every child; this future is cancelled when they all have ended."""
        if self._status != PENDING:
            return False
        cancelled = False
        for child in self._children or ():
            if native.cancel(child, msg):
                cancelled = True
        if cancelled:
            # Even a child that swallows its cancellation doesn't keep whoever awaits this from hearing of it.
            self._cancel_requested = True
        return cancelled

    def _await(self, child: Any) -> bool:
        """Hear when ``child`` is done. False if it is: then the caller has to say that it has arrived."""
        self._awaited += 1
        if child.done():
            return False
        if isinstance(child, Future):
            future = child
            future._add_waiter(new_arrival(self, future))
        else:
            child.add_done_callback(self._arrived)
        return True

    def _abandon(self) -> None:
        """Nobody will have this: the children that there are go on by themselves."""
        self._finish(CANCELLED)

    def _arrived(self, child: Any) -> None:
        """``child`` is done."""
        self._awaited -= 1
        if self._status != PENDING:
            if not child.cancelled():
                child.exception()  # it has been looked at: nobody else will
            return
        if not self._return_exceptions:
            if child.cancelled():
                self._fail(child._make_cancelled_error())
                return
            error = child.exception()
            if error is not None:
                self._fail(error)
                return
        if self._awaited == 0:
            self._complete()

    def _complete(self) -> None:
        results = []
        for child in self._children or ():
            if child.cancelled():
                # A result, not raised: built here so that it carries no traceback.
                results.append(CancelledError("" if child._cancel_message is None else child._cancel_message))
            else:
                error = child.exception()
                results.append(child.result() if error is None else error)
        if self._cancel_requested:
            # With the message of the last child, as in asyncio: it is what cancel() was given.
            self._fail(child._make_cancelled_error())
        else:
            self._result = results
            self._finish(FINISHED)

    def _finish(self, status: int) -> None:
        self._children = None
        Future._finish(self, status)


class Arrival(Runnable):
    """The waiter of one child."""

    __slots__ = ("_child", "_gathering")

    _gathering: Gathering
    _child: Future

    def _run(self) -> None:
        self._gathering._arrived(self._child)


UNTOUCHED = native.untouched(Arrival)


def new_arrival(gathering: Gathering, child: Future) -> Arrival:
    arrival = native.another(UNTOUCHED)
    arrival._gathering = gathering
    arrival._child = child
    arrival._is_task = False
    arrival._queued = False
    return arrival


def gather(*awaitables: Any, return_exceptions: bool = False) -> Future:
    """A future of the list of all results. Coroutines among ``awaitables`` become tasks.

    The first exception is raised where the gathering is awaited, and the other children go on; with
    ``return_exceptions`` exceptions are results like others. To cancel the gathering cancels the children. Give the
    same awaitable twice and it runs once. Called outside a coroutine, it needs awaitables of one loop. On a loop that
    is not rota's this is :func:`asyncio.gather`.
    """
    if not awaitables:
        empty: Any = asyncio.get_event_loop().create_future()
        empty.set_result([])
        return empty  # type: ignore[no-any-return]
    children: list[Any] = []
    known: dict[Any, Any] = {}
    in_already: list[Any] = []
    gathering: Any = None
    loop: Any = None
    child: Any = None
    try:
        for awaitable in awaitables:
            child = known.get(awaitable)
            if child is None:
                if loop is not None and type(awaitable) is CoroutineType:
                    child = loop.create_task(awaitable)
                else:
                    child = asyncio.ensure_future(awaitable, loop=loop)
                if child is not awaitable:
                    # Made here, so nobody outside can be told that it is pending when all of this goes.
                    child._log_destroy_pending = False
                if loop is None:
                    loop = child.get_loop()
                    if not isinstance(loop, LoopState):
                        same = [child if each is awaitable else each for each in awaitables]
                        return asyncio.gather(*same, return_exceptions=return_exceptions)  # type: ignore[return-value]
                    gathering = Gathering(loop, children, return_exceptions)
                known[awaitable] = child
                # At once: an eager task that comes next may finish this one.
                if not gathering._await(child):
                    in_already.append(child)
            children.append(child)
    except BaseException as error:
        if gathering is not None:
            gathering._abandon()
        if child is None and type(awaitable) is CoroutineType and isinstance(error, RuntimeError):
            awaitable.close()  # as ensure_future does: the loop made no task of it, and says why
        raise
    # As in asyncio since Python 3.12: what is done needs no turn, and when all are, the gathering is done at once.
    for child in in_already:
        gathering._arrived(child)
    return gathering  # type: ignore[no-any-return]
