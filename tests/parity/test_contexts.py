"""In which context everything runs: the one that was current where it was asked for, or the one given."""

import asyncio
import contextvars

import pytest

variable = contextvars.ContextVar("variable", default="unset")


def in_context(value):
    context = contextvars.copy_context()
    context.run(variable.set, value)
    return context


@pytest.fixture
def heard():
    return []


def test_a_task_runs_in_a_copy(run):
    async def child():
        found = variable.get()
        variable.set("child's")
        await asyncio.sleep(0)
        return found, variable.get()

    async def main():
        variable.set("main's")
        task = asyncio.create_task(child())
        variable.set("changed since")
        return await task, variable.get()

    assert run(main()) == (("main's", "child's"), "changed since")


def test_a_task_keeps_its_context_whatever_wakes_it(run):
    async def child(future):
        variable.set("child's")
        found = []
        await future
        found.append(variable.get())
        await asyncio.sleep(1)
        found.append(variable.get())
        await asyncio.create_task(asyncio.sleep(0))
        found.append(variable.get())
        return found

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = asyncio.create_task(child(future))
        loop.call_soon(future.set_result, None, context=in_context("the callback's"))
        return await task, variable.get()

    assert run(main()) == (["child's"] * 3, "unset")


def test_a_given_context_is_used_and_not_copied(run):
    async def child():
        variable.set(variable.get() + " and child's")

    async def main():
        context = in_context("given")
        await asyncio.create_task(child(), context=context)
        async with asyncio.TaskGroup() as group:
            group.create_task(child(), context=context)
        return context[variable], variable.get()

    assert run(main()) == ("given and child's and child's", "unset")


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at", "add_done_callback"])
@pytest.mark.parametrize("given", [False, True])
def test_callbacks(loop, heard, method, given):
    def callback(*args):
        heard.append(variable.get())
        variable.set("the callback's")

    options = {"context": in_context("given")} if given else {}

    def ask():
        variable.set("current")
        if method == "call_later":
            loop.call_later(1, callback, **options)
        elif method == "call_at":
            loop.call_at(loop.time() + 1, callback, **options)
        elif method == "add_done_callback":
            future = loop.create_future()
            future.add_done_callback(callback, **options)
            variable.set("later")
            future.set_result(None)
            future.add_done_callback(callback, **options)
        else:
            getattr(loop, method)(callback, **options)
        variable.set("later still")

    contextvars.copy_context().run(ask)
    loop.run_until_complete(asyncio.sleep(2))
    assert heard[0] == ("given" if given else "current")
    if method == "add_done_callback":
        assert heard[1] == ("the callback's" if given else "later")
    assert variable.get() == "unset"
    if given:
        assert options["context"][variable] == "the callback's"


def test_nothing_leaks_from_one_callback_to_the_next(loop, heard):
    for _ in range(3):
        loop.call_soon(lambda: (heard.append(variable.get()), variable.set("leaked")))
    loop.run_until_complete(asyncio.sleep(0))
    assert heard == ["unset"] * 3


def test_a_context_is_left_after_an_exception(loop, heard, reports):
    def fail():
        variable.set("failed")
        raise OSError

    loop.call_soon(fail, context=in_context("given"))
    loop.call_soon(lambda: heard.append(variable.get()))
    loop.run_until_complete(asyncio.sleep(0))
    assert heard == ["unset"]
    assert len(reports) == 1


def test_a_handle_tells_its_context(loop):
    """asyncio's handles have get_context since Python 3.12."""
    context = in_context("given")
    handle = loop.call_soon(print, context=context)
    assert handle._context is context
    handle.cancel()


def test_to_thread_takes_the_context_along(run_real):
    async def main():
        variable.set("main's")
        return await asyncio.to_thread(variable.get)

    assert run_real(main()) == "main's"


def test_an_async_generator_runs_in_the_context_of_who_asks(run):
    async def values():
        for _ in range(2):
            yield variable.get()

    async def main():
        found = []
        asking = values()
        variable.set("first")
        found.append(await anext(asking))
        variable.set("second")
        found.append(await anext(asking))
        await asking.aclose()
        return found

    assert run(main()) == ["first", "second"]
