"""What a task does with a coroutine that awaits nonsense, and with exceptions that end more than the task."""

import asyncio
import re
import types

import pytest


@types.coroutine
def give(value):
    """Yield ``value`` to the task as it is."""
    return (yield value)


@pytest.mark.parametrize("value", [0, False, "text", (), object()])
def test_a_bad_yield(run, value):
    async def main():
        await give(value)

    with pytest.raises(RuntimeError, match=f"^{re.escape(f'Task got bad yield: {value!r}')}$"):
        run(main())


def test_a_coroutine_may_go_on_after_a_bad_yield(run):
    async def main():
        with pytest.raises(RuntimeError, match=r"^Task got bad yield: 1$"):
            await give(1)
        return await asyncio.sleep(1, "went on")

    assert run(main()) == "went on"


def test_a_generator_that_is_yielded(run):
    def generator():
        yield

    async def main():
        await give(generator())

    with pytest.raises(RuntimeError, match=r"^yield was used instead of yield from for generator in task <Task"):
        run(main())


def test_a_future_that_is_yielded_and_not_awaited(run):
    async def main():
        await give(asyncio.get_running_loop().create_future())

    with pytest.raises(RuntimeError, match=r"^yield was used instead of yield from in task <Task .* with <Future"):
        run(main())


def test_a_task_that_awaits_itself(run):
    async def main():
        await asyncio.current_task()

    with pytest.raises(RuntimeError, match=r"^Task cannot await on itself: <Task pending"):
        run(main())


def test_a_task_that_yields_itself(run):
    async def main():
        await give(asyncio.current_task())

    with pytest.raises(RuntimeError, match=r"^Task cannot await on itself: <Task pending"):
        run(main())


def test_a_future_of_another_loop(loop, new_virtual_loop):
    other = new_virtual_loop()
    try:
        for future in (other.create_future(), asyncio.Future(loop=other)):

            async def main(future=future):
                await future

            with pytest.raises(RuntimeError, match=r"got Future <Future pending.*> attached to a different loop$"):
                loop.run_until_complete(main())
    finally:
        other.close()


@pytest.mark.parametrize("kind_of_interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_task_and_leaves_the_loop(loop, kind_of_interrupt):
    error = kind_of_interrupt("now")

    async def child():
        raise error

    task = loop.create_task(child())
    with pytest.raises(kind_of_interrupt) as caught:
        loop.run_forever()
    assert caught.value is error
    assert task.done()
    assert task.exception() is error
    assert not loop.is_running()
    assert asyncio.current_task(loop) is None


def test_the_loop_can_go_on_after_an_interrupt(loop):
    order = []

    async def fail():
        raise KeyboardInterrupt

    async def child():
        order.append("child")

    interrupted = loop.create_task(fail())
    left = loop.create_task(child())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(interrupted)
    assert order == []
    loop.run_until_complete(left)
    assert order == ["child"]
    assert interrupted.exception() is not None


def test_an_interrupt_out_of_a_callback(loop, reports):
    def interrupt():
        raise SystemExit(3)

    loop.call_soon(interrupt)
    with pytest.raises(SystemExit) as caught:
        loop.run_forever()
    assert caught.value.code == 3
    assert reports == []


def test_another_base_exception_ends_only_the_task(loop):
    class Odd(BaseException):
        pass

    async def child():
        raise Odd

    async def main():
        task = asyncio.create_task(child())
        with pytest.raises(Odd):
            await task
        return "went on"

    assert loop.run_until_complete(main()) == "went on"


def test_a_base_exception_out_of_a_callback_is_reported(loop, reports):
    class Odd(BaseException):
        pass

    def fail():
        raise Odd

    loop.call_soon(fail)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert [type(report["exception"]) for report in reports] == [Odd]


def test_a_coroutine_that_is_awaited_twice(run):
    async def child():
        await asyncio.sleep(1)

    async def main():
        coro = child()
        task = asyncio.create_task(coro)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already$"):
            await coro
        await task
        with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
            await coro

    run(main())
