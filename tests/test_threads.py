"""The pool of a loop's threads, from the number of them to the interpreter's exit."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading

import pytest

import rota
from rota import limits
from rota.threads import Call, Threads
from tests.clocks import virtual_rota_loop

LONGEST = 20  # seconds until a program that hangs is ended


def output_of(program: str) -> list[str]:
    """What ``program`` prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "always", "-c", program]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert found.stderr == ""
    assert found.returncode == 0
    return found.stdout.splitlines()


@pytest.fixture
def loop():
    """A loop with a thread that has had a call and sleeps."""
    loop = rota.new_event_loop()
    loop.run_until_complete(loop.run_in_executor(None, int))
    while not loop._threads._idle:
        pass
    yield loop
    loop.close()


def test_those_that_there_are_do_it_when_the_system_refuses_another_thread(loop, monkeypatch):
    """asyncio refuses the call, and runs it all the same."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        go_on = threading.Event()
        first = loop.run_in_executor(None, go_on.wait, 10)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            second = loop.run_in_executor(None, int, "7")
        go_on.set()
        return await first, await second

    assert loop.run_until_complete(main()) == (True, 7)


class Interrupted(list):
    """Ctrl-C comes when somebody has been taken out."""

    def pop(self):
        super().pop()
        raise KeyboardInterrupt


def test_a_thread_that_an_interrupt_left_asleep_ends_with_the_pool(loop):
    loop._threads._idle = Interrupted(loop._threads._idle)
    with pytest.raises(KeyboardInterrupt):
        loop.run_in_executor(None, int)
    ending = threading.Thread(target=loop._threads.shutdown, daemon=True)
    ending.start()
    ending.join(10)
    assert not ending.is_alive()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_there_are_as_many_as_asyncio_has():
    said = output_of("""
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from concurrent.futures import ThreadPoolExecutor
from rota import limits
print(limits.THREADS - ThreadPoolExecutor()._max_workers)
""")
    assert said == ["0"]


def test_the_interpreter_waits_for_what_has_begun_and_for_what_waits():
    said = output_of("""
import sys, threading, rota
loop = rota.new_event_loop()
go_on = threading.Event()
for number in range(40):
    loop.run_in_executor(None, lambda: (go_on.wait(), sys.stdout.write("one\\n")))
threading.Timer(0.1, go_on.set).start()
loop.close()
""")
    assert said == ["one"] * 40


@pytest.mark.skipif((3, 12) <= sys.version_info < (3, 13), reason="Python 3.12 starts no thread at its exit")
@pytest.mark.parametrize("when", ["in a thread after the main one", "in atexit"])
def test_a_loop_that_comes_when_the_interpreter_goes_has_threads_for_which_it_does_not_wait(when):
    """asyncio refuses these calls."""
    said = output_of(f"""
import atexit, threading, rota, warnings
warnings.simplefilter("ignore")  # of the loop that nobody closes
def late():
    if {when!r} != "in atexit":
        threading.main_thread().join()
    global loop
    loop = rota.new_event_loop()
    print(loop.run_until_complete(loop.run_in_executor(None, int, "7")), flush=True)
if {when!r} == "in atexit":
    atexit.register(late)
else:
    threading.Thread(target=late).start()
""")
    assert said == ["7"]


# -- pools of other rooms: the loop has them as it has its own ------------------------------------------------------


@pytest.fixture
def pool_of():
    """Makes pools, which end with the test."""
    made = []

    def pool_of(most, **kind):
        made.append(Threads(most, **kind))
        return made[-1]

    yield pool_of
    for pool in made:
        assert pool.shutdown(patience=10) == []


def begin(pool, func, *args, **how):
    call = Call(asyncio.get_running_loop(), func, args, **how)
    pool.start(call)
    return call


async def until(true):
    while not true():
        await asyncio.sleep(0.001)  # the threads need the interpreter to begin


class Starts:
    """Who starts threads."""

    def __init__(self, monkeypatch):
        self.by = []
        start = threading.Thread.start

        def note(thread):
            self.by.append(threading.current_thread())
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", note)


@pytest.fixture
def starts(monkeypatch):
    return Starts(monkeypatch)


def test_a_burst_has_as_many_threads_as_calls_and_the_loops_thread_starts_one(pool_of, starts):
    """The calls wait for one another: all have to run at once."""

    async def main():
        pool = pool_of(1000)
        together = threading.Barrier(100)
        calls = [begin(pool, together.wait, 10) for _ in range(100)]
        await asyncio.gather(*[call.future for call in calls])
        assert 100 <= pool.count().threads <= 101

    rota.run(main())
    assert starts.by.count(threading.main_thread()) == 1


def test_of_the_threads_for_calls_that_come_one_by_one_the_loops_thread_starts_two(pool_of, starts):
    """The second one starts the others."""

    async def main():
        pool = pool_of(1000)
        go_on = threading.Event()
        calls = []
        try:
            for number in range(20):
                calls.append(begin(pool, go_on.wait))
                await until(lambda number=number: pool.count().running > number)
        finally:
            go_on.set()
        await asyncio.gather(*[call.future for call in calls])

    rota.run(main())
    assert starts.by.count(threading.main_thread()) == 2


@pytest.fixture
def go_on(monkeypatch):
    """Threads that are started begin when this is set."""
    go_on = threading.Event()
    bootstrap = threading.Thread._bootstrap_inner

    def wait_and_begin(thread):
        go_on.wait(10)
        bootstrap(thread)

    monkeypatch.setattr(threading.Thread, "_bootstrap_inner", wait_and_begin)
    return go_on


def test_the_loops_thread_does_not_wait_until_a_thread_has_begun(pool_of, go_on):
    """It would wait for the interpreter, beside calls that compute."""

    async def main():
        pool = pool_of(5, name="late")
        calls = [begin(pool, threading.current_thread) for _ in range(3)]
        assert pool.count() == (1, 0, 0, 3)
        assert "late_0" in [thread.name for thread in threading.enumerate()]
        go_on.set()
        for call in calls:
            thread = await call.future
            assert thread.name.startswith("late_")

    rota.run(main())


def test_who_ends_a_pool_waits_for_a_thread_that_has_not_begun(pool_of, go_on):
    async def main():
        pool = pool_of(5)
        call = begin(pool, int, "7")
        assert pool.shutdown(patience=0.01) == []
        assert pool.count().threads == 1
        with pytest.raises(asyncio.CancelledError):
            await call.future
        go_on.set()
        assert pool.shutdown(patience=10) == []
        assert pool.count().threads == 0

    rota.run(main())


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_the_first_thread_is_started_leaves_nobody_to_be_waited_for(pool_of, monkeypatch, when):
    start = threading.Thread.start
    started = []

    def interrupted(thread):
        if when == "after":
            start(thread)
            started.append(thread)
        raise KeyboardInterrupt

    async def main():
        pool = pool_of(2)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                begin(pool, int)
        assert await begin(pool, int, "7").future == 7
        await until(lambda: all(thread.is_alive() for thread in started))
        assert pool.shutdown(patience=10) == []

    rota.run(main())


def test_calls_that_wait_for_one_another_run_as_long_as_there_may_be_more_threads(pool_of):
    async def main():
        pool = pool_of(41)
        go_on = [threading.Event() for _ in range(40)]
        calls = [begin(pool, event.wait, 10) for event in go_on]
        calls += [begin(pool, event.set) for event in go_on]
        assert await asyncio.gather(*[call.future for call in calls]) == [True] * 40 + [None] * 40

    rota.run(main())


def test_they_come_while_the_loop_is_busy(pool_of):
    async def main():
        pool = pool_of(50)
        together = threading.Barrier(51)
        calls = [begin(pool, together.wait, 10) for _ in range(50)]
        together.wait(10)
        await asyncio.gather(*[call.future for call in calls])

    rota.run(main())


def test_they_come_on_a_clock_that_jumps_and_do_not_move_it(pool_of):
    loop = virtual_rota_loop()

    async def main():
        began = loop.time()
        pool = pool_of(50)
        together = threading.Barrier(50)
        calls = [begin(pool, together.wait, 10) for _ in range(50)]
        await asyncio.gather(*[call.future for call in calls])
        assert loop.time() == began

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_a_burst_of_short_calls_is_done_by_a_few(pool_of, starts, monkeypatch):
    monkeypatch.setattr(limits, "THREADS_STEP", 1000)  # until then more is not due

    async def main():
        pool = pool_of(1000)
        calls = [begin(pool, int, str(number)) for number in range(500)]
        assert await asyncio.gather(*[call.future for call in calls]) == list(range(500))

    rota.run(main())
    assert len(starts.by) <= limits.THREADS_AT_ONCE + 2


def test_who_was_idle_last_is_asked_first(pool_of):
    async def main():
        pool = pool_of(2)
        go_on = [threading.Event(), threading.Event()]
        names = [None, None]

        def work(number):
            names[number] = threading.current_thread().name
            go_on[number].wait(10)

        begin(pool, work, 0)
        begin(pool, work, 1)
        await until(lambda: all(names))
        go_on[0].set()
        await until(lambda: pool.count().idle == 1)
        go_on[1].set()
        await until(lambda: pool.count().idle == 2)
        for _ in range(3):
            assert await begin(pool, lambda: threading.current_thread().name).future == names[1]
            await until(lambda: pool.count().idle == 2)

    rota.run(main())


def test_an_idle_thread_ends_and_the_next_call_has_another(pool_of):
    async def main():
        pool = pool_of(5, keep=0.001, name="mine")
        first = await begin(pool, threading.current_thread).future
        await until(lambda: pool.count().threads == 0)
        await until(lambda: not first.is_alive())
        second = await begin(pool, threading.current_thread).future
        assert (first.name, second.name) == ("mine_0", "mine_1")

    rota.run(main())


def test_no_call_is_lost_to_a_thread_that_ends(pool_of):
    async def main():
        pool = pool_of(3, keep=0.0)
        for number in range(500):
            calls = [begin(pool, int, str(number)) for _ in range(1 + number % 3)]
            assert await asyncio.gather(*[call.future for call in calls]) == [number] * len(calls)

    rota.run(main())


def test_no_call_is_lost_when_threads_are_stopped_anywhere(pool_of):
    """The pool has no lock: the interpreter goes from thread to thread at every place where it may."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    async def main():
        for most, keep in [(1, 0.0), (2, 0.0), (3, 0.0001), (20, 0.0001), (20, 10)]:
            pool = pool_of(most, keep=keep)
            for number in range(50):
                calls = [begin(pool, int, str(number)) for _ in range(1 + number % 5)]
                assert await asyncio.gather(*[call.future for call in calls]) == [number] * len(calls)
                assert pool.count().threads <= most + 1

    try:
        rota.run(asyncio.wait_for(main(), 40))
    finally:
        sys.setswitchinterval(interval)


def test_when_the_system_refuses_more_threads_the_pacer_works_as_well(pool_of, monkeypatch):
    start = threading.Thread.start

    def only_here(thread):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", only_here)

    async def main():
        pool = pool_of(100)
        go_on = threading.Event()
        calls = [begin(pool, go_on.wait, 10) for _ in range(50)]
        await until(lambda: pool.count()[1:] == (pool.count().threads, 0, 50 - pool.count().threads))
        go_on.set()
        assert all(await asyncio.gather(*[call.future for call in calls]))

    rota.run(main())


def test_how_a_pool_stands(pool_of):
    async def main():
        pool = pool_of(2)
        assert pool.count() == (0, 0, 0, 0)
        go_on = threading.Event()
        calls = [begin(pool, go_on.wait, 10) for _ in range(5)]
        await until(lambda: pool.count().running == 2)
        assert pool.count() == (2, 2, 0, 3)
        calls[3].future.cancel()
        assert pool.count().waiting == 2
        assert [call.began for call in calls] == [True, True, False, False, False]
        go_on.set()
        await asyncio.wait([call.future for call in calls])
        await until(lambda: pool.count() == (2, 0, 2, 0))
        assert [call.began for call in calls] == [True, True, True, False, True]

    rota.run(main())


def test_a_call_has_keywords_and_a_context(pool_of):
    word = contextvars.ContextVar("word", default="none")

    async def main():
        pool = pool_of(1)
        word.set("mine")

        def work(*args, **kwargs):
            return args, kwargs, word.get()

        context = contextvars.copy_context()
        assert await begin(pool, work, 1, kwargs={"b": 2}, context=context).future == ((1,), {"b": 2}, "mine")
        assert await begin(pool, work, 1, kwargs={"b": 2}).future == ((1,), {"b": 2}, "none")
        assert await begin(pool, work, 1, context=context).future == ((1,), {}, "mine")

    rota.run(main())


def test_an_end_with_patience_cancels_what_waits_and_tells_what_runs(pool_of):
    async def main():
        pool = pool_of(1, daemon=True)
        go_on = threading.Event()

        def slow():
            go_on.wait(10)
            return "done"

        runs = begin(pool, slow)
        waits = [begin(pool, int) for _ in range(3)]
        await until(lambda: pool.count().running)
        assert pool.shutdown(patience=0.001) == [slow.__qualname__]
        with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
            begin(pool, int)
        for call in waits:
            with pytest.raises(asyncio.CancelledError):
                await call.future
        go_on.set()
        assert await runs.future == "done"
        assert not any(call.began for call in waits)

    rota.run(main())


def test_an_end_without_it_runs_all_that_was_taken_with_the_threads_that_this_needs(pool_of):
    async def main():
        pool = pool_of(41)
        go_on = [threading.Event() for _ in range(40)]
        calls = [begin(pool, event.wait, 10) for event in go_on]
        calls += [begin(pool, event.set) for event in go_on]
        ending = threading.Thread(target=pool.shutdown)
        ending.start()
        assert await asyncio.gather(*[call.future for call in calls]) == [True] * 40 + [None] * 40
        ending.join(10)
        assert pool.count() == (0, 0, 0, 0)

    rota.run(main())


def test_a_closed_loop_is_not_told_of_what_is_dropped(pool_of, caplog):
    async def main():
        pool = pool_of(1)
        go_on = threading.Event()
        begin(pool, go_on.wait, 10)
        begin(pool, int)
        return pool, go_on

    pool, go_on = rota.run(main())
    pool.shutdown(patience=0)
    go_on.set()
    assert pool.shutdown(patience=10) == []
    assert caplog.messages == []


def test_the_interpreter_does_not_wait_for_ever_for_daemon_threads():
    said = output_of("""
import asyncio, threading, rota
from rota import limits
from rota.threads import Call, Threads
limits.THREADS_PATIENCE = 0.01
pool = Threads(1, daemon=True)
async def main():
    loop = asyncio.get_running_loop()
    begun = threading.Event()
    pool.start(Call(loop, lambda: (begun.set(), threading.Event().wait()), ()))
    pool.start(Call(loop, print, ("never",)))
    begun.wait()
rota.run(main())
print("ended")
""")
    assert said == ["ended"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_no_threads_and_the_parents_go_on():
    said = output_of("""
import asyncio, os, threading, rota, warnings
from rota.threads import Call, Threads
warnings.simplefilter("ignore")  # of forking with threads
pool = Threads(100, keep=1.0, daemon=True)
async def main():
    loop = asyncio.get_running_loop()
    go_on = threading.Event()
    calls = [Call(loop, go_on.wait, ()) for _ in range(50)]
    for call in calls:
        pool.start(call)
    child = os.fork()
    if child == 0:
        print(pool.count().threads, pool.shutdown(patience=1), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    go_on.set()
    print(sum(await asyncio.gather(*[call.future for call in calls])))
rota.run(main())
""")
    assert said == ["0 []", "50"]
