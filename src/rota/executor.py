"""Blocking functions in threads: ``run_in_executor`` and the loop's default pool.

The default pool is rota's own (``threads``), made when it is first used, and shut down with the loop. So is the one in
which names are asked for. Any other executor is followed by its futures.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import warnings
from collections.abc import Callable
from typing import Any

from . import limits
from .core.debugging import check_callback
from .core.lifecycle import Lifecycle
from .threads import Call, Threads, settle


class Executor(Lifecycle):
    """The loop's threads."""

    _executor_shut_down = False

    def __init__(self, *args: Any) -> None:
        self._default_executor: Any = None  # what the program has set
        self._threads: Threads | None = None
        self._name_threads: Threads | None = None
        super().__init__(*args)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """``func(*args)`` in ``executor``, or in the default pool if that is None.

        Raises RuntimeError after ``shutdown_default_executor`` and when the loop is closed.
        """
        self._check_closed()
        if self.get_debug():
            check_callback(func, "run_in_executor")
        if executor is None:
            if self._executor_shut_down:
                raise RuntimeError("Executor shutdown has been called")
            if self._default_executor is None:
                if self._threads is None:
                    self._threads = Threads()
                own = Call(self, func, args)
                self._threads.start(own)
                return own.future  # type: ignore[no-any-return]
            executor = self._default_executor
        call = executor.submit(func, *args)
        if not isinstance(call, concurrent.futures.Future):
            return asyncio.wrap_future(call, loop=self)  # type: ignore[arg-type]
        return self._follow(call)

    def _follow(self, call: concurrent.futures.Future[Any]) -> asyncio.Future[Any]:
        """A future of this loop that ends as ``call`` does, and takes it along when it is cancelled.

        As ``asyncio.wrap_future`` does it, but that a StopIteration, which no future can hold, is told as the cause of
        a RuntimeError: with some Pythons' wrap_future, whoever awaits that waits for ever.
        """
        future: Any = self.create_future()

        def give_up(future: asyncio.Future[Any]) -> None:
            if future.cancelled():
                call.cancel()

        def tell(call: concurrent.futures.Future[Any]) -> None:
            # In the thread that ended the call.
            try:
                self.call_soon_threadsafe(settle_after, future, call)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                pass

        future.add_done_callback(give_up)
        call.add_done_callback(tell)
        return future  # type: ignore[no-any-return]

    def set_default_executor(self, executor: concurrent.futures.ThreadPoolExecutor) -> None:
        """Use ``executor`` for ``run_in_executor(None, ...)``. Raises TypeError unless it is a thread pool."""
        if not isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self._default_executor = executor

    def _ask_for_names(self, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """``func(*args)``, which asks the resolver, in a pool for that alone: all threads of the default one may be
        busy for long, and a connection would not be made in time.

        A program that has set an executor, or has a ``run_in_executor`` of its own, gets the call there.
        """
        own = getattr(self.run_in_executor, "__func__", None) is run_in_executor
        if self._default_executor is not None or self._executor_shut_down or not own:
            return self.run_in_executor(None, func, *args)
        self._check_closed()
        if self._name_threads is None:
            self._name_threads = Threads(limits.NAME_THREADS, keep=limits.NAME_KEEP, name="rota_names")
        call = Call(self, func, args)
        self._name_threads.start(call)
        return call.future  # type: ignore[no-any-return]

    def _executors(self) -> list[Any]:
        """What ends with the loop."""
        executors = (self._threads, self._name_threads, self._default_executor)
        return [executor for executor in executors if executor is not None]

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until the default pool's threads have ended, at most ``timeout`` seconds if given: then warn."""
        self._executor_shut_down = True
        executors = self._executors()
        if not executors:
            return
        ended = self.create_future()
        thread = threading.Thread(target=self._join_executors, args=(executors, ended), name="rota-executor-shutdown")
        thread.start()
        try:
            async with asyncio.timeout(timeout):
                await ended
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=2,
            )
            for executor in executors:
                executor.shutdown(wait=False)
        else:
            thread.join()

    def _join_executors(self, executors: list[Any], ended: Any) -> None:
        """In a thread of its own: joining the pool's threads blocks."""
        try:
            for executor in executors:
                executor.shutdown(wait=True)
            error: BaseException | None = None
        except Exception as raised:  # noqa: BLE001 - whatever it is, the awaiting coroutine gets it
            error = raised
        try:
            self.call_soon_threadsafe(finish, ended, error)
        except RuntimeError:
            # The loop gave up waiting and was closed.
            pass

    def close(self) -> None:
        """Close the loop; the default pool's threads end when their work does."""
        super().close()
        executors = self._executors()
        self._threads = self._name_threads = self._default_executor = None
        for executor in executors:
            self._executor_shut_down = True
            executor.shutdown(wait=False)


#: To tell whether a loop has another.
run_in_executor = Executor.run_in_executor


def settle_after(future: asyncio.Future[Any], call: concurrent.futures.Future[Any]) -> None:
    """Give ``future`` the end of ``call``, unless it has one."""
    if call.cancelled():
        future.cancel()
    else:
        error = call.exception()
        settle(future, None if error is not None else call.result(), error)


def finish(future: Any, error: BaseException | None) -> None:
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
