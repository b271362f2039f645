"""Calls in processes: what goes there and comes back, what dies on the way, and what is stopped."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.lanes import work

import rota
from rota.lanes.lanes import LEAST_MEMORY


@pytest.fixture
def in_lanes(run_real):
    """Runs a coroutine function with lanes of its own."""

    def in_lanes(main, **numbers):
        async def inside():
            async with rota.Lanes(**{"processes": 1, **numbers}) as lanes:
                return await main(lanes)

        return run_real(inside())

    return in_lanes


async def appears(path):
    """What is in the file at ``path``, when it is there, and has been written."""
    until = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until
        await asyncio.sleep(0.005)
    return path.read_text()


async def ends(pid):
    """Wait until no process has the number ``pid``."""
    until = time.monotonic() + 20
    while True:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < until, f"process {pid} still runs"
        await asyncio.sleep(0.005)


def test_it_runs_in_another_process_and_the_same_one_again(in_lanes):
    async def main(lanes):
        assert await lanes.call(work.add, 1, b=2, c=3, on="processes") == 6
        first = await lanes.call(work.pid, on="processes")
        assert first != os.getpid()
        assert await lanes.call(work.pid, on="processes") == first

    in_lanes(main)


@pytest.mark.parametrize("fn", [functools.partial(work.add, 1), work.Point(1).moved, work.Account(), abs])
def test_what_can_be_pickled_can_go(in_lanes, fn):
    async def main(lanes):
        return await lanes.call(fn, 2, on="processes")

    assert in_lanes(main) in (2, 3)


def test_lambdas_and_closures_go_by_value(in_lanes):
    pytest.importorskip("cloudpickle", reason="functions by value need it")
    here = 40

    async def main(lanes):
        return await lanes.call(lambda x: x + here, 2, on="processes")

    assert in_lanes(main) == 42


def test_without_cloudpickle_a_lambda_gets_a_clear_line(in_lanes, monkeypatch):
    monkeypatch.setattr("rota.lanes.shipping._cloudpickle", None)

    async def main(lanes):
        with pytest.raises(rota.ShippingError, match="<lambda>: the function can't be sent") as raised:
            await lanes.call(lambda: 1, on="processes")
        assert "rota[lanes]" in str(raised.value)
        assert await lanes.call(work.double, 2, on="processes") == 4

    in_lanes(main)


def test_what_it_raises_comes_with_its_remote_traceback(in_lanes):
    async def main(lanes):
        asyncio.current_task().set_name("baker")
        with pytest.raises(LookupError, match="no bread") as raised:
            await lanes.call(work.fail, "bread", on="processes")
        assert isinstance(raised.value.__cause__, rota.RemoteTraceback)
        assert 'raise LookupError(f"no {x}")' in str(raised.value.__cause__)
        assert "worker.py" not in str(raised.value.__cause__)
        assert "'baker'" in raised.value.__notes__[0]

    in_lanes(main)


@pytest.mark.parametrize(
    ("fn", "args", "error", "message"),
    [
        (
            work.take_lock,
            (threading.Lock(),),
            rota.ShippingError,
            r"work\.take_lock: argument 0 \(<unlocked .*can't be sent",
        ),
        (work.make_lock, (), rota.ShippingError, r"work\.make_lock\(\): the result \(a lock\) can't be sent"),
        (work.double, (work.NoTraveller(),), rota.ShippingError, "an argument .*it stays where it is"),
        (work.give_no_traveller, (), rota.ShippingError, "the result can't be sent.*it stays where it is"),
        (work.raise_two_arguments, (), rota.RemoteError, "TwoArgumentsError: 1 and 2"),
        (work.raise_unpicklable, (), rota.RemoteError, "UnpicklableError: with a lock inside"),
        (work.leave, (3,), rota.WorkerDied, r"work\.leave\(3\) ended with exit code 3"),
        (work.die_at, (5, 5), rota.WorkerDied, r"work\.die_at\(5, 5\) was killed by SIGKILL"),
    ],
)
def test_each_mistake_is_one_clear_error_and_the_pool_lives(in_lanes, fn, args, error, message):
    async def main(lanes):
        with pytest.raises(error, match=message) as raised:
            await lanes.call(fn, *args, on="processes")
        assert "\n" not in str(raised.value)
        assert await lanes.call(work.double, 2, on="processes") == 4

    in_lanes(main)


def test_a_module_that_the_worker_does_not_find_is_named(in_lanes, tmp_path, monkeypatch):
    (tmp_path / "passing_by.py").write_text("def f():\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)

    async def main(lanes):
        import passing_by

        assert await lanes.call(work.double, 2, on="processes") == 4
        os.remove(tmp_path / "passing_by.py")
        with pytest.raises(
            rota.ShippingError, match=r"passing_by\.f: the function can't be sent.*No module named 'passing_by'"
        ):
            await lanes.call(passing_by.f, on="processes")

    monkeypatch.setattr("sys.dont_write_bytecode", True)
    in_lanes(main)


def test_a_worker_that_dies_takes_one_call_along(in_lanes, tmp_path):
    """The calls before it in the chunk are done once, those after it go on elsewhere, and nothing runs twice."""
    path = str(tmp_path / "calls")

    async def main(lanes):
        fn = functools.partial(work.note_and_die_at, (path, 7))
        return await lanes.map(fn, range(40), on="processes", on_error="return")

    results = in_lanes(main, processes=2)
    died = results.pop(7)
    assert isinstance(died, rota.WorkerDied)
    assert (died.function, died.item) == ("tests.lanes.work.note_and_die_at", "7")
    assert results == [*range(7), *range(8, 40)]
    with open(path) as file:
        assert sorted(map(int, file.read().split())) == list(range(40))


def test_a_retry_is_another_worker(in_lanes, tmp_path):
    async def main(lanes):
        fn = functools.partial(work.die_once, str(tmp_path / "died"))
        return await lanes.map(fn, [1, 2, 3], on="processes", retries=1)

    assert in_lanes(main) == [1, 2, 3]


@pytest.mark.parametrize("fn", [work.touch_and_sleep, work.spin_forever])
def test_a_call_whose_time_is_up_is_really_stopped(in_lanes, tmp_path, fn):
    path = tmp_path / "pid"

    async def main(lanes):
        with pytest.raises(TimeoutError, match=rf"{fn.__name__}\('.*pid'\) took longer than 0\.5 s"):
            await lanes.call(fn, str(path), on="processes", timeout=0.5)
        await ends(path.read_text())
        assert await lanes.call(work.double, 2, on="processes") == 4

    in_lanes(main)


def test_a_call_that_is_cancelled_is_really_stopped(in_lanes, tmp_path):
    path = tmp_path / "pid"

    async def main(lanes):
        call = asyncio.ensure_future(lanes.call(work.spin_forever, str(path), on="processes"))
        pid = await appears(path)
        waits = asyncio.ensure_future(lanes.call(work.double, 2, on="processes"))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await ends(pid)
        assert await waits == 4

    in_lanes(main)


def test_the_time_of_a_chunk_is_each_item_s_own(in_lanes):
    async def main(lanes):
        times = [0.0, 0.01, 30, 0.0, 0.01]
        return await lanes.map(work.sleep, times, on="processes", timeout=0.5, on_error="return")

    results = in_lanes(main)
    assert isinstance(results[2], TimeoutError)
    assert results[:2] + results[3:] == [0.0, 0.01, 0.0, 0.01]


def test_coroutine_functions_run_many_to_a_worker(in_lanes):
    async def main(lanes):
        pids = await asyncio.gather(*[lanes.call(work.pid_later, x, on="processes") for x in range(50)])
        assert len(set(pids)) == 1
        assert pids[0] != os.getpid()
        assert set(await lanes.map(work.pid_later, range(50), on="processes")) == set(pids)
        with pytest.raises(LookupError, match="no bread"):
            await lanes.call(work.fail_later, "bread", on="processes")
        assert await lanes.call(work.pid, on="processes") == pids[0]

    in_lanes(main)


def test_a_coroutine_there_is_cancelled_and_its_neighbours_go_on(in_lanes):
    async def main(lanes):
        long = asyncio.ensure_future(lanes.call(work.sleep_on_loop, 60, on="processes"))
        with pytest.raises(TimeoutError, match=r"sleep_on_loop\(30\) took longer than 0\.05 s"):
            await lanes.call(work.sleep_on_loop, 30, on="processes", timeout=0.05)
        short = asyncio.ensure_future(lanes.call(work.sleep_on_loop, 0.1, on="processes"))
        await asyncio.sleep(0.01)
        long.cancel()
        assert await short == 0.1
        with pytest.raises(asyncio.CancelledError):
            await long
        assert await lanes.call(work.double, 2, on="processes") == 4

    in_lanes(main)


def test_a_coroutine_that_blocks_its_loop_is_stopped_too(in_lanes, monkeypatch):
    monkeypatch.setattr("rota.lanes.child.STOPPING", 0.05)

    async def main(lanes):
        with pytest.raises(TimeoutError, match="block_the_loop"):
            await lanes.call(work.block_the_loop, 30, on="processes", timeout=0.05)
        assert await lanes.call(work.double, 2, on="processes") == 4

    in_lanes(main)


@pytest.mark.parametrize("many", [False, True])
def test_an_argument_that_no_worker_has_memory_for_is_its_own_affair(in_lanes, many):
    large = bytes(LEAST_MEMORY)

    async def main(lanes):
        first = await lanes.call(work.pid, on="processes")
        said = rf"more than a worker may have, with memory={LEAST_MEMORY}"
        if many:
            results = await lanes.map(len, [b"1", large, b"22"], on="processes", on_error="return")
            assert [results[0], results[2]] == [1, 2]
            assert isinstance(results[1], rota.ShippingError)
            assert said in str(results[1])
        else:
            with pytest.raises(rota.ShippingError, match=said):
                await lanes.call(len, large, on="processes")
        assert await lanes.call(work.pid, on="processes") == first

    in_lanes(main, memory=LEAST_MEMORY)


def test_a_call_that_asks_for_more_memory_than_there_is_for_it(in_lanes):
    async def main(lanes):
        first = await lanes.call(work.pid, on="processes")
        with pytest.raises(MemoryError):
            await lanes.call(work.hog, 1 << 30, on="processes")
        assert await lanes.call(work.hog, 1 << 20, on="processes") == 1 << 20
        assert await lanes.call(work.pid, on="processes") != first

    in_lanes(main, memory=400 << 20)


def test_a_worker_is_replaced_after_so_many_calls(in_lanes):
    async def main(lanes):
        pids = [await lanes.call(work.pid, on="processes") for _ in range(5)]
        assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
        pids = await lanes.map(work.pid, range(40), on="processes")
        assert max(map(pids.count, pids)) == 2

    in_lanes(main, max_tasks=2)


def test_large_buffers_are_the_worker_s_to_write_to_and_nobody_else_s(in_lanes):
    async def main(lanes):
        content = bytearray(3 << 20)
        flipped = await lanes.call(work.flip, work.Block(content), on="processes")
        assert flipped.content[0] == 0xFF
        assert flipped.content[1:] == content[1:]
        assert content[0] == 0

    in_lanes(main)


def test_what_is_shared_is_sent_to_a_worker_once(in_lanes):
    async def main(lanes):
        shared = rota.share(work.Counted(10))
        results = [await lanes.call(work.how_often_made, shared, x, on="processes") for x in range(3)]
        results += await lanes.map(functools.partial(work.how_often_made, shared), range(3, 6), on="processes")
        assert results == [(1, 10 + x) for x in range(6)]
        assert await lanes.call(work.how_often_made, shared, 1) == (work.made, 11)
        assert await lanes.call(functools.partial(work.how_often_made, shared), 1) == (work.made, 11)
        block = rota.share(work.Block(bytearray(2 << 20)))
        assert await lanes.call(work.is_read_only, block, on="processes")

    in_lanes(main)


def test_the_user_s_word_beats_the_measurement(in_lanes):
    pid_there = rota.cpu(functools.partial(work.pid))
    pid_here = rota.io(functools.partial(work.pid))

    async def main(lanes):
        assert await lanes.call(pid_there) != os.getpid()
        assert await lanes.call(pid_here) == os.getpid()
        assert lanes.explain(pid_there).lane == "processes"
        await lanes.call(work.double, 2, on="processes")
        assert "1 call, none of them measured" in str(lanes.explain(work.double))
        assert "@rota.io" in str(lanes.explain(pid_here))

    in_lanes(main)


def test_what_a_worker_prints_is_seen(in_lanes, capfd):
    async def main(lanes):
        await lanes.call(work.say, "from the worker", on="processes")

    in_lanes(main)
    assert "from the worker" in capfd.readouterr().out


def test_libraries_with_threads_of_their_own_share_the_cores(in_lanes, monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "7")

    async def main(lanes):
        for name, value in (("OPENBLAS_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "7")):
            assert await lanes.call(work.environment, name, on="processes") == value

    in_lanes(main, processes=max(2, os.cpu_count() or 1))


def test_the_nursery_is_killed_and_another_takes_its_place(in_lanes, tmp_path):
    path = tmp_path / "pid"

    async def main(lanes):
        call = asyncio.ensure_future(lanes.call(work.touch_and_sleep, str(path), on="processes"))
        pid = await appears(path)
        with open(f"/proc/{pid}/stat") as file:
            nursery = int(file.read().rpartition(")")[2].split()[1])
        os.kill(nursery, signal.SIGKILL)
        with pytest.raises(rota.WorkerDied):
            await call
        assert await lanes.call(work.double, 2, on="processes") == 4
        await ends(pid)

    in_lanes(main)


def test_a_fork_that_is_refused_is_said(in_lanes, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def main(lanes):
        with monkeypatch.context() as patch:
            patch.setattr("subprocess.Popen", refuse)
            with pytest.raises(
                rota.RotaError, match="no worker process can be started: Resource temporarily unavailable"
            ):
                await lanes.call(work.double, 2, on="processes")
        assert await lanes.call(work.double, 2, on="processes") == 4

    in_lanes(main)


def test_what_a_stopped_call_had_started_is_stopped_too(in_lanes, tmp_path):
    path = tmp_path / "pid"

    async def main(lanes):
        with pytest.raises(TimeoutError):
            await lanes.call(work.start_and_wait, str(path), on="processes", timeout=1)
        await ends(path.read_text())

    in_lanes(main)


# -- at awkward moments ----------------------------------------------------------------------------------------------


def test_a_cancelled_chunk_is_not_begun_again(in_lanes, tmp_path):
    path = tmp_path / "calls"

    async def main(lanes):
        async def all_of_them():
            fn = functools.partial(work.note_and_wait, str(path))
            return await lanes.map(fn, range(6), on="processes", limit=1)

        task = asyncio.ensure_future(all_of_them())
        await appears(path)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await lanes.call(work.double, 2, on="processes") == 4
        assert path.read_text().split() == ["0"]

    in_lanes(main)


def test_a_call_that_is_cancelled_before_its_worker_is_there_never_runs(in_lanes, tmp_path):
    path = tmp_path / "calls"

    async def main(lanes):
        call = asyncio.ensure_future(lanes.call(work.note, str(path), 1, on="processes"))
        await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        before = path.exists()
        for _ in range(3):
            await lanes.call(work.double, 2, on="processes")
        assert path.exists() == before

    in_lanes(main)


def test_coroutines_that_come_in_one_burst_run_together(in_lanes):
    """Each waits until all thirty have begun."""

    async def main(lanes):
        await asyncio.gather(*[lanes.call(work.meet_on_loop, 30, on="processes") for _ in range(30)])

    in_lanes(main)


def test_a_coroutine_cancelled_at_once_harms_no_neighbour(in_lanes, monkeypatch):
    monkeypatch.setattr("rota.lanes.child.STOPPING", 0.2)

    async def main(lanes):
        await lanes.call(work.add_later, 1, on="processes")
        long = asyncio.ensure_future(lanes.call(work.sleep_on_loop, 0.5, on="processes"))
        await asyncio.sleep(0.05)
        for _ in range(20):
            call = asyncio.ensure_future(lanes.call(work.sleep_on_loop, 60, on="processes"))
            await asyncio.sleep(0)
            call.cancel()
        assert await long == 0.5

    in_lanes(main)


@pytest.mark.parametrize("fn", [work.raise_frozen, work.raise_frozen_later])
def test_an_exception_that_refuses_attributes(in_lanes, fn):
    async def main(lanes):
        with pytest.raises(rota.RemoteError, match="raised FrozenError"):
            await lanes.call(fn, on="processes")
        assert await lanes.call(work.double, 2, on="processes") == 4

    in_lanes(main)


@pytest.mark.parametrize(("fn", "name"), [(work.exit_with, "SystemExit"), (work.interrupt, "KeyboardInterrupt")])
def test_what_would_end_the_program_comes_as_an_error(in_lanes, fn, name):
    async def main(lanes):
        with pytest.raises(rota.RemoteError, match=f"raised {name}"):
            await lanes.call(fn, 3, on="processes")

    in_lanes(main)


def test_who_else_has_the_worker_s_socket_holds_up_nobody(in_lanes, tmp_path):
    """A process that the call has forked lives on."""
    path = tmp_path / "pid"

    async def main(lanes):
        with pytest.raises(rota.WorkerDied, match="exit code 3"):
            await lanes.call(work.fork_and_leave, str(path), on="processes", timeout=15)

    try:
        in_lanes(main)
    finally:
        os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_timeout_counts_from_the_beginning_of_unpickling(in_lanes):
    async def main(lanes):
        with pytest.raises(TimeoutError, match=r"double\(.*\) took longer than 0\.3 s"):
            await lanes.call(work.double, work.Slow(), on="processes", timeout=0.3)

    in_lanes(main)


@pytest.mark.parametrize("unreadable", [work.Deadly, work.Interrupting])
def test_an_item_that_can_t_be_read_harms_no_other(in_lanes, unreadable):
    async def main(lanes):
        results = await lanes.map(work.double, [1, 2, unreadable(), 3, 4], on="processes", on_error="return")
        assert isinstance(results.pop(2), rota.RotaError)
        assert results == [2, 4, 6, 8]

    in_lanes(main)


def test_a_function_that_goes_by_value_goes_with_its_globals_of_now(in_lanes, monkeypatch):
    pytest.importorskip("cloudpickle", reason="functions by value need it")

    async def main(lanes):
        assert await lanes.call(work.read_setting, on="processes") == 1
        monkeypatch.setattr(work, "setting", 5)
        assert await lanes.call(work.read_setting, on="processes") == 5

    in_lanes(main)


OF_MAIN = """
import asyncio, os, sys, types, typing, rota

number, numbers = 1, [1]
config = types.ModuleType("config")
config.level = 1
class Price: rate = 1
first = 1

def inner(): return number
def outer(more=0): return inner() + more + (outer(more - 1) if more else 0)
def listed(): return len(numbers)
def others(): return os.path.join("a", str(asyncio.sleep.__name__))
def configured(): return config.level
def annotated(price: Price): return typing.get_type_hints(annotated)["price"].rate
def named():
    try: return first and "first"
    except NameError: return second and "second"

async def main():
    global number, inner
    async with rota.Lanes(processes=1) as lanes:
        async def there(fn, *args): return await lanes.call(fn, *args, on="processes")
        said = [await there(outer, 2), await there(outer, 2), await there(listed), await there(others)]
        number = 10
        numbers.append(2)
        said += [await there(outer), await there(listed), await there(others)]
        inner = lambda: 100
        said.append(await there(outer))
        outer.__defaults__ = (1,)
        said.append(await there(outer))
        inner.extra = 5
        said.append(await there(outer))
        inner.__code__ = (lambda: 7).__code__
        said.append(await there(outer))
        print(said)
        said = [await there(configured), await there(annotated, None), await there(named)]
        config.level = 2
        Price.rate = 2
        globals()["second"] = globals().pop("first")
        said += [await there(configured), await there(annotated, None), await there(named)]
        print(said)

rota.run(main())
"""


def test_what_goes_by_value_goes_as_it_is_at_each_call(tmp_path):
    """Functions of the program's own file, and whatever they name there, may change between two calls."""
    pytest.importorskip("cloudpickle", reason="functions by value need it")
    program = tmp_path / "program.py"
    program.write_text(OF_MAIN)
    found = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    said = "[6, 6, 1, 'a/sleep', 10, 2, 'a/sleep', 100, 201, 201, 15]\n[1, 1, 'first', 2, 2, 'second']\n"
    assert (found.stdout, found.stderr) == (said, "")


def test_shared_inside_shared_and_what_can_t_be_shared(in_lanes):
    async def main(lanes):
        inner = rota.share([1, 2])
        assert await lanes.call(len, rota.share((inner, 3)), on="processes") == 2
        with pytest.raises(rota.ShippingError, match="len: its arguments can't be sent: TypeError: cannot pickle"):
            await lanes.call(len, rota.share([threading.Lock()]), on="processes")
        with pytest.raises(rota.ShippingError, match="it stays where it is"):
            await lanes.call(len, rota.share(work.NoTraveller()), on="processes")
        assert await lanes.call(len, inner, on="processes") == 2

    in_lanes(main)


def test_what_is_shared_no_more_is_forgotten(in_lanes):
    async def main(lanes):
        for _ in range(3):
            await lanes.call(len, rota.share([1]), on="processes")
        gc.collect()
        await lanes.call(len, rota.share([1]), on="processes")
        assert await lanes.call(work.how_many_arrived, on="processes") <= 1

    in_lanes(main)


def test_all_workers_end_with_their_nursery(in_lanes, tmp_path):
    paths = [tmp_path / str(number) for number in range(3)]

    async def main(lanes):
        calls = [asyncio.ensure_future(lanes.call(work.spin_forever, str(path), on="processes")) for path in paths]
        pids = [await appears(path) for path in paths]
        with open(f"/proc/{pids[0]}/stat") as file:
            os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
        for call in calls:
            with pytest.raises(rota.WorkerDied, match="went with its nursery"):
                await call
        for pid in pids:
            await ends(pid)

    in_lanes(main, processes=3)


def test_closing_while_a_large_argument_is_written(in_lanes):
    async def main(lanes):
        call = asyncio.ensure_future(lanes.call(work.flip, work.Block(bytearray(64 << 20)), on="processes"))
        await asyncio.sleep(0)
        await lanes.aclose()
        with pytest.raises((asyncio.CancelledError, RuntimeError)):
            await call

    in_lanes(main)


def test_more_results_with_large_buffers_than_there_are_descriptors(in_lanes):
    """Each is kept by the program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main(lanes):
        await lanes.call(work.pid, on="processes")
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, len(os.listdir("/proc/self/fd")) + 40), hard))
        results = await lanes.map(work.make_block, range(80), on="processes")
        assert [block.content[0] for block in results] == list(range(80))

    try:
        in_lanes(main)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_function_with_large_buffers_goes_with_each_chunk_of_a_map(in_lanes):
    async def main(lanes):
        fn = functools.partial(work.add_size, work.Block(bytearray(32 << 20)))
        assert await lanes.map(fn, range(12), on="processes") == [(32 << 20) + x for x in range(12)]

    in_lanes(main, processes=2)


def test_what_had_not_begun_when_the_nursery_died_goes_on(in_lanes, tmp_path):
    """Its siblings are dead, too, though nobody has heard of it yet."""
    path = tmp_path / "pid"

    async def main(lanes):
        await asyncio.gather(*[lanes.call(work.sleep, 0.2, on="processes") for _ in range(4)])
        items = [str(path), 1, 2, 3]

        async def all_of_them():
            return await lanes.map(work.touch_or_double, items, on="processes", limit=1, on_error="return")

        task = asyncio.ensure_future(all_of_them())
        pid = await appears(path)
        with open(f"/proc/{pid}/stat") as file:
            os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
        died, *others = await task
        assert isinstance(died, rota.WorkerDied)
        assert others == [2, 4, 6]

    in_lanes(main, processes=4)


def test_a_fork_refused_while_the_last_worker_retires_is_asked_for_again(in_lanes, monkeypatch):
    async def main(lanes):
        first = asyncio.ensure_future(lanes.call(work.sleep, 0.2, on="processes"))
        await asyncio.sleep(0.05)
        with monkeypatch.context() as patch:
            patch.setattr("rota.lanes.processes.Child", refuse_descriptors)
            second = asyncio.ensure_future(lanes.call(work.double, 2, on="processes"))
            await asyncio.sleep(0.05)
        assert await first == 0.2
        assert await second == 4

    in_lanes(main, processes=2, max_tasks=1)


def refuse_descriptors(*_args):
    raise OSError(24, "Too many open files")
