"""What libraries read of a future beyond its documented methods."""

import asyncio
import gc
import re
import weakref
from contextvars import copy_context
from types import GenericAlias

import pytest


def test_it_is_an_asyncio_future(loop, library):
    future = loop.create_future()
    assert isinstance(future, asyncio.Future)
    assert isinstance(future, library.Future)
    assert asyncio.isfuture(future)
    assert not isinstance(future, asyncio.Task)
    assert asyncio.ensure_future(future) is future
    assert not asyncio.iscoroutine(future)


def test_it_can_be_subscripted(library):
    alias = library.Future[int]
    assert isinstance(alias, GenericAlias)
    assert alias.__origin__ is library.Future
    assert alias.__args__ == (int,)


def test_it_can_be_a_key_and_weakly_referenced(loop):
    future = loop.create_future()
    assert {future: 1}[future] == 1
    assert future == future
    assert future != loop.create_future()
    book = weakref.WeakKeyDictionary({future: "here"})
    assert book[future] == "here"
    del future
    gc.collect()
    assert len(book) == 0


def test_private_names_of_a_pending_future(loop):
    future = loop.create_future()
    assert future._loop is loop
    assert future._state == "PENDING"
    assert future._result is None
    assert future._exception is None
    assert future._cancel_message is None
    assert future._source_traceback is None
    assert future._log_traceback is False
    assert future._asyncio_future_blocking is False
    assert not future._callbacks


def test_callbacks_are_listed_with_their_contexts(loop):
    future = loop.create_future()
    context = copy_context()
    future.add_done_callback(print, context=context)
    future.add_done_callback(repr)
    assert [callback for callback, _ in future._callbacks] == [print, repr]
    assert future._callbacks[0][1] is context
    future.set_result(None)
    assert not future._callbacks


def test_a_waiting_task_is_among_the_callbacks(loop):
    """anyio finds out that way who awaits a task."""
    future = loop.create_future()

    async def wait():
        await future

    task = loop.create_task(wait())
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert len(future._callbacks) == 1
    assert future._callbacks[0][0].__self__ is task
    future.set_result(None)
    loop.run_until_complete(task)


def test_log_traceback_can_only_be_turned_off(loop):
    future = loop.create_future()
    future.set_exception(OSError())
    assert future._log_traceback is True
    with pytest.raises(ValueError, match=r"^_log_traceback can only be set to False$"):
        future._log_traceback = True
    future._log_traceback = False
    assert future._log_traceback is False


def test_make_cancelled_error(loop):
    future = loop.create_future()
    future.cancel("why")
    error = future._make_cancelled_error()
    assert type(error) is asyncio.CancelledError
    assert error.args == ("why",)


def test_repr(loop):
    def callback(future):
        pass

    future = loop.create_future()
    assert repr(future) == "<Future pending>"
    future.add_done_callback(callback)
    assert re.fullmatch(
        r"<Future pending cb=\[test_repr\.<locals>\.callback\(\) at .*test_future_contract\.py:\d+\]>", repr(future)
    )
    future.add_done_callback(callback)
    future.add_done_callback(callback)
    assert re.search(r"cb=\[.*callback\(\) at .*, <1 more>, .*callback\(\) at .*\]>$", repr(future))
    future.remove_done_callback(callback)
    future.set_result("r")
    assert repr(future) == "<Future finished result='r'>"

    failed = loop.create_future()
    failed.set_exception(OSError("e"))
    assert repr(failed) == "<Future finished exception=OSError('e')>"
    failed.exception()

    cancelled = loop.create_future()
    cancelled.cancel()
    assert repr(cancelled) == "<Future cancelled>"


def test_a_future_that_results_in_itself_can_be_shown(loop):
    future = loop.create_future()
    future.set_result(future)
    assert repr(future) == "<Future finished result=<Future finished result=...>>" or "..." in repr(future)
    future = None
    gc.collect()


def test_the_iterator_gives_the_future_once_and_then_its_result(loop):
    future = loop.create_future()
    steps = future.__await__()
    assert iter(steps) is steps
    assert next(steps) is future
    assert future._asyncio_future_blocking is True
    with pytest.raises(RuntimeError, match=r"^await wasn't used with future$"):
        next(steps)

    future = loop.create_future()
    steps = iter(future)
    assert steps.send(None) is future
    future.set_result((1, 2))
    with pytest.raises(StopIteration) as caught:
        steps.send(None)
    assert caught.value.value == (1, 2)


def test_the_iterator_raises_the_exception(loop):
    future = loop.create_future()
    steps = future.__await__()
    next(steps)
    future.set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        next(steps)


def test_throwing_into_the_iterator_raises_there(loop):
    error = OSError("thrown")
    steps = loop.create_future().__await__()
    next(steps)
    with pytest.raises(OSError, match="thrown") as caught:
        steps.throw(error)
    assert caught.value is error


def test_throwing_a_class_into_the_iterator_raises_an_instance(loop):
    steps = loop.create_future().__await__()
    next(steps)
    with pytest.raises(OSError) as caught:
        steps.throw(OSError)
    assert type(caught.value) is OSError


def test_what_is_no_exception_cannot_be_thrown(loop):
    steps = loop.create_future().__await__()
    next(steps)
    with pytest.raises(TypeError):
        steps.throw(42)
    with pytest.raises(TypeError):
        steps.throw(int)


def test_closing_the_iterator_ends_it(loop):
    future = loop.create_future()
    steps = future.__await__()
    next(steps)
    assert steps.close() is None
    assert steps.close() is None
    assert not future.done()


def test_a_cancelled_error_of_a_future_is_new_each_time(loop):
    future = loop.create_future()
    future.cancel()
    caught = []
    for _ in range(2):
        try:
            future.result()
        except asyncio.CancelledError as error:
            caught.append(error)
    assert caught[0] is not caught[1]


def test_a_subclass_is_a_future_like_any_other(loop, library):
    class Named(library.Future):
        name = "mine"

    future = Named(loop=loop)
    assert isinstance(future, Named)
    assert isinstance(future, asyncio.Future)
    loop.call_soon(future.set_result, 3)

    async def main():
        return await future

    assert loop.run_until_complete(main()) == 3
    assert repr(future) == "<Named finished result=3>"


def test_the_traceback_with_which_an_exception_came_is_shown_once(loop):
    """Whoever asks again sees where it is raised to him, and not to those before him."""

    def fail():
        raise ValueError("mine")

    def frames(ask):
        with pytest.raises(ValueError, match="mine") as caught:
            ask()
        return [entry.name for entry in caught.traceback if entry.path.name == "test_future_contract.py"]

    async def wait(future):
        await future

    future = loop.create_future()
    try:
        fail()
    except ValueError as error:
        future.set_exception(error)
    where = frames(future.result)
    assert where[-1] == "fail"
    again = frames(future.result)
    assert "fail" not in again
    assert frames(future.result) == again
    for _ in range(2):
        assert frames(lambda: loop.run_until_complete(wait(future)))[-1] == "wait"
