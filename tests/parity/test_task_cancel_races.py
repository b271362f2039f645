"""A request to cancel that meets something else: the end of the task, a result, a future that refuses."""

import asyncio

import pytest


async def turn():
    await asyncio.sleep(0)


def test_during_the_last_step_the_task_ends_cancelled(run):
    """The coroutine never hears of it, but whoever awaits the task does."""

    async def main():
        async def child():
            asyncio.current_task().cancel("too late")
            return "a result"

        task = asyncio.create_task(child())
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.args, task.cancelled()

    assert run(main()) == (("too late",), True)


def test_during_the_last_step_an_exception_wins(run):
    async def main():
        async def child():
            asyncio.current_task().cancel()
            raise OSError("mine")

        task = asyncio.create_task(child())
        with pytest.raises(OSError, match="mine"):
            await task
        return task.cancelled()

    assert run(main()) is False


def test_a_task_that_cancels_itself_hears_of_it_at_its_next_await(run):
    async def main():
        heard = []

        async def child():
            asyncio.current_task().cancel("me")
            heard.append("still here")
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                heard.append(error.args)
            return "end"

        return await asyncio.create_task(child()), heard

    assert run(main()) == ("end", ["still here", ("me",)])


def test_a_task_that_cancels_itself_goes_through_an_await_of_what_is_done(run):
    async def main():
        done = asyncio.get_running_loop().create_future()
        done.set_result(1)

        async def child():
            asyncio.current_task().cancel()
            value = await done
            try:
                await turn()
            except asyncio.CancelledError:
                return value, "then"

        return await asyncio.create_task(child())

    assert run(main()) == (1, "then")


def test_when_the_awaited_is_done_in_the_same_turn_the_request_still_arrives(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        heard = []

        async def child():
            try:
                heard.append(await future)
            except asyncio.CancelledError as error:
                heard.append(error.args)

        task = asyncio.create_task(child())
        await turn()
        future.set_result("result")
        task.cancel("later")
        await task
        return heard

    assert run(main()) == [("later",)]


def test_the_request_wins_over_an_exception_of_the_same_turn(run):
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def child():
            await future

        task = asyncio.create_task(child())
        await turn()
        future.set_exception(OSError("lost"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert run(main()) is True


def test_the_error_that_is_awaited_is_the_one_that_ended_the_coroutine(run):
    async def main():
        raised = []

        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                raised.append(error)
                raise

        task = asyncio.create_task(child())
        await turn()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value is raised[0]
        with pytest.raises(asyncio.CancelledError) as again:
            task.result()
        return again.value is raised[0], again.value.args

    assert run(main()) == (False, ())


def test_raising_cancelled_error_without_being_cancelled_ends_cancelled(run):
    async def main():
        async def child():
            raise asyncio.CancelledError("of my own")

        task = asyncio.create_task(child())
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.args, task.cancelled(), task.cancelling()

    assert run(main()) == (("of my own",), True, 0)


def test_a_future_that_refuses_to_be_cancelled_leaves_the_request_standing(run):
    async def main():
        loop = asyncio.get_running_loop()
        heard = []

        class Stubborn(asyncio.Future):
            def cancel(self, msg=None):
                heard.append(msg)
                return False

        future = Stubborn(loop=loop)

        async def child():
            try:
                heard.append(await future)
            except asyncio.CancelledError as error:
                heard.append(error.args)

        task = asyncio.create_task(child())
        await turn()
        assert task.cancel("please") is True
        assert task._must_cancel is True
        future.set_result("kept")
        await task
        return heard

    assert run(main()) == ["please", ("please",)]
