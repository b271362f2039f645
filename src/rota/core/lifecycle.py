"""A loop's life: run, stop, close, and the async generators that live on it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import warnings
import weakref
from asyncio import base_events, events
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from . import registry
from .clock import Clock
from .fork import open_loops
from .policy import Policy
from .turn import LoopCore

Result = TypeVar("Result")

#: Frames of the place where a coroutine was made, kept in debug mode; asyncio's number (constants.DEBUG_STACK_DEPTH).
ORIGIN_DEPTH = 10


class Lifecycle(LoopCore):
    """Running and closing."""

    _asyncgens_shut_down = False
    _origin_depth: int | None = None

    def __init__(self, poller: Any, waker: Any, clock: Clock | None = None, policy: str | Policy = "fifo") -> None:
        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        #: The wakeup fd that was set before the loop's, and the file that it was.
        self._heard_before: tuple[int, tuple[int, int] | None] = (-1, None)
        #: What is called, in order from the last, when the loop is closed: other rooms' pools end with it.
        self._ends_with: list[Callable[[], object]] = []
        super().__init__(poller, waker, clock, policy)
        open_loops.add(self)

    # -- running ------------------------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Turn until ``stop`` is called. Raises RuntimeError if this or another loop runs in this thread."""
        self._check_may_run()
        previous_hooks = sys.get_asyncgen_hooks()
        hears = False
        try:
            self._thread_id = threading.get_ident()
            hears = self._hear_signals()
            self._track_origins(self._debug)
            sys.set_asyncgen_hooks(firstiter=self._asyncgen_began, finalizer=self._asyncgen_dropped)
            events._set_running_loop(self)  # type: ignore[arg-type]
            self._run_turns()
        finally:
            self._thread_id = None
            try:
                events._set_running_loop(None)
            except MemoryError:
                # Python 3.11 asks for memory even for that. Without it no loop would run in this thread any more.
                events._set_running_loop(None)
            self._track_origins(False)
            sys.set_asyncgen_hooks(*previous_hooks)
            if hears:
                self._stop_hearing()

    def run_until_complete(self, future: Awaitable[Result]) -> Result:
        """Run until ``future``, or a task made of the coroutine, is done; returns or raises what it brings."""
        if self._inherited and asyncio.isfuture(future) and future.done():
            return future.result()  # type: ignore[no-any-return]  # no turn is needed for that
        self._check_may_run()
        made_here = not asyncio.isfuture(future)
        task: Any = asyncio.ensure_future(future, loop=self)  # type: ignore[call-overload]
        if made_here:
            # Whoever runs this gets the exception, or is told below: a pending task is not news.
            task._log_destroy_pending = False
        task.add_done_callback(base_events._run_until_complete_cb)  # type: ignore[attr-defined]
        try:
            self.run_forever()
        except BaseException:
            if (made_here or self._inherited) and task.done() and not task.cancelled():
                # What was raised is the task's own interrupt: it has been retrieved by leaving here.
                task.exception()
            raise
        finally:
            task.remove_done_callback(base_events._run_until_complete_cb)  # type: ignore[attr-defined]
        if not task.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return task.result()  # type: ignore[no-any-return]

    def _check_may_run(self) -> None:
        self._check_closed()
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def _hear_signals(self) -> bool:
        """Let every signal end the loop's sleep, so that Python's handlers run at once: Ctrl-C between the last
        look at the signals and the system call would wait for the next event otherwise. False where signals don't
        arrive: off the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            return False
        try:
            self._take_wakeup_fd()
        except ValueError:  # the main thread of a sub-interpreter is not the one that signals reach
            return False
        return True

    def _take_wakeup_fd(self) -> None:
        """Let Python tell the waker of each signal. Raises ValueError off the main thread."""
        own = self._waker.fileno()
        before = signal.set_wakeup_fd(own, warn_on_full_buffer=False)
        if before != own:
            self._heard_before = (before, file_behind(before))

    def _stop_hearing(self) -> None:
        """Whoever was told of signals before is told again, unless its file is gone and the number another's by now.
        Who has taken over since then goes on.
        """
        before, file = self._heard_before
        last = set_wakeup_fd(before if file_behind(before) == file else -1)
        if last != self._waker.fileno():
            set_wakeup_fd(last)

    def close(self) -> None:
        """Drop all that waits and give the loop's own file descriptors back. Raises RuntimeError while it runs."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        try:
            while self._ends_with:
                self._ends_with.pop()()
            self._close_core()
            registry.abandon(self)
        finally:
            self._poller.close()
            self._waker.close()

    def _leave_to_parent(self) -> None:
        """This process was forked from the one that has this loop (``core.fork``)."""
        if self.is_closed():
            return
        if threading.current_thread() is threading.main_thread():
            self._stop_hearing()
        running: Any = events._get_running_loop()
        if running is self:
            events._set_running_loop(None)
        self._leave_core_to_parent()
        self._tasks_of_parent = registry.disown(self)
        self._poller.close()
        self._waker.close()
        # What asyncio.Runner runs as it closes, when the child leaves by sys.exit: there is nothing to do here.
        done = self.create_future()
        done.set_result(None)
        for name in ("shutdown_asyncgens", "shutdown_default_executor"):
            setattr(self, name, lambda *_: done)

    def __del__(self) -> None:
        # A loop whose construction failed has nothing to close.
        if not getattr(self, "_closed", True) and getattr(self, "_poller", None) is not None:
            warnings.warn(f"unclosed event loop {self!r}", ResourceWarning, source=self, stacklevel=2)
            if not self.is_running():
                self.close()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} running={self.is_running()} closed={self.is_closed()} "
            f"debug={self.get_debug()} ready={len(self._ready)} timers={len(self._timers)}>"
        )

    # -- debug mode ---------------------------------------------------------------------------------------------

    def set_debug(self, enabled: bool) -> None:
        """Debug mode; on a running loop, coroutines made from now on remember where."""
        super().set_debug(enabled)
        if self.is_running():
            self.call_soon_threadsafe(self._track_origins, bool(enabled))

    def _track_origins(self, enabled: bool) -> None:
        if enabled and self._origin_depth is None:
            self._origin_depth = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(ORIGIN_DEPTH)
        elif not enabled and self._origin_depth is not None:
            sys.set_coroutine_origin_tracking_depth(self._origin_depth)
            self._origin_depth = None

    # -- async generators (PEP 525) -----------------------------------------------------------------------------

    def _asyncgen_began(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._asyncgens_shut_down:
            warnings.warn(
                f"asynchronous generator {generator!r} was scheduled after loop.shutdown_asyncgens() call",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
        self._asyncgens.add(generator)

    def _asyncgen_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close a generator that was dropped half-way. The collector may call this from any thread."""
        self._asyncgens.discard(generator)
        if not self.is_closed():
            self.call_soon_threadsafe(self.create_task, generator.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close every async generator that has begun and not ended."""
        self._asyncgens_shut_down = True
        if not len(self._asyncgens):
            return
        closing = list(self._asyncgens)
        self._asyncgens.clear()
        results = await asyncio.gather(*[generator.aclose() for generator in closing], return_exceptions=True)
        for result, generator in zip(results, closing, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        "message": f"an error occurred during closing of asynchronous generator {generator!r}",
                        "exception": result,
                        "asyncgen": generator,
                    }
                )


def set_wakeup_fd(fd: int) -> int:
    """Let ``fd`` be told of signals, or nobody if it can't be; returns who was."""
    try:
        return signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    except (OSError, ValueError):
        return signal.set_wakeup_fd(-1)


def file_behind(fd: int) -> tuple[int, int] | None:
    """Which file ``fd`` stands for, or None if for none."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
