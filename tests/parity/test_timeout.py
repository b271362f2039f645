"""asyncio.timeout, timeout_at and wait_for: who wins when several things happen at once."""

import asyncio
import sys

import pytest

import rota


@pytest.fixture(params=["asyncio", "rota"])
def library(request):
    """Whose ``timeout`` it is."""
    return {"asyncio": asyncio, "rota": rota}[request.param]


def test_the_time_is_up(run, library):
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with library.timeout(5) as scope:
                await asyncio.sleep(100)
        assert scope.expired()
        assert asyncio.current_task().cancelling() == 0
        return loop.time() - began

    assert run(main()) == 5


def test_in_time(run, library):
    async def main():
        async with library.timeout(5) as scope:
            await asyncio.sleep(1)
        assert not scope.expired()
        await asyncio.sleep(100)
        return "not disturbed later"

    assert run(main()) == "not disturbed later"


@pytest.mark.parametrize("delay", [0, -1])
def test_no_time_at_all_still_ends_the_next_await(run, delay, library):
    async def main():
        reached = []

        async def body():
            async with library.timeout(delay):
                reached.append("inside")
                await asyncio.sleep(0)
                reached.append("one turn")
                await asyncio.sleep(0)
                reached.append("two turns")

        with pytest.raises(TimeoutError):
            await body()
        return reached

    assert run(main()) == ["inside"]


def test_a_body_that_never_waits_is_not_timed_out(run, library):
    async def main():
        async with library.timeout(0):
            result = "done"
        await asyncio.sleep(1)
        return result

    assert run(main()) == "done"


def test_timeout_at_a_time_that_is_past(run, library):
    async def main():
        with pytest.raises(TimeoutError):
            async with library.timeout_at(asyncio.get_running_loop().time() - 10):
                await asyncio.sleep(1)

    run(main())


def test_the_inner_one_first(run, library):
    async def main():
        order = []
        try:
            async with library.timeout(2) as outer:
                try:
                    async with library.timeout(1) as inner:
                        await asyncio.sleep(10)
                except TimeoutError:
                    order.append((inner.expired(), outer.expired()))
                await asyncio.sleep(10)
        except TimeoutError:
            order.append((inner.expired(), outer.expired()))
        return order

    assert run(main()) == [(True, False), (True, True)]


def test_both_at_the_same_time(run, library):
    async def main():
        try:
            async with library.timeout(1) as outer, library.timeout(1) as inner:
                await asyncio.sleep(10)
        except TimeoutError:
            return outer.expired(), inner.expired(), asyncio.current_task().cancelling()

    assert run(main()) == (True, True, 0)


def test_moved_while_it_runs(run, library):
    async def main():
        loop = asyncio.get_running_loop()
        async with library.timeout(1) as scope:
            scope.reschedule(loop.time() + 10)
            await asyncio.sleep(5)
            assert scope.when() == loop.time() + 5
            scope.reschedule(None)
            await asyncio.sleep(50)
        return scope.expired()

    assert run(main()) is False


def test_a_cancel_from_outside_is_no_timeout(run, library):
    async def main():
        async def child():
            async with library.timeout(10):
                await asyncio.sleep(100)

        task = asyncio.create_task(child())
        await asyncio.sleep(1)
        task.cancel("outside")
        with pytest.raises(asyncio.CancelledError, match="outside"):
            await task

    run(main())


def test_a_cancel_in_the_turn_of_the_timeout_is_not_swallowed(run, library):
    async def main():
        loop = asyncio.get_running_loop()

        async def child():
            async with library.timeout(1):
                await asyncio.sleep(100)

        task = asyncio.create_task(child())
        await asyncio.sleep(0)
        loop.call_at(loop.time() + 1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert run(main()) is True


def test_wait_for_brings_the_result(run):
    async def main():
        return await asyncio.wait_for(asyncio.sleep(1, "slept"), 2), await asyncio.wait_for(
            asyncio.sleep(1, "for ever"), None
        )

    assert run(main()) == ("slept", "for ever")


def test_wait_for_cancels_what_is_late_and_waits_for_its_end(run):
    async def main():
        order = []

        async def child():
            try:
                await asyncio.sleep(10)
            finally:
                await asyncio.sleep(3)
                order.append("cleaned up")

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(child(), 1)
        order.append(asyncio.get_running_loop().time() - 1000)
        return order

    order = run(main())
    assert order[0] == "cleaned up"
    assert order[1] == pytest.approx(4)


def test_wait_for_on_a_done_future_needs_no_time(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_result("there")
        return await asyncio.wait_for(future, 0)

    assert run(main()) == "there"


@pytest.mark.parametrize("delay", [0, -1])
def test_wait_for_without_time_cancels_a_pending_future(run, delay):
    async def main():
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, delay)
        return future.cancelled()

    assert run(main()) is True


def test_a_result_in_the_turn_of_the_timeout(run):
    """Before 3.12 a result that is there wins; since then the cancellation that the timeout has sent does."""

    async def main():
        loop = asyncio.get_running_loop()
        found = []
        for early in (True, False):
            future = loop.create_future()
            when = loop.time() + 1
            if early:
                loop.call_at(when, lambda future=future: future.done() or future.set_result("result"))
            waiting = asyncio.create_task(asyncio.wait_for(future, 1))
            await asyncio.sleep(0)
            if not early:
                loop.call_at(when, lambda future=future: future.done() or future.set_result("result"))
            try:
                found.append(await waiting)
            except TimeoutError:
                found.append("timeout")
        return found

    # Before 3.12 a result that is there wins, however late in the turn it came.
    assert run(main()) == (["timeout", "timeout"] if sys.version_info >= (3, 12) else ["result", "result"])


def test_wait_for_passes_a_cancel_on(run):
    async def main():
        heard = []

        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                heard.append("child")
                raise

        task = asyncio.create_task(asyncio.wait_for(child(), 5))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return heard

    assert run(main()) == ["child"]


def test_wait_for_brings_the_exception_of_a_late_cleanup(run):
    async def main():
        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise OSError("while leaving") from None

        with pytest.raises(OSError, match="while leaving"):
            await asyncio.wait_for(child(), 1)

    run(main())


def test_a_scope_is_entered_once_and_in_a_task(run, library):
    async def main():
        scope = library.timeout(None)
        with pytest.raises(RuntimeError, match="Timeout has not been entered"):
            scope.reschedule(5)
        async with scope:
            assert scope.when() is None
        with pytest.raises(RuntimeError, match="Timeout has already been entered"):
            await scope.__aenter__()
        with pytest.raises(RuntimeError, match="Cannot change state of finished Timeout"):
            scope.reschedule(5)
        outside = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(enter_outside, library, outside)
        return await outside

    def enter_outside(library, outside):
        try:
            library.timeout(1).__aenter__().__await__().__next__()
        except (RuntimeError, StopIteration) as error:
            outside.set_result(str(error))

    assert run(main()) == "Timeout should be used inside a task"


def test_a_scope_is_shown_with_its_state(run, library):
    async def main():
        scope = library.timeout_at(asyncio.get_running_loop().time() + 7)
        shown = [repr(scope)]
        async with scope as entered:
            assert entered is scope
            assert isinstance(scope, asyncio.Timeout)
            shown.append(repr(scope).replace(str(round(scope.when(), 3)), "WHEN"))
            scope.reschedule(None)
            shown.append(repr(scope))
        return [*shown, repr(scope)]

    assert run(main()) == [
        "<Timeout [created]>",
        "<Timeout [active] when=WHEN>",
        "<Timeout [active] when=None>",
        "<Timeout [finished]>",
    ]


@pytest.mark.parametrize("grouped", [False, True])
def test_what_the_cancellation_turned_into_says_that_it_was_a_timeout(run, library, grouped):
    """As asyncio does since Python 3.13."""
    if library is asyncio and sys.version_info < (3, 13):
        pytest.skip("asyncio: since Python 3.13")

    async def clean_up():
        try:
            await asyncio.sleep(10)
        finally:
            raise KeyError("clean-up")

    async def main():
        error = None
        try:
            async with library.timeout(1):
                if grouped:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(clean_up())
                else:
                    await clean_up()
        except* KeyError as errors:
            (error,) = errors.exceptions
        return repr(error), repr(error.__context__), repr(error.__context__.__cause__)

    assert run(main()) == ("KeyError('clean-up')", "TimeoutError()", "CancelledError()")
