"""rota.call: any function, with its result, its exception and its context, whatever the lane."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import os
import threading
import traceback
import weakref

import pytest
from tests.lanes import work

import rota
from rota import limits


def test_a_function_runs_in_a_thread_and_brings_its_result(run_real):
    async def main():
        assert await rota.call(work.add, 1, 2, c=3) == 6
        assert (await rota.call(work.thread_name)) != threading.current_thread().name
        return await rota.call(work.pid)

    assert run_real(main()) == os.getpid()


@pytest.mark.parametrize(
    ("fn", "result"),
    [
        (lambda: functools.partial(work.add, 1), 3),
        (lambda: work.Account().add, 2),
        (work.Account, 2),
        (work.Later, 3),
        (lambda: work.add_later, 2),
        (lambda: functools.partial(work.add_later, 1), 3),
        (lambda: abs, 2),
        (lambda: str, "2"),
        (lambda: "a2b".split, ["a2b"]),
        (lambda: lambda x: x, 2),
    ],
    ids=[
        "partial",
        "method",
        "object",
        "async object",
        "coroutine",
        "async partial",
        "builtin",
        "class",
        "C method",
        "λ",
    ],
)
def test_anything_that_can_be_called(run_real, fn, result):
    async def main():
        return await rota.call(fn(), 2 if result != ["a2b"] else ",")

    assert run_real(main()) == result


def test_a_coroutine_function_runs_on_the_loop(run_real):
    async def main():
        async def here():
            return threading.get_ident(), asyncio.current_task()

        ident, task = await rota.call(here)
        assert ident == threading.get_ident()
        assert task is asyncio.current_task()

    run_real(main())


def test_what_it_raises_is_raised_with_its_traceback(run_real):
    async def main():
        await rota.call(work.fail, "bread")

    with pytest.raises(LookupError, match="no bread") as raised:
        run_real(main())
    assert "fail" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]


def test_stop_iteration_arrives_as_a_runtime_error(run_real):
    async def main():
        await rota.call(next, iter(()))

    with pytest.raises(RuntimeError) as raised:
        run_real(main())
    assert isinstance(raised.value.__cause__, StopIteration)


def test_context_variables_reach_the_thread_and_stay_there(run_real):
    async def main():
        work.variable.set("set by the caller")
        assert await rota.call(work.read_variable) == "set by the caller"
        assert work.variable.get() == "set by the caller"

    contextvars.copy_context().run(run_real, main())


def test_many_at_once_wait_for_one_another(run_real):
    """A hundred calls that end only when all have begun."""

    async def main():
        together = threading.Barrier(100)
        await asyncio.gather(*[rota.call(together.wait, 20) for _ in range(100)])

    run_real(main())


def test_a_call_that_is_cancelled_before_it_begins_never_runs(run_real):
    async def main():
        async with rota.Lanes(threads=1) as lanes:
            go_on = threading.Event()
            first = asyncio.ensure_future(lanes.call(work.wait_for, go_on))
            ran = []
            second = asyncio.ensure_future(lanes.call(ran.append, 1))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            go_on.set()
            assert await first == "went on"
            await lanes.call(int)
            assert ran == []

    run_real(main())


def test_a_thread_s_time_is_up_and_the_error_names_the_call(run_real):
    async def main():
        go_on = threading.Event()
        try:
            with pytest.raises(TimeoutError, match=r"work\.wait_for\(<threading\.Event.*took longer than 0\.01 s"):
                await rota.call(work.wait_for, go_on, timeout=0.01)
        finally:
            go_on.set()

    run_real(main())


def test_a_coroutine_s_time_is_up(run):
    async def main():
        with pytest.raises(TimeoutError, match=r"sleep_on_loop\(60\) took longer than 5 s"):
            await rota.call(work.sleep_on_loop, 60, timeout=5)

    run(main())


def test_a_timeout_of_the_function_s_own_is_its_own(run_real):
    def give_up():
        raise TimeoutError("mine")

    async def main():
        with pytest.raises(TimeoutError, match=r"^mine$"):
            await rota.call(give_up, timeout=20)
        with pytest.raises(TimeoutError, match=r"^mine$"):
            await rota.call(give_up, on="loop", timeout=20)

    run_real(main())


def test_on_the_loop_if_that_is_asked_for(run_real):
    async def main():
        assert await rota.call(threading.get_ident, on="loop") == threading.get_ident()
        assert await rota.call(work.add_later, 1, 2, on="loop") == 3

    run_real(main())


def test_mistakes_get_one_clear_line(run_real):
    async def main():
        coroutine = work.add_later(1)
        for call, message in [
            (lambda: rota.call(3), r"rota\.call needs a function, not 3"),
            (lambda: rota.call(coroutine), r"rota\.call\(fn, \.\.\.\), not rota.call\(fn\(\.\.\.\)\)"),
            (
                lambda: rota.call(int, on="gpu"),
                "no lane is called 'gpu': choose from 'auto', 'loop', 'threads', 'processes'",
            ),
            (lambda: rota.call(int, on=7), "on=7 is no lane"),
            (lambda: rota.call(int, timeout=0), "timeout=0: seconds above zero"),
            (lambda: rota.call(int, timeout="3"), "timeout='3'"),
            (lambda: rota.call(work.add_later, 1, on="threads"), "add_later is a coroutine function"),
            (lambda: rota.Lanes(threads=0), "threads=0: a whole number, at least 1"),
            (
                lambda: rota.Lanes(memory=1000),
                "memory=1000: a worker itself takes some; give it 67108864 bytes or more",
            ),
            (lambda: rota.call(int, on="dask://nowhere"), "dask://nowhere"),
            (lambda: rota.Lanes(processes=1.5), "processes=1.5: a whole number"),
            (lambda: rota.explain("f"), r"rota\.explain needs a function, not 'f'"),
        ]:
            with pytest.raises(rota.UsageError, match=message) as raised:
                call()
            assert "\n" not in str(raised.value)

    run_real(main())


def test_without_a_loop_it_says_so():
    with pytest.raises(RuntimeError, match="no running event loop"):
        rota.call(int)


def test_lanes_of_one_s_own_belong_to_one_loop_and_end_once(new_loop):
    lanes = rota.Lanes()

    async def use():
        return await lanes.call(int, "7")

    async def end():
        await lanes.aclose()
        await lanes.aclose()
        with pytest.raises(RuntimeError, match="these lanes are closed"):
            await lanes.call(int)

    first, second = new_loop(), new_loop()
    try:
        assert first.run_until_complete(use()) == 7
        with pytest.raises(RuntimeError, match="belong to another loop"):
            second.run_until_complete(use())
        first.run_until_complete(end())
    finally:
        first.close()
        second.close()


def test_the_user_s_word_io_bounds_what_runs_at_once(run_real):
    running = most = 0
    lock = threading.Lock()
    together = threading.Barrier(3)

    @rota.io(limit=3)
    def slow():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(20)
        with lock:
            running -= 1

    async def main():
        await asyncio.gather(*[rota.call(slow) for _ in range(12)])
        await rota.map(lambda _: None, [])
        return most

    assert run_real(main()) == 3


def test_a_thread_whose_time_is_up_keeps_its_place(run_real):
    begun = []
    go_on = threading.Event()

    @rota.io(limit=2)
    def wait():
        begun.append(1)
        go_on.wait(20)

    async def main():
        calls = [rota.call(wait, timeout=0.01) for _ in range(2)]
        late = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in late] == [TimeoutError] * 2
        third = asyncio.ensure_future(rota.call(wait))
        await rota.call(int)
        assert len(begun) == 2
        go_on.set()
        await third
        assert len(begun) == 3

    run_real(main())


def test_a_place_of_a_call_that_never_began_is_free_again(run_real):
    async def main():
        async with rota.Lanes(threads=1) as lanes:
            go_on = threading.Event()
            first = asyncio.ensure_future(lanes.call(work.wait_for, go_on))
            await asyncio.sleep(0)
            limited = rota.io(limit=1)(functools.partial(int, 7))
            with pytest.raises(TimeoutError):
                await lanes.call(limited, timeout=0.01)
            second = asyncio.ensure_future(lanes.call(limited))
            await asyncio.sleep(0)
            go_on.set()
            assert await first == "went on"
            assert await second == 7

    run_real(main())


def test_loops_of_many_threads(new_loop):
    wrong = []

    async def one():
        return await rota.call(int, "3")

    def use_loops():
        try:
            for _ in range(30):
                loop = new_loop()
                loop.run_until_complete(one())
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()
        except BaseException as error:
            wrong.append(error)

    users = [threading.Thread(target=use_loops) for _ in range(6)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert wrong == []


def test_who_is_cancelled_while_lanes_end_holds_nobody(run_real):
    """The loop goes on as long as a thread that runs on is waited for."""

    async def main():
        lanes = rota.Lanes()
        go_on, begun = threading.Event(), threading.Event()

        def wait():
            begun.set()
            go_on.wait(20)

        call = asyncio.ensure_future(lanes.call(wait))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        ending = asyncio.ensure_future(lanes.aclose())
        await asyncio.sleep(0)
        ending.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not ending.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await ending
        call.cancel()

    run_real(main())


def join_lanes():
    """Wait for the threads of lanes that have ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("rota_"):
            thread.join(20)


def test_what_is_left_is_called_by_its_name(run_real, monkeypatch, caplog):
    """Though it ran among many in one go."""
    monkeypatch.setattr(limits, "LANE_PATIENCE", 0.05)
    go_on, begun = threading.Event(), threading.Event()

    def wait_at_the_end(x):
        if x:
            begun.set()
            go_on.wait(20)

    async def main():
        async with rota.Lanes() as lanes:
            await lanes.map(wait_at_the_end, [0] * 200)
            task = asyncio.ensure_future(into_nothing(lanes.map(wait_at_the_end, [1] * 10)))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def into_nothing(results):
        await results

    run_real(main())
    go_on.set()
    join_lanes()
    assert "wait_at_the_end" in caplog.text


def test_who_are_left_of_one_function_are_counted(run_real, monkeypatch, caplog):
    monkeypatch.setattr(limits, "LANE_PATIENCE", 0.05)
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def waits():
        begun.release()
        go_on.wait(20)

    async def main():
        async with rota.Lanes() as lanes:
            calls = [asyncio.ensure_future(lanes.call(waits)) for _ in range(3)]
            for _ in calls:
                await asyncio.to_thread(begun.acquire)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

    run_real(main())
    go_on.set()
    join_lanes()
    assert "still run: 3 times " in caplog.text


@pytest.mark.parametrize("ask", ["call", "map"])
def test_a_coroutine_function_that_computes_by_its_word_runs_elsewhere(run_real, ask):
    async def main():
        async with rota.Lanes(processes=1) as lanes:
            call = lanes.call(work.computing_pid) if ask == "call" else lanes.map(work.computing_pid, [1, 2])
            found = await call
            assert os.getpid() not in (found if ask == "map" else [found])

    run_real(main())


def test_the_state_of_all_lanes(run_real):
    async def main():
        assert rota.lanes().threads.threads == 0
        go_on = threading.Event()
        running = asyncio.ensure_future(rota.call(work.wait_for, go_on))
        await rota.call(int)
        while (state := rota.lanes()).threads.busy != 1:
            await asyncio.sleep(0.001)  # the other one has told of its end, and is not yet back
        go_on.set()
        await running
        assert state.processes.processes == 0
        assert "threads:" in str(state)
        assert "work.wait_for" in str(rota.lanes())
        assert rota.lanes().as_json()["threads"]["threads"] >= 1

    run_real(main())


@pytest.mark.parametrize("on", ["threads", "loop", "processes"])
def test_an_exception_is_let_go_of_without_the_collector(run_real, on):
    async def main():
        try:
            await rota.call(work.raise_own, on=on)
        except work.OwnError as error:
            return weakref.ref(error)

    gc.collect()
    gc.disable()
    try:
        assert run_real(main())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("on", ["threads", "loop"])
def test_what_failed_is_let_go_of_without_the_collector(run_real, on):
    """Its argument is in a frame that the exception's traceback holds: nothing may hold that."""

    async def main():
        left = []

        async def one():
            account = work.Account()
            left.append(weakref.ref(account))
            with contextlib.suppress(LookupError):
                await rota.call(work.fail, account, on=on)

        for _ in range(20):  # the measured calls among them
            await one()
        for _ in range(1000):  # the threads let go, too, each in its time
            if not (held := [account for account in left if account() is not None]):
                break
            await asyncio.sleep(0.01)
        return held

    gc.collect()
    gc.disable()
    try:
        assert run_real(main()) == []
    finally:
        gc.enable()
