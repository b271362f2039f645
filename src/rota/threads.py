"""The threads of a loop's default executor, and how a call comes to one and its end back.

:mod:`concurrent.futures` makes a future with a condition for each call, for whoever waits in any thread; here the loop
waits, and has a future of its own. So a :class:`Call` is little more than the function, and its end goes to the loop in
one ``call_soon_threadsafe``. Who was idle last is asked first: its stack is still in the caches.

A thread is started when a call finds none idle, up to ``limits.THREADS``, and ends with the loop. At the interpreter's
exit all calls are waited for, as with :class:`~concurrent.futures.ThreadPoolExecutor`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from . import limits
from .core.future import stop_iteration_error


class Call:
    """``func(*args)``, for ``future`` of ``loop``."""

    __slots__ = ("_args", "_func", "_loop", "future")

    def __init__(self, loop: Any, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._func = func
        self._args = args
        self._loop = loop
        self.future: Any = loop.create_future()

    def run(self) -> None:
        """In a thread. One that was cancelled before does not run."""
        if self.future.cancelled():
            return
        result = error = None
        try:
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


class Threads:
    """A pool of threads, which one loop fills."""

    def __init__(self, most: int = limits.THREADS) -> None:
        self._most = most
        self._lock = threading.Lock()  # of all below
        self._waiting: deque[Call] = deque()  # calls for which there was no thread
        self._idle: list[Worker] = []
        self._workers: list[Worker] = []
        self._ending = False
        self._of_parent: deque[Call] | None = None  # what waited when this process was forked
        pools[id(self)] = self

    def start(self, call: Call) -> None:
        """Run ``call`` in a thread, at once or when one has time. Raises RuntimeError after ``shutdown``, and where the
        system refuses the first thread.
        """
        with self._lock:
            if self._ending:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._idle:
                worker = self._idle.pop()
                worker.call = call
                worker.wake.release()
                return
            self._waiting.append(call)
            if len(self._workers) < self._most:
                self._add_worker()

    def _add_worker(self) -> None:
        """One more thread. With the lock, so that whoever ends the pool meets none that has not begun."""
        worker = Worker(self, f"asyncio_{len(self._workers)}")
        try:
            worker.thread.start()
        except RuntimeError:
            # No more threads from the system: those that there are do it.
            if not self._workers:
                self._waiting.pop()
                raise
        else:
            self._workers.append(worker)

    def next_call(self, worker: Worker) -> Call | None:
        """For ``worker``: its next call, after a sleep if there is none yet; None to end."""
        while True:
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                if self._ending:
                    return None
                self._idle.append(worker)
            worker.wake.acquire()
            call, worker.call = worker.call, None
            if call is not None:
                return call

    def shutdown(self, wait: bool = True) -> None:
        """Take no more calls; the threads end when those that were taken are done. ``wait`` until they have."""
        with self._lock:
            self._ending = True
            # All, and not the idle alone: an interrupt may have come between taking one of those and waking it.
            for worker in self._idle + self._workers:
                if worker.wake.locked():
                    worker.wake.release()
            self._idle.clear()
            workers = self._workers.copy()
        if wait:
            for worker in workers:
                worker.thread.join()

    def leave_to_parent(self) -> None:
        """In a forked child, which has none of the threads, and perhaps a lock that one of them held. If it is one of
        them that has forked, it ends with its call. What waits is kept, and not run: it is the parent's.
        """
        self._lock = threading.Lock()
        self._ending = True
        self._of_parent = self._waiting
        self._waiting = deque()
        self._idle = []
        self._workers = []


class Worker:
    """One thread of a pool."""

    __slots__ = ("_pool", "call", "thread", "wake")

    def __init__(self, pool: Threads, name: str) -> None:
        self._pool = pool
        self.call: Call | None = None  # what it is woken for
        self.wake = threading.Lock()
        self.wake.acquire()
        self.thread = threading.Thread(target=self._work, name=name, daemon=True if exiting else None)

    def _work(self) -> None:
        call = self._pool.next_call(self)
        while call is not None:
            call.run()
            # Let go of it, and of what it holds, before the sleep.
            call = None
            call = self._pool.next_call(self)


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
    for pool in all_pools():
        pool.shutdown(wait=True)


def leave_all_to_parent() -> None:
    for pool in all_pools():
        pool.leave_to_parent()


os.register_at_fork(after_in_child=leave_all_to_parent)
# Before the interpreter waits for all threads, which atexit is too late for. concurrent.futures does it so.
threading._register_atexit(end_all)  # type: ignore[attr-defined]
