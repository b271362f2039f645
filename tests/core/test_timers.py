"""The timers: a heap that keeps the order of equal times and gets rid of the cancelled."""

import asyncio
import contextvars
import gc
import itertools
import random

import pytest
from tests.clocks import virtual_rota_loop

from rota import limits


@pytest.fixture
def loop():
    loop = virtual_rota_loop()
    yield loop
    loop.close()


def test_equal_times_come_in_the_order_in_which_they_were_asked_for(loop):
    """asyncio leaves that order to its heap."""
    heard = []
    when = loop.time() + 1
    for number in range(50):
        loop.call_at(when, heard.append, number)
    loop.run_until_complete(asyncio.sleep(2))
    assert heard == list(range(50))


@pytest.mark.parametrize("seed", range(5))
def test_any_mixture_comes_in_order(loop, seed):
    choose = random.Random(seed)
    heard = []
    timers = []
    for number in range(300):
        when = loop.time() + choose.randrange(40)
        timers.append((when, number, loop.call_at(when, heard.append, (when, number))))
    cancelled = {number for number in range(300) if choose.random() < 0.4}
    for number in cancelled:
        timers[number][2].cancel()
    assert [timer.when() for timer in loop._timers] == sorted(
        when for when, number, _ in timers if number not in cancelled
    )
    loop.run_until_complete(asyncio.sleep(50))
    assert heard == sorted((when, number) for when, number, _ in timers if number not in cancelled)


def test_the_length_leaves_the_cancelled_out(loop):
    timers = [loop.call_later(number, print) for number in range(10)]
    assert len(loop._timers) == 10
    for timer in timers[3:7]:
        timer.cancel()
        timer.cancel()
    assert len(loop._timers) == 6
    assert list(loop._timers) == timers[:3] + timers[7:]
    for timer in timers:
        timer.cancel()
    assert len(loop._timers) == 0


def test_many_cancelled_are_swept(loop):
    """The scheduled flag of a timer says whether it is still among the timers."""
    many = 3 * limits.TIMERS_YOUNG  # so that none is young
    assert many * limits.TIMERS_CANCELLED_SHARE > limits.TIMERS_CANCELLED_MIN
    timers = [loop.call_later(1000 + number, print) for number in range(many)]
    few = int(many * limits.TIMERS_CANCELLED_SHARE)
    for timer in timers[:few]:
        timer.cancel()
    assert all(timer._scheduled for timer in timers)
    timers[few].cancel()
    assert [timer._scheduled for timer in timers] == [False] * (few + 1) + [True] * (many - few - 1)
    assert list(loop._timers) == timers[few + 1 :]
    for timer in timers:
        timer.cancel()
    assert len(loop._timers) == 0


def test_few_cancelled_stay_until_they_come_up(loop):
    timers = [loop.call_later(1, print) for _ in range(limits.TIMERS_YOUNG)]
    few = timers[: limits.TIMERS_CANCELLED_MIN]
    for timer in few:
        timer.cancel()
    assert timers[0]._scheduled
    loop.run_until_complete(asyncio.sleep(2))
    assert not timers[0]._scheduled
    assert len(loop._timers) == 0


def test_the_young_that_are_cancelled_leave_at_once(loop):
    timers = [loop.call_later(choice, print) for choice in (3, 1, 2, 1, 5)]
    for place, left in ((1, [3, 2, 0, 4]), (4, [3, 2, 0]), (0, [3, 2])):
        timers[place].cancel()
        assert not timers[place]._scheduled
        assert list(loop._timers) == [timers[number] for number in left]
    assert [timer._scheduled for timer in timers] == [False, False, True, True, False]


def test_the_earliest_is_found_when_the_earliest_young_was_cancelled(loop):
    began = loop.time()
    for number in range(limits.TIMERS_YOUNG):
        loop.call_later(100 + number, print)  # in the heap
    first, second = loop.call_later(1, print), loop.call_later(2, loop.stop)
    first.cancel()
    assert next(iter(loop._timers)) is second
    loop.run_forever()
    assert loop.time() == began + 2


def test_young_and_old_of_the_same_time_come_in_order(loop):
    heard = []
    when = loop.time() + 1
    for number in range(limits.TIMERS_YOUNG + 5):
        loop.call_at(when, heard.append, number)
    loop.run_until_complete(asyncio.sleep(2))
    assert heard == list(range(limits.TIMERS_YOUNG + 5))


class Canceller:
    """Cancels a timer when it goes."""

    def __init__(self, timer):
        self._timer = timer

    def __del__(self):
        self._timer.cancel()


def test_what_the_swept_held_may_cancel_others(loop):
    held = contextvars.ContextVar("held")

    def later_with(timer):
        context = contextvars.copy_context()
        context.run(held.set, Canceller(timer))
        return loop.call_later(1, print, context=context)

    others = [loop.call_later(3, print) for _ in range(50)]
    swept = [later_with(timer) for timer in others]
    swept += [loop.call_later(1, print) for _ in range(2 * limits.TIMERS_CANCELLED_MIN)]
    for _ in range(limits.TIMERS_YOUNG):
        loop.call_later(2, print)
    while swept:
        swept.pop(0).cancel()
    assert all(other.cancelled() for other in others)
    assert len(loop._timers) == len(list(loop._timers)) == limits.TIMERS_YOUNG


class Asking:
    """Asks for timers when the collector takes it."""

    def __init__(self, ask):
        self._ask = ask
        self._itself = self

    def __del__(self):
        self._ask()


@pytest.mark.parametrize("allocations", range(12))
def test_the_collector_may_come_at_any_moment_and_ask_for_timers(loop, allocations):
    """Python 3.11 collects when an object is made, whoever makes it."""
    heard = []
    number = itertools.count()

    def ask():
        for _ in range(3):
            loop.call_later(1, heard.append, next(number))

    thresholds = gc.get_threshold()
    gc.collect()
    try:
        kept = [[] for _ in range(100)]  # so that the next list is not one that is used again
        for _ in range(5):
            Asking(ask)
        for _ in range(limits.TIMERS_YOUNG - 1):
            loop.call_later(1, heard.append, next(number))
        gc.set_threshold(gc.get_count()[0] + allocations)
        loop.call_later(1, heard.append, next(number))
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    del kept
    loop.run_until_complete(asyncio.sleep(2))
    assert sorted(heard) == list(range(limits.TIMERS_YOUNG + 15))


def test_a_timer_cancelled_when_it_is_ready_does_not_count_as_waiting(loop):
    heard = []
    when = loop.time() + 1
    loop.call_at(when, lambda: second.cancel())
    second = loop.call_at(when, heard.append, "second")
    loop.run_until_complete(asyncio.sleep(2))
    assert heard == []
    assert len(loop._timers) == 0


def test_cancelled_timers_do_not_wake_the_loop(loop):
    for delay in (1, 2, 3):
        loop.call_later(delay, print).cancel()
    loop.call_later(10, loop.stop)
    turns = loop._turns
    loop.run_forever()
    assert loop._turns - turns <= 2


def test_a_timer_of_a_closed_loop_can_be_cancelled():
    loop = virtual_rota_loop()
    timer = loop.call_later(1, print)
    loop.close()
    timer.cancel()
    assert timer.cancelled()
    assert len(loop._timers) == 0
