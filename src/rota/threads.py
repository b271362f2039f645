"""Pools of threads, how a call comes to a thread and its end back to the loop.

:mod:`concurrent.futures` makes a future with a condition for each call, for whoever waits in any thread; here the loop
waits, and has a future of its own. So a :class:`Call` is little more than the function, and its end goes to the loop in
one ``call_soon_threadsafe``.

A call waits in one queue, and somebody is called for it: who was idle last, whose stack is still in the caches. One at
a time is on its way. When it comes and more than its own call wait, it calls the next before it begins: a burst costs
the loop one wake-up, and one of short calls is done by a few.

Threads are started by threads of the pool: whoever starts one waits until that has had the interpreter, and then for it
itself, which is long beside calls that compute. Who is called, and leaves nobody idle behind, takes no call: it is the
pacer, and starts threads for those that wait. So the loop's thread only lets somebody go. It starts the first thread of
a pool, and a second when the first is in its call, and does not wait until they have begun.

The pacer starts a few at once, and then, each ``limits.THREADS_STEP`` in which calls wait, half as many again as there
are, unless the last ones brought nothing: calls end, but not more of them than before. Growth never stops while calls
wait and none ends, for they may wait for one another. No timer of the loop is in this: it would come late when the loop
is busy, and on a clock of a test's own it would come at once.

There is no lock, which a thread might hold while it waits for the interpreter, and the loop's thread for it. What they
share are containers and attributes, of which each operation is done at once, in an order of which this is the rule: who
brings something (a call) first puts it there, and then looks for somebody; who goes (to sleep, or out of a role) first
says so, and then looks for what was brought.

At the interpreter's exit all calls are waited for, as with :class:`~concurrent.futures.ThreadPoolExecutor`, but those
in daemon threads a moment only (``limits.THREADS_PATIENCE``).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from typing import Any, NamedTuple

from . import limits
from .core.future import stop_iteration_error


class Call:
    """``func(*args, **kwargs)``, in ``context`` if one is given, for ``future`` of ``loop``.

    To take it back, cancel ``future``: if ``began`` is false then, the call has not begun and never will.
    """

    __slots__ = ("_args", "_context", "_func", "_kwargs", "_loop", "began", "future")

    def __init__(
        self,
        loop: Any,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        context: Context | None = None,
    ) -> None:
        self._func = func
        self._args = args
        self._kwargs = kwargs
        self._context = context
        self._loop = loop
        self.began = False
        self.future: Any = loop.create_future()

    def run(self) -> None:
        """In a thread. One that was cancelled before does not run."""
        # In this order: who cancels and then looks at the flag is not told that a call never began that does.
        self.began = True
        if self.future.cancelled():
            self.began = False
            return
        result = error = None
        try:
            if self._context is not None:
                result = self._context.run(self._func, *self._args, **(self._kwargs or {}))
            elif self._kwargs:
                result = self._func(*self._args, **self._kwargs)
            else:
                result = self._func(*self._args)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, the awaiting coroutine gets it
            error = raised
        try:
            self._loop.call_soon_threadsafe(settle, self.future, result, error)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            pass
        finally:
            # Its traceback leads here: this frame would hold it, and the future that has it.
            del self, error

    def drop(self) -> None:
        """From any thread: it will not run. The loop is told, if it still goes."""
        try:
            self._loop.call_soon_threadsafe(self.future.cancel)
        except RuntimeError:
            pass

    def describe(self) -> str:
        """The function's name."""
        return getattr(self._func, "__qualname__", None) or repr(self._func)


def settle(future: Any, result: Any, error: BaseException | None) -> None:
    """Give ``future`` the end of a call, unless it has one."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):
        # No future can hold that one.
        future.set_exception(stop_iteration_error(error))
    elif type(error) is concurrent.futures.CancelledError:
        future.set_exception(asyncio.CancelledError(*error.args).with_traceback(error.__traceback__))
    elif type(error) is concurrent.futures.InvalidStateError:
        future.set_exception(asyncio.InvalidStateError(*error.args).with_traceback(error.__traceback__))
    else:
        future.set_exception(error)


class Count(NamedTuple):
    """How a pool stands."""

    threads: int
    running: int  # calls that have begun
    idle: int  # threads that wait for calls
    waiting: int  # calls that have not begun, without the cancelled ones


class Threads:
    """A pool of at most ``most`` threads, which one loop fills.

    A thread that is idle for ``keep`` seconds ends; with None it stays until the pool ends. Nobody waits for ever for
    the calls of ``daemon`` threads. Threads are named ``name`` and a number.
    """

    def __init__(
        self,
        most: int = limits.THREADS,
        *,
        keep: float | None = None,
        daemon: bool = False,
        name: str = "asyncio",
    ) -> None:
        self.daemon = daemon
        self._most = most
        self._keep = -1 if keep is None else keep
        self._name = name
        self._numbers = itertools.count()
        self.ended = 0  # calls, since the pacer looked; one too few now and then is no harm
        self._waiting: deque[Call] = deque()
        self._idle: list[Worker] = []  # who was idle last is the last
        self._workers: dict[Worker, None] = {}
        self._coming: Worker | None = None  # who was woken and has not come yet: it calls the next
        self._pacing = threading.Lock()  # the pacer has it; nobody waits for it
        self._grown = 0.0  # when the pacer last started a thread
        self._ending = False
        self._of_parent: deque[Call] | None = None  # what waited when this process was forked
        pools[id(self)] = self

    def start(self, call: Call) -> None:
        """On the loop's thread: run ``call`` in a thread of the pool, at once or when one has time.

        Raises RuntimeError after ``shutdown``, and where the system refuses the first thread.
        """
        if self._ending:
            raise RuntimeError(ENDED)
        self._waiting.append(call)
        if (
            self._coming is None
            and not self._call_somebody()
            and not self._pacing.locked()
            and len(self._workers) < self._most
        ):
            self._start_first()
        if self._is_too_late(call):
            raise RuntimeError(ENDED)

    def _is_too_late(self, call: Call) -> bool:
        """Whether the pool has ended in this moment, and nobody has ``call``: then nobody will."""
        if not self._ending:
            return False
        try:
            self._waiting.remove(call)
        except ValueError:
            return False
        return True

    def _call_somebody(self) -> bool:
        """When calls wait and nobody comes for them: wake who was idle last. False if nobody is."""
        try:
            worker = self._idle.pop()
        except IndexError:
            return False
        # In this order: it may come at once. And an interrupt comes after a call: not between these.
        self._coming = worker
        try:
            worker.wake.release()
        except RuntimeError:
            # Who ends the pool was quicker.
            pass
        return True

    def _start_first(self) -> None:
        """On the loop's thread, when nobody is idle and nobody starts threads: start one."""
        worker = Worker(self, self._next_name())
        worker.do_not_wait()
        self._coming = worker
        started = False
        try:
            started = self._start_thread(worker)
        except REFUSALS:
            # Those that there are do it.
            if not self._workers:
                self._waiting.pop()
                raise
        finally:
            if not started:
                self._coming = None

    def _start_thread(self, worker: Worker) -> bool:
        """Begin ``worker``. False if there are enough; raises one of ``REFUSALS`` if the system has no more threads."""
        # Before it is started, so that whoever ends the pool waits for it; and the loop and the pacer may start one at
        # the same time.
        self._workers[worker] = None
        try:
            started = len(self._workers) <= self._most
            if started:
                worker.thread.start()
        except BaseException:
            self._forget(worker)
            raise
        if not started:
            self._forget(worker)
        return started

    def _forget(self, worker: Worker) -> None:
        """``worker`` was not started, or an interrupt has come right after that."""
        self._workers.pop(worker, None)
        if worker.begun:
            self._workers[worker] = None

    def _next_name(self) -> str:
        return f"{self._name}_{next(self._numbers)}"

    # -- for the workers ----------------------------------------------------------------------------------------

    def enter(self, worker: Worker) -> None:
        """``worker`` has begun."""
        worker.begun = True
        self._workers[worker] = None

    def leave(self, worker: Worker) -> None:
        """``worker`` ends. Who ends the pool waits until it has."""
        if not self._ending:
            self._workers.pop(worker, None)

    def next_call(self, worker: Worker) -> Call | None:
        """For ``worker``: its next call, after a sleep if there is none yet; None to end."""
        refused = False
        while True:
            if self._coming is worker:
                self._coming = None
            if not refused and self._is_pacer_needed(worker) and self._pacing.acquire(False):
                refused = not self._pace(worker)
                continue
            try:
                return self._waiting.popleft()
            except IndexError:
                pass
            if self._ending:
                self._let_go()
                return None
            refused = False
            if not self._sleep(worker):
                return None

    def _is_pacer_needed(self, worker: Worker) -> bool:
        """See that somebody comes for the calls that wait besides the one that ``worker`` will take. True if nobody
        does, and there may be more threads.

        Who has slept sees to it as well that somebody will come for calls that are still to be brought. Alone it does
        not: most pools never have two calls at once.
        """
        waiting = len(self._waiting)
        if waiting == 0 or self._coming is not None:
            return False
        if waiting > 1:
            if self._call_somebody():
                return False
        elif not worker.rested or self._idle or len(self._workers) == 1:
            return False
        return len(self._workers) < self._most

    def _sleep(self, worker: Worker) -> bool:
        """``worker`` has nothing to do: until it is called. False if it was not for so long that it is to end."""
        if worker.rested:
            # It was not idle last: it has started threads, or was called for what another did.
            self._idle.insert(0, worker)
        else:
            self._idle.append(worker)
        if self._waiting or self._ending:
            # Brought in this moment, perhaps by somebody who found nobody.
            if self._is_taken_back(worker):
                return True
        elif not worker.wake.acquire(True, self._keep) and self._is_taken_back(worker):
            self._workers.pop(worker, None)
            if not self._waiting:
                return False
            # Brought in this moment, and there may have seemed to be enough threads.
            self._workers[worker] = None
            return True
        worker.rested = True
        return True

    def _is_taken_back(self, worker: Worker) -> bool:
        """No more idle. False if it was not: then it has been called, in this moment, and has heard that."""
        try:
            self._idle.remove(worker)
        except ValueError:
            worker.wake.acquire()
            return False
        return True

    def _let_go(self) -> None:
        """When the pool ends: so does one more of the idle, which lets the next go. Thousands at once would fight for
        the interpreter.
        """
        with contextlib.suppress(IndexError, RuntimeError):
            self._idle.pop().wake.release()

    def _pace(self, worker: Worker) -> bool:
        """As the pacer, start threads as long as calls wait and there may be more. False if the system refuses one."""
        self.ended = 0
        before = 0.0  # calls a step that ended before the last growth
        seen = steps = 0  # calls and steps since
        more = int(time.monotonic() >= self._grown + limits.THREADS_STEP)
        try:
            while True:
                self._grow(more)
                if self._room() <= 0:
                    return True
                worker.wake.acquire(True, limits.THREADS_STEP)
                ended, self.ended = self.ended, 0
                seen += ended
                steps += 1
                more = 0
                if not ended or seen > before * steps * limits.THREADS_GAIN:
                    more = max(limits.THREADS_AT_ONCE, len(self._workers) // 2)
                    before = seen / steps
                    seen = steps = 0
        except REFUSALS:
            return False
        finally:
            self._pacing.release()

    def _grow(self, more: int) -> None:
        """Start so many threads, if that many calls wait, and the first few in any case. Raises ``REFUSALS``."""
        while self._room() > 0 and (more > 0 or len(self._workers) < limits.THREADS_AT_ONCE):
            if not self._start_thread(Worker(self, self._next_name())):
                return
            self._grown = time.monotonic()
            more -= 1

    def _room(self) -> int:
        """How many threads there could be more for calls that wait."""
        return min(self._most - len(self._workers), len(self._waiting))

    # -- its state and its end ----------------------------------------------------------------------------------

    def count(self) -> Count:
        """How many threads there are, and calls; from any thread."""
        workers = list(self._workers)
        running = sum(worker.call is not None for worker in workers)
        waiting = sum(not call.future.cancelled() for call in self._waiting.copy())
        return Count(len(workers), running, len(self._idle), waiting)

    def running(self) -> Iterator[tuple[Call, int]]:
        """The calls that run, each with the number that the kernel gave its thread; from any thread."""
        for worker in list(self._workers):
            call = worker.call
            if call is not None:
                yield call, worker.thread.native_id or 0

    def shutdown(self, wait: bool = True, patience: float | None = None) -> list[str]:
        """Take no more calls; the threads end when those that were taken are done. ``wait`` until they have.

        With ``patience``, in seconds, calls that have not begun are cancelled, and the others are waited for no longer
        than that in all. Returns what still runs then: the names of functions. From any thread but the pool's own.
        """
        self._ending = True
        while patience is not None and self._waiting:
            with contextlib.suppress(IndexError):
                self._waiting.popleft().drop()
        idle = set(self._idle)
        for worker in list(self._workers):
            # An interrupt may have come between taking one of the idle and waking it.
            if worker not in idle and worker.wake.locked():
                with contextlib.suppress(RuntimeError):
                    worker.wake.release()
        for _ in range(limits.THREADS_AT_ONCE):
            self._let_go()
        return self._join(None if patience is None else time.monotonic() + patience) if wait else []

    def _join(self, until: float | None) -> list[str]:
        """Wait for all threads, those that are just being started included, at most ``until``; what runs then."""
        while True:
            left = []
            for worker in list(self._workers):
                if not worker.begun or worker.thread.is_alive():
                    left.append(worker)
                else:
                    self._workers.pop(worker, None)
            if not left or (until is not None and time.monotonic() >= until):
                return [call.describe() for call in [worker.call for worker in left] if call is not None]
            for worker in left:
                if worker.begun:
                    worker.thread.join(None if until is None else max(0.0, until - time.monotonic()))
                else:
                    time.sleep(limits.THREADS_STEP)

    def leave_to_parent(self) -> None:
        """In a forked child, which has none of the threads, and perhaps a lock that one of them held. If it is one of
        them that has forked, it ends with its call. What waits is kept, and not run: it is the parent's.
        """
        self._ending = True
        self._of_parent = self._waiting
        self._waiting = deque()
        self._idle = []
        self._workers = {}
        self._coming = None
        self._pacing = threading.Lock()


class Worker:
    """One thread of a pool."""

    __slots__ = ("_pool", "begun", "call", "rested", "thread", "wake")

    def __init__(self, pool: Threads, name: str) -> None:
        self._pool = pool
        self.begun = False
        self.rested = True  # has had no call since it began, or slept
        self.call: Call | None = None  # what it runs
        self.wake = threading.Lock()
        self.wake.acquire()
        self.thread = threading.Thread(target=self._work, name=name, daemon=True if exiting else None)
        if pool.daemon:
            # A sub-interpreter refuses them.
            with contextlib.suppress(RuntimeError):
                self.thread.daemon = True

    def do_not_wait(self) -> None:
        """Who starts the thread does not wait until it has begun, as ``Thread.start`` does otherwise."""
        self.thread._started = NotAwaited()  # type: ignore[attr-defined]

    def _work(self) -> None:
        pool = self._pool
        pool.enter(self)
        try:
            while (call := pool.next_call(self)) is not None:
                self.call = call
                call.run()
                # Let go of it, and of what it holds, before the sleep.
                self.call = call = None
                self.rested = False
                pool.ended += 1
        finally:
            pool.leave(self)


class NotAwaited(threading.Event):
    """That a thread has begun, for which who starts it does not wait."""

    def wait(self, timeout: float | None = None) -> bool:
        return True


#: How the system says that it has no more threads.
REFUSALS = (RuntimeError, MemoryError)

ENDED = "cannot schedule new futures after shutdown"

#: Those whose threads have to be told that the interpreter goes. Not a WeakSet: other threads make pools while this is
#: gone through.
pools: weakref.WeakValueDictionary[int, Threads] = weakref.WeakValueDictionary()

#: The interpreter goes. It waits for no thread that is started from here on: nobody would end that.
exiting = False


def all_pools() -> list[Threads]:
    return [pool for pool in [reference() for reference in pools.valuerefs()] if pool is not None]


def end_all() -> None:
    global exiting
    exiting = True
    found = all_pools()
    until = time.monotonic() + limits.THREADS_PATIENCE
    for pool in found:
        # All at once, and then wait.
        pool.shutdown(wait=False, patience=0 if pool.daemon else None)
    for pool in found:
        pool.shutdown(patience=max(0.0, until - time.monotonic()) if pool.daemon else None)


def leave_all_to_parent() -> None:
    for pool in all_pools():
        pool.leave_to_parent()


os.register_at_fork(after_in_child=leave_all_to_parent)
# Before the interpreter waits for all threads, which atexit is too late for. concurrent.futures does it so.
threading._register_atexit(end_all)  # type: ignore[attr-defined]
