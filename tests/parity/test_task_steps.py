"""How a task goes on: a step each turn, behind whoever was ready before it."""

import asyncio
import types

import pytest


@types.coroutine
def bare_yield():
    yield


def test_a_task_takes_its_first_step_in_the_next_turn(run):
    async def main():
        order = []

        async def child():
            order.append("child")

        task = asyncio.create_task(child())
        order.append("made")
        await bare_yield()
        order.append("after a turn")
        assert task.done()
        return order

    assert run(main()) == ["made", "child", "after a turn"]


def test_tasks_take_turns_in_the_order_in_which_they_were_made(run):
    async def main():
        order = []

        async def child(name):
            for step in range(3):
                order.append((step, name))
                await bare_yield()

        await asyncio.gather(*[child(name) for name in "abc"])
        return order

    assert run(main()) == [(step, name) for step in range(3) for name in "abc"]


def test_a_task_and_callbacks_share_one_order(run):
    async def main():
        order = []
        loop = asyncio.get_running_loop()

        async def child(name):
            order.append(name)

        tasks = [asyncio.create_task(child("task 1"))]
        loop.call_soon(order.append, "callback 1")
        tasks.append(asyncio.create_task(child("task 2")))
        loop.call_soon(order.append, "callback 2")
        await bare_yield()
        assert all(task.done() for task in tasks)
        return order

    assert run(main()) == ["task 1", "callback 1", "task 2", "callback 2"]


def test_a_woken_task_runs_a_turn_after_the_future_is_done(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        order = []

        async def child():
            await future
            order.append("woken")

        task = asyncio.create_task(child())
        await bare_yield()
        loop.call_soon(order.append, "before")
        future.set_result(None)
        loop.call_soon(order.append, "after")
        assert order == []
        await task
        return order

    assert run(main()) == ["before", "woken", "after"]


def test_awaiting_a_task_takes_one_turn_after_its_end(run):
    async def main():
        order = []

        async def child():
            order.append("child ends")
            asyncio.get_running_loop().call_soon(order.append, "after the end")

        task = asyncio.create_task(child())
        await task
        order.append("main goes on")
        return order

    assert run(main()) == ["child ends", "after the end", "main goes on"]


def test_a_task_returns_what_its_coroutine_returns(loop):
    async def child(value):
        await bare_yield()
        return value

    for value in (None, 0, (1, 2), ValueError("a value"), StopAsyncIteration(4)):
        task = loop.create_task(child(value))
        assert loop.run_until_complete(task) is value
        assert task.result() is value
        assert task.exception() is None


def test_a_task_fails_with_what_its_coroutine_raises(loop):
    error = OSError("gone")

    async def child():
        await bare_yield()
        raise error

    task = loop.create_task(child())
    with pytest.raises(OSError, match="gone") as caught:
        loop.run_until_complete(task)
    assert caught.value is error
    assert task.exception() is error
    assert not task.cancelled()


def test_a_coroutine_that_raises_stop_iteration_fails_as_any_coroutine_does(loop):
    async def child():
        raise StopIteration(3)

    with pytest.raises(RuntimeError, match=r"^coroutine raised StopIteration$"):
        loop.run_until_complete(child())


def test_many_can_await_one_task(run):
    async def main():
        async def child():
            await bare_yield()
            return "shared"

        async def wait(task):
            return await task

        task = asyncio.create_task(child())
        return await asyncio.gather(*[wait(task) for _ in range(5)], task)

    assert run(main()) == ["shared"] * 6


def test_an_exception_reaches_all_who_await(run):
    async def main():
        error = OSError("gone")

        async def child():
            await bare_yield()
            raise error

        async def wait(task):
            try:
                await task
            except OSError as caught:
                return caught

        task = asyncio.create_task(child())
        found = await asyncio.gather(*[wait(task) for _ in range(3)])
        return [each is error for each in found]

    assert run(main()) == [True, True, True]


def test_a_long_chain_of_awaiting_tasks(run):
    async def main():
        async def link(depth):
            if depth == 0:
                return 0
            return 1 + await asyncio.create_task(link(depth - 1))

        return await link(300)

    assert run(main()) == 300


def test_a_generator_based_coroutine(run):
    @types.coroutine
    def old_style(future):
        first = yield from future
        yield
        return first + 1

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, 1)
        return await old_style(future), await asyncio.create_task(asyncio.sleep(0, "slept"))

    assert run(main()) == (2, "slept")


def test_an_awaitable_class_around_a_future(run):
    class Box:
        def __init__(self, future):
            self.future = future

        def __await__(self):
            return (yield from self.future)

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "boxed")
        return await Box(future), await asyncio.ensure_future(Box(future)), await asyncio.gather(Box(future))

    assert run(main()) == ("boxed", "boxed", ["boxed"])


def test_an_object_that_looks_like_a_coroutine_runs_as_one(run):
    import collections.abc

    class Steps(collections.abc.Coroutine):
        def __init__(self):
            self.left = 2
            self.thrown = None

        def send(self, value):
            assert value is None
            if self.left == 0:
                raise StopIteration("stepped")
            self.left -= 1

        def throw(self, kind, value=None, trace=None):
            self.thrown = kind
            raise StopIteration("thrown")

        def close(self):
            pass

        def __await__(self):
            return self

    async def main():
        assert await asyncio.create_task(Steps()) == "stepped"
        steps = Steps()
        task = asyncio.create_task(steps)
        await bare_yield()
        task.cancel()
        result = await task
        assert isinstance(steps.thrown, asyncio.CancelledError)
        return result

    assert run(main()) == "thrown"


def test_what_is_no_coroutine_is_refused(loop, library):
    for nothing in (None, 42, print):
        with pytest.raises(TypeError, match="a coroutine was expected"):
            loop.create_task(nothing)
        with pytest.raises(TypeError, match="a coroutine was expected"):
            library.Task(nothing, loop=loop)
    assert asyncio.all_tasks(loop) == set()


def test_a_task_does_not_take_a_result(loop):
    async def child():
        return 1

    task = loop.create_task(child())
    with pytest.raises(RuntimeError, match=r"^Task does not support set_result operation$"):
        task.set_result(2)
    with pytest.raises(RuntimeError, match=r"^Task does not support set_exception operation$"):
        task.set_exception(OSError())
    assert loop.run_until_complete(task) == 1


def test_a_task_made_outside_runs_when_the_loop_does(loop):
    async def child():
        return asyncio.current_task()

    task = loop.create_task(child())
    assert not task.done()
    assert loop.run_until_complete(task) is task
