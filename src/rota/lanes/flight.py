"""Flight: the items of a map that are under way, from the iterator they come from to the results in their order.

A window of them is in flight, never the whole of the input: how many goes by the lane and by what was measured, and by
how far the results' reader has come. Items that are cheap for their lane travel in chunks, sized by what they cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

from .. import limits
from ..errors import MissingExtra
from .catalogue import Entry
from .choose import TINY, Decision
from .cluster import Cluster
from .errors import ShippingError
from .function import is_async, name_of
from .job import Outcome
from .limiter import Limiter, Permit
from .pools import AUTO, LOOP, PROCESSES, THREADS, Pools
from .profile import Profile
from .progress import Progress
from .window import START, START_TOLD, Window
from .word import word_of
from .wording import short

#: Results that may wait for their reader, or for an earlier one, whatever the lane ...
AHEAD = 100

#: ... and about so many bytes of them, as far as each is in one piece: text, bytes, an array.
AHEAD_BYTES = 64 * 1024 * 1024
BYTES = frozenset((str, bytes, bytearray))

#: Seconds after which others have a turn of the loop, and what has been drawn is begun: the iterator may be slow.
DRAW_SECONDS = 0.002

#: An exception that many items raise, the very same object, names no more of them than this.
NOTES = 10


class Options(NamedTuple):
    """How a map is to be done; see ``Lanes.map``."""

    on: Any
    limit: int | None
    ordered: bool
    retries: int
    timeout: float | None
    returns_errors: bool


class Item(NamedTuple):
    """One of the input, with its place and how often it has been tried."""

    place: int
    value: Any
    tries: int


class Plan(NamedTuple):
    """Where the next items go, how many together, and how many such chunks may be there at once."""

    lane: Any
    profile: Profile | None
    size: int
    width: int


class Flight:
    """One run of a map. ``begin``, then ``take`` what is ``ready`` and ``wait`` for more until it is ``over``; ``stop``
    at the end, whatever happened.
    """

    def __init__(
        self,
        pools: Pools,
        fn: Callable[..., Any],
        source: Iterator[Any] | AsyncIterator[Any],
        total: int | None,
        options: Options,
        progress: Progress | None,
    ) -> None:
        self.ready: deque[Outcome] = deque()
        #: What ended it early, besides an item: the iterator raised, or the lane is gone.
        self.error: BaseException | None = None
        self._pools = pools
        self._fn = fn
        self._is_async = is_async(fn)
        self._source = source
        self._total = total
        self._options = options
        self._progress = progress
        # What messages have of the tasks that run the items: whose map it is.
        caller = asyncio.current_task()
        self._task_name = f"{'' if caller is None else f'{caller.get_name()}: '}map of {name_of(fn)}"
        word = word_of(fn)
        self._limiter = pools.limiter_of(word)
        # In threads, where a call whose time is up runs on: its place comes free when its thread is done with it.
        self._places = None if options.limit is None or options.timeout is None else Limiter(options.limit)
        self._word = word
        self._chosen = options.on == AUTO and word is None  # the lane is rota's choice
        self._pulling: asyncio.Task[None] | None = None  # from an asynchronous iterator
        self._room = asyncio.Event()  # for that
        self._drained = False  # nothing more comes from the iterator
        self._stopped = False  # nothing more is begun
        self._failing = False  # an item has failed, and will be raised: nothing more is begun but second tries
        self._waiting: deque[Item] = deque()  # pulled, and not begun
        self._pulled = 0
        self._running: dict[asyncio.Future[Any], Any] = {}  # chunks, each with its lane
        self._in_lane = {LOOP: 0, THREADS: 0, PROCESSES: 0, options.on: 0}  # how many in each
        self._begun = 0  # items, whether or not they have to begin again
        self._taken = 0  # results
        self._held: dict[int, Outcome] = {}  # results that wait for an earlier one
        self._next = 0  # whose result is to be taken next
        self._waiter: asyncio.Future[None] | None = None
        self._draw_until = 0.0  # by the clock, not the loop's
        self._pump_is_due = False  # the loop will call it
        self._window = self._make_window()  # of calls in threads
        self._limit = options.limit or sys.maxsize
        self._most = 1  # chunks at once, by the last plan: no other is made while they are there
        self._ended = 0  # chunks in threads
        self._profile: Profile | None = None  # of the last plan
        self._decision: Decision | None = None  # at the last look
        self._look: asyncio.TimerHandle | None = None
        self._entry: Entry | None = None  # the function as it is sent to processes
        self._wanted = 1  # items in a chunk, by the last plan
        self._cost = 0.0  # seconds of an item in another process; 0 if unknown
        self._size = 1  # of the largest chunk that was sent to another process
        self._bytes = self._result_bytes = 0  # of an item and of a result: of a large one, if there was one lately
        self._done = self._failed = 0
        self._cluster: Cluster | None = None  # once it has the function
        self._input_error: BaseException | None = None

    def _make_window(self) -> Window:
        most, told = self._pools.most, self._options.limit
        if told is None and self._limiter is not None:
            told = self._limiter.most
        if told is None:
            return Window(START, min(limits.MAP_THREADS, most))
        # The user's word is what it is. Only what may yet turn out to belong elsewhere begins with few.
        return Window(START_TOLD if self._chosen else told, min(told, most), told=True)

    # -- for the reader ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        if hasattr(self._source, "__anext__"):
            self._pulling = self._pools.loop.create_task(self._pull(self._source), name=self._task_name)
        self._pump()

    def take(self) -> Outcome:
        """The next outcome of those that are ready."""
        outcome = self.ready.popleft()
        self._taken += 1
        if not self.ready:
            self._pump()
        return outcome

    @property
    def over(self) -> bool:
        """Whether no outcome is ready and none will be."""
        if self.ready:
            return False
        if self.error is not None:
            return True
        left = self._running or (self._waiting and not self._at_failure)
        return not left and (self._drained or self._stopped or self._failing)

    @property
    def _at_failure(self) -> bool:
        """Whether an item has failed, and none that was begun before waits to begin again: it may come before the
        failed one in the order.
        """
        return self._failing and (not self._waiting or self._waiting[0].place >= self._begun)

    async def wait(self) -> None:
        """Until something is ready, or it is over."""
        while not self.ready and not self.over:
            self._waiter = self._pools.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def stop(self) -> None:
        """Give up what runs, and wait until it has been."""
        self._stopped = True
        self._waiting.clear()
        if self._look is not None:
            self._look.cancel()
        running = [*self._running]
        if self._pulling is not None:
            running.append(self._pulling)
        for future in running:
            future.cancel()
        try:
            if running:
                await asyncio.wait(running)
        finally:
            if self._progress is not None:
                self._progress.end()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: BaseException) -> None:
        """End it: all that is left to do is to raise ``error``, after the results that are there."""
        if self.error is None:
            self.error = error
        self._stopped = True
        self._wake()

    # -- what comes in -----------------------------------------------------------------------------------------------

    def _peek(self) -> Item | None:
        """The next item to begin, or None if there is none now."""
        if not self._waiting and not self._drained and self._pulling is None:
            self._draw()
        return self._waiting[0] if self._waiting else None

    def _draw(self) -> None:
        """One more item from the iterator, which is the program's own code and may raise."""
        try:
            value = next(self._source)  # type: ignore[arg-type]
        except StopIteration:
            self._drained = True
        except (KeyboardInterrupt, SystemExit) as error:
            self._drained = True
            self._fail(error)
            raise
        except BaseException as error:
            self._drained = True
            self._end_of_input(error)
        else:
            self._push(value)

    def _push(self, value: Any) -> None:
        self._waiting.append(Item(self._pulled, value, 0))
        self._pulled += 1

    async def _pull(self, source: Any) -> None:
        """Draw from an asynchronous iterator, as long as there is room: for what is to go out together at least."""
        until = time.perf_counter() + DRAW_SECONDS
        try:
            while not self._stopped:
                try:
                    value = await anext(source)
                except StopAsyncIteration:
                    break
                self._push(value)
                self._pump()
                while len(self._waiting) > self._wanted and not self._stopped:
                    self._room.clear()
                    await self._room.wait()
                if time.perf_counter() > until:  # perhaps it never waits for anything
                    await asyncio.sleep(0)
                    until = time.perf_counter() + DRAW_SECONDS
        except asyncio.CancelledError as error:
            if self._stopped:
                raise
            self._end_of_input(error)
        except (KeyboardInterrupt, SystemExit) as error:
            self._fail(error)
            raise
        except BaseException as error:
            self._end_of_input(error)
        finally:
            self._drained = True
            self._pump()
            self._wake()

    def _end_of_input(self, error: BaseException) -> None:
        """The iterator raised: what was drawn before is finished, then that is raised."""
        add_note(error, f"raised by the items of rota.map, after {self._pulled} of them")
        self._input_error = error

    # -- what goes out -----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin as many as there is room for."""
        self._draw_until = time.perf_counter() + DRAW_SECONDS
        try:
            while not self._stopped and not self._at_failure and len(self._running) < self._most:
                item = self._peek()
                if item is None:
                    break
                plan = self._plan(item)
                self._wanted, self._profile = plan.size, plan.profile
                # In another lane may still run what was begun there before: each has room for its own, up to the limit.
                elsewhere = len(self._running) - self._in_lane[plan.lane]
                self._most = min(plan.width + elsewhere, self._limit)
                # What begins again counts already: the bound is no reason to let it wait.
                is_new = item.place >= self._begun
                if len(self._running) >= self._most or (is_new and self._begun - self._taken >= self._bound(plan)):
                    break
                items = self._next_items(plan.size)
                self._begun = max(self._begun, items[-1].place + 1)
                self._start(plan, items)
                if time.perf_counter() > self._draw_until:
                    self._pump_again_soon()
                    break
        except Exception as error:  # what can't be sent anywhere, or a lane that is closed
            self._fail(error)
        if self._input_error is not None and not self._running and not self._waiting:
            self._fail(self._input_error)
        if self._pulling is not None:
            self._room.set()

    def _pump_again_soon(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            self._pools.loop.call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self._pump_is_due = False
        try:
            self._pump()
        finally:
            self._wake()

    def _bound(self, plan: Plan) -> int:
        """How many may be begun whose results were not taken: as many as run, and some that wait for their reader."""
        running = plan.width * plan.size
        if self._options.limit is not None:
            ahead = max(self._options.limit, 2 * plan.size)
        else:
            ahead = max(AHEAD, running if self._options.ordered else 0)
        if self._result_bytes:
            ahead = min(ahead, AHEAD_BYTES // self._result_bytes)
        return running + ahead

    def _next_items(self, size: int) -> list[Item]:
        """The next to go out together: fewer if the iterator is slow."""
        items = [self._waiting.popleft()]
        while len(items) < size and (self._waiting or time.perf_counter() < self._draw_until):
            if self._peek() is None or (self._failing and self._at_failure):
                break
            items.append(self._waiting.popleft())
        return items

    def _plan(self, item: Item) -> Plan:
        """Where ``item`` goes, and how many together with it."""
        lane, profile = self._pools.lane_of(self._fn, (item.value,), self._options.on, self._word)
        limit = self._options.limit
        if lane == LOOP:
            plan = Plan(lane, profile, 1, limit or limits.MAP_TASKS)
        elif lane == THREADS:
            plan = self._plan_threads(profile)
        elif lane == PROCESSES:
            plan = Plan(lane, profile, *self._chunks(self._pools.width, limits.CHUNK_SECONDS, profile))
        else:
            width = 1 if self._cluster is None else max(1, self._cluster.width)
            plan = Plan(lane, profile, *self._chunks(width, limits.CHUNK_SECONDS_CLUSTER, profile, at_once=1))
        if limit is not None and plan.width > limit:
            plan = plan._replace(width=limit)
        if self._limiter is not None:
            plan = plan._replace(width=min(plan.width, self._limiter.most))
        return plan

    def _plan_threads(self, profile: Profile | None) -> Plan:
        if profile is not None and profile.decided:
            decision = profile.decision
            takes = profile.cpu + profile.blocked
            if decision.tiny and self._options.timeout is None and 0 < takes < TINY:
                size = int(limits.CHUNK_SECONDS_THREAD / takes)
                if self._result_bytes:
                    size = min(size, limits.CHUNK_BYTES // self._result_bytes)
                return Plan(THREADS, profile, min(max(size, 1), limits.CHUNK_ITEMS), 1)
            if decision.crowd:
                return Plan(THREADS, profile, 1, decision.width)
            if self._window.told:
                return Plan(THREADS, profile, 1, self._window.most)
        # What waits, or may: as many as has been found to help.
        return Plan(THREADS, profile, 1, self._window.width)

    def _chunks(self, workers: int, seconds: float, profile: Profile | None, at_once: int = 2) -> tuple[int, int]:
        """The size of the next chunk for other processes, and how many chunks may be there at once. A worker runs
        ``at_once`` chunks of coroutines together: on a cluster each has a thread of its own.
        """
        if self._is_async:
            together = self._options.limit or limits.MAP_TASKS * workers
            if self._limiter is not None:
                together = min(together, self._limiter.most)
            chunks = at_once * workers
            return max(1, min(together // chunks, limits.MAP_TASKS)), chunks
        if self._cost:
            size = min(int(seconds / self._cost), 4 * self._size)
        elif profile is not None and profile.decided and (takes := profile.cpu + profile.blocked) > 0:
            size = int(seconds / takes / 4)
        else:
            size = 1
        if heaviest := max(self._bytes, self._result_bytes):
            size = min(size, limits.CHUNK_BYTES // heaviest)
        if self._total is not None:  # the last ones end together
            size = min(size, (self._total - self._pulled + len(self._waiting)) // (3 * workers) + 1)
        return min(max(size, 1), limits.CHUNK_ITEMS), 2 * workers

    def _start(self, plan: Plan, items: list[Item]) -> None:
        """Begin a chunk."""
        loop, timeout = self._pools.loop, self._options.timeout
        future: asyncio.Future[Any]
        if plan.lane == THREADS and self._look is None and not self._window.is_fixed:
            self._begin_to_look(plan.profile)
        if plan.lane == THREADS and len(items) == 1 and timeout is None and self._limiter is None:
            future = self._pools.in_thread(self._fn, (items[0].value,), {}, plan.profile)
            future.add_done_callback(lambda future: self._one_ended(items[0], future))
        else:
            is_one = plan.lane in (THREADS, LOOP) and len(items) == 1
            values = [item.value for item in items]
            work = self._one(plan, values[0]) if is_one else self._chunk(plan, values)
            future = loop.create_task(work, name=self._task_name)
            future.add_done_callback(lambda future: self._chunk_ended(items, future))
        self._running[future] = plan.lane
        self._in_lane[plan.lane] += 1

    async def _one(self, plan: Plan, value: Any) -> list[Outcome]:
        """What becomes of one item, whatever it raises: a task would end the loop with some of that."""
        timeout, places = self._options.timeout, self._places if plan.lane == THREADS else None
        try:
            return [(True, await self._pools.call(self._fn, (value,), {}, plan.lane, timeout, places))]
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._stopped or (task is not None and task.cancelling()):
                raise
            return [(False, error)]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return [(False, error)]

    async def _chunk(self, plan: Plan, values: list[Any]) -> list[Outcome]:
        if self._limiter is None:
            return await self._run_chunk(plan, values)
        permit = Permit()
        await permit.take(self._limiter, len(values) if self._is_async else 1)  # others run one after the other
        try:
            return await self._run_chunk(plan, values, permit)
        finally:
            if not permit.kept:
                permit.release()

    async def _run_chunk(self, plan: Plan, values: list[Any], permit: Permit | None = None) -> list[Outcome]:
        """What becomes of ``values`` in their lane; of the first of them, if they turn out to take long."""
        if plan.lane == THREADS:
            return await self._pools.batch_in_thread(self._fn, values, plan.profile, permit)
        timeout = self._options.timeout
        if plan.lane == PROCESSES:
            outcomes, wall, size = await self._pools.chunk_in_process(
                self._fn, self._sent(), values, self._chosen, plan.profile, timeout, self._places
            )
        else:
            cluster = self._cluster or await self._connect(plan.lane)
            calls: list[Any] = [((value,), {}) for value in values]
            found = await cluster.run(self._fn, calls, timeout=timeout, limit=len(values))
            outcomes = [(ok, value) for ok, value, *_ in found]
            wall, size = sum(spent[3] for spent in found), 0
        if wall and not self._is_async:
            cost = wall / len(values)
            self._cost = cost if not self._cost else 0.6 * self._cost + 0.4 * cost
        self._size = max(self._size, len(values))
        self._bytes = max(size // len(values), self._bytes * 9 // 10)
        return outcomes

    def _sent(self) -> Entry | None:
        """The function as it is sent, packed once; None if it can't be, which whoever sends it finds out again."""
        if self._entry is None:
            with contextlib.suppress(ShippingError, MissingExtra):
                self._entry = self._pools.processes().entry(self._fn)
        return self._entry

    async def _connect(self, on: Any) -> Cluster:
        """The cluster, which has the function."""
        cluster = await self._pools.cluster(on)
        await cluster.check(self._fn)
        if self._progress is not None and cluster.dashboard:
            self._progress.note = cluster.dashboard
        self._cluster = cluster
        self._most = max(self._most, cluster.width)
        self._pump_again_soon()  # it is known now how many there may be
        return cluster

    # -- what comes back ---------------------------------------------------------------------------------------------

    def _one_ended(self, item: Item, future: asyncio.Future[Any]) -> None:
        try:
            if not self._is_wanted(future):
                return
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            outcome = (True, future.result()) if error is None else (False, error)
            self._weigh(outcome)
            self._settle(item, outcome)
            self._pump()
        except Exception as error:  # it would seem to be over
            self._fail(error)
        finally:
            self._wake()

    def _chunk_ended(self, items: list[Item], future: asyncio.Future[list[Outcome]]) -> None:
        try:
            if not self._is_wanted(future):
                return
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if error is not None:
                self._fail(error)
                return
            outcomes = future.result()
            self._weigh(outcomes[-1])
            self._waiting.extendleft(reversed(items[len(outcomes) :]))
            for item, outcome in zip(items, outcomes, strict=False):
                self._settle(item, outcome)
            self._pump()
        except Exception as error:  # it would seem to be over
            self._fail(error)
        finally:
            self._wake()

    def _is_wanted(self, future: asyncio.Future[Any]) -> bool:
        """A chunk has ended; whether anybody still wants it."""
        lane = self._running.pop(future)
        self._in_lane[lane] -= 1
        self._ended += lane == THREADS
        if self._stopped:
            if not future.cancelled():
                future.exception()  # nobody asks for it: it is no news
            return False
        return True

    def _weigh(self, outcome: Outcome) -> None:
        """One result stands for those of its chunk: to look at each would cost those that are tiny."""
        size = bytes_of(outcome[1])
        if size or self._result_bytes:
            self._result_bytes = max(size, self._result_bytes * 9 // 10)

    def _settle(self, item: Item, outcome: Outcome) -> None:
        """This is what became of ``item``: try it again, or put it where the reader finds it."""
        ok, value = outcome
        if not ok and item.tries < self._options.retries and may_help(value) and not self._stopped:
            self._waiting.appendleft(item._replace(tries=item.tries + 1))
            return
        self._done += 1
        if not ok:
            self._failed += 1
            add_note(value, f"item {item.place} of rota.map: {short(item.value)}")
            if not self._options.returns_errors:
                self._failing = True
        if self._progress is not None:
            try:
                self._progress.update(self._done, self._failed)
            except Exception as error:
                self._fail(error)
        if not self._options.ordered:
            self.ready.append(outcome)
        elif item.place == self._next:
            self.ready.append(outcome)
            self._next += 1
            while self._held and self._next in self._held:
                self.ready.append(self._held.pop(self._next))
                self._next += 1
        else:
            self._held[item.place] = outcome

    # -- how many threads --------------------------------------------------------------------------------------------

    def _begin_to_look(self, profile: Profile | None) -> None:
        loop, decision = self._pools.loop, decision_of(profile)
        known = 0 if decision is None or decision.crowd or decision.tiny else decision.width
        self._window.begin(loop.time(), self._ended, time.process_time(), known)
        self._look = loop.call_at(self._window.due, self._look_around)

    def _look_around(self) -> None:
        loop, window, profile = self._pools.loop, self._window, self._profile
        decision = decision_of(profile)
        figures = profile.figures() if profile is not None and decision is not None else None
        elsewhere = len(self._running) - self._in_lane[THREADS]
        full = self._in_lane[THREADS] >= window.width
        computing = self._pools.computing(self._fn) if decision is None else None
        window.look(loop.time(), self._ended, full, computing, time.process_time(), figures)
        self._look = None if window.is_fixed else loop.call_at(window.due, self._look_around)
        has_room = window.width > self._most - elsewhere and (decision is None or decision.lane == THREADS)
        if has_room or decision is not self._decision:
            self._decision = decision
            self._most = len(self._running) + 1  # for a new plan
            try:
                self._pump()
            finally:
                self._wake()


def decision_of(profile: Profile | None) -> Decision | None:
    """Where calls go, if that has been decided."""
    return profile.decision if profile is not None and profile.decided else None


def bytes_of(result: Any) -> int:
    """How large a result is that is one piece of data; 0 for any other, which only its own code could tell."""
    kind = type(result)
    if kind in BYTES:
        return len(result)
    if not hasattr(kind, "nbytes"):  # of an array, or a view of one
        return 0
    try:
        return max(0, int(result.nbytes))
    except Exception:  # the program's own code, perhaps
        return 0


def add_note(error: BaseException, note: str) -> None:
    """Tell more of an exception, which may be the program's own and refuse, or be there for many items."""
    with contextlib.suppress(Exception):
        if len(getattr(error, "__notes__", ())) < NOTES:
            error.add_note(note)


def may_help(error: object) -> bool:
    """Whether trying again might end otherwise."""
    return isinstance(error, Exception) and not isinstance(error, ShippingError | MissingExtra)
