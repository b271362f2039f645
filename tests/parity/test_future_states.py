"""What becomes of a future: pending, then done once, with a result, an exception or cancelled."""

import asyncio
import sys

import pytest


def test_a_new_future_is_pending(loop):
    future = loop.create_future()
    assert not future.done()
    assert not future.cancelled()
    assert future._state == "PENDING"
    assert future.get_loop() is loop
    with pytest.raises(asyncio.InvalidStateError, match=r"^Result is not set\.$"):
        future.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Exception is not set\.$"):
        future.exception()


def test_a_result(loop):
    future = loop.create_future()
    assert future.set_result(42) is None
    assert future.done()
    assert not future.cancelled()
    assert future._state == "FINISHED"
    assert future.result() == 42
    assert future.exception() is None
    assert future.result() == 42


def test_an_exception(loop):
    future = loop.create_future()
    error = OSError("gone")
    assert future.set_exception(error) is None
    assert future._state == "FINISHED"
    assert not future.cancelled()
    assert future.exception() is error
    for _ in range(2):
        with pytest.raises(OSError, match="gone") as caught:
            future.result()
        assert caught.value is error


def test_an_exception_class_becomes_an_instance(loop):
    future = loop.create_future()
    future.set_exception(KeyError)
    assert type(future.exception()) is KeyError
    assert future.exception().args == ()


def test_cancelled(loop):
    future = loop.create_future()
    assert future.cancel() is True
    assert future._state == "CANCELLED"
    assert future.done()
    assert future.cancelled()
    with pytest.raises(asyncio.CancelledError) as caught:
        future.result()
    assert caught.value.args == ()
    with pytest.raises(asyncio.CancelledError):
        future.exception()


def test_cancelled_with_a_message(loop):
    future = loop.create_future()
    future.cancel("enough")
    assert future._cancel_message == "enough"
    for ask in (future.result, future.exception, future.result):
        with pytest.raises(asyncio.CancelledError) as caught:
            ask()
        assert caught.value.args == ("enough",)


def test_an_empty_message_is_a_message(loop):
    future = loop.create_future()
    future.cancel(msg="")
    with pytest.raises(asyncio.CancelledError) as caught:
        future.result()
    assert caught.value.args == ("",)


@pytest.mark.parametrize("end", ["result", "exception", "cancel"])
def test_done_is_for_ever(loop, end):
    future = loop.create_future()
    if end == "result":
        future.set_result(1)
    elif end == "exception":
        future.set_exception(OSError())
        future.exception()
    else:
        future.cancel()
    state = future._state
    with pytest.raises(asyncio.InvalidStateError):
        future.set_result(2)
    with pytest.raises(asyncio.InvalidStateError):
        future.set_exception(ValueError())
    assert future.cancel() is False
    assert future._state == state


def test_no_exception_is_refused_and_leaves_the_future_pending(loop):
    future = loop.create_future()
    with pytest.raises(TypeError):
        future.set_exception(42)
    with pytest.raises(TypeError):
        future.set_exception(int)
    assert not future.done()


def test_stop_iteration_cannot_be_raised_into_a_future(loop):
    """Before 3.13 it is refused, since then it is wrapped."""
    future = loop.create_future()
    text = "StopIteration interacts badly with generators and cannot be raised into a Future"
    stop = StopIteration(1)
    if sys.version_info < (3, 13):
        with pytest.raises(TypeError, match=f"^{text}$"):
            future.set_exception(stop)
        assert not future.done()
        return
    future.set_exception(stop)
    with pytest.raises(RuntimeError, match=f"^{text}$") as caught:
        future.result()
    assert caught.value.__cause__ is stop


def test_the_exception_does_not_grow_a_traceback_however_often_it_is_raised(loop):
    future = loop.create_future()
    try:
        raise LookupError("deep")
    except LookupError as error:
        future.set_exception(error)
    depths = []
    for _ in range(3):
        try:
            future.result()
        except LookupError as error:
            depth, trace = 0, error.__traceback__
            while trace is not None:
                depth, trace = depth + 1, trace.tb_next
            depths.append(depth)
    assert depths[0] >= depths[1] == depths[2]


def test_awaiting_a_future_brings_its_result(loop):
    future = loop.create_future()
    loop.call_soon(future.set_result, "late")

    async def main():
        return await future

    assert loop.run_until_complete(main()) == "late"


@pytest.mark.parametrize("value", [None, (), (1, 2), StopIteration(3), ValueError("v"), [1], StopAsyncIteration()])
def test_any_value_can_be_a_result(loop, value):
    """A tuple or an exception is awkward: StopIteration, which carries it, would take it for its arguments."""
    done = loop.create_future()
    done.set_result(value)
    later = loop.create_future()
    loop.call_soon(later.set_result, value)

    async def main():
        return await done, await later

    first, second = loop.run_until_complete(main())
    assert first is value
    assert second is value


def test_awaiting_a_failed_future_raises_its_exception(loop):
    future = loop.create_future()
    error = OSError("gone")
    loop.call_soon(future.set_exception, error)

    async def main():
        await future

    with pytest.raises(OSError, match="gone") as caught:
        loop.run_until_complete(main())
    assert caught.value is error


def test_a_done_future_does_not_suspend_who_awaits_it(loop):
    future = loop.create_future()
    future.set_result(1)
    order = []
    loop.call_soon(order.append, "callback")

    async def main():
        loop.call_soon(order.append, "later")
        await future
        order.append("main")

    loop.run_until_complete(main())
    assert order == ["callback", "main", "later"]


def test_a_future_is_made_of_its_loop_or_the_current_one(loop, library):
    assert library.Future(loop=loop).get_loop() is loop

    async def main():
        return library.Future().get_loop()

    assert loop.run_until_complete(main()) is loop
    with pytest.raises(TypeError):
        library.Future(loop)
