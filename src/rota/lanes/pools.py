"""Pools: where the calls of one loop run, and the choice between them.

A call goes to the lane that it was told, or that the user's word says (``@rota.io``, ``@rota.cpu``), or that the
figures of its function say. Those come from calls that were asked for: none is ever made to try, and none is made
twice. A call that was chosen for a process, and turns out not to be sendable before anything of it has run, runs in a
thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from .. import limits, threads
from ..errors import MissingExtra, UsageError
from . import meter, sampler, shipping
from .batch import Batch
from .catalogue import Entry
from .cluster import Cluster, check_address
from .errors import NoWorkers, RemoteError, RemoteTraceback, ShippingError
from .function import inner, is_async, name_of
from .job import Outcome
from .limiter import Limiter, Permit
from .machine import cores
from .meter import Measure, Metered
from .processes import Processes, Ran
from .profile import Profile, Profiles, Verdict, examine
from .sampler import Sampler
from .word import Word, word_of
from .wording import arguments, describe, short
from .worker import CALLS, ITEMS

logger = logging.getLogger("rota")

AUTO, LOOP, THREADS, PROCESSES = "auto", "loop", "threads", "processes"
LANES = (AUTO, LOOP, THREADS, PROCESSES)

#: To see whether calls compute, at most so many of them are looked at: a look takes some 5 µs.
SEEN = 16

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Call(threads.Call):
    """A call of the lanes: with the function's name, whatever it is wrapped in, and with its permit, if it has one."""

    __slots__ = ("fn", "permit")
    fn: Callable[..., Any]
    permit: Permit | None

    def run(self) -> None:
        loop, permit = self._loop, self.permit
        super().run()
        # The traceback of what it raised leads here: this frame would hold the future that has it.
        del self
        if permit is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for a place
                loop.call_soon_threadsafe(permit.release)

    def describe(self) -> str:
        return name_of(self.fn)


class Pools:
    """The threads, the processes and the clusters of one loop; each is made when it is first used."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, most: int, processes: int, memory: int | None, max_tasks: int | None
    ) -> None:
        self.loop = loop
        self.width = processes
        self.most = most
        self._sampler = Sampler()
        self.profiles = Profiles(cores=cores(), most=most, sampler=self._sampler)
        self.threads = threads.Threads(most, keep=limits.LANE_KEEP, daemon=True, name="rota")
        self._examined: weakref.WeakSet[Profile] = weakref.WeakSet()  # those that a thread looks at
        self._widths: weakref.WeakKeyDictionary[Profile, Limiter] = weakref.WeakKeyDictionary()
        self._processes: Processes | None = None
        self._limits = memory, max_tasks
        self._clusters: dict[Any, Cluster] = {}
        self._connecting: dict[Any, asyncio.Task[Cluster]] = {}
        self._opening: set[Cluster] = set()  # those that are being connected to
        self._limiters: weakref.WeakKeyDictionary[Word, Limiter] = weakref.WeakKeyDictionary()
        #: The words of functions that were called, by their profiles: for those who look at the lanes.
        self.words: weakref.WeakKeyDictionary[Profile, Word] = weakref.WeakKeyDictionary()
        self.closed = False

    # -- which lane -----------------------------------------------------------------------------------------------

    def lane_of(self, fn: Callable[..., Any], args: Args, on: Any, word: Word | None) -> tuple[Any, Profile | None]:
        """Where a call runs, and the profile that it belongs to, for a plain function on this machine. ``word`` is what
        the user says of ``fn``.
        """
        if on == AUTO:
            if is_async(fn):
                return (PROCESSES if word is not None and word.kind == "cpu" else LOOP), None
            profile = self.profiles.of(fn, args)
            if word is None:
                return profile.decision.lane, profile
            self.words[profile] = word
            return (PROCESSES if word.kind == "cpu" else THREADS), profile
        if on in (THREADS, PROCESSES) and not is_async(fn):
            return on, self.profiles.of(fn, args)
        return on, None

    def limiter_of(self, word: Word | None) -> Limiter | None:
        """The limit that the user has set for a function, and all that have it in common."""
        if word is None or word.limit is None:
            return None
        limiter = self._limiters.get(word)
        if limiter is None:
            limiter = self._limiters[word] = Limiter(word.limit)
        return limiter

    def width_limiter(self, profile: Profile) -> Limiter:
        """For functions of which more at once would only be in one another's way: as many as there are cores."""
        decision = profile.decision
        limiter = self._widths.get(profile)
        if limiter is None:
            limiter = self._widths[profile] = Limiter(decision.width)
        elif limiter.most != decision.width:
            limiter.most = decision.width
        return limiter

    # -- one call -------------------------------------------------------------------------------------------------

    def call(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        on: Any,
        timeout: float | None,
        places: Limiter | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """See ``Lanes.call``; the lane is chosen now, or when there is a place. It takes one of ``places``, besides one
        of the function's own limit, until it is over: in a thread, until that is done with it.
        """
        word = word_of(fn)
        limiter = self.limiter_of(word)
        if limiter is None and places is None:
            return self._call(fn, args, kwargs, on, timeout, word)
        return self._permitted([each for each in (places, limiter) if each is not None], fn, args, kwargs, on, timeout)

    async def _permitted(
        self,
        limiters: list[Limiter],
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        on: Any,
        timeout: float | None,
    ) -> Any:
        permit = Permit()
        try:
            for limiter in limiters:
                await permit.take(limiter)
            return await self._call(fn, args, kwargs, on, timeout, word_of(fn), permit)
        finally:
            if not permit.kept:
                permit.release()

    def _call(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        on: Any,
        timeout: float | None,
        word: Word | None,
        permit: Permit | None = None,
    ) -> Coroutine[Any, Any, Any]:
        # No coroutine of its own: each takes time at every call.
        lane, profile = self.lane_of(fn, args, on, word)
        if lane == THREADS:
            return self._in_thread(fn, args, kwargs, profile, timeout, permit)
        if lane == LOOP:
            return self.on_loop(fn, args, kwargs, timeout)
        if lane == PROCESSES:
            chosen = on == AUTO and word is None
            return self._in_process(fn, args, kwargs, profile, timeout, permit, chosen)
        return self._on_cluster(fn, args, kwargs, lane, timeout)

    async def _on_cluster(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, on: Any, timeout: float | None
    ) -> Any:
        """A call on a cluster. The time is for all of it: to connect, and to wait for a worker, too."""
        cluster = None
        async with Deadline(timeout, fn, args, kwargs, lambda: "" if cluster is None else cluster.why_late()):
            cluster = await self.cluster(on)
            await cluster.check(fn)
            ((ok, value, *_spent),) = await cluster.run(fn, [(args, kwargs)], timeout=timeout)
        if ok:
            return value
        try:
            raise value
        finally:
            del value  # this frame is in its traceback

    async def on_loop(self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, timeout: float | None) -> Any:
        """Await a coroutine function's call; call any other right here."""
        if shipping.sharing:
            fn, args, kwargs = opened(fn, args, kwargs)
        if not is_async(fn):
            return fn(*args, **kwargs)
        if timeout is None:
            return await fn(*args, **kwargs)
        async with Deadline(timeout, fn, args, kwargs):
            return await fn(*args, **kwargs)

    async def _in_thread(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        profile: Profile | None,
        timeout: float | None,
        permit: Permit | None = None,
    ) -> Any:
        limiter = self.width_limiter(profile) if profile is not None and profile.decision.crowd else None
        own = None  # permit, which nobody else gives back
        if limiter is not None:
            if permit is None:
                permit = own = Permit()
            await permit.take(limiter)
        try:
            future = self.in_thread(fn, args, kwargs, profile, permit)
        except BaseException:
            if own is not None:
                own.release()
            raise
        try:
            if timeout is None:
                return await future
            async with Deadline(timeout, fn, args, kwargs, lambda: " (a thread can't be stopped: it runs on)"):
                return await future
        finally:
            del future  # its exception's traceback leads here

    def in_thread(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        profile: Profile | None = None,
        permit: Permit | None = None,
    ) -> asyncio.Future[Any]:
        """Begin a call in a thread, in a copy of this context. Cancelled before it has begun, it never runs. ``permit``
        is given back when its thread is done with it, though nobody may wait for it any more.
        """
        if shipping.sharing:
            fn, args, kwargs = opened(fn, args, kwargs)
        context = contextvars.copy_context()
        if profile is not None and profile.wants_meter():
            metered = profile.meter()
            call = Call(self.loop, metered, (fn, args, kwargs), None, context)
            call.future.add_done_callback(functools.partial(self._note, profile, metered, fn, args, kwargs))
        else:
            call = Call(self.loop, fn, args, kwargs, context)
        return self._begin(call, fn, permit)

    def computing(self, fn: Callable[..., Any]) -> bool | None:
        """Whether most of the calls of ``fn`` that are in threads now compute, or would with a core and the GIL, and
        don't wait for something outside. None where nobody can see that.
        """
        libc, gil = meter.libc, sampler.found_gil
        if libc is None or gil is None:
            return None
        what, buffer = inner(fn), libc.buffer()
        seen = waiting = 0
        for call, thread in self.threads.running():
            if not isinstance(call, Call) or inner(call.fn) is not what:
                continue
            status = libc.read(b"/proc/self/task/%d/syscall" % thread, buffer)
            if not status:
                continue  # it has ended
            seen += 1
            waiting += not status.startswith(b"running") and not gil.has(status)
            if seen == SEEN:
                break
        return waiting * 2 < seen if seen else None

    def _begin(self, call: Call, fn: Callable[..., Any], permit: Permit | None) -> asyncio.Future[Any]:
        call.fn, call.permit = fn, permit
        self.threads.start(call)
        if permit is not None:
            permit.kept = True
            call.future.add_done_callback(functools.partial(note_given_up, call))
        return call.future  # type: ignore[no-any-return]

    async def _in_process(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        profile: Profile | None,
        timeout: float | None,
        permit: Permit | None,
        chosen: bool,
    ) -> Any:
        """A call in a process. If the lane is rota's choice (``chosen``), what can't be sent runs in a thread."""
        began = self.loop.time()
        try:
            ran = await self.processes().run(fn, [(args, kwargs)], CALLS, timeout)
        except NEVER_RAN as error:
            ok, value = False, error
        else:
            if profile is not None and wants_meter(profile) and ran.wall:
                profile.add(measure_of(ran), None, PROCESSES)
                profile.shipped(max(0.0, self.loop.time() - began - ran.wall))
            ok, value = ran.outcomes.pop()  # a future has that list, and plain tasks' frames have the future
        if ok:
            return value
        try:
            if chosen and profile is not None and self._turns_back(value, profile):
                return await self._in_thread(fn, args, kwargs, profile, timeout, permit)
            raise value
        finally:
            del value  # this frame is in its traceback

    def _turns_back(self, error: object, profile: Profile) -> bool:
        """Whether a call that rota has sent to a process, and that has ended with ``error``, did not run there and is
        to run in a thread. Later ones do, too, if anything of it can't travel.
        """
        unsent = never_ran(error)
        if isinstance(error, NoWorkers) and unsent and self.profiles.processes_allowed:
            self.profiles.processes_allowed = False
            logger.warning("functions that compute stay in threads: %s", error)
        if unsent or isinstance(error, ShippingError | RemoteError):
            profile.refuse(str(error))
        return unsent

    def _note(
        self,
        profile: Profile,
        metered: Metered,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        future: asyncio.Future[Any],
    ) -> None:
        """What a metered call in a thread has cost goes to its profile."""
        if future.cancelled():
            profile.miss()  # perhaps it never began
            return
        profile.add(metered.measure, metered.held, THREADS)
        if profile.candidate and profile not in self._examined and not self.closed:
            result = None if future.exception() is not None else future.result()
            looking = self.in_thread(examine, (fn, args, kwargs, result), {})
            self._examined.add(profile)
            looking.add_done_callback(functools.partial(self._conclude, profile))

    def _conclude(self, profile: Profile, looking: asyncio.Future[Verdict]) -> None:
        self._examined.discard(profile)
        if looking.cancelled() or not profile.candidate:
            return  # the lanes have ended, or a call could not be sent meanwhile
        error = looking.exception()
        verdict = looking.result() if error is None else Verdict(f"it can't be looked at: {describe(error)}", 0)
        profile.conclude(verdict)
        if profile.unsafe is not None:
            logger.info("%s stays in threads: %s", profile.name, profile.unsafe)

    # -- many calls ----------------------------------------------------------------------------------------------

    def batch_in_thread(
        self, fn: Callable[..., Any], items: list[Any], profile: Profile | None, permit: Permit | None = None
    ) -> asyncio.Future[list[Outcome]]:
        """Begin calls of ``fn`` with each of ``items``, one after the other in one thread; the future brings their
        outcomes: of the first at least, and of as many as don't take too long. Cancelled, no more are begun. ``permit``
        is as in ``in_thread``.
        """
        batch = Batch(fn, items, limits.CHUNK_SECONDS_MOST)
        call = Call(self.loop, batch, (), None, contextvars.copy_context())
        call.future.add_done_callback(functools.partial(note_batch, profile, batch))
        return self._begin(call, fn, permit)

    async def chunk_in_process(
        self,
        fn: Callable[..., Any],
        entry: Entry | None,
        items: list[Any],
        chosen: bool,
        profile: Profile | None,
        timeout: float | None,
        places: Limiter | None = None,
    ) -> tuple[list[Outcome], float, int]:
        """Calls of ``fn``, which is sent as ``entry`` if there is one yet, with each of ``items`` in one process: their
        outcomes, the seconds that they took there and the bytes of their arguments. If the lane is rota's choice
        (``chosen``), what can't be sent runs in a thread, and there may be outcomes of the first items only; in a
        thread, a call with a time takes one of ``places`` until that is done with it.
        """
        chosen = chosen and profile is not None
        try:
            ran = await self.processes().run(entry or fn, items, ITEMS, timeout)
        except NEVER_RAN as error:
            if not chosen:
                raise
            assert profile is not None
            self._turns_back(error, profile)
            return await self._some_in_thread(fn, items, profile, timeout, places), 0.0, 0
        outcomes = ran.outcomes
        if profile is not None:
            profile.calls += len(items) - 1
            if wants_meter(profile) and ran.wall:
                profile.add(measure_of(ran), None, PROCESSES)
        if chosen and profile is not None:
            for at, (ok, value) in enumerate(outcomes):
                if not ok and self._turns_back(value, profile):
                    (outcomes[at],) = await self._some_in_thread(fn, [items[at]], profile, timeout, places)
        return outcomes, ran.wall, ran.size

    async def _some_in_thread(
        self,
        fn: Callable[..., Any],
        items: list[Any],
        profile: Profile,
        timeout: float | None,
        places: Limiter | None,
    ) -> list[Outcome]:
        """What becomes of ``items`` that could not be sent: of the first at least."""
        if timeout is None:
            return await self.batch_in_thread(fn, items, profile)
        try:
            return [(True, await self.call(fn, (items[0],), {}, THREADS, timeout, places))]
        except (Exception, SystemExit) as error:
            return [(False, error)]

    # -- pools ----------------------------------------------------------------------------------------------------

    def processes(self) -> Processes:
        """The worker processes. Raises RuntimeError after ``close``."""
        if self._processes is None:
            if self.closed:
                raise RuntimeError("these lanes are closed")
            memory, max_tasks = self._limits
            self._processes = Processes(
                self.loop, self.width, memory=memory, max_tasks=max_tasks, cores=max(cores(), self.width)
            )
        return self._processes

    async def cluster(self, on: Any) -> Cluster:
        """The cluster at an address, or of a client, connected. Raises what ``Cluster.connect`` raises, RuntimeError
        after ``close``.
        """
        if self.closed:
            raise RuntimeError("these lanes are closed")
        known = self._clusters.get(on)
        if known is not None and not known.lost:
            return known
        connecting = self._connecting.get(on)
        if connecting is None:
            connecting = self._connecting[on] = self.loop.create_task(self._connect(on))
            connecting.add_done_callback(functools.partial(self._connected, on))
        return await asyncio.shield(connecting)

    def _connected(self, on: Any, connecting: asyncio.Task[Cluster]) -> None:
        self._connecting.pop(on, None)
        if not connecting.cancelled():
            connecting.exception()  # who still waits for it gets it; who gave up before has an answer

    async def _connect(self, on: Any) -> Cluster:
        cluster = Cluster(on)
        self._opening.add(cluster)
        try:
            await cluster.connect()
        finally:
            self._opening.discard(cluster)
        lost = self._clusters.get(on)
        self._clusters[on] = cluster
        if lost is not None:
            await lost.aclose()
        return cluster

    @property
    def clusters(self) -> list[Cluster]:
        return list(self._clusters.values())

    def process_state(self) -> tuple[int, int, int]:
        """Workers, those that have something to do, and calls that wait for one."""
        return (0, 0, 0) if self._processes is None else self._processes.state()

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self) -> Callable[[], None]:
        """Take no more calls and end what runs; what is returned waits for it, for seconds at most, and is for a thread
        or for the end of the loop. What still runs in threads then is named in the log.
        """
        clusters, self._clusters = self._clusters, {}
        wait = self._close()
        for cluster in clusters.values():
            cluster.close()
        return wait

    def _close(self) -> Callable[[], None]:
        """The same but for the clusters that are connected."""
        self.closed = True
        for connecting in self._connecting.values():
            with contextlib.suppress(RuntimeError):  # the loop was closed before the lanes
                connecting.cancel()
        self._sampler.close()
        wait_for_processes = self._processes.close() if self._processes is not None else None
        for cluster in self._opening:
            cluster.close()

        def wait() -> None:
            left = self.threads.shutdown(patience=limits.LANE_PATIENCE)
            if wait_for_processes is not None:
                wait_for_processes()
            if left:
                logger.warning(
                    "the lanes have ended, but in threads, which nobody can stop, still run: %s", counted(left)
                )

        return wait

    async def aclose(self) -> None:
        """``close``, and wait without holding the loop."""
        wait = self._close()
        ending: list[Any] = list(self._connecting.values())
        clusters, self._clusters = self._clusters, {}
        ending += [cluster.aclose() for cluster in clusters.values()]
        try:
            await asyncio.gather(*ending, return_exceptions=True)
        finally:
            await in_own_thread(self.loop, wait)


async def in_own_thread(loop: asyncio.AbstractEventLoop, wait: Callable[[], None]) -> None:
    """Run ``wait`` in a thread that is made for it: the pools are at their end. A cancellation waits for it, and is
    raised then.
    """
    done = loop.create_future()

    def run() -> None:
        try:
            wait()
        finally:
            try:
                loop.call_soon_threadsafe(finish, done)
            except RuntimeError:  # the loop was closed meanwhile
                pass

    thread = threading.Thread(target=run, name="rota-lanes-end")
    thread.start()
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError as error:
            cancelled = error
    thread.join()  # it has nothing left to do
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled


def finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


#: What ``Processes.run`` raises when nothing has run.
NEVER_RAN = (ShippingError, MissingExtra, NoWorkers)


def never_ran(error: object) -> bool:
    """Whether a call could not be sent, so that nothing of it has run. What a worker sends back has a traceback."""
    if not isinstance(error, NEVER_RAN) or isinstance(error.__cause__, RemoteTraceback):
        return False
    return not (isinstance(error, ShippingError) and error.ran)


def opened(fn: Callable[..., Any], args: Args, kwargs: Kwargs) -> tuple[Callable[..., Any], Args, Kwargs]:
    """The call with shared objects themselves in place of their handles."""
    return shipping.opened_function(fn), *shipping.opened(args, kwargs)


def counted(names: list[str]) -> str:
    """``fetch, 50 times work``."""
    return ", ".join(name if times == 1 else f"{times} times {name}" for name, times in Counter(names).items())


def note_given_up(call: Call, future: asyncio.Future[Any]) -> None:
    """Give back the permit of a call that never began, and never will; one that has begun runs on with it."""
    if not future.cancelled() or call.permit is None:
        return
    if not call.began:
        call.permit.release()
    else:
        call.permit.abandon(name_of(call.fn))


def note_batch(profile: Profile | None, batch: Batch, future: asyncio.Future[Any]) -> None:
    """What calls in one thread have cost goes to their profile; if nobody wants them any more, no more are begun."""
    if future.cancelled():
        batch.stop()
    elif profile is not None and batch.done:
        profile.calls += batch.done
        profile.add(batch.measure, None, THREADS)


def wants_meter(profile: Profile) -> bool:
    """Count a call that ran in a process, and say whether it is to be measured. Before there is a decision only threads
    show what it goes by: then somebody's word has sent the call there.
    """
    if profile.decided:
        return profile.wants_meter()
    profile.calls += 1
    return False


def measure_of(ran: Ran) -> Measure:
    """What one of the calls that ran in processes has cost there."""
    count = len(ran.outcomes)
    blocked = max(0.0, ran.wall - ran.cpu - ran.queued)
    return Measure(ran.cpu / count, ran.wall / count, ran.queued / count, blocked / count)


class Deadline:
    """``async with`` it around a call of ``fn``: after ``timeout`` seconds, if that is not None, what runs there is
    cancelled, and TimeoutError names the call, and ends with what ``more`` says then.
    """

    __slots__ = ("_clock", "_fn", "_more", "_timeout", "_with")

    def __init__(
        self, timeout: float | None, fn: Callable[..., Any], args: Args, kwargs: Kwargs, more: Callable[[], str] = str
    ) -> None:
        self._clock = asyncio.timeout(timeout)
        self._timeout = timeout
        self._fn = fn
        self._with = args, kwargs
        self._more = more

    async def __aenter__(self) -> None:
        await self._clock.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._clock.__aexit__(kind, error, trace)
        except TimeoutError:
            call = f"{name_of(self._fn)}({arguments(*self._with)})"
            raise TimeoutError(f"{call} took longer than {self._timeout:g} s{self._more()}") from None


def check_lane(on: Any, fn: Callable[..., Any]) -> None:
    """Raises UsageError unless ``on`` is a lane where ``fn`` can run."""
    if isinstance(on, str):
        if on not in LANES and not on.startswith("dask://"):
            names = ", ".join(map(repr, LANES))
            raise UsageError(
                f"no lane is called {on!r}: choose from {names}, 'dask://host:port' or a distributed.Client"
            )
        if on.startswith("dask://"):
            check_address(on)
        if on == THREADS and is_async(fn):
            raise UsageError(
                f"{name_of(fn)} is a coroutine function, which a thread can't await: "
                "on='loop', 'processes' or 'dask://host:port' can"
            )
    elif not hasattr(on, "scheduler_info"):
        raise UsageError(f"on={short(on)} is no lane: a name, 'dask://host:port' or a distributed.Client is")
