"""Lanes: the pools of one loop with their door, and those that every loop has when nobody makes its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any

from .. import limits
from ..errors import UsageError
from ..loop import Loop
from ..watch.stalls import Stalls
from .explain import ClusterState, Explanation, ProcessesState, State, ThreadsState, explain_all
from .explain import explain as explain_by
from .flight import Options
from .machine import cores
from .map import Map, check_function, check_timeout
from .pools import AUTO, Pools, check_lane

#: Bytes of data without which a worker process can't begin: Python and rota take half of it.
LEAST_MEMORY = 64 * 1024 * 1024


class Lanes:
    """Pools of one's own, for the loop that runs when they are first used: ``async with rota.Lanes(threads=500) as
    lanes:``.

    ``threads`` is the most threads that there will be; they come as calls do and go when there are none. ``processes``
    is the most worker processes, as many as there are cores if None. ``memory`` is how many bytes of data each of those
    may have: a call that asks for more gets MemoryError. ``max_tasks`` is after how many calls one is replaced. Raises
    UsageError for numbers that can't be.

    At the end, calls that wait are cancelled, processes are ended, and threads get ``limits.LANE_PATIENCE`` seconds.
    """

    def __init__(
        self,
        *,
        threads: int = limits.LANE_THREADS,
        processes: int | None = None,
        memory: int | None = None,
        max_tasks: int | None = None,
    ) -> None:
        check_numbers(threads=threads, processes=processes, memory=memory, max_tasks=max_tasks)
        self._numbers = threads, processes or cores(), memory, max_tasks
        self._pools: Pools | None = None
        self._closed = False

    # -- work --------------------------------------------------------------------------------------------------------

    def call(
        self, fn: Callable[..., Any], /, *args: Any, on: Any = AUTO, timeout: float | None = None, **kwargs: Any
    ) -> Awaitable[Any]:
        """Await it for ``fn(*args, **kwargs)``, run where it runs best, or ``on`` a lane: "loop", "threads",
        "processes", "dask://host:port" or a distributed.Client. A coroutine function runs on the loop.

        ``timeout`` is in seconds; TimeoutError is raised after it, and the call is stopped: its process is killed, its
        coroutine cancelled. A thread can't be stopped, and a cluster not in the middle of an item: there the call runs
        on, and its result is dropped. To cancel what awaits is the same. The time begins with the call in a process and
        on the loop, with the wait for a thread, and with the sending to a cluster. The wait for a limit doesn't count.

        Raises what ``fn`` raises; UsageError for what can't be done as asked, ShippingError for a function, arguments
        or a result that don't pickle, WorkerDied if the process was killed, MissingExtra if a library is not installed.
        """
        check_function(fn, "call")
        if on is not AUTO:
            check_lane(on, fn)
        if timeout is not None:
            check_timeout(timeout)
        return self._own().call(fn, args, kwargs, on, timeout)

    def map(
        self,
        fn: Callable[..., Any],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        on: Any = AUTO,
        limit: int | None = None,
        ordered: bool = True,
        retries: int = 0,
        timeout: float | None = None,
        on_error: str = "raise",
        progress: Any = False,
    ) -> Map:
        """``fn(item)`` for each of ``items``, which may be endless: ``async for`` brings results as they come,
        ``await`` a list of all.

        ``limit`` is how many run at once, as many as is good if None; ``ordered`` brings results in the order of the
        items, else as they end. An item that raises is tried ``retries`` times more; then the first error is raised and
        the rest given up, or, with ``on_error="return"``, it stands among the results. ``on`` and ``timeout``, of each
        item, are as in ``call``. ``progress`` draws a bar on the terminal if True; a function is called with a
        ``progress.State``. Raises UsageError for what can't be done as asked.
        """
        if on_error not in ("raise", "return"):
            raise UsageError(f"on_error={on_error!r}: 'raise' the first error, or 'return' each in its place")
        options = Options(on, limit, ordered, retries, timeout, on_error == "return")
        return Map(self._own, fn, items, options, progress)

    # -- what is known -----------------------------------------------------------------------------------------------

    def explain(self, fn: Callable[..., Any]) -> Explanation:
        """Where ``fn`` runs, with the figures and the reason."""
        check_function(fn, "explain")
        return explain_by(None if self._pools is None else self._pools.profiles, fn)

    def state(self) -> State:
        """What all lanes have to do."""
        pools = self._pools
        if pools is None:
            return State(ThreadsState(0, 0, 0), ProcessesState(0, 0, 0), (), ())
        count = pools.threads.count()
        clusters = tuple(ClusterState(each.address, each.width, each.dashboard) for each in pools.clusters)
        return State(
            ThreadsState(count.threads, count.running, count.waiting),
            ProcessesState(*pools.process_state()),
            clusters,
            explain_all(pools.profiles, pools.words),
        )

    # -- life --------------------------------------------------------------------------------------------------------

    def _own(self) -> Pools:
        """The pools, for the loop that runs. Raises RuntimeError without one, for another one, and after the end."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise RuntimeError("these lanes are closed")
        if self._pools is None:
            self._pools = Pools(loop, *self._numbers)
        elif self._pools.loop is not loop:
            raise RuntimeError("these lanes belong to another loop: make some for each, or use rota.call and rota.map")
        return self._pools

    @property
    def closed(self) -> bool:
        """Whether these lanes take no more calls."""
        return self._closed

    async def aclose(self) -> None:
        """End all that runs; takes seconds at most, and does not hold the loop."""
        self._closed = True
        pools, self._pools = self._pools, None
        if pools is not None:
            await pools.aclose()

    def close(self) -> None:
        """The same, blocking: for a loop that is being closed."""
        self._closed = True
        pools, self._pools = self._pools, None
        if pools is not None:
            pools.close()()

    async def __aenter__(self) -> Lanes:
        self._own()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def check_numbers(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is None and name != "threads":
            continue
        if type(number) is not int or number < 1:
            raise UsageError(f"{name}={number!r}: a whole number, at least 1")
        if name == "memory" and number < LEAST_MEMORY:
            raise UsageError(f"memory={number}: a worker itself takes some; give it {LEAST_MEMORY} bytes or more")


# -- those that a loop has
# ------------------------------------------------------------------------------------------------


class Default:
    """The lanes of one loop, made when they are first used and ended with it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lanes = Lanes()
        self._stalls: Stalls | None = None
        self._guard = self._guarding()
        if isinstance(loop, Loop):
            self._stalls = Stalls(loop)
            with contextlib.suppress(RuntimeError):  # no thread to be had, or none that may be a daemon
                self._stalls.start()
            loop._ends_with.append(self.end)
        # Every runner closes the asynchronous generators of its loop before the loop itself: the guard ends the lanes
        # there, while the loop still runs, whatever loop it is.
        with contextlib.suppress(StopIteration):
            self._guard.asend(None).send(None)

    async def _guarding(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._end_watch()
            await self.lanes.aclose()

    def end(self) -> None:
        """At once, blocking: the loop is being closed, or has been."""
        self._end_watch()
        self.lanes.close()

    def _end_watch(self) -> None:
        stalls, self._stalls = self._stalls, None
        if stalls is not None:
            stalls.stop()


_defaults: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Default] = weakref.WeakKeyDictionary()
_lock = threading.Lock()  # of those: each thread may have a loop


def default() -> Lanes:
    """The lanes of the loop that runs; raises RuntimeError if none does."""
    loop = asyncio.get_running_loop()
    found = _defaults.get(loop)
    if found is None or found.lanes.closed:
        end_those_of_closed_loops()
        found = Default(loop)
        with _lock:
            _defaults[loop] = found
    return found.lanes


def end_those_of_closed_loops() -> None:
    """asyncio's loops tell nobody when they are only closed, and by no runner."""
    with _lock:
        over = [loop for loop, other in list(_defaults.items()) if loop.is_closed() or other.lanes.closed]
        ended = [other for other in [_defaults.pop(loop, None) for loop in over] if other is not None]
    for other in ended:
        if other.lanes.closed:
            other.end()  # only what is not the lanes'
            continue
        try:
            # It may wait for threads and processes, and this loop has nothing to do with them.
            threading.Thread(target=other.end, name="rota-lanes-end").start()
        except RuntimeError:  # no thread to be had
            other.end()


def new_lock() -> None:
    """In a forked child: whoever had it is not there."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=new_lock)


def default_if_any() -> Lanes:
    """The same for a look at it: where there is no loop, or nothing was called on it, lanes that nothing ran in."""
    try:
        found = _defaults.get(asyncio.get_running_loop())
    except RuntimeError:
        found = None
    return Lanes() if found is None else found.lanes
