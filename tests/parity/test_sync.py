"""Queues, locks, events, conditions, semaphores and barriers: asyncio's own, on futures of both loops."""

import asyncio

import pytest


def test_a_queue_hands_over_in_order(run):
    async def main():
        queue = asyncio.Queue(2)
        order = []

        async def produce():
            for number in range(6):
                await queue.put(number)
                order.append(f"put {number}")

        async def consume():
            for _ in range(6):
                order.append(f"got {await queue.get()}")
                queue.task_done()

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
        await queue.join()
        return [entry for entry in order if entry.startswith("got")], len(order)

    assert run(main()) == ([f"got {number}" for number in range(6)], 12)


def test_a_cancelled_getter_loses_no_item(run):
    async def main():
        queue = asyncio.Queue()
        getters = [asyncio.create_task(queue.get()) for _ in range(2)]
        await asyncio.sleep(0)
        queue.put_nowait("item")
        getters[0].cancel()
        await asyncio.wait(getters[:1])
        return getters[0].cancelled(), await getters[1]

    assert run(main()) == (True, "item")


def test_a_lock_is_fair(run):
    async def main():
        lock = asyncio.Lock()
        order = []

        async def hold(name):
            async with lock:
                order.append(name)
                await asyncio.sleep(1)

        await asyncio.gather(*[hold(name) for name in "abcd"])
        return order, asyncio.get_running_loop().time()

    order, ended = run(main())
    assert order == ["a", "b", "c", "d"]
    assert ended == 1004


def test_cancelling_who_was_just_given_the_lock_passes_it_on(run):
    async def main():
        lock = asyncio.Lock()
        await lock.acquire()

        async def hold(name):
            async with lock:
                return name

        first, second = (asyncio.create_task(hold(name)) for name in ("first", "second"))
        await asyncio.sleep(0)
        lock.release()
        first.cancel()
        await asyncio.wait([first])
        return first.cancelled(), await asyncio.wait_for(second, 1), lock.locked()

    assert run(main()) == (True, "second", False)


def test_an_event_wakes_all_in_order(run):
    async def main():
        event = asyncio.Event()
        order = []

        async def wait(name):
            await event.wait()
            order.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(1)
        event.set()
        event.clear()
        await asyncio.wait(tasks)
        return order

    assert run(main()) == ["a", "b", "c"]


def test_a_condition_notifies_as_many_as_asked(run):
    async def main():
        condition = asyncio.Condition()
        woken = []

        async def wait(name):
            async with condition:
                await condition.wait()
                woken.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(1)
        async with condition:
            condition.notify(2)
        await asyncio.sleep(1)
        first = list(woken)
        async with condition:
            condition.notify_all()
        await asyncio.wait(tasks)
        return first, woken

    assert run(main()) == (["a", "b"], ["a", "b", "c"])


def test_a_semaphore_bounds(run):
    async def main():
        semaphore = asyncio.BoundedSemaphore(2)
        inside = peak = 0

        async def work():
            nonlocal inside, peak
            async with semaphore:
                inside += 1
                peak = max(peak, inside)
                await asyncio.sleep(1)
                inside -= 1

        await asyncio.gather(*[work() for _ in range(7)])
        with pytest.raises(ValueError, match="BoundedSemaphore released too many times"):
            semaphore.release()
        return peak, asyncio.get_running_loop().time()

    assert run(main()) == (2, 1004)


def test_a_barrier_lets_all_go_together(run):
    async def main():
        barrier = asyncio.Barrier(3)
        times = []

        async def arrive(delay):
            await asyncio.sleep(delay)
            place = await barrier.wait()
            times.append(asyncio.get_running_loop().time())
            return place

        places = await asyncio.gather(*[arrive(delay) for delay in (1, 3, 2)])
        return sorted(places), times

    assert run(main()) == ([0, 1, 2], [1003, 1003, 1003])
