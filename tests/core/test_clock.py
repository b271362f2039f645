"""The loop owns a clock: everything that has to do with time asks it, and nothing else."""

import asyncio
import time
import unittest.mock

import pytest

import rota


class Recording(rota.Clock):
    """Stands at 50 until the loop would sleep, and writes down for what."""

    def __init__(self):
        self.now = 50.0
        self.asked = []

    def time(self):
        return self.now

    def until(self, when):
        self.asked.append(when)
        self.now = when
        return 0.0


@pytest.fixture
def clock():
    return Recording()


@pytest.fixture
def loop(clock):
    loop = rota.Loop(clock=clock)
    yield loop
    loop.close()


def test_the_loops_time_is_the_clocks(loop, clock):
    assert loop.time() == 50.0
    clock.now = 60.5
    assert loop.time() == 60.5


def test_the_clock_is_asked_how_long_to_sleep_for_the_next_timer(loop, clock):
    async def main():
        await asyncio.sleep(5)
        await rota.sleep(7)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), 3)

    loop.run_until_complete(main())
    assert clock.asked == [55.0, 62.0, 65.0]


def test_the_clock_is_not_asked_while_somebody_is_ready(loop, clock):
    async def main():
        loop.call_later(100, print)
        for _ in range(50):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert clock.asked == []


def test_a_clock_may_answer_with_real_seconds():
    """A clock that runs a thousand times faster than the wall."""

    class Fast(rota.Clock):
        def time(self):
            return super().time() * 1000

        def until(self, when):
            return max(0.0, (when - self.time()) / 1000)

    loop = rota.Loop(clock=Fast())

    async def main():
        began = loop.time()
        await asyncio.sleep(5)
        return loop.time() - began

    assert loop.run_until_complete(main()) >= 5
    loop.close()


@pytest.mark.parametrize("kind", ["rota", "asyncio"])
def test_what_a_program_puts_in_the_place_of_time_is_what_timers_go_by(new_loop):
    loop = new_loop()
    due = []
    now = loop.time()
    with unittest.mock.patch.object(loop, "time", return_value=now) as replaced:
        loop.call_later(1000, due.append, "later")
        loop.run_until_complete(asyncio.sleep(0))
        assert due == []
        replaced.return_value = now + 1000
        loop.run_until_complete(asyncio.sleep(0))
        assert due == ["later"]
    assert now <= loop.time() < now + 1000
    loop.close()


def test_time_may_be_replaced_twice_and_put_back(loop, clock):
    real = loop.time
    loop.time = lambda: 1.0
    loop.time = lambda: 2.0
    assert loop.time() == 2.0
    loop.time = real
    assert loop.time() == 50.0
    loop.time = lambda: 3.0
    del loop.time
    assert loop.time() == clock.now == 50.0
    with pytest.raises(AttributeError, match="time"):
        del loop.time


def test_the_default_is_the_systems_monotonic_clock():
    loop = rota.new_event_loop()
    before = time.monotonic()
    now = loop.time()
    assert before - 1e-6 <= now <= time.monotonic() + 1e-6
    loop.close()


def test_a_real_sleep_is_never_short():
    async def main():
        loop = asyncio.get_running_loop()
        short = []
        for delay in (0.0001, 0.0011, 0.002):
            began = time.monotonic()
            when = loop.time() + delay
            await rota.sleep(delay)
            short.append(loop.time() < when or time.monotonic() - began < delay - 1e-6)
        return short

    assert rota.run(main()) == [False] * 3


def test_a_clock_that_raises_leaves_the_loop_usable(clock):
    class Broken(Recording):
        broken = False

        def until(self, when):
            if self.broken:
                raise ZeroDivisionError("no time")
            return super().until(when)

    broken = Broken()
    loop = rota.Loop(clock=broken)
    broken.broken = True
    task = loop.create_task(asyncio.sleep(1, "slept"))
    with pytest.raises(ZeroDivisionError, match=r"^no time$"):
        loop.run_until_complete(task)
    assert not loop.is_running()
    broken.broken = False
    assert loop.run_until_complete(task) == "slept"
    loop.close()
