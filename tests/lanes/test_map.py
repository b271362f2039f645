"""rota.map: many items, a window of them at once, in every lane with the same meaning."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import itertools
import os
import threading
import time

import pytest
from tests.lanes import work

import rota
from rota import limits
from rota.lanes import limiter, meter, sampler
from rota.lanes.choose import Decision
from rota.lanes.pools import Pools
from rota.lanes.processes import Processes
from rota.lanes.progress import Progress
from rota.lanes.window import START, START_TOLD

LANES = ["auto", "loop", "threads", "processes"]


async def into(results, mapped):
    """Add them one by one, as they come."""
    async for result in mapped:
        results.append(result)


@pytest.mark.parametrize("on", LANES)
def test_a_list_in_the_order_of_the_items(run_real, on):
    async def main():
        return await rota.map(work.double, range(50), on=on)

    assert run_real(main()) == [2 * x for x in range(50)]


@pytest.mark.parametrize("on", LANES)
@pytest.mark.parametrize("fn", [work.double, work.add_later])
def test_one_by_one_in_any_order(run_real, on, fn):
    if on == "threads" and fn is work.add_later:
        fn = work.add

    async def main():
        results = []
        async for result in rota.map(fn, range(50), on=on, ordered=False):
            results.append(result)
        return results

    assert sorted(run_real(main())) == sorted(2 * x if fn is work.double else x for x in range(50))


@pytest.mark.parametrize("items", [[], (), "", {}, range(0)], ids=repr)
def test_nothing_of_nothing(run_real, items):
    async def main():
        return await rota.map(work.double, items)

    assert run_real(main()) == []


@pytest.mark.parametrize(
    "made_by",
    [list, tuple, set, dict.fromkeys, iter, lambda items: (x for x in items)],
    ids=["list", "tuple", "set", "dict", "iterator", "generator"],
)
def test_any_iterable(run_real, made_by):
    async def main():
        return await rota.map(work.double, made_by([1, 2]))

    assert run_real(main()) == [2, 4]


@pytest.mark.parametrize("on", LANES)
def test_an_asynchronous_iterable(run_real, on):
    async def numbers():
        for x in range(20):
            await asyncio.sleep(0)
            yield x

    async def main():
        return await rota.map(work.double, numbers(), on=on)

    assert run_real(main()) == [2 * x for x in range(20)]


@pytest.mark.parametrize("on", LANES)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_endless_is_drawn_on_as_it_is_used(run_real, on, asynchronous):
    drawn = itertools.count()

    async def endless():
        for x in drawn:
            yield x

    async def main():
        results = []
        items = endless() if asynchronous else drawn
        mapped = aiter(rota.map(work.double, items, on=on, limit=4))
        async for result in mapped:
            results.append(result)
            if len(results) == 30:
                break
        await mapped.aclose()
        if asynchronous:
            await items.aclose()
        return results

    assert run_real(main()) == [2 * x for x in range(30)]
    assert next(drawn) < 20_000  # four chunks of what is tiny


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_at_once_than_the_limit(run, ordered):
    running = most = 0

    async def count(x):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(x % 3)
        running -= 1
        return x

    async def main():
        return await rota.map(count, range(30), limit=7, ordered=ordered)

    assert sorted(run(main())) == list(range(30))
    assert most == 7


@pytest.mark.parametrize(("on", "limit"), [("threads", 3), ("auto", 3), ("auto", 50)])
def test_as_many_threads_at_once_as_the_limit(run_real, on, limit):
    """On auto, too, where they begin with few: they wait for one another."""
    together = threading.Barrier(limit)

    def meet(_):
        return together.wait(20)

    async def main():
        return await rota.map(meet, range(3 * limit), limit=limit, on=on)

    assert sorted(run_real(main())) == sorted([*range(limit)] * 3)


class Gate:
    """Calls that end when it is opened; it knows how many have begun, and how many were in at most."""

    def __init__(self):
        self.begun = self.running = self.most = 0
        self._open = threading.Event()
        self._lock = threading.Lock()

    def open(self):
        self._open.set()

    def __call__(self, x):
        with self._lock:
            self.begun += 1
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._open.wait(20)
        with self._lock:
            self.running -= 1
        return x


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("limit", "first"), [(50, START_TOLD), (1, 1), (None, START)])
def test_what_is_seen_to_compute_begins_with_few(run_real, monkeypatch, limit, first):
    looks = 0

    def computing(self, fn):
        nonlocal looks
        looks += 1
        return True

    monkeypatch.setattr(Pools, "computing", computing)

    async def main():
        gate = Gate()
        mapped = asyncio.ensure_future(into(results := [], rota.map(gate, range(60), limit=limit)))
        if limit == 1:
            await until(lambda: gate.begun)
        else:
            await until(lambda: looks >= 3 and gate.begun)
        assert gate.begun <= first
        monkeypatch.undo()  # now it is seen that they wait
        await until(lambda: gate.begun >= (limit or 60))
        gate.open()
        await mapped
        assert results == [*range(60)]
        assert gate.most == (limit or 60)

    run_real(main())


def test_who_is_known_to_wait_begins_with_all(run_real, monkeypatch):
    monkeypatch.setattr(Pools, "computing", lambda self, fn: True)

    async def main():
        gate = Gate()
        async with rota.Lanes() as lanes:
            profile = lanes._own().profiles.of(gate)
            profile.decided, profile.decision = True, Decision("threads", 8, False, "it waits")
            mapped = asyncio.ensure_future(into([], lanes.map(gate, range(60), limit=50)))
            await until(lambda: gate.begun == 50)
            gate.open()
            await mapped

    run_real(main())


def spin(go_on):
    while not go_on.is_set():
        pass


def test_whether_calls_compute_is_seen(run_real):
    if meter.libc is None or sampler.find_gil(meter.libc) is None:
        pytest.skip("nobody sees here what threads wait for")

    async def main():
        go_on = threading.Event()
        async with rota.Lanes() as lanes:
            pools = lanes._own()
            calls = [asyncio.ensure_future(lanes.call(fn, go_on, on="threads")) for fn in [spin, work.wait_for] * 2]
            await until(lambda: lanes.state().threads.busy == 4)
            for fn, computing in [(spin, True), (work.wait_for, False), (work.double, None)]:
                await until(lambda fn=fn, computing=computing: pools.computing(fn) is computing)
            go_on.set()
            await asyncio.gather(*calls)

    run_real(main())


gate_here = threading.Event()


def wait_here(home):
    """The process that it ran in, where it waits if that is ``home``."""
    if os.getpid() == home:
        assert gate_here.wait(20)
    return os.getpid()


@pytest.mark.parametrize("limit", [None, START + 2])
def test_a_decision_counts_while_calls_run_elsewhere(run_real, monkeypatch, limit):
    """Those in threads keep nobody from the processes, though in threads there was room for no more."""
    monkeypatch.setattr(Pools, "computing", lambda self, fn: True)

    async def main():
        gate_here.clear()
        async with rota.Lanes(processes=1) as lanes:
            profile = lanes._own().profiles.of(wait_here, (os.getpid(),))
            results = lanes.map(wait_here, itertools.repeat(os.getpid(), 40), limit=limit, ordered=False)
            async with contextlib.aclosing(aiter(results)) as results:
                first = asyncio.ensure_future(anext(results))
                await until(lambda: lanes.state().threads.busy == (START if limit is None else START_TOLD))
                profile.decided, profile.decision = True, Decision("processes", 1, False, "said so")
                assert await first != os.getpid()
                gate_here.set()

    run_real(main())


@pytest.mark.parametrize("retries", [0, 1])
def test_a_thread_that_runs_on_after_its_time_keeps_its_place(run_real, retries, caplog, monkeypatch):
    monkeypatch.setattr(limiter, "JAMMED", 0.01)

    async def main():
        gate = Gate()
        async with rota.Lanes() as lanes:
            options = {"limit": 2, "timeout": 0.05, "retries": retries, "on_error": "return", "on": "threads"}
            results = lanes.map(gate, range(6), ordered=False, **options)
            async with contextlib.aclosing(aiter(results)) as results:
                if not retries:
                    assert isinstance(await anext(results), TimeoutError)
                    assert isinstance(await anext(results), TimeoutError)
                following = asyncio.ensure_future(anext(results))
                for _ in range(100):  # there would be time to begin others
                    await lanes.call(work.double, 1, on="threads")
                    await asyncio.sleep(0.001)
                assert gate.begun == gate.most == 2
                assert not following.done()
                await until(lambda: "calls wait: " in caplog.text)
                assert caplog.text.count("the last is of tests.lanes.test_map.Gate.__call__") == 1
                gate.open()
                left = [await following, *[result async for result in results]]
                assert len(left) == (6 if retries else 4)
        assert gate.most == 2

    run_real(main())


def test_a_limited_batch_that_is_left_keeps_its_place_until_its_thread_is_done(run_real):
    go_on = threading.Event()
    waiting = []

    @rota.io(limit=1)
    def tiny(x):
        if x >= 200:
            waiting.append(x)
            assert go_on.wait(20)
        return x

    async def main():
        async with rota.Lanes() as lanes:
            await lanes.map(tiny, range(200))
            task = asyncio.ensure_future(into([], lanes.map(tiny, range(200, 400))))
            await until(lambda: waiting)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            call = asyncio.ensure_future(lanes.call(tiny, 1))
            for _ in range(100):
                await lanes.call(work.double, 1, on="threads")
            assert not call.done()
            go_on.set()
            assert await call == 1
        assert waiting == [200]

    run_real(main())


class Large:
    """As an array of so many bytes is seen."""

    nbytes = 50_000_000


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("limit", [4, None])
def test_few_large_results_wait_for_their_reader(run, limit, ordered):
    begun = 0

    async def make(_):
        nonlocal begun
        begun += 1
        await asyncio.sleep(1)
        return Large()

    async def main():
        results = rota.map(make, itertools.count(), limit=limit, ordered=ordered)
        async with contextlib.aclosing(aiter(results)) as results:
            for taken in range(1, 300):
                await anext(results)
                await asyncio.sleep(10)  # all that may begin has ended
                most = limit or 100
                assert begun <= taken + most + 1 + (most if taken < most else 0)

    run(main())


def test_unordered_results_come_as_they_end(run):
    async def main():
        results = []
        async for result in rota.map(work.sleep_on_loop, [3, 1, 2], ordered=False):
            results.append(result)
        return results

    assert run(main()) == [1, 2, 3]


@pytest.mark.parametrize("on", LANES)
@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_stands_in_its_place_if_that_is_asked_for(run_real, on, ordered):
    async def main():
        return await rota.map(work.fail_if_odd, range(10), on=on, ordered=ordered, on_error="return")

    results = run_real(main())
    if ordered:
        assert [x if isinstance(x, int) else str(x) for x in results] == [
            f"{x} is odd" if x % 2 else x for x in range(10)
        ]
    assert sum(isinstance(x, LookupError) for x in results) == 5


@pytest.mark.parametrize("on", LANES)
def test_the_first_error_is_raised_after_what_came_before(run_real, on):
    async def main():
        results = []
        with pytest.raises(LookupError, match="1 is odd"):
            await into(results, rota.map(work.fail_if_odd, itertools.count(), on=on))
        return results

    assert run_real(main()) == [0]


@pytest.mark.parametrize("on", ["loop", "threads"])
def test_an_item_that_fails_is_tried_again(run_real, on):
    tries = []

    def sometimes(x):
        tries.append(x)
        if tries.count(x) <= x:
            raise LookupError(f"{x} again")
        return x

    async def main(retries):
        return await rota.map(sometimes, range(4), on=on, retries=retries, on_error="return")

    assert run_real(main(3)) == [0, 1, 2, 3]
    assert sorted(tries) == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    tries.clear()
    results = run_real(main(1))
    assert results[:2] == [0, 1]
    assert [str(x) for x in results[2:]] == ["2 again", "3 again"]


def test_a_second_try_comes_before_an_error_behind_it(run_real):
    """Item 0 is tried again while item 1 has failed for good: 0 is still brought first."""
    tries = []

    async def some(x):
        tries.append(x)
        if x == 1 or tries.count(0) == 1:
            await asyncio.sleep(0)
            raise LookupError(x)
        return x

    async def main():
        results = []
        with pytest.raises(LookupError, match="1"):
            await into(results, rota.map(some, [0, 1, 2], retries=1, limit=2))
        return results

    assert run_real(main()) == [0]


def test_after_an_error_only_second_tries_are_begun(run_real):
    ran = []

    def tiny(x):
        ran.append(x)
        if x == 0 and ran.count(0) == 1:
            raise LookupError("the first try")
        if x == 1:
            raise rota.ShippingError("tiny", "1", "no second try helps")
        return x

    async def main():
        async with rota.Lanes() as lanes:
            profile = lanes._own().profiles.of(tiny, (0,))
            profile.decided, profile.cpu = True, 1e-6
            profile.decision = Decision("threads", 1, True, "it is tiny")
            with pytest.raises(rota.ShippingError):
                await into(results := [], lanes.map(tiny, range(5000), retries=1))
        assert results == [0]

    run_real(main())
    assert ran.count(0) == 2
    assert max(ran) < limits.CHUNK_ITEMS


def test_each_item_has_its_time(run):
    async def main():
        return await rota.map(work.sleep_on_loop, [1, 100, 2], timeout=10, on_error="return")

    first, late, last = run(main())
    assert (first, last) == (1, 2)
    assert isinstance(late, TimeoutError)
    assert "sleep_on_loop(100) took longer than 10 s" in str(late)


def test_the_tasks_of_a_map_say_whose_they_are(run_real):
    async def named(x):
        return asyncio.current_task().get_name()

    async def main():
        asyncio.current_task().set_name("baker")
        assert await rota.map(named, [1]) == [f"baker: map of {__name__}.{named.__qualname__}"]
        (error,) = await rota.map(work.fail, ["bread"], on="processes", on_error="return")
        assert "for task 'baker: map of tests.lanes.work.fail'" in error.__notes__[0]

    run_real(main())


@pytest.mark.parametrize(("on", "value"), [("threads", "the caller's"), ("processes", "unset")])
def test_what_an_item_sets_in_its_context_no_other_sees(run_real, on, value):
    """In threads they see their caller's, though many run in one go."""

    async def main():
        work.variable.set("the caller's")
        async with rota.Lanes(processes=1) as lanes:
            assert set(await lanes.map(work.read_variable, range(3000), on=on)) == {value}
            assert set(await rota.gather(*[lanes.call(work.read_variable, on=on) for _ in range(3)])) == {value}
        assert work.variable.get() == "the caller's"

    contextvars.copy_context().run(run_real, main())


def test_chunks_go_by_all_the_time_that_calls_take(run_real):
    """Not only by what they compute: of those that wait there would be thousands in one."""

    async def main():
        async with rota.Lanes(processes=1) as lanes:
            profile = lanes._own().profiles.of(work.sleep, (0.01,))
            profile.cpu, profile.blocked = 0.000_01, 0.01
            profile.decided, profile.decision = True, Decision("threads", 8, False, "it waits")
            counter = itertools.count()
            results = lanes.map(work.sleep, (0.01 for _ in counter), on="processes")
            async with contextlib.aclosing(aiter(results)) as results:
                await anext(results)
            assert next(counter) < 200

    run_real(main())


def test_each_item_has_its_time_where_it_could_not_be_sent(run_real):
    async def main():
        event = threading.Event()
        async with rota.Lanes(processes=1) as lanes:
            profile = lanes._own().profiles.of(work.wait_for, (event,))
            profile.decided, profile.decision = True, Decision("processes", 1, False, "said so")
            errors = await lanes.map(work.wait_for, [event] * 3, timeout=0.05, on_error="return")
            event.set()
        assert [type(error) for error in errors] == [TimeoutError] * 3

    run_real(main())


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("on", ["auto", "processes"])
def test_items_that_raise_half_way(run_real, on, asynchronous):
    def numbers():
        yield from range(3)
        raise OSError("the file ends here")

    async def later():
        for x in numbers():
            yield x

    async def main():
        results = []
        with pytest.raises(OSError, match="the file ends here") as raised:
            await into(results, rota.map(work.double, later() if asynchronous else numbers(), on=on))
        assert raised.value.__notes__ == ["raised by the items of rota.map, after 3 of them"]
        assert await rota.map(work.double, [1], on=on) == [2]
        return results

    assert run_real(main()) == [0, 2, 4]


class Waiters:
    """Calling it is a wait; it knows which were cancelled."""

    def __init__(self):
        self.cancelled = []

    async def __call__(self, x):
        try:
            await asyncio.sleep(x)
        except asyncio.CancelledError:
            self.cancelled.append(x)
            raise


def test_who_leaves_half_way_leaves_nothing_running(run):
    wait = Waiters()

    async def main():
        mapped = aiter(rota.map(wait, [0, 100, 200], ordered=False))
        async for _ in mapped:
            break
        await mapped.aclose()
        assert sorted(wait.cancelled) == [100, 200]
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_cancelled_map_gives_up_all_items(run):
    wait = Waiters()

    async def main():
        async def all_of_it():
            return await rota.map(wait, [100, 200])

        task = asyncio.ensure_future(all_of_it())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(wait.cancelled) == [100, 200]

    run(main())


def test_in_processes_a_bad_item_is_its_own(run_real):
    async def main():
        items = [1, threading.Lock(), work.NoTraveller(), 2]
        results = await rota.map(work.double, items, on="processes", on_error="return")
        assert [results[0], results[3]] == [2, 4]
        assert isinstance(results[1], rota.ShippingError)
        assert isinstance(results[2], rota.ShippingError)
        assert "it stays where it is" in str(results[2])

    run_real(main())


def test_many_tiny_calls_in_processes(run_real):
    async def main():
        return await rota.map(work.double, range(20_000), on="processes")

    assert run_real(main()) == [2 * x for x in range(20_000)]


def test_large_results_and_small_ones_mixed(run_real):
    async def main():
        sizes = [10, 2_000_000, 20, 700_000, 700_000, 30]
        results = await rota.map(bytes, sizes, on="processes")
        assert [len(result) for result in results] == sizes

    run_real(main())


def test_progress_is_told(run_real):
    states = []

    async def main():
        await rota.map(work.fail_if_odd, range(10), on_error="return", progress=states.append)

    run_real(main())
    assert (states[-1].done, states[-1].failed, states[-1].total) == (10, 5, 10)


def test_a_progress_function_that_raises_is_heard(run_real):
    def complain(_):
        raise OSError("the screen is gone")

    async def main():
        with pytest.raises(OSError, match="the screen is gone"):
            await rota.map(work.double, range(10), progress=complain)

    run_real(main())


def test_a_map_that_has_failed_draws_no_more(run, monkeypatch):
    """Though its reader is still busy with the results before."""
    drawn = 0

    async def endless():
        nonlocal drawn
        while True:
            drawn += 1
            yield drawn

    def complain(*_):
        raise OSError("the screen is gone")

    monkeypatch.setattr(Progress, "update", complain)

    async def main():
        results = rota.map(work.sleep_on_loop, endless(), progress=lambda _: None)
        async with contextlib.aclosing(aiter(results)) as results:
            assert await anext(results) == 1
            before = drawn
            await asyncio.sleep(1000)
            assert drawn <= before + 1
            with pytest.raises(OSError, match="the screen is gone"):
                await into([], results)

    run(main())


def test_a_map_can_be_run_twice_if_its_items_can(run_real):
    async def main():
        mapped = rota.map(work.double, [1, 2])
        assert await mapped == await mapped == [2, 4]
        assert "await it" in repr(mapped)

    run_real(main())


def test_a_partial_and_a_limited_function(run_real):
    limited = rota.io(limit=2)(functools.partial(work.add, 1))

    async def main():
        return await rota.map(limited, range(10))

    assert run_real(main()) == list(range(1, 11))


@pytest.mark.parametrize("limit", [2, None])
def test_an_item_is_tried_again_though_many_results_wait_for_it(run, limit):
    tries = []

    async def slow_at_first(x):
        tries.append(x)
        if x == 0:
            await asyncio.sleep(1000)
            if tries.count(0) == 1:
                raise LookupError("the first try")
        return x

    async def main():
        async with asyncio.timeout(10_000):
            return await rota.map(slow_at_first, range(1000), limit=limit, retries=1)

    assert run(main()) == list(range(1000))


def cancelled_half_way():
    yield from range(2)
    raise asyncio.CancelledError("not yours")


async def cancelled_later():
    for x in range(2):
        yield x
    never = asyncio.get_running_loop().create_future()
    never.cancel()
    await never


@pytest.mark.parametrize("items", [cancelled_half_way, cancelled_later])
@pytest.mark.parametrize("limit", [1, None])
def test_items_that_are_cancelled_half_way(run, items, limit):
    async def main():
        results = []
        async with asyncio.timeout(1000):
            with pytest.raises(asyncio.CancelledError):
                await into(results, rota.map(work.sleep_on_loop, items(), limit=limit))
        return results

    assert run(main()) == [0, 1]


def test_what_looked_tiny_and_is_not_runs_side_by_side(run_real):
    """Items from 200 on take longer than all before, and those behind them end only when five of them run."""
    together = threading.Barrier(5)

    def meet(x):
        if 200 <= x < 210:
            time.sleep(0.05)
        elif x >= 210:
            together.wait(20)
        return x

    async def main():
        return await rota.map(meet, range(220))

    assert run_real(main()) == list(range(220))


def test_a_map_that_is_left_leaves_at_most_the_items_that_run(run_real):
    ran = []
    go_on = threading.Event()

    def tiny(x):
        ran.append(x)
        if x >= 200:
            go_on.wait(20)
        return x

    async def main():
        async with rota.Lanes() as lanes:
            await lanes.map(tiny, range(200))
            task = asyncio.ensure_future(into([], lanes.map(tiny, range(200, 2000))))
            while len(ran) == 200:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.1)  # for a thread that was about to begin when the map was left
            begun = len(ran)
            go_on.set()
        assert len(ran) == begun < 300  # it may not have been found to be tiny, on a busy machine

    run_real(main())


@pytest.mark.parametrize("timeout", [None, 50])
def test_as_many_threads_as_wait_for_one_another(run_real, timeout):
    together = threading.Barrier(100)

    def meet(_):
        together.wait(20)

    async def main():
        await rota.map(meet, range(100), timeout=timeout)

    run_real(main())


def test_a_word_s_limit_is_the_width_at_once(run_real):
    together = threading.Barrier(30)

    @rota.io(limit=30)
    def meet(_):
        together.wait(20)

    async def main():
        await rota.map(meet, range(60))

    run_real(main())


def test_few_threads_mean_few_items_drawn(run_real):
    drawn = itertools.count()
    go_on = threading.Event()

    async def main():
        async with rota.Lanes(threads=2) as lanes:
            mapped = aiter(lanes.map(go_on.wait, (20 for _ in drawn)))
            first = asyncio.ensure_future(anext(mapped))
            while lanes.state().threads.busy < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # a few looks
            assert lanes.state().threads.waiting <= 2
            go_on.set()
            assert await first
            await mapped.aclose()

    run_real(main())
    assert next(drawn) < 250


def test_a_slow_iterator_gives_the_loop_its_turns(run_real):
    """Between any two of its items the loop may do something else, and must after a few."""
    turns = 0
    most = 0

    def slow():
        nonlocal most
        before = turns
        drawn = 0
        for x in range(400):
            time.sleep(0.001)
            drawn = drawn + 1 if turns == before else 0
            before = turns
            most = max(most, drawn)
            yield x

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main():
        await rota.map(work.double, range(2000), on="threads")  # it is tiny
        counting = asyncio.ensure_future(count())
        results = await rota.map(work.double, slow(), on="threads")
        counting.cancel()
        return results

    assert run_real(main()) == [2 * x for x in range(400)]
    assert most < 50


def test_an_asynchronous_iterator_fills_chunks(run_real, monkeypatch):
    sizes = []
    run = Processes.run

    async def noted(self, fn, items, *rest):
        sizes.append(len(items))
        return await run(self, fn, items, *rest)

    monkeypatch.setattr(Processes, "run", noted)

    async def numbers():
        for x in range(5000):
            yield x

    async def main():
        return await rota.map(work.double, numbers(), on="processes")

    assert run_real(main()) == [2 * x for x in range(5000)]
    assert len(sizes) < 500


def test_a_map_packs_its_function_once(run_real, monkeypatch):
    asked = []
    entry = Processes.entry

    def noted(self, fn):
        asked.append(fn)
        return entry(self, fn)

    monkeypatch.setattr(Processes, "entry", noted)

    async def main():
        return await rota.map(functools.partial(work.add, 1), range(200), on="processes")

    assert run_real(main()) == list(range(1, 201))
    assert len(asked) == 1


def test_a_word_s_limit_holds_for_coroutines_in_processes(run_real, monkeypatch):
    running = most = 0
    run = Processes.run

    async def noted(self, fn, items, *rest):
        nonlocal running, most
        running += len(items)
        most = max(most, running)
        try:
            return await run(self, fn, items, *rest)
        finally:
            running -= len(items)

    monkeypatch.setattr(Processes, "run", noted)
    limited = rota.io(limit=4)(functools.partial(work.add_later, 1))

    async def main():
        return await rota.map(limited, range(40), on="processes")

    assert run_real(main()) == list(range(1, 41))
    assert most <= 4


def test_what_would_end_the_program_is_an_outcome_like_others(run_real):
    async def leave(x):
        if x == 1:
            raise SystemExit(x)
        return x

    def leave_thread(x):
        if x == 1:
            raise SystemExit(x)
        return x

    async def main():
        for fn, more in [(leave, {}), (leave_thread, {}), (leave_thread, {"timeout": 20})]:
            first, error, last = await rota.map(fn, range(3), on_error="return", **more)
            assert (first, last) == (0, 2)
            assert isinstance(error, SystemExit)
        await rota.map(work.double, range(300))
        tiny = [x for x in await rota.map(leave_thread, [0] * 200 + [1], on_error="return") if x]
        assert isinstance(tiny[0], SystemExit)

    run_real(main())


def test_shared_objects_are_opened_in_chunks_too(run_real):
    async def main():
        items = [rota.share([1]) for _ in range(200)]
        return {type(x) for x in await rota.map(lambda x: x, items, on="threads")}

    assert run_real(main()) == {list}


def test_an_error_says_whose_it_is(run_real):
    async def main():
        return await rota.map(work.fail_if_odd, range(4), ordered=False, on_error="return")

    notes = [error.__notes__ for error in run_real(main()) if isinstance(error, LookupError)]
    assert sorted(notes) == [["item 1 of rota.map: 1"], ["item 3 of rota.map: 3"]]


class Indexed:
    def __getitem__(self, place):
        if place == 3:
            raise IndexError
        return place


class NoLength(list):
    def __len__(self):
        raise OSError("who knows")


class OnlyNext:
    def __init__(self):
        self.left = [2, 1, 0]

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


@pytest.mark.parametrize("items", [Indexed, lambda: NoLength([0, 1, 2]), OnlyNext], ids=["index", "length", "anext"])
def test_odd_iterables(run_real, items):
    async def main():
        return await rota.map(work.double, items(), progress=lambda _: None)

    assert run_real(main()) == [0, 2, 4]


def test_what_is_given_up_has_not_failed(run):
    states = []

    async def main():
        mapped = aiter(rota.map(work.sleep_on_loop, [0, 100, 200], ordered=False, progress=states.append))
        await anext(mapped)
        await mapped.aclose()

    run(main())
    assert (states[-1].done, states[-1].failed) == (1, 0)


def test_mistakes_get_one_clear_line(run_real):
    async def main():
        for call, message in [
            (lambda: rota.map(work.double, 3), "rota.map goes through items, and 3 has none"),
            (lambda: rota.map(3, []), "rota.map needs a function, not 3"),
            (lambda: rota.map(work.double, [], limit=0), "limit=0: at least 1"),
            (lambda: rota.map(work.double, [], retries=-1), "retries=-1"),
            (lambda: rota.map(work.double, [], on_error="ignore"), "on_error='ignore'"),
            (lambda: rota.map(work.double, [], progress=3), "progress=3"),
            (lambda: rota.map(work.double, [], timeout=-1), "timeout=-1"),
            (lambda: rota.map(work.double, [], on="dask"), "no lane is called 'dask'"),
            (lambda: rota.map(work.add_later, [], on="threads"), "coroutine function"),
        ]:
            with pytest.raises(rota.UsageError, match=message):
                call()

    run_real(main())


class Unmeasurable(str):
    __slots__ = ()

    def __len__(self):
        raise LookupError("its length is a question to a database")


class Strange:
    nbytes = -1


def test_results_with_minds_of_their_own_are_results(run_real):
    made = [1, Unmeasurable("a"), Strange(), 4]

    async def main():
        return await rota.map(made.__getitem__, range(4), on="threads")

    found = run_real(main())
    assert all(one is other for one, other in zip(found, made, strict=True))


@pytest.mark.parametrize("on", ["threads", "processes"])
def test_large_results_do_not_pile_up_before_a_slow_reader(run_real, on):
    """Tiny calls of which each returns a megabyte: chunks don't grow with them."""
    drawn = 0

    def items():
        nonlocal drawn
        while True:
            drawn += 1
            yield 1_000_000

    async def main():
        async with rota.Lanes(processes=1) as lanes:
            results = aiter(lanes.map(bytes, items(), on=on))
            async with contextlib.aclosing(results):
                for _ in range(300):
                    await anext(results)
                await asyncio.sleep(0.1)  # nothing stops the flight but its own bound
        return drawn - 300

    assert run_real(main()) < 200
