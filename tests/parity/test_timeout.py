"""asyncio.timeout, timeout_at and wait_for: who wins when several things happen at once."""

import asyncio
import sys

import pytest

import rota


def test_the_time_is_up(run):
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5) as scope:
                await asyncio.sleep(100)
        assert scope.expired()
        assert asyncio.current_task().cancelling() == 0
        return loop.time() - began

    assert run(main()) == 5


def test_in_time(run):
    async def main():
        async with asyncio.timeout(5) as scope:
            await asyncio.sleep(1)
        assert not scope.expired()
        await asyncio.sleep(100)
        return "not disturbed later"

    assert run(main()) == "not disturbed later"


def test_rota_has_them_too(run):
    async def main():
        with pytest.raises(TimeoutError):
            async with rota.timeout(1):
                await asyncio.sleep(2)
        with pytest.raises(TimeoutError):
            async with rota.timeout_at(asyncio.get_running_loop().time() + 1):
                await asyncio.sleep(2)

    run(main())


@pytest.mark.parametrize("delay", [0, -1])
def test_no_time_at_all_still_ends_the_next_await(run, delay):
    async def main():
        reached = []

        async def body():
            async with asyncio.timeout(delay):
                reached.append("inside")
                await asyncio.sleep(0)
                reached.append("one turn")
                await asyncio.sleep(0)
                reached.append("two turns")

        with pytest.raises(TimeoutError):
            await body()
        return reached

    assert run(main()) == ["inside"]


def test_a_body_that_never_waits_is_not_timed_out(run):
    async def main():
        async with asyncio.timeout(0):
            result = "done"
        await asyncio.sleep(1)
        return result

    assert run(main()) == "done"


def test_timeout_at_a_time_that_is_past(run):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() - 10):
                await asyncio.sleep(1)

    run(main())


def test_the_inner_one_first(run):
    async def main():
        order = []
        try:
            async with asyncio.timeout(2) as outer:
                try:
                    async with asyncio.timeout(1) as inner:
                        await asyncio.sleep(10)
                except TimeoutError:
                    order.append((inner.expired(), outer.expired()))
                await asyncio.sleep(10)
        except TimeoutError:
            order.append((inner.expired(), outer.expired()))
        return order

    assert run(main()) == [(True, False), (True, True)]


def test_both_at_the_same_time(run):
    async def main():
        try:
            async with asyncio.timeout(1) as outer:
                async with asyncio.timeout(1) as inner:
                    await asyncio.sleep(10)
        except TimeoutError:
            return outer.expired(), inner.expired(), asyncio.current_task().cancelling()

    assert run(main()) == (True, True, 0)


def test_moved_while_it_runs(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(1) as scope:
            scope.reschedule(loop.time() + 10)
            await asyncio.sleep(5)
            assert scope.when() == loop.time() + 5
            scope.reschedule(None)
            await asyncio.sleep(50)
        return scope.expired()

    assert run(main()) is False


def test_a_cancel_from_outside_is_no_timeout(run):
    async def main():
        async def child():
            async with asyncio.timeout(10):
                await asyncio.sleep(100)

        task = asyncio.create_task(child())
        await asyncio.sleep(1)
        task.cancel("outside")
        with pytest.raises(asyncio.CancelledError, match="outside"):
            await task

    run(main())


def test_a_cancel_in_the_turn_of_the_timeout_is_not_swallowed(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def child():
            async with asyncio.timeout(1):
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
