"""TaskGroup, shield, wait and as_completed on both loops."""

import asyncio
import gc

import pytest

import rota


async def after(delay, result=None):
    await asyncio.sleep(delay)
    if isinstance(result, BaseException):
        raise result
    return result


def test_a_group_waits_for_all(run):
    async def main():
        async with rota.TaskGroup() as group:
            tasks = [group.create_task(after(delay, delay)) for delay in (3, 1, 2)]
        return [task.result() for task in tasks]

    assert run(main()) == [3, 1, 2]


def test_one_failure_cancels_the_others_and_all_errors_are_grouped(run):
    async def main():
        heard = []

        async def child():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                heard.append("cancelled")
                raise ValueError("while leaving") from None

        async def body():
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                group.create_task(after(1, OSError("first")))
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    heard.append("body")
                    raise

        with pytest.raises(ExceptionGroup) as caught:
            await body()
        assert asyncio.current_task().cancelling() == 0
        return sorted(heard), [repr(error) for error in caught.value.exceptions]

    assert run(main()) == (["body", "cancelled"], ["OSError('first')", "ValueError('while leaving')"])


def test_cancelling_who_waits_for_a_group_cancels_its_tasks(run):
    async def main():
        tasks = []

        async def parent():
            async with asyncio.TaskGroup() as group:
                tasks.extend(group.create_task(after(10)) for _ in range(3))

        task = asyncio.create_task(parent())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [each.cancelled() for each in tasks]

    assert run(main()) == [True, True, True]


def test_groups_in_groups(run):
    async def inner():
        async with asyncio.TaskGroup() as group:
            group.create_task(after(1, OSError("deep")))
            group.create_task(after(10))

    async def outer():
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())
            group.create_task(after(10))

    with pytest.raises(ExceptionGroup) as caught:
        run(outer())
    assert repr(caught.value.exceptions[0].exceptions[0]) == "OSError('deep')"


def test_a_shield_keeps_a_cancellation_from_what_it_covers(run):
    async def main():
        inner = asyncio.create_task(after(5, "finished"))

        async def outer():
            await asyncio.shield(inner)

        task = asyncio.create_task(outer())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not inner.done()
        return await inner

    assert run(main()) == "finished"


def test_a_shield_passes_results_errors_and_cancellations_on(run):
    async def main():
        loop = asyncio.get_running_loop()
        assert await asyncio.shield(after(1, "result")) == "result"
        with pytest.raises(OSError, match="gone"):
            await asyncio.shield(after(1, OSError("gone")))
        future = loop.create_future()
        loop.call_later(1, future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.shield(future)
        done = loop.create_future()
        done.set_result(1)
        return asyncio.shield(done) is done

    assert run(main()) is True


def test_the_error_of_an_abandoned_shield_is_reported(run):
    async def main():
        reports = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(str(context["exception"])))
        outer = asyncio.shield(after(2, OSError("nobody heard")))
        outer.cancel()
        await asyncio.sleep(5)
        gc.collect()
        return reports

    assert run(main()) in (["nobody heard"], ["nobody heard", "nobody heard"])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("FIRST_COMPLETED", {"one"}), ("FIRST_EXCEPTION", {"one", "two"}), ("ALL_COMPLETED", {"one", "two", "three"})],
)
def test_wait(run, how, expected):
    async def main():
        tasks = [
            asyncio.create_task(after(1, "result"), name="one"),
            asyncio.create_task(after(2, OSError("error")), name="two"),
            asyncio.create_task(after(3, "result"), name="three"),
        ]
        done, pending = await asyncio.wait(tasks, return_when=how)
        names = {task.get_name() for task in done}
        await asyncio.gather(*tasks, return_exceptions=True)
        assert done | pending == set(tasks)
        return names

    assert run(main()) == expected


def test_wait_with_a_timeout_leaves_the_pending_alone(run):
    async def main():
        tasks = [asyncio.create_task(after(delay)) for delay in (1, 5)]
        done, pending = await asyncio.wait(tasks, timeout=2)
        assert (done, pending) == ({tasks[0]}, {tasks[1]})
        await tasks[1]
        return tasks[1].cancelled()

    assert run(main()) is False


def test_as_completed_gives_the_first_first(run):
    async def main():
        return [await each for each in asyncio.as_completed([after(3, "c"), after(1, "a"), after(2, "b")])]

    assert run(main()) == ["a", "b", "c"]


def test_as_completed_with_a_timeout(run):
    async def main():
        tasks = [asyncio.create_task(after(delay, delay)) for delay in (1, 5)]
        found = []
        try:
            for each in asyncio.as_completed(tasks, timeout=2):
                found.append(await each)
        except TimeoutError:
            found.append("timeout")
        await tasks[1]
        return found

    assert run(main()) == [1, "timeout"]


def test_sleep_of_both_kinds(run, library):
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = [await library.sleep(delay, delay) for delay in (0, -1, 0.5, 2)]
        assert loop.time() - began == 2.5
        task = asyncio.create_task(library.sleep(100))
        await asyncio.sleep(0)
        task.cancel("woken")
        with pytest.raises(asyncio.CancelledError, match="woken"):
            await task
        return found

    assert run(main()) == [0, -1, 0.5, 2]


def test_a_cancelled_sleep_leaves_no_timer():
    """rota only: its timers can be counted."""
    from tests.clocks import virtual_rota_loop

    async def main(sleep):
        task = asyncio.create_task(sleep(100))
        await asyncio.sleep(0)
        assert len(loop._timers) == 1
        task.cancel()
        await asyncio.wait([task])
        return len(loop._timers)

    for sleep in (asyncio.sleep, rota.sleep):
        loop = virtual_rota_loop()
        assert loop.run_until_complete(main(sleep)) == 0
        loop.close()
