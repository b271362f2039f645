"""Cancelling a task: what its coroutine hears, what whoever awaits it hears, and who counts the requests."""

import asyncio
import gc
import sys

import pytest


async def turn():
    await asyncio.sleep(0)


def test_a_task_cancelled_before_its_first_step_never_runs(run):
    async def main():
        ran = []

        async def child():
            ran.append(1)

        task = asyncio.create_task(child())
        assert task.cancel() is True
        assert not task.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        return ran

    assert run(main()) == []


def test_a_waiting_task_hears_of_it_where_it_waits(run):
    async def main():
        heard = []
        future = asyncio.get_running_loop().create_future()

        async def child():
            try:
                await future
            except asyncio.CancelledError as error:
                heard.append(error.args)
                raise

        task = asyncio.create_task(child())
        await turn()
        assert task.cancel("enough") is True
        assert future.cancelled()
        assert not task.done()
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        return heard

    assert run(main()) == [("enough",)]


def test_a_ready_task_hears_of_it_in_its_next_step(run):
    async def main():
        heard = []

        async def child():
            try:
                await turn()
            except asyncio.CancelledError as error:
                heard.append(error.args)
                raise

        task = asyncio.create_task(child())
        await turn()
        task.cancel("ready")
        assert task._must_cancel is True
        with pytest.raises(asyncio.CancelledError):
            await task
        return heard

    assert run(main()) == [("ready",)]


def test_a_task_may_swallow_it(run):
    async def main():
        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                return "went on"

        task = asyncio.create_task(child())
        await turn()
        task.cancel()
        assert await task == "went on"
        return task.cancelled(), task.cancelling()

    assert run(main()) == (False, 1)


def test_a_task_may_answer_with_another_exception(run):
    async def main():
        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise OSError("instead") from None

        task = asyncio.create_task(child())
        await turn()
        task.cancel()
        with pytest.raises(OSError, match="instead"):
            await task
        return task.cancelled()

    assert run(main()) is False


def test_twice_in_one_turn_is_heard_once_while_it_waits(run):
    async def main():
        heard = []

        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                heard.append("first")
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                heard.append("second")

        task = asyncio.create_task(child())
        await turn()
        task.cancel()
        task.cancel()
        assert task.cancelling() == 2
        await asyncio.wait([task])
        return heard, task.cancelled()

    # The first request ended the future; the second found it done, and both come with the next step.
    assert run(main()) == (["first"], False)


def test_again_after_the_first_was_swallowed(run):
    async def main():
        heard = []

        async def child():
            for _ in range(2):
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError as error:
                    heard.append(error.args)
            return "done"

        task = asyncio.create_task(child())
        await turn()
        task.cancel("one")
        await turn()
        task.cancel("two")
        assert await task == "done"
        return heard, task.cancelling()

    assert run(main()) == ([("one",), ("two",)], 2)


def test_a_done_task_cannot_be_cancelled(run):
    async def main():
        async def child():
            return 1

        task = asyncio.create_task(child())
        await task
        assert task.cancel() is False
        return task.cancelling(), task.cancelled()

    assert run(main()) == (0, False)


def test_cancelling_a_task_cancels_the_task_that_it_awaits(run):
    async def main():
        heard = []

        async def inner():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                heard.append(("inner", error.args))
                raise

        async def outer(task):
            try:
                await task
            except asyncio.CancelledError as error:
                heard.append(("outer", error.args))
                raise

        inner_task = asyncio.create_task(inner())
        outer_task = asyncio.create_task(outer(inner_task))
        await turn()
        await turn()
        outer_task.cancel("down")
        with pytest.raises(asyncio.CancelledError) as caught:
            await outer_task
        assert caught.value.args == ("down",)
        return heard, inner_task.cancelled(), inner_task.cancelling(), outer_task.cancelled()

    assert run(main()) == ([("inner", ("down",)), ("outer", ("down",))], True, 1, True)


@pytest.mark.parametrize("gathered", [False, True])
def test_tasks_that_await_one_another_in_a_ring_cannot_be_cancelled_and_nothing_breaks(loop, library, gathered):
    tasks = []

    async def wait_for_the(other):
        await turn()
        await (library.gather(tasks[other]) if gathered else tasks[other])

    async def main():
        tasks.extend(asyncio.create_task(wait_for_the(other)) for other in (1, 0))
        for _ in range(3):
            await turn()
        with pytest.raises(RecursionError):
            tasks[0].cancel()
        return [task.done() for task in tasks]

    assert loop.run_until_complete(main()) == [False, False]
    loop.set_exception_handler(lambda loop, context: None)  # they end with the loop
    loop.close()
    tasks.clear()
    gc.collect()


def test_an_awaited_task_that_swallows_it_keeps_the_outer_one_going(run):
    async def main():
        async def inner():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                return "swallowed"

        async def outer(task):
            return await task

        inner_task = asyncio.create_task(inner())
        outer_task = asyncio.create_task(outer(inner_task))
        await turn()
        await turn()
        outer_task.cancel()
        return await outer_task

    assert run(main()) == "swallowed"


def test_uncancel_counts_down_and_not_below_zero(run):
    async def main():
        task = asyncio.current_task()
        assert task.cancelling() == 0
        assert task.uncancel() == 0
        task.cancel()
        task.cancel()
        assert task.cancelling() == 2
        assert task.uncancel() == 1
        assert task.uncancel() == 0
        assert task.uncancel() == 0
        try:
            await turn()
        except asyncio.CancelledError:
            return "told all the same"
        return "withdrawn"

    # Since Python 3.13, taking back the last request takes back a cancellation that was not delivered yet.
    assert run(main()) == ("withdrawn" if sys.version_info >= (3, 13) else "told all the same")


def test_the_message_can_be_any_object(run):
    async def main():
        reason = object()

        async def child():
            await asyncio.sleep(10)

        for turns in (0, 1):
            task = asyncio.create_task(child())
            for _ in range(turns):
                await turn()
            task.cancel(msg=reason)
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert caught.value.args == (reason,)

    run(main())
