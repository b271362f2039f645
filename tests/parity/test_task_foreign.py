"""Futures and tasks of both kinds on one loop: aiohttp and others make asyncio's own on whatever loop runs."""

import asyncio

import pytest

import rota


def futures_of(loop):
    """The loop's own future, and asyncio's C and Python ones."""
    return [loop.create_future(), asyncio.Future(loop=loop), asyncio.futures._PyFuture(loop=loop)]


KINDS_OF_FUTURE = ["the loop's", "asyncio's", "asyncio's in Python"]


@pytest.fixture(params=range(3), ids=KINDS_OF_FUTURE)
def future(request, loop):
    return futures_of(loop)[request.param]


@pytest.fixture(params=["the loop's", "asyncio's", "asyncio's in Python"])
def make_task(request, loop):
    """Makes a task of each kind on the loop."""
    if request.param == "the loop's":
        return loop.create_task
    kind = asyncio.Task if request.param == "asyncio's" else asyncio.tasks._PyTask
    return lambda coro, **options: kind(coro, loop=loop, **options)


async def wait_for(future, heard):
    try:
        heard.append(await future)
    except asyncio.CancelledError as error:
        heard.append(("cancelled", *error.args))
        raise
    except OSError as error:
        heard.append(error)
    return "went on"


def test_a_result_wakes_a_task_of_any_kind(loop, future, make_task):
    heard = []
    task = make_task(wait_for(future, heard))
    loop.call_soon(loop.call_soon, future.set_result, "value")
    assert loop.run_until_complete(task) == "went on"
    assert heard == ["value"]


def test_an_exception_wakes_a_task_of_any_kind(loop, future, make_task):
    heard = []
    error = OSError("gone")
    task = make_task(wait_for(future, heard))
    loop.call_soon(loop.call_soon, future.set_exception, error)
    assert loop.run_until_complete(task) == "went on"
    assert heard == [error]


def test_cancelling_the_task_cancels_the_future(loop, future, make_task):
    heard = []
    task = make_task(wait_for(future, heard))
    loop.call_soon(loop.call_soon, task.cancel, "enough")
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert heard == [("cancelled", "enough")]
    assert future.cancelled()
    assert task.cancelled()


def test_cancelling_the_future_cancels_the_task(loop, future, make_task):
    heard = []
    task = make_task(wait_for(future, heard))
    loop.call_soon(loop.call_soon, future.cancel, "dropped")
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert heard == [("cancelled", "dropped")]
    assert task.cancelled()
    assert task.cancelling() == 0


def test_a_request_before_the_await_cancels_what_is_awaited(loop, future, make_task):
    async def child():
        asyncio.current_task().cancel("early")
        return await wait_for(future, heard)

    heard = []
    task = make_task(child())
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert heard == [("cancelled", "early")]
    assert future.cancelled()


def test_a_result_and_a_cancel_in_one_turn(loop, future, make_task):
    heard = []
    task = make_task(wait_for(future, heard))

    def both():
        future.set_result("value")
        assert task.cancel("after") is True

    loop.call_soon(loop.call_soon, both)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert heard == [("cancelled", "after")]


def test_a_task_of_any_kind_is_current_while_it_runs(loop, make_task):
    async def child():
        found = [asyncio.current_task()]
        await asyncio.sleep(0)
        found.append(asyncio.current_task(loop))
        assert found[0] in asyncio.all_tasks()
        return found

    task = make_task(child())
    assert asyncio.current_task(loop) is None
    assert loop.run_until_complete(task) == [task, task]
    assert asyncio.current_task(loop) is None
    assert task not in asyncio.all_tasks(loop)


def test_tasks_of_all_kinds_await_one_another(loop):
    async def leaf():
        await asyncio.sleep(1)
        return ["leaf"]

    async def branch(task, name):
        return [*await task, name]

    one = asyncio.Task(leaf(), loop=loop)
    two = loop.create_task(branch(one, "own"))
    three = asyncio.tasks._PyTask(branch(two, "python"), loop=loop)
    four = loop.create_task(branch(three, "own"))
    assert loop.run_until_complete(four) == ["leaf", "own", "python", "own"]


def test_cancelling_goes_down_a_chain_of_all_kinds(loop):
    heard = []

    async def leaf():
        await wait_for(loop.create_future(), heard)

    async def branch(task):
        await wait_for(task, heard)

    one = asyncio.tasks._PyTask(leaf(), loop=loop)
    two = loop.create_task(branch(one))
    three = asyncio.Task(branch(two), loop=loop)
    four = loop.create_task(branch(three))
    loop.call_later(1, four.cancel, "down")
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(four)
    assert heard == [("cancelled", "down")] * 4
    assert [task.cancelled() for task in (one, two, three, four)] == [True] * 4


def test_asyncios_helpers_take_futures_of_all_kinds(loop):
    async def main():
        futures = futures_of(loop)
        for delay, each in enumerate(futures, 1):
            loop.call_later(delay, each.set_result, delay)
        gathered = await asyncio.gather(*futures)
        shielded = [await asyncio.shield(each) for each in futures]
        timed = [await asyncio.wait_for(each, 1) for each in futures]
        done, pending = await asyncio.wait(futures)
        assert done == set(futures)
        assert pending == set()
        return gathered, shielded, timed

    assert loop.run_until_complete(main()) == ([1, 2, 3], [1, 2, 3], [1, 2, 3])


def test_rotas_gather_takes_futures_of_all_kinds():
    """Only on rota: its gather needs its loop."""

    async def main():
        loop = asyncio.get_running_loop()
        futures = futures_of(loop)
        for delay, each in enumerate(futures):
            loop.call_later(delay / 1000, each.set_result, delay)
        return await rota.gather(*futures, asyncio.Task(asyncio.sleep(0, "task"), loop=loop))

    assert rota.run(main()) == [0, 1, 2, "task"]


def test_an_own_task_is_asyncios_task_for_whoever_asks(loop, library):
    async def child():
        return 1

    task = loop.create_task(child())
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    assert isinstance(task, library.Task)
    assert isinstance(task, library.Future)
    assert asyncio.isfuture(task)
    assert asyncio.ensure_future(task) is task
    assert library.Task[int].__args__ == (int,)
    loop.run_until_complete(task)


def test_an_asyncio_task_with_a_context_runs_in_it(loop, make_task):
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")
    context = contextvars.copy_context()
    context.run(variable.set, "given")

    async def child():
        found = [variable.get()]
        await asyncio.sleep(1)
        await asyncio.sleep(0)
        return [*found, variable.get()]

    assert loop.run_until_complete(make_task(child(), context=context)) == ["given", "given"]
