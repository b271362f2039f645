"""Debug mode: mistakes that are found, and what is kept to find others."""

import asyncio
import gc
import logging
import re
import sys
import threading
import time
import traceback

import pytest


@pytest.fixture
def loop(loop):
    loop.set_debug(True)
    return loop


async def nothing():
    pass


def test_it_can_be_turned_on_and_off(new_virtual_loop):
    loop = new_virtual_loop()
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False
    loop.close()


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_a_coroutine_is_no_callback(loop, method):
    first = [1] if method in ("call_later", "call_at") else []
    said = "call_(later|at)" if first else method  # asyncio's call_later says call_at
    with pytest.raises(TypeError, match=rf"^coroutines cannot be used with {said}\(\)$"):
        getattr(loop, method)(*first, nothing)
    coro = nothing()
    with pytest.raises(TypeError, match=rf"^coroutines cannot be used with {said}\(\)$"):
        getattr(loop, method)(*first, coro)
    coro.close()
    with pytest.raises(TypeError, match=rf"^a callable object was expected by {said}\(\), got 42$"):
        getattr(loop, method)(*first, 42)


def test_a_coroutine_is_nothing_for_an_executor(loop):
    with pytest.raises(TypeError, match=r"^coroutines cannot be used with run_in_executor\(\)$"):
        loop.run_in_executor(None, nothing)


def test_another_thread_is_told_to_use_the_threadsafe_door(new_loop):
    loop = new_loop()
    loop.set_debug(True)
    text = "Non-thread-safe operation invoked on an event loop other than the current one"
    heard = []

    def elsewhere(future):
        for ask in (
            lambda: loop.call_soon(print),
            lambda: loop.call_later(1, print),
            lambda: loop.call_at(1, print),
            lambda: loop.create_task(coro),
            lambda: future.set_result(None),
        ):
            try:
                ask()
            except RuntimeError as error:
                heard.append(str(error))

    async def main():
        future = loop.create_future()
        future.add_done_callback(print)
        await asyncio.to_thread(elsewhere, future)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await loop.shutdown_default_executor()

    coro = nothing()
    loop.set_exception_handler(lambda loop, context: None)  # of the task that could not be made
    loop.run_until_complete(main())
    coro.close()
    gc.collect()
    assert heard == [text] * 5
    loop.close()


def test_before_the_loop_runs_any_thread_may_use_it(loop):
    heard = []
    thread = threading.Thread(target=loop.call_soon, args=(heard.append, "from a thread"))
    thread.start()
    thread.join()
    loop.run_until_complete(nothing())
    assert heard == ["from a thread"]


def test_what_holds_the_loop_too_long_is_logged(run_real, caplog):
    caplog.set_level(logging.WARNING, logger="asyncio")

    def slow():
        time.sleep(0.02)

    async def main():
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.01
        loop.call_soon(slow)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        caplog.clear()
        await asyncio.create_task(slow_task(), name="slow one")
        loop.slow_callback_duration = 10

    async def slow_task():
        slow()

    run_real(main(), debug=True)
    texts = [record.message for record in caplog.records if "slow one" in record.message]
    assert len(texts) == 1
    assert texts[0].startswith("Executing <Task finished name='slow one' coro=<")
    assert re.search(r" took \d+\.\d{3} seconds$", texts[0])


def test_a_slow_callback_is_logged_by_its_handle(run_real, caplog):
    def slow():
        time.sleep(0.02)

    async def main():
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.01
        loop.call_soon(slow)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.slow_callback_duration = 10

    run_real(main(), debug=True)
    texts = [record.message for record in caplog.records if "slow()" in record.message]
    assert len(texts) == 1
    assert texts[0].startswith("Executing <Handle ")
    assert "test_debug_mode.py" in texts[0]


def here(stack):
    """The innermost line of this file in ``stack``."""
    return [frame.line for frame in stack if frame.filename == __file__][-1]


def test_where_things_were_made_is_kept(loop):
    future = loop.create_future()
    handle = loop.call_soon(print)
    timer = loop.call_later(1, print)
    task = loop.create_task(nothing())
    assert here(future._source_traceback) == "future = loop.create_future()"
    assert here(handle._source_traceback) == "handle = loop.call_soon(print)"
    assert here(timer._source_traceback) == "timer = loop.call_later(1, print)"
    assert here(task._source_traceback) == "task = loop.create_task(nothing())"
    assert "created at " in repr(task)
    assert "created at " in repr(handle)
    assert traceback.format_list(task._source_traceback)
    handle.cancel()
    timer.cancel()
    loop.run_until_complete(task)


def test_where_things_were_made_is_reported(loop, caplog):
    def fail():
        raise OSError

    loop.call_soon(fail)
    loop.run_until_complete(nothing())
    assert "created at (most recent call last):\n" in caplog.text
    assert "loop.call_soon(fail)" in caplog.text


def test_where_a_future_was_done_is_reported_for_its_callbacks(loop, caplog):
    def fail(future):
        raise OSError

    future = loop.create_future()
    future.add_done_callback(fail)
    future.set_result(None)
    future.add_done_callback(fail)
    loop.run_until_complete(nothing())
    assert caplog.text.count("created at (most recent call last):\n") == 2
    assert "future.set_result(None)" in caplog.text
    assert "future.add_done_callback(fail)" in caplog.text


def test_the_arguments_of_a_callback_are_hidden_since_python_3_13(loop, reports):
    def fail(argument):
        raise OSError

    for debug in (True, False):
        loop.set_debug(debug)
        loop.call_soon(fail, "secret")
        loop.run_until_complete(nothing())
    shown = ["'secret'" in report["message"] for report in reports]
    assert shown == [True, sys.version_info < (3, 13)]


def test_without_debug_mode_nothing_is_kept(new_virtual_loop):
    loop = new_virtual_loop()
    future = loop.create_future()
    handle = loop.call_soon(print)
    assert not future._source_traceback
    assert not handle._source_traceback
    handle.cancel()
    loop.close()


def test_coroutines_remember_where_they_were_made(run):
    async def main():
        coro = nothing()
        origin = coro.cr_origin
        await coro
        return origin is not None

    assert run(main(), debug=True) is True
    assert run(main()) is False


def test_a_program_runs_the_same_in_debug_mode(run):
    async def main():
        order = []

        async def child(name):
            for _ in range(2):
                order.append(name)
                await asyncio.sleep(0)
            return name

        found = await asyncio.gather(child("a"), child("b"), asyncio.wait_for(child("c"), 5))
        return order, found

    assert run(main(), debug=True) == run(main())
