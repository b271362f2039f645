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
