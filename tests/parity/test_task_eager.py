"""Eager tasks: the first step is taken at once, inside the step of whoever makes the task.

``loop.create_task(eager_start=True)`` is rota's on every Python, so those tests run on rota only. asyncio has the
same since 3.12 by its eager task factory, and both kinds of loop run that.
"""

import asyncio
import contextvars
import gc
import sys

import pytest

HAS_EAGER_FACTORY = sys.version_info >= (3, 12)


def rotas(loop, coro, **options):
    return loop.create_task(coro, eager_start=True, **options)


def asyncios(loop, coro, **options):
    return asyncio.eager_task_factory(loop, coro, **options)


@pytest.fixture(params=["rota's", "asyncio's on rota", "asyncio's"])
def eager(request):
    """Runs ``main(start)`` with ``start(coro)``, which makes an eager task."""
    from tests.clocks import VirtualSelectorLoop, virtual_rota_loop

    if request.param != "rota's" and not HAS_EAGER_FACTORY:
        pytest.skip("asyncio has eager tasks since Python 3.12")
    new_loop = VirtualSelectorLoop if request.param == "asyncio's" else virtual_rota_loop
    make = rotas if request.param == "rota's" else asyncios

    def run(main):
        async def start_main():
            loop = asyncio.get_running_loop()
            return await main(lambda coro, **options: make(loop, coro, **options))

        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(start_main())

    return run


def test_a_coroutine_that_never_waits_is_done_at_once(eager):
    async def child():
        return "done"

    async def main(start):
        task = start(child())
        assert task.done()
        assert task.result() == "done"
        assert task not in asyncio.all_tasks()
        return await task

    assert eager(main) == "done"


def test_one_that_waits_goes_on_like_any_other(eager):
    order = []

    async def child():
        order.append("first step")
        await asyncio.sleep(0)
        order.append("second step")
        await asyncio.sleep(1)
        order.append("third step")
        return "end"

    async def main(start):
        task = start(child())
        order.append("made")
        assert not task.done()
        assert task in asyncio.all_tasks()
        return await task

    assert eager(main) == "end"
    assert order == ["first step", "made", "second step", "third step"]


def test_an_exception_stays_in_the_task(eager):
    async def child():
        raise OSError("at once")

    async def main(start):
        task = start(child())
        assert task.done()
        with pytest.raises(OSError, match="at once"):
            await task

    eager(main)


def test_each_is_current_during_its_own_step(eager):
    async def child(start, depth):
        me = asyncio.current_task()
        found = [me.get_name()]
        if depth:
            found += start(child(start, depth - 1), name=f"depth {depth - 1}").result()
        assert asyncio.current_task() is me
        return found

    async def main(start):
        me = asyncio.current_task()
        found = start(child(start, 2), name="depth 2").result()
        assert asyncio.current_task() is me
        return found

    assert eager(main) == ["depth 2", "depth 1", "depth 0"]


def test_the_context_is_a_copy(eager):
    variable = contextvars.ContextVar("variable", default="unset")

    async def child():
        found = variable.get()
        variable.set("child's")
        await asyncio.sleep(0)
        return found, variable.get()

    async def main(start):
        variable.set("main's")
        task = start(child())
        assert variable.get() == "main's"
        return await task, variable.get()

    assert eager(main) == (("main's", "child's"), "main's")


def test_a_given_context_is_used(eager):
    variable = contextvars.ContextVar("variable", default="unset")

    async def child():
        variable.set("child's")
        await asyncio.sleep(0)

    async def main(start):
        context = contextvars.copy_context()
        task = start(child(), context=context)
        assert context[variable] == "child's"
        await task
        return variable.get()

    assert eager(main) == "unset"


def test_callbacks_come_in_a_later_turn(eager):
    async def child():
        return 1

    async def main(start):
        heard = []
        task = start(child())
        task.add_done_callback(lambda done: heard.append(done.result()))
        assert heard == []
        await asyncio.sleep(0)
        return heard

    assert eager(main) == [1]


def test_a_waiting_one_can_be_cancelled(eager):
    async def child():
        await asyncio.sleep(10)

    async def main(start):
        task = start(child())
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        return task.cancelled()

    assert eager(main) is True


def test_one_that_cancels_itself_and_returns_ends_cancelled(eager):
    async def child():
        asyncio.current_task().cancel("me")
        return 1

    async def main(start):
        task = start(child())
        return task.cancelled()

    assert eager(main) is True


def test_one_that_cancels_whoever_made_it(eager):
    async def child(parent):
        parent.cancel("up")
        await asyncio.sleep(0)
        return "child"

    async def main(start):
        task = start(child(asyncio.current_task()))
        with pytest.raises(asyncio.CancelledError, match="up"):
            await asyncio.sleep(10)
        return await task

    assert eager(main) == "child"


def test_a_bad_yield_in_the_first_step(eager):
    import types

    @types.coroutine
    def give():
        yield 42

    async def child():
        await give()

    async def main(start):
        task = start(child())
        with pytest.raises(RuntimeError, match=r"^Task got bad yield: 42$"):
            await task

    eager(main)


def test_a_failure_nobody_looks_at_is_reported(eager):
    reports = []

    async def child():
        raise OSError("unseen")

    async def main(start):
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context["message"]))
        start(child())
        gc.collect()

    eager(main)
    assert reports == ["Task exception was never retrieved"]


def test_before_the_loop_runs_an_eager_task_begins_like_any_other():
    """With the loop not running there is no step to be inside of."""
    from tests.clocks import virtual_rota_loop

    loop = virtual_rota_loop()
    began = []

    async def child():
        began.append(1)
        return "end"

    task = loop.create_task(child(), eager_start=True)
    assert began == []
    assert loop.run_until_complete(task) == "end"
    loop.close()


def test_eager_start_false_is_the_default():
    from tests.clocks import virtual_rota_loop

    loop = virtual_rota_loop()

    async def child():
        return "end"

    async def main():
        for option in (False, None):
            task = loop.create_task(child(), eager_start=option)
            assert not task.done()
            await task

    loop.run_until_complete(main())
    loop.close()


def test_an_interrupt_in_the_first_step_leaves_the_loop():
    from tests.clocks import virtual_rota_loop

    loop = virtual_rota_loop()

    async def child():
        raise KeyboardInterrupt

    tasks = []

    async def main():
        try:
            loop.create_task(child(), eager_start=True)
        finally:
            tasks.append(asyncio.current_task())

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(main())
    assert isinstance(tasks[0].exception(), KeyboardInterrupt)
    assert asyncio.current_task(loop) is None
    loop.close()


@pytest.mark.skipif(not HAS_EAGER_FACTORY, reason="asyncio has eager tasks since Python 3.12")
def test_asyncios_eager_factory_on_any_loop(loop):
    """The whole of a program's tasks, TaskGroup and gather included."""
    order = []

    async def child(name, wait):
        order.append(f"{name} begins")
        if wait:
            await asyncio.sleep(wait)
            order.append(f"{name} ends")
        return name

    async def main():
        order.append("main begins")
        async with asyncio.TaskGroup() as group:
            group.create_task(child("a", 2))
            group.create_task(child("b", 0))
            group.create_task(child("c", 1))
            order.append("all made")
        return await asyncio.gather(child("d", 0), child("e", 1))

    loop.set_task_factory(asyncio.eager_task_factory)
    assert loop.get_task_factory() is asyncio.eager_task_factory
    assert loop.run_until_complete(main()) == ["d", "e"]
    assert order == [
        "main begins", "a begins", "b begins", "c begins", "all made", "c ends", "a ends",
        "d begins", "e begins", "e ends",
    ]  # fmt: skip
