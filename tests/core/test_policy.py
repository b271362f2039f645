"""Another policy: who of the ready runs next."""

import asyncio
import random

import pytest
from tests.clocks import VirtualClock

import rota


class LastFirst:
    """Whoever became ready last runs next."""

    def __init__(self):
        self.stack = []

    def push(self, runnable):
        self.stack.append(runnable)

    def pop(self):
        return self.stack.pop()


class Seeded:
    """Anybody, by a seed."""

    def __init__(self, seed):
        self.ready = []
        self.random = random.Random(seed)

    def push(self, runnable):
        self.ready.append(runnable)

    def pop(self):
        return self.ready.pop(self.random.randrange(len(self.ready)))


def order_of(policy, main):
    loop = rota.Loop(policy=policy, clock=VirtualClock())
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


async def three_tasks():
    order = []

    async def child(name):
        for step in range(2):
            order.append(f"{name}{step}")
            await asyncio.sleep(0)

    await asyncio.gather(*[child(name) for name in "abc"])
    return order


def test_first_come_first_served_is_the_default():
    expected = ["a0", "b0", "c0", "a1", "b1", "c1"]
    assert order_of("fifo", three_tasks) == expected
    loop = rota.Loop(clock=VirtualClock())
    assert loop.run_until_complete(three_tasks()) == expected
    loop.close()


def test_last_come_first_served():
    assert order_of(LastFirst(), three_tasks) == ["c0", "c1", "b0", "b1", "a0", "a1"]


def test_a_turn_runs_as_many_as_were_ready_when_it_began():
    """So a policy that prefers the newest can starve others, but never the sockets and timers."""

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        ran = 0

        def again():
            nonlocal ran
            ran += 1
            if not future.done():
                loop.call_soon(again)

        loop.call_soon(again)
        loop.call_soon(again)
        loop.call_later(0, future.set_result, "not starved")
        return await future, ran

    result, ran = order_of(LastFirst(), main)
    assert result == "not starved"
    assert ran < 20


def test_a_seed_gives_one_order_and_another_seed_another():
    first = order_of(Seeded(1), three_tasks)
    assert order_of(Seeded(1), three_tasks) == first
    assert sorted(first) == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert len({tuple(order_of(Seeded(seed), three_tasks)) for seed in range(10)}) > 3


def test_results_do_not_depend_on_the_order():
    async def main():
        lock = asyncio.Lock()
        total = 0

        async def add(number):
            nonlocal total
            await asyncio.sleep(number % 3)
            async with lock:
                before = total
                await asyncio.sleep(0)
                total = before + number

        async with asyncio.timeout(60):
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(add(number))
        return total

    for seed in range(5):
        assert order_of(Seeded(seed), main) == 190


def test_everything_that_is_ready_goes_through_the_policy():
    kinds = set()

    class Noting(LastFirst):
        def push(self, runnable):
            kinds.add(type(runnable).__name__)
            super().push(runnable)

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(1, int)
        loop.call_soon_threadsafe(int)
        await rota.gather(asyncio.sleep(2))

    order_of(Noting(), main)
    assert kinds == {"Task", "Handle", "TimerHandle", "Arrival"}


def test_run_and_new_event_loop_take_a_policy():
    async def main():
        order = []
        loop = asyncio.get_running_loop()
        all_called = loop.create_future()

        def call(name):
            order.append(name)
            if len(order) == 3:
                all_called.set_result(order)

        for name in "abc":
            loop.call_soon(call, name)
        return await all_called

    assert rota.run(main(), policy=LastFirst()) == ["c", "b", "a"]
    assert rota.run(main(), policy="fifo") == ["a", "b", "c"]
    loop = rota.new_event_loop(policy=LastFirst())
    assert loop.run_until_complete(main()) == ["c", "b", "a"]
    loop.close()


def test_what_is_no_policy_is_refused_in_one_line():
    with pytest.raises(
        rota.UsageError, match=r"^unknown policy 'unknown': use 'fifo', or an object with push\(runnable\) and pop\(\)$"
    ):
        rota.Loop(policy="unknown")
    with pytest.raises(rota.UsageError, match=r"^42 is no policy: it needs push\(runnable\) and pop\(\)$"):
        rota.Loop(policy=42)

    async def main():
        pass

    with pytest.raises(rota.UsageError):
        rota.run(coro := main(), policy="unknown")
    coro.close()


def test_a_closed_loop_takes_nobody_whatever_its_policy():
    policy = LastFirst()
    loop = rota.Loop(policy=policy)
    loop.call_soon(print)
    loop.close()
    assert policy.stack == []
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_soon(print)
    assert policy.stack == []


def test_a_policy_that_raises_on_push_tells_whoever_pushed():
    class Full(LastFirst):
        def push(self, runnable):
            if len(self.stack) == 1:
                raise OverflowError("full")
            super().push(runnable)

    loop = rota.Loop(policy=Full(), clock=VirtualClock())
    ran = []
    loop.call_soon(ran.append, 1)
    with pytest.raises(OverflowError, match=r"^full$"):
        loop.call_soon(ran.append, 2)
    assert len(loop._ready) == 1
    loop.stop()
    loop.run_forever()
    assert ran == [1]
    loop.close()


def test_a_policy_that_gives_back_nobody_is_told():
    class Empty(LastFirst):
        def pop(self):
            return super().pop() if self.stack[1:] else None

        def __repr__(self):
            return "<Empty>"

    policy = Empty()
    loop = rota.Loop(policy=policy, clock=VirtualClock())
    troubles = []

    def handle(loop, trouble):
        troubles.append(trouble["exception"])
        policy.stack.append(policy.stack[0])

    loop.set_exception_handler(handle)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert [str(trouble) for trouble in troubles] == ["<Empty>.pop() gave None while 1 were ready"]
    loop.close()
