"""Blocking functions in threads."""

import asyncio
import concurrent.futures
import sys
import threading

import pytest


def test_run_in_executor(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
            name = await loop.run_in_executor(pool, lambda: threading.current_thread().name)
        default = await loop.run_in_executor(None, lambda *args: (args, threading.current_thread().name), 1, 2)
        return name, default[0], default[1].split("_")[0]

    assert run_real(main()) == ("mine_0", (1, 2), "asyncio")


def test_what_a_function_raises_is_raised_where_it_is_awaited(run_real):
    def fail():
        raise OSError("in a thread")

    async def main():
        with pytest.raises(OSError, match="in a thread"):
            await asyncio.to_thread(fail)
        with pytest.raises(OSError, match="in a thread"):
            await asyncio.get_running_loop().run_in_executor(None, fail)

    run_real(main())


@pytest.mark.parametrize("name", ["CancelledError", "InvalidStateError", "TimeoutError"])
def test_the_exceptions_of_threads_are_told_as_asyncios(run_real, name):
    def fail():
        raise getattr(concurrent.futures, name)("in a thread")

    async def main():
        with pytest.raises(getattr(asyncio, name)) as raised:
            await asyncio.get_running_loop().run_in_executor(None, fail)
        assert raised.value.args == ("in a thread",)

    run_real(main())


def test_to_thread_takes_keywords(run_real):
    async def main():
        return await asyncio.to_thread(dict, [("a", 1)], b=2)

    assert run_real(main()) == {"a": 1, "b": 2}


def test_the_loop_goes_on_meanwhile(run_real):
    async def main():
        turns = 0
        go_on = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(None, go_on.wait, 10)
        for _ in range(50):
            turns += 1
            await asyncio.sleep(0)
        go_on.set()
        return await future, turns

    assert run_real(main()) == (True, 50)


def test_a_cancelled_call_that_has_not_begun_does_not_run(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        ran = []
        go_on = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = loop.run_in_executor(pool, go_on.wait, 10)
            second = loop.run_in_executor(pool, ran.append, 1)
            second.cancel()
            await asyncio.sleep(0)
            go_on.set()
            await first
        return ran, second.cancelled()

    assert run_real(main()) == ([], True)


def test_more_calls_than_threads_wait_and_what_is_cancelled_there_does_not_run(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        most = concurrent.futures.ThreadPoolExecutor()._max_workers
        ran = []
        go_on = threading.Event()
        calls = [loop.run_in_executor(None, go_on.wait, 10) for _ in range(most)]
        later = [loop.run_in_executor(None, ran.append, number) for number in range(5)]
        later[2].cancel()
        await asyncio.sleep(0.01)
        assert ran == []
        go_on.set()
        await asyncio.gather(*calls)
        await asyncio.gather(*later, return_exceptions=True)
        return sorted(ran)

    assert run_real(main()) == [0, 1, 3, 4]


def test_calls_that_wait_when_the_loop_is_closed_run_and_are_nobodys(new_loop, caplog):
    loop = new_loop()
    go_on, ended = threading.Event(), threading.Event()

    async def main():
        most = concurrent.futures.ThreadPoolExecutor()._max_workers
        calls = [loop.run_in_executor(None, go_on.wait, 10) for _ in range(most)]
        calls.append(loop.run_in_executor(None, ended.set))
        return calls

    calls = loop.run_until_complete(main())
    loop.close()
    go_on.set()
    assert ended.wait(10)
    assert not any(call.done() for call in calls)
    assert caplog.messages == []


def test_a_thread_that_is_refused_is_told_and_the_next_call_asks_again(run_real, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match=r"^can't start new thread$"):
                loop.run_in_executor(None, int, "6")
        return await loop.run_in_executor(None, int, "7")

    assert run_real(main()) == 7


def test_an_interrupt_while_a_thread_is_started_goes_to_the_caller(run_real, monkeypatch):
    start = threading.Thread.start
    started = []

    def interrupted(thread):
        start(thread)
        started.append(thread)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    async def main():
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                loop.run_in_executor(None, int)
        assert await loop.run_in_executor(None, int, "7") == 7
        while not started[0]._started.is_set():  # nobody waits for it, as its start was interrupted
            await asyncio.sleep(0.001)

    run_real(main())


def test_only_a_thread_pool_can_be_the_default(loop):
    with pytest.raises(TypeError, match=r"^executor must be ThreadPoolExecutor instance$"):
        loop.set_default_executor(object())


def test_a_default_of_ones_own(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="own"))
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert run_real(main()) == "own_0"


def test_after_the_shutdown_no_more(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(int)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
            loop.run_in_executor(None, int)
        await loop.shutdown_default_executor()

    run_real(main())


@pytest.mark.parametrize("timeout", [None, 10])
def test_the_shutdown_waits_for_the_threads(run_real, kind, timeout):
    """asyncio takes a timeout since Python 3.12."""
    if kind == "asyncio" and sys.version_info < (3, 12) and timeout is not None:
        pytest.skip("since Python 3.12")
    ended = []

    async def main():
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        def work():
            loop.call_soon_threadsafe(begun.set)
            threading.Event().wait(0.01)
            ended.append(1)

        loop.run_in_executor(None, work)
        await begun.wait()
        if timeout is None:
            await loop.shutdown_default_executor()
        else:
            await loop.shutdown_default_executor(timeout)
        return list(ended)

    assert run_real(main()) == [1]


def test_a_shutdown_that_takes_too_long_warns(run_real, kind):
    """asyncio takes a timeout since Python 3.12, and waits all the same until 3.13."""
    if kind == "asyncio" and sys.version_info < (3, 13):
        pytest.skip("asyncio: since Python 3.13")
    go_on = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, go_on.wait, 10)
        with pytest.warns(RuntimeWarning, match="did not finishing joining its threads within 0.01 seconds"):
            await loop.shutdown_default_executor(0.01)
        go_on.set()

    run_real(main())


def test_a_closed_loop_takes_no_calls(new_loop):
    loop = new_loop()
    loop.close()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for executor in (None, pool):
            with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
                loop.run_in_executor(executor, int)


def test_ones_own_executor_outlives_the_default_one(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return await loop.run_in_executor(pool, int, "7")

    assert run_real(main()) == 7


def test_a_future_of_ones_own_executor_is_wrapped(run_real):
    """Whatever submit() gives, if it is a concurrent.futures.Future."""

    class Inline(concurrent.futures.Executor):
        def submit(self, function, /, *args):
            future = concurrent.futures.Future()
            future.set_result(("inline", function(*args)))
            return future

    async def main():
        return await asyncio.get_running_loop().run_in_executor(Inline(), int, "7")

    assert run_real(main()) == ("inline", 7)


def test_a_call_that_has_begun_is_not_stopped_by_its_cancellation(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

        def work():
            begun.set()
            go_on.wait(10)
            ended.set()

        call = loop.run_in_executor(None, work)
        await asyncio.to_thread(begun.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not ended.is_set()
        go_on.set()
        await asyncio.to_thread(ended.wait, 10)
        assert ended.is_set()

    run_real(main())


def test_a_result_that_comes_after_the_loop_was_closed_is_nobodys(new_loop, caplog):
    loop = new_loop()
    go_on = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(1)

    async def main():
        call = loop.run_in_executor(pool, go_on.wait, 10)
        await asyncio.sleep(0)
        return call

    call = loop.run_until_complete(main())
    loop.close()
    go_on.set()
    pool.shutdown()
    assert not call.done()
    assert caplog.messages == []


@pytest.mark.parametrize("kind", ["rota"])
def test_a_shutdown_that_is_cancelled_does_not_hold_the_loop(run_real):
    """asyncio's waits for the thread all the same, in Python 3.11 and 3.12."""
    go_on = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, go_on.wait, 10)
        ending = asyncio.ensure_future(loop.shutdown_default_executor())
        await asyncio.sleep(0.001)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert not go_on.is_set()
        go_on.set()

    run_real(main())


def test_in_debug_mode_a_coroutine_is_refused(run_real):
    async def work():
        pass

    async def main():
        with pytest.raises(TypeError, match=r"^coroutines cannot be used with run_in_executor\(\)$"):
            asyncio.get_running_loop().run_in_executor(None, work)

    run_real(main(), debug=True)
