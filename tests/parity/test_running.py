"""A loop's life: run, stop, run again, close."""

import asyncio
import gc
import threading
import warnings

import pytest


async def nothing():
    return "nothing"


def test_run_until_complete_brings_the_result(loop):
    assert loop.run_until_complete(nothing()) == "nothing"
    assert loop.run_until_complete(loop.create_task(nothing())) == "nothing"
    future = loop.create_future()
    future.set_result("done before")
    assert loop.run_until_complete(future) == "done before"


def test_it_takes_any_awaitable(loop):
    class Awaitable:
        def __await__(self):
            yield
            return "awaited"

    assert loop.run_until_complete(Awaitable()) == "awaited"
    with pytest.raises(TypeError):
        loop.run_until_complete(42)


def test_it_raises_what_the_coroutine_raises(loop):
    async def fail():
        raise OSError("gone")

    async def cancel():
        raise asyncio.CancelledError("of my own")

    with pytest.raises(OSError, match="gone"):
        loop.run_until_complete(fail())
    with pytest.raises(asyncio.CancelledError, match="of my own"):
        loop.run_until_complete(cancel())


def test_a_loop_that_is_stopped_early(loop):
    async def main():
        loop.stop()
        await asyncio.sleep(10)

    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(task)
    assert not task.done()
    assert asyncio.base_events._run_until_complete_cb not in [each[0] for each in task._callbacks or ()]
    loop.run_until_complete(task)


def test_anyio_finds_the_root_task_by_its_callback(loop):
    async def main():
        return [callback for callback, _ in asyncio.current_task()._callbacks]

    assert asyncio.base_events._run_until_complete_cb in loop.run_until_complete(main())


def test_stop_before_running_runs_one_turn(loop):
    heard = []
    loop.call_soon(lambda: (heard.append(1), loop.call_soon(heard.append, 2)))
    loop.stop()
    loop.run_forever()
    assert heard == [1]
    loop.stop()
    loop.run_forever()
    assert heard == [1, 2]


def test_stop_lets_the_turn_end(loop):
    heard = []
    loop.call_soon(heard.append, "before")
    loop.call_soon(loop.stop)
    loop.call_soon(heard.append, "after")
    loop.call_soon(loop.call_soon, heard.append, "next turn")
    loop.run_forever()
    assert heard == ["before", "after"]
    loop.stop()
    loop.run_forever()
    assert heard == ["before", "after", "next turn"]


def test_stop_from_a_timer(loop):
    began = loop.time()
    loop.call_later(5, loop.stop)
    loop.run_forever()
    assert loop.time() - began == 5


def test_is_running(loop):
    async def main():
        assert asyncio.get_running_loop() is loop
        return loop.is_running()

    assert not loop.is_running()
    assert loop.run_until_complete(main()) is True
    assert not loop.is_running()
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        asyncio.get_running_loop()


def test_a_running_loop_does_not_run_again(loop, kind):
    """Not run_forever on asyncio: 3.13 refuses, and breaks the loop that runs."""

    async def main():
        if kind == "rota":
            with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
                loop.run_forever()
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_until_complete(loop.create_future())
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            loop.close()
        return "unharmed"

    assert loop.run_until_complete(main()) == "unharmed"


def test_another_loop_does_not_run_inside(loop, kind, new_virtual_loop):
    """Not run_forever on asyncio: 3.13 refuses, and breaks the loop that runs."""
    other = new_virtual_loop()

    async def main():
        if kind == "rota":
            with pytest.raises(RuntimeError, match=r"^Cannot run the event loop while another loop is running$"):
                other.run_forever()
        with pytest.raises(RuntimeError, match=r"^Cannot run the event loop while another loop is running$"):
            other.run_until_complete(other.create_future())

    loop.run_until_complete(main())
    other.close()


def test_loops_run_side_by_side_in_threads(new_virtual_loop):
    found = {}

    async def main(name):
        await asyncio.sleep(1)
        found[name] = asyncio.get_running_loop()

    def run(name):
        loop = new_virtual_loop()
        loop.run_until_complete(main(name))
        loop.close()

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["a", "b"]
    assert found["a"] is not found["b"]


def test_a_future_of_another_loop_is_refused(loop, new_virtual_loop):
    other = new_virtual_loop()
    with pytest.raises(ValueError, match=r"^The future belongs to a different loop than the one specified as the loop"):
        loop.run_until_complete(other.create_future())
    other.close()


def test_closed_for_ever(new_virtual_loop):
    loop = new_virtual_loop()
    future = loop.create_future()
    assert not loop.is_closed()
    loop.close()
    loop.close()
    assert loop.is_closed()
    assert not loop.is_running()
    coro = nothing()
    for ask in (
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.run_forever(),
        lambda: loop.run_until_complete(future),
        lambda: loop.create_task(coro),
        lambda: loop.run_in_executor(None, print),
    ):
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            ask()
    coro.close()
    assert asyncio.all_tasks(loop) == set()
    assert loop.create_future().get_loop() is loop
    assert "closed=True" in repr(loop)


def test_a_loop_that_nobody_closed_says_so(new_virtual_loop):
    loop = new_virtual_loop()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    texts = [str(each.message) for each in caught if issubclass(each.category, ResourceWarning)]
    assert any(text.startswith("unclosed event loop <") for text in texts)


def test_it_is_an_asyncio_loop(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)
    asyncio.set_event_loop(loop)
    assert asyncio.get_event_loop() is loop
    asyncio.set_event_loop(None)


def test_what_is_dropped_by_close_hears_that_the_loop_is_closed(new_loop):
    heard = []

    class Dropped:
        def __call__(self):
            heard.append("called")

        def __del__(self):
            try:
                loop.call_soon(heard.append, "too late")
            except RuntimeError as error:
                heard.append(str(error))

    loop = new_loop()
    loop.call_soon(Dropped())
    loop.call_later(5, Dropped())
    loop.close()
    gc.collect()
    assert heard == ["Event loop is closed"] * 2
