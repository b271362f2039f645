"""Who hears that a future is done, in which order and when."""

import asyncio
import gc

import pytest


def turn(loop):
    """Run what is ready, once."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_callbacks_are_called_in_order_with_the_future(loop):
    future = loop.create_future()
    heard = []
    for name in "abc":
        future.add_done_callback(lambda done, name=name: heard.append((name, done)))
    future.set_result(None)
    assert heard == []
    turn(loop)
    assert heard == [("a", future), ("b", future), ("c", future)]


def test_a_callback_added_to_a_done_future_comes_in_the_next_turn(loop):
    future = loop.create_future()
    future.set_result(None)
    heard = []
    future.add_done_callback(heard.append)
    assert heard == []
    turn(loop)
    assert heard == [future]


@pytest.mark.parametrize("end", ["result", "exception", "cancel"])
def test_every_end_calls_back(loop, end):
    future = loop.create_future()
    heard = []
    future.add_done_callback(heard.append)
    if end == "result":
        future.set_result(None)
    elif end == "exception":
        future.set_exception(OSError())
        future.exception()
    else:
        future.cancel()
    turn(loop)
    turn(loop)
    assert heard == [future]


def test_the_same_callback_twice_is_called_twice(loop):
    future = loop.create_future()
    heard = []
    future.add_done_callback(heard.append)
    future.add_done_callback(heard.append)
    future.set_result(None)
    turn(loop)
    assert heard == [future, future]


def test_removing_a_callback_removes_all_that_equal_it(loop):
    future = loop.create_future()
    heard, others = [], []
    future.add_done_callback(heard.append)
    future.add_done_callback(others.append)
    future.add_done_callback(heard.append)
    assert future.remove_done_callback(heard.append) == 2
    assert future.remove_done_callback(heard.append) == 0
    future.set_result(None)
    turn(loop)
    assert heard == []
    assert others == [future]


def test_removing_from_a_future_that_never_had_one(loop):
    future = loop.create_future()
    assert future.remove_done_callback(print) == 0
    future.set_result(None)
    assert future.remove_done_callback(print) == 0


def test_a_callback_whose_equality_raises_tells_it(loop):
    class Odd:
        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = None

        def __call__(self, future):
            pass

    future = loop.create_future()
    future.add_done_callback(Odd())
    with pytest.raises(ZeroDivisionError):
        future.remove_done_callback(print)


def test_a_callback_that_removes_others_while_it_is_compared(loop):
    future = loop.create_future()

    class Sly:
        compared = False

        def __eq__(self, other):
            if not self.compared:
                self.compared = True
                future.remove_done_callback(print)
            return False

        __hash__ = None

        def __call__(self, done):
            pass

    for callback in (print, Sly(), print):
        future.add_done_callback(callback)
    future.remove_done_callback(repr)
    future.remove_done_callback(print)
    assert [type(callback).__name__ for callback, _ in future._callbacks] == ["Sly"]


def test_tasks_and_callbacks_wake_in_the_order_in_which_they_came(loop):
    future = loop.create_future()
    order = []

    async def wait(name):
        order.append(f"{name} gets {await future}")

    async def main():
        tasks = []
        for name in ("first", "second"):
            tasks.append(asyncio.create_task(wait(name)))
            await asyncio.sleep(0)
            future.add_done_callback(lambda done, name=name: order.append(f"after {name}"))
        future.set_result(7)
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())
    assert order == ["first gets 7", "after first", "second gets 7", "after second"]


def test_a_callback_before_any_task_comes_before_it(loop):
    future = loop.create_future()
    order = []

    async def wait(name):
        await future
        order.append(name)

    async def main():
        future.add_done_callback(lambda done: order.append("callback"))
        tasks = [asyncio.create_task(wait(name)) for name in ("one", "two")]
        await asyncio.sleep(0)
        future.set_result(None)
        await asyncio.wait(tasks)

    loop.run_until_complete(main())
    assert order == ["callback", "one", "two"]


def test_removing_a_callback_keeps_the_tasks_that_wait(loop):
    future = loop.create_future()
    order = []

    async def wait(name):
        await future
        order.append(name)

    async def main():
        future.add_done_callback(print)
        tasks = [asyncio.create_task(wait(name)) for name in ("one", "two")]
        await asyncio.sleep(0)
        assert future.remove_done_callback(print) == 1
        tasks.append(asyncio.create_task(wait("three")))
        await asyncio.sleep(0)
        future.set_result(None)
        await asyncio.wait(tasks)

    loop.run_until_complete(main())
    assert order == ["one", "two", "three"]


def test_a_callback_added_by_a_callback_comes_a_turn_later(loop):
    future = loop.create_future()
    order = []

    def first(done):
        order.append("first")
        done.add_done_callback(lambda done: order.append("third"))

    future.add_done_callback(first)
    future.add_done_callback(lambda done: order.append("second"))
    future.set_result(None)
    turn(loop)
    assert order == ["first", "second"]
    turn(loop)
    assert order == ["first", "second", "third"]


def test_a_callback_that_raises_is_reported_and_the_others_are_called(loop, reports):
    future = loop.create_future()
    heard = []
    error = ZeroDivisionError("callback")

    def fail(done):
        raise error

    future.add_done_callback(fail)
    future.add_done_callback(heard.append)
    future.set_result(None)
    turn(loop)
    assert heard == [future]
    assert [report["exception"] for report in reports] == [error]
    assert reports[0]["message"].startswith("Exception in callback ")
    assert "fail(" in reports[0]["message"]


def test_callbacks_are_let_go_when_called(loop):
    import gc
    import weakref

    class Callback:
        def __call__(self, future):
            pass

    callback = Callback()
    gone = weakref.ref(callback)
    future = loop.create_future()
    future.add_done_callback(callback)
    del callback
    future.set_result(None)
    turn(loop)
    gc.collect()
    assert gone() is None


def test_a_callback_must_be_given(loop):
    future = loop.create_future()
    with pytest.raises(TypeError):
        future.add_done_callback()
    with pytest.raises(TypeError):
        future.add_done_callback(fn=print)


class Finishing:
    """Finishes a future when the collector takes it."""

    def __init__(self, future):
        self._future = future
        self._itself = self

    def __del__(self):
        self._future.set_result(None)


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("allocations", range(8))
def test_the_collector_may_come_while_a_callback_is_added_and_finish_the_future(loop, before, allocations):
    """Python 3.11 collects when an object is made, whoever makes it. asyncio forgets the callback there."""
    future = loop.create_future()
    heard = []
    for number in range(before):
        future.add_done_callback(lambda done, number=number: heard.append((number, done)))
    thresholds = gc.get_threshold()
    gc.collect()
    try:
        kept = [[] for _ in range(100)]  # so that the next list is not one that is used again
        Finishing(future)
        gc.set_threshold(gc.get_count()[0] + allocations)
        future.add_done_callback(lambda done: heard.append((before, done)))
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    del kept
    turn(loop)
    assert heard == [(number, future) for number in range(before + 1)]
