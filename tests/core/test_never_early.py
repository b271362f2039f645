"""No timer runs before its time on the loop's clock, whatever the sleep was, and no sleep is shorter than asked."""

from __future__ import annotations

import math
import random
import time

import pytest
from tests.net.conftest import KINDS

import rota
from rota.core.ready import Ready
from rota.net.poller import new_poller
from rota.net.poller.selector import Selector


class Coarse(rota.Clock):
    """Stands still but for sleeps, which end anywhere near when they should: early by a little, or late."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = self.chance.choice([0.0, 1.5, 1e5 + 0.1, 2.0**31 + 1 / 3])

    def time(self) -> float:
        return self.now

    def until(self, when: float) -> float:
        slip = self.chance.choice([0.0, 0.0, 1e-9, 1e-6, 1e-3, -1e-9, -1e-6, -1e-3])
        step = math.nextafter(self.now, math.inf)
        self.now = max(self.now, step, when + slip)  # an early end is a poll that finds nothing
        return 0.0


@pytest.mark.parametrize("seed", range(40))
def test_no_timer_is_early_and_equal_times_keep_their_order(seed):
    clock = Coarse(seed)
    chance = random.Random(seed)
    loop = rota.Loop(clock=clock)
    ran = []
    asked = []

    def ask(count: int) -> None:
        for _ in range(count):
            delay = chance.choice([-1.0, 0.0, 1e-12, 1e-9, 1e-6, 1e-3, 0.1, chance.random(), 5.0])
            when = loop.time() + delay
            number = len(asked)
            asked.append(when)
            timer = loop.call_at(when, fire, number)
            if chance.random() < 0.2:
                timer.cancel()
                asked[number] = math.nan

    def fire(number: int) -> None:
        assert loop.time() >= asked[number]
        ran.append(number)
        if len(asked) < 300:
            ask(chance.randrange(3))
        if not loop._timers:
            loop.stop()

    ask(60)
    loop.call_at(loop.time() + 100, loop.stop)
    try:
        loop.run_forever()
    finally:
        loop.close()
    assert sorted(ran) == [number for number, when in enumerate(asked) if not math.isnan(when)]


@pytest.mark.parametrize("make", [new_poller, Selector])
def test_no_sleep_is_shorter_than_asked(make):
    poller = make()
    chance = random.Random(1)
    try:
        for _ in range(200):
            asked = chance.choice([1e-9, 1e-7, 1.5e-6, 9.999e-4, 1e-3 + 1e-9, chance.random() * 2e-3])
            began = time.monotonic()
            poller.poll(asked, Ready())
            assert time.monotonic() - began >= asked
    finally:
        poller.close()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("rota")])
def test_no_call_later_is_early_on_the_real_clock(kind):
    """asyncio runs a timer up to its clock's resolution early."""
    loop = KINDS[kind][0]()
    late = []

    def again(when: float) -> None:
        late.append(loop.time() - when)
        if len(late) == 200:
            loop.stop()
        else:
            delay = random.Random(len(late)).random() * 1e-3
            loop.call_at(loop.time() + delay, again, loop.time() + delay)

    loop.call_soon(again, loop.time())
    try:
        loop.run_forever()
    finally:
        loop.close()
    assert min(late) >= 0.0
