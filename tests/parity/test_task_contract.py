"""What libraries ask of a task beyond its result: names, frames, contexts, who is current, who is left."""

import asyncio
import contextvars
import gc
import io
import re
import sys
import weakref

import pytest

import rota


async def turn():
    await asyncio.sleep(0)


def test_names(loop):
    async def child():
        return asyncio.current_task().get_name()

    named = loop.create_task(child(), name="mine")
    numbered = loop.create_task(child(), name=7)
    assert named.get_name() == "mine"
    assert numbered.get_name() == "7"
    numbered.set_name(("other", 1))
    assert loop.run_until_complete(named) == "mine"
    assert loop.run_until_complete(numbered) == "('other', 1)"


def test_default_names_count_up(loop):
    first, second = (loop.create_task(turn()) for _ in range(2))
    numbers = [int(re.fullmatch(r"Task-(\d+)", task.get_name())[1]) for task in (second, first)]
    assert numbers[0] == numbers[1] + 1
    loop.run_until_complete(asyncio.wait([first, second]))


def test_its_coroutine_and_its_context(loop):
    async def child():
        pass

    coro = child()
    context = contextvars.copy_context()
    task = loop.create_task(coro, context=context)
    assert task.get_coro() is coro
    assert task._coro is coro
    if sys.version_info >= (3, 12):
        assert task.get_context() is context
    loop.run_until_complete(task)


def test_private_names(loop):
    async def child():
        await future

    future = loop.create_future()
    task = loop.create_task(child())
    assert task._fut_waiter is None
    assert task._must_cancel is False
    assert task._log_destroy_pending is True
    assert task._loop is loop
    assert task._state == "PENDING"
    loop.run_until_complete(turn())
    assert task._fut_waiter is future
    task.cancel()
    assert task._fut_waiter is future
    assert task._must_cancel is False
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert task._fut_waiter is None
    assert task._state == "CANCELLED"


def test_repr(loop):
    async def child(future):
        await future

    future = loop.create_future()
    task = loop.create_task(child(future), name="shown")
    where = r"coro=<test_repr\.<locals>\.child\(\) running at .*test_task_contract\.py:\d+>"
    assert re.fullmatch(rf"<Task pending name='shown' {where}>", repr(task))
    loop.run_until_complete(turn())
    assert re.fullmatch(rf"<Task pending name='shown' {where} wait_for=<Future pending cb=\[.*\]>>", repr(task))
    waiting = loop.create_task(turn())
    waiting.cancel()
    assert repr(waiting).startswith("<Task cancelling name=")
    future.set_result(None)
    loop.run_until_complete(task)
    done = r"coro=<test_repr\.<locals>\.child\(\) done, defined at .*test_task_contract\.py:\d+>"
    assert re.fullmatch(rf"<Task finished name='shown' {done} result=None>", repr(task))
    assert repr(waiting).startswith("<Task cancelled name=")


def test_the_stack_of_a_suspended_task(loop):
    async def inner():
        await loop.create_future()

    async def outer():
        await inner()

    task = loop.create_task(outer())
    loop.run_until_complete(turn())
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer"]
    written = io.StringIO()
    task.print_stack(file=written)
    assert re.match(r"Stack for <Task pending .*> \(most recent call last\):\n", written.getvalue())
    assert "in outer\n    await inner()" in written.getvalue()
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))


def test_the_stack_of_a_failed_task(loop):
    def deep():
        raise OSError("deep")

    async def child():
        deep()

    task = loop.create_task(child())
    loop.run_until_complete(asyncio.wait([task]))
    assert [frame.f_code.co_name for frame in task.get_stack()][-2:] == ["child", "deep"]
    assert [frame.f_code.co_name for frame in task.get_stack(limit=1)] != []
    written = io.StringIO()
    task.print_stack(file=written)
    assert written.getvalue().startswith("Traceback for <Task finished ")
    assert written.getvalue().endswith("OSError: deep\n")
    assert task.exception().args == ("deep",)


def test_a_finished_task_has_no_stack(loop):
    task = loop.create_task(turn())
    loop.run_until_complete(task)
    assert task.get_stack() == []
    written = io.StringIO()
    task.print_stack(file=written)
    assert written.getvalue().startswith("No stack for <Task finished ")


def test_nobody_is_current_outside_tasks(loop):
    found = []
    loop.call_soon(lambda: found.append(asyncio.current_task()))
    future = loop.create_future()
    future.add_done_callback(lambda done: found.append(asyncio.current_task()))
    future.set_result(None)
    loop.run_until_complete(turn())
    assert found == [None, None]
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        asyncio.current_task()


def test_all_tasks_are_those_of_the_loop_that_are_not_done(loop, new_virtual_loop):
    other = new_virtual_loop()
    elsewhere = other.create_task(turn())
    first, second = loop.create_task(turn()), loop.create_task(asyncio.sleep(10))
    assert asyncio.all_tasks(loop) == {first, second}

    async def main():
        await turn()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert loop.run_until_complete(main()) == {second}
    assert first.done()
    second.cancel()
    loop.run_until_complete(asyncio.wait([second]))
    assert asyncio.all_tasks(loop) == set()
    assert asyncio.all_tasks(other) == {elsewhere}
    other.run_until_complete(elsewhere)
    other.close()


def test_a_task_that_nobody_holds_is_not_lost():
    """Only on rota: asyncio holds its tasks weakly and loses this one."""
    heard = []

    async def forgotten():
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            heard.append("cancelled when the program ended")
            raise

    async def main():
        asyncio.create_task(forgotten())  # noqa: RUF006
        await turn()
        gc.collect()
        assert len(asyncio.all_tasks()) == 2
        assert heard == []

    rota.run(main())
    assert heard == ["cancelled when the program ended"]


def test_a_finished_task_is_let_go(loop):
    async def child():
        await asyncio.sleep(1)

    task = loop.create_task(child())
    gone = weakref.ref(task)
    coro_gone = weakref.ref(task.get_coro())
    loop.run_until_complete(task)
    del task
    gc.collect()
    assert gone() is None
    assert coro_gone() is None


def test_a_task_that_waits_when_the_loop_closes_is_reported_when_it_goes(new_virtual_loop):
    loop = new_virtual_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def child():
        await loop.create_future()

    task = loop.create_task(child(), name="left")
    loop.run_until_complete(turn())
    loop.close()
    assert reports == []
    del task
    gc.collect()
    (report,) = reports
    assert report["message"] == "Task was destroyed but it is pending!"
    assert report["task"].get_name() == "left"


def test_a_task_that_may_go_is_not_reported(new_virtual_loop):
    loop = new_virtual_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def child():
        await loop.create_future()

    task = loop.create_task(child())
    task._log_destroy_pending = False
    loop.run_until_complete(turn())
    loop.close()
    del task
    gc.collect()
    assert reports == []


def test_a_subclass_is_a_task_like_any_other(loop, library):
    class Named(library.Task):
        extra = 3

    async def child():
        await asyncio.sleep(1)
        return asyncio.current_task()

    task = Named(child(), loop=loop, name="sub")
    assert isinstance(task, Named)
    assert isinstance(task, asyncio.Task)
    assert loop.run_until_complete(task) is task
    assert repr(task).startswith("<Named finished name='sub'")
    assert task.extra == 3


def test_a_task_in_a_weak_dictionary(loop):
    book = weakref.WeakKeyDictionary()

    async def child():
        book[asyncio.current_task()] = "state"
        await turn()
        return book[asyncio.current_task()]

    assert loop.run_until_complete(child()) == "state"
