"""gather: asyncio's on both loops, and rota's own, with one contract."""

import asyncio
import gc
import sys

import pytest
from tests.clocks import VirtualSelectorLoop, virtual_rota_loop

import rota

GATHERS = {
    "rota's": (virtual_rota_loop, rota.gather),
    "asyncio's on rota": (virtual_rota_loop, asyncio.gather),
    "asyncio's": (VirtualSelectorLoop, asyncio.gather),
}


@pytest.fixture(params=list(GATHERS))
def run(request):
    """Runs ``main(gather)`` to its end."""
    new_loop, gather = GATHERS[request.param]

    def run(main):
        async def start():
            return await main(gather)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(start())

    return run


def eager(loop, coro, **options):
    """A task factory, and on rota one for Pythons without asyncio's own, too."""
    return (rota.Task if isinstance(loop, rota.Loop) else asyncio.Task)(coro, loop=loop, eager_start=True, **options)


async def after(delay, result):
    await asyncio.sleep(delay)
    if isinstance(result, Exception):
        raise result
    return result


def test_results_come_in_the_order_given(run):
    async def main(gather):
        return await gather(after(3, "a"), after(1, "b"), after(2, "c"))

    assert run(main) == ["a", "b", "c"]


def test_nothing_to_gather(run):
    async def main(gather):
        gathering = gather()
        assert isinstance(gathering, asyncio.Future)
        return await gathering, await gather(return_exceptions=True)

    assert run(main) == ([], [])


def test_the_same_awaitable_twice_runs_once(run):
    async def main(gather):
        ran = []

        async def child():
            ran.append(1)
            return object()

        coro = child()
        future = asyncio.get_running_loop().create_future()
        future.set_result("shared")
        found = await gather(coro, future, coro, future)
        assert found[0] is found[2]
        return len(ran), found[1::2]

    assert run(main) == (1, ["shared", "shared"])


def test_the_first_exception_is_raised_and_the_others_go_on(run):
    async def main(gather):
        ended = []

        async def child():
            await asyncio.sleep(5)
            ended.append("went on")

        with pytest.raises(OSError, match="first"):
            await gather(after(2, OSError("second")), child(), after(1, OSError("first")))
        assert ended == []
        await asyncio.sleep(10)
        return ended

    assert run(main) == ["went on"]


def test_exceptions_as_results(run):
    async def main(gather):
        error = OSError("one")
        return [
            each is error or each
            for each in await gather(after(1, 1), after(2, error), after(0, 3), return_exceptions=True)
        ]

    assert run(main) == [1, True, 3]


def test_a_cancelled_child_is_an_exception_like_others(run):
    async def main(gather):
        child = asyncio.create_task(after(10, None))
        asyncio.get_running_loop().call_later(1, child.cancel, "child")
        with pytest.raises(asyncio.CancelledError):
            await gather(child, after(2, None))
        assert asyncio.current_task().cancelling() == 0
        other = asyncio.create_task(after(10, None))
        asyncio.get_running_loop().call_later(1, other.cancel)
        (found,) = await gather(other, return_exceptions=True)
        return type(found)

    assert run(main) is asyncio.CancelledError


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_cancelling_the_gathering_cancels_the_children(run, return_exceptions):
    async def main(gather):
        heard = []

        async def child(name):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                heard.append((name, *error.args))
                raise

        async def parent():
            await gather(child("a"), child("b"), return_exceptions=return_exceptions)

        task = asyncio.create_task(parent())
        await asyncio.sleep(1)
        task.cancel("down")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return heard, caught.value.args

    assert run(main) == ([("a", "down"), ("b", "down")], ("down",))


def test_a_child_that_swallows_does_not_keep_the_parent_from_hearing(run):
    async def main(gather):
        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                return "swallowed"

        gathering = gather(child(), return_exceptions=True)
        await asyncio.sleep(1)
        assert gathering.cancel() is True
        assert not gathering.done()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        assert gathering.cancel() is False

    run(main)


def test_a_gathering_whose_children_are_all_done_cannot_be_cancelled(run):
    async def main(gather):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        gathering = gather(future)
        future.set_result("in")
        assert gathering.cancel() is False
        return await gathering

    assert run(main) == ["in"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio took a turn before Python 3.12")
def test_what_is_done_needs_no_turn(run):
    async def main(gather):
        loop = asyncio.get_running_loop()
        done, failed = loop.create_future(), loop.create_future()
        done.set_result(1)
        failed.set_exception(OSError("gone"))
        gathering = gather(done, done)
        assert gathering.done()
        both = gather(done, failed, return_exceptions=True)
        assert both.done()
        at_once = gather(failed, asyncio.sleep(1))
        assert at_once.done()
        assert str(at_once.exception()) == "gone"
        return await gathering

    assert run(main) == [1, 1]


def test_a_late_exception_is_not_reported(run):
    """The gathering has looked at it, though nobody was there to hear of it."""

    async def main(gather):
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context["message"]))
        with pytest.raises(OSError, match="first"):
            await gather(after(1, OSError("first")), after(2, OSError("late")))
        await asyncio.sleep(5)
        return reports

    assert run(main) == []


def test_what_cannot_be_awaited_is_refused(run):
    async def main(gather):
        with pytest.raises(TypeError):
            gather(42)

    run(main)


def test_outside_a_coroutine_the_futures_tell_the_loop():
    for new_loop, gather in GATHERS.values():
        loop = new_loop()
        futures = [loop.create_future() for _ in range(2)]
        gathering = gather(*futures)
        loop.call_soon(futures[1].set_result, "b")
        loop.call_soon(futures[0].set_result, "a")
        assert loop.run_until_complete(gathering) == ["a", "b"]
        loop.close()


def test_a_gathering_can_be_gathered_and_called_back(run):
    async def main(gather):
        heard = []
        inner = gather(after(1, 1), after(2, 2))
        outer = gather(inner, after(3, 3))
        outer.add_done_callback(lambda done: heard.append(done.result()))
        await outer
        await asyncio.sleep(0)
        return heard

    assert run(main) == [[[1, 2], 3]]


def test_each_child_is_awaited_before_the_next_begins(run):
    """A future that an eager child finishes was pending when its turn came, and takes a turn to arrive."""

    async def main(gather):
        loop = asyncio.get_running_loop()
        if not isinstance(loop, rota.Loop) and sys.version_info < (3, 12):
            pytest.skip("asyncio has eager tasks since Python 3.12")
        loop.set_task_factory(eager)
        first = loop.create_future()

        async def finish():
            first.set_result("first")
            return "second"

        gathering = gather(first, finish())
        assert first.done()
        assert not gathering.done()
        return await gathering

    assert run(main) == ["first", "second"]


def test_a_refusal_leaves_those_before_it_alone(run):
    """Their exceptions count as looked at, as with asyncio."""

    async def main(gather):
        loop = asyncio.get_running_loop()
        reports = []
        loop.set_exception_handler(lambda _, context: reports.append(context))
        failing = loop.create_task(after(1, ValueError("mine")))
        late = after(2, "late")
        with pytest.raises(TypeError):
            gather(failing, late, 3)
        await asyncio.wait([failing])
        (left,) = asyncio.all_tasks() - {asyncio.current_task()}
        assert await left == "late"
        del failing, left
        gc.collect()
        return reports

    assert run(main) == []


@pytest.mark.parametrize("accepted", range(3))
def test_a_coroutine_of_which_the_loop_makes_no_task_is_closed(run, accepted):
    """The one that was refused, that is: whoever made the others can still await them."""

    async def main(gather):
        loop = asyncio.get_running_loop()
        kind = rota.Task if isinstance(loop, rota.Loop) else asyncio.Task
        made = []

        def factory(loop, coro, **kwargs):
            if len(made) == accepted:
                raise RuntimeError("enough")
            made.append(kind(coro, loop=loop, **kwargs))
            return made[-1]

        coroutines = [asyncio.sleep(1, number) for number in range(3)]
        loop.set_task_factory(factory)
        with pytest.raises(RuntimeError, match=r"^enough$"):
            gather(*coroutines)
        loop.set_task_factory(None)
        with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
            await coroutines[accepted]
        assert [await task for task in made] == list(range(accepted))
        return [await coroutine for coroutine in coroutines[accepted + 1 :]]

    assert run(main) == list(range(accepted + 1, 3))
