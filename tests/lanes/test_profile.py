"""What is known of a function, and how a decision comes and goes: with a clock and figures that the tests give."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest

from rota.lanes.meter import Held, Measure
from rota.lanes.profile import DWELL, EVERY, FIRST, LEAVE, MOST, PATIENCE, REFUSED, STALE, Profile, Profiles, examine

HOLDER, FREE, UNSEEN = Held(2.0, 0, 0, 0), Held(2.0, 2, 0, 0), Held(0.0, 0, 0, 0)
MS = 1e-3


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def work(x: Any = None) -> Any:
    return x


def stores(x: Any = None) -> Any:
    global stored
    stored = x


stored = None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def profiles(clock: Clock) -> Profiles:
    return Profiles(cores=2, most=500, clock=clock)


def measure(cpu: float, blocked: float = 0.0, queued: float = 0.0) -> Measure:
    """In milliseconds."""
    return Measure(cpu * MS, (cpu + blocked + queued) * MS, queued * MS, blocked * MS)


def call(
    profile: Profile,
    cpu: float,
    blocked: float = 0.0,
    held: Held | None = HOLDER,
    times: int = 1,
    fn: Callable[..., Any] = work,
    seconds: float = 0.0,
) -> None:
    """Calls of so many milliseconds as the pools make them, one after another; each takes ``seconds`` of the clock."""
    for _ in range(times):
        profile._owner.clock.now += seconds or (cpu + blocked) * MS  # type: ignore[attr-defined]
        if profile.wants_meter():
            lane = profile.decision.lane
            # A kernel that counts always has something to say.
            profile.add(measure(cpu, blocked, 0.001), held if lane == "threads" else None, lane)
            if profile.candidate:
                profile.conclude(examine(fn, (1,), {}, 1))


def test_the_first_calls_are_measured_and_then_decided(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 20, times=FIRST - 1)
    assert not profile.decided
    assert profile.decision.lane == "threads"
    assert profile.decision.reason == "7 of the first 8 calls measured so far"
    call(profile, 20)
    assert profile.decided
    assert profile.decision.reason == "computes 20 ms a call and holds the GIL"
    assert profile.calls == profile.measured == FIRST


def test_two_long_calls_are_enough(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 150, times=2)
    assert profile.decision.lane == "processes"


def test_a_first_call_that_had_to_import_decides_nothing(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 900)
    call(profile, 0.01, times=FIRST - 1)
    assert profile.decision.tiny


def test_later_one_call_in_a_few_is_measured(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 1, 50, times=FIRST)
    assert sum(profile.wants_meter() for _ in range(10 * EVERY)) == 10


def test_calls_that_are_counted_many_at_a_time_are_measured_as_well(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 1, 50, times=FIRST)
    asked = 0
    for _ in range(10):
        profile.calls += EVERY - 1  # as a chunk of a map counts them
        asked += profile.wants_meter()
    assert asked == 10


def test_of_a_burst_only_the_first_are_measured(profiles: Profiles) -> None:
    profile = profiles.of(work)
    asked = sum(profile.wants_meter() for _ in range(200))
    assert FIRST <= asked <= FIRST + 200 // EVERY
    for _ in range(FIRST):
        profile.add(measure(0.1, 1000), UNSEEN, "threads")
    assert profile.decision.reason == "waits 100% of its 1.00 s"


@pytest.mark.parametrize(
    ("held", "lane"), [(HOLDER, "processes"), (FREE, "threads"), (Held(2.0, 1, 0, 0), "threads"), (None, "processes")]
)
def test_who_computes_with_the_gil_goes_to_processes(profiles: Profiles, held: Held | None, lane: str) -> None:
    profile = profiles.of(work)
    call(profile, 20, held=held, times=FIRST)
    assert (profile.decided, profile.decision.lane) == (True, lane)


def test_one_look_that_met_it_computing_is_not_enough_to_say_it_holds_nothing(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 20, held=Held(2.0, 1, 0, 0))
    call(profile, 20, held=Held(0.1, 0, 0, 0), times=FIRST - 1)
    assert not profile.decided
    call(profile, 20, held=HOLDER, times=2)
    assert profile.decision.lane == "processes"


def test_what_the_first_looks_said_does_not_stand_against_later_ones(profiles: Profiles) -> None:
    """Two that did not meet it computing are enough, until others did: then it takes more."""
    profile = profiles.of(work)
    call(profile, 20, held=HOLDER)
    for seen in (1, 0, 1, 0, 1, 0, 0):
        call(profile, 20, held=Held(0.6, seen, 0, 0))
    assert not profile.decided
    call(profile, 20, held=FREE, times=2)
    assert profile.decision.reason == "computes 20 ms a call and lets go of the GIL"


def test_what_is_seen_while_it_is_judged_counts(profiles: Profiles) -> None:
    profile = profiles.of(work)
    for seen in (0,) * FIRST + (1, 1, 1):
        profile.add(measure(20), Held(0.5, seen, 0, 0), "threads")
    assert profile.candidate
    profile.conclude(examine(work, (1,), {}, 1))
    assert not profile.decided
    call(profile, 20, held=FREE, times=3)
    assert profile.decision.reason == "computes 20 ms a call and lets go of the GIL"


def test_calls_that_nobody_met_are_measured_on_but_not_for_ever(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 20, held=UNSEEN, times=FIRST)
    assert not profile.decided
    call(profile, 20, held=UNSEEN, times=PATIENCE - FIRST)
    assert "whether with the GIL could not be seen" in profile.decision.reason


def test_waits_for_the_gil_are_not_waits(profiles: Profiles) -> None:
    """Beside threads that hold the GIL, a call that computes is blocked three quarters of its time."""
    profile = profiles.of(work)
    call(profile, 20, 60, held=Held(1.0, 0, 6.0, 0), times=FIRST)
    assert profile.decision.lane == "processes"
    assert profile.blocked < 0.01
    waiter = profiles.of(stores)
    call(waiter, 20, 120, held=Held(1.0, 0, 3.0, 3), times=FIRST)
    assert waiter.decision.lane == "threads"
    assert 0.05 < waiter.blocked < 0.07  # half of it


def test_a_wait_for_a_core_is_not_a_wait(profiles: Profiles) -> None:
    profile = profiles.of(work)
    for _ in range(FIRST):
        profile.wants_meter()
        profile.add(measure(20, queued=200), HOLDER, "threads")
    profile.conclude(examine(work, (), {}, None))
    assert profile.decision.lane == "processes"


def test_nothing_moves_before_it_was_judged(profiles: Profiles) -> None:
    profile = profiles.of(work)
    for _ in range(FIRST):
        profile.add(measure(20), HOLDER, "threads")
    assert profile.candidate
    assert (profile.decided, profile.decision.lane) == (False, "threads")
    profile.conclude(examine(work, (1,), {}, 1))
    assert not profile.candidate
    assert profile.decision.lane == "processes"


def test_what_is_not_safe_stays_in_threads_and_says_why(profiles: Profiles) -> None:
    profile = profiles.of(stores)
    call(profile, 20, times=FIRST, fn=stores)
    assert profile.decision.lane == "threads"
    assert profile.decision.reason.endswith("but stays: it stores the global 'stored'")
    assert profile.unsafe == "it stores the global 'stored'"


def test_a_result_that_does_not_pickle_keeps_it_in_threads(profiles: Profiles) -> None:
    profile = profiles.of(work)
    for _ in range(FIRST):
        profile.add(measure(20), HOLDER, "threads")
    profile.conclude(examine(work, (1,), {}, (number for number in [1])))
    assert "its result (a generator) does not pickle" in profile.decision.reason


def test_a_large_result_costs_more_than_it_saves(profiles: Profiles) -> None:
    profile = profiles.of(work)
    for _ in range(FIRST):
        profile.add(measure(20), HOLDER, "threads")
    profile.conclude(examine(work, (1,), {}, bytes(10_000_000)))
    assert profile.decision.reason.endswith("but stays: to ship a call takes 40.3 ms")


def test_who_was_refused_goes_back_at_once(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 20, times=FIRST)
    profile.refuse("its argument 0 does not pickle")
    assert profile.decision.lane == "threads"
    assert profile.decision.reason.endswith("but stays: its argument 0 does not pickle")


def test_a_decision_stays_for_a_while_and_then_follows_the_figures(profiles: Profiles, clock: Clock) -> None:
    profile = profiles.of(work)
    call(profile, 20, times=FIRST)
    assert profile.decision.lane == "processes"
    decided = clock.now
    while profile.decision.lane == "processes" and clock.now < decided + 10 * DWELL:
        call(profile, 0.5, 50, seconds=0.01)
    assert profile.decision.lane == "threads"
    assert clock.now >= decided + DWELL


def test_a_decision_does_not_change_for_a_small_gain(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 20, times=FIRST)
    for _ in range(50):
        profile.shipped(0.012)  # more than half of what it saves, and less than it
    call(profile, 20, times=2000)
    assert profile.decision.lane == "processes"
    for _ in range(50):
        profile.shipped(0.2)
    call(profile, 20, times=2000)
    assert profile.decision.lane == "threads"


def test_short_calls_move_when_they_become_many(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 2, times=FIRST, seconds=0.1)
    assert profile.decision.lane == "threads"
    call(profile, 2, times=10_000, seconds=0.003)
    assert profile.decision.lane == "processes"


def test_of_two_the_one_that_takes_more_moves(profiles: Profiles, clock: Clock) -> None:
    much, little = profiles.of(work), profiles.of(stores)
    for _ in range(4000):
        call(much, 4, seconds=0.005)
        call(little, 1.5, seconds=0.005)
    assert (much.decision.lane, little.decision.lane) == ("processes", "threads")


def test_who_is_not_called_any_more_takes_nothing(profiles: Profiles, clock: Clock) -> None:
    profile = profiles.of(stores)
    call(profile, 4, times=FIRST, fn=stores)
    assert profile.demand(clock.now) > 0.5
    assert profile.demand(clock.now + STALE + 1) == 0


def test_threads_are_as_many_as_calls_arrive(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 0.1, 1000, times=2, seconds=0.005)
    assert profile.decision.width == pytest.approx(300, abs=1)


def test_a_call_that_raised_counts_and_is_not_judged(profiles: Profiles) -> None:
    profile = profiles.of(work)
    for _ in range(FIRST + 3):
        profile.add(measure(20), HOLDER, "threads")
    assert profile.candidate
    assert not profile.decided


# -- which profile ----------------------------------------------------------------------------------------------


class Shop:
    def sell(self, items: Any = None) -> Any:
        return items

    def __call__(self, items: Any = None) -> Any:
        return items


class Stall(Shop):
    pass


@pytest.mark.parametrize(
    "fn", [work, sorted, json.loads, Shop, [].append, Shop().sell, Shop(), functools.partial(work)]
)
def test_a_function_has_one_profile(profiles: Profiles, fn: Any) -> None:
    profile = profiles.of(fn, (1,))
    assert profiles.of(fn, (2,)) is profile
    assert profiles.find(fn) == [profile]


def test_whatever_stands_around_a_function_its_profile_is_the_same(profiles: Profiles) -> None:
    assert profiles.of(functools.partial(work), (1,)) is profiles.of(work, (1,))
    assert profiles.of(functools.partial(sorted), ([],)) is profiles.of(sorted, ([],))
    assert profiles.of(Shop().sell) is profiles.of(Shop().sell)
    assert profiles.of([].append) is profiles.of([1].append)


def test_different_functions_have_different_ones(profiles: Profiles) -> None:
    fns = [work, stores, sorted, len, json.loads, [].append, [].extend, bytearray().append]
    fns += [Shop().sell, Stall().sell, Shop(), Stall(), Shop, Stall]
    assert len({profiles.of(fn) for fn in fns}) == len(fns)
    assert len(profiles.all()) == len(fns)


def test_each_magnitude_of_the_argument_has_its_own(profiles: Profiles) -> None:
    small, large = profiles.of(work, ([1],)), profiles.of(work, ([1] * 100_000,))
    assert small is not large
    assert profiles.of(work, ([1] * 110_000,)) is large
    assert set(profiles.find(work)) == {small, large}


class Asked:
    """A length may be a question to a database."""

    def __len__(self) -> int:
        raise AssertionError("nobody shall ask")


def test_only_lengths_that_cost_nothing_are_asked_for(profiles: Profiles) -> None:
    assert profiles.of(work, (Asked(),)) is profiles.of(work, (1,))


def test_profiles_are_bounded(profiles: Profiles, clock: Clock) -> None:
    used = profiles.of(work)
    for number in range(MOST + 10):
        namespace: dict[str, Any] = {}
        exec(f"def made(): return {number}", namespace)
        profiles.of(namespace["made"])
        clock.now += 1
        assert profiles.of(work) is used  # the oldest, and never out of use
        used.calls += 1
    assert MOST - LEAVE <= len(profiles.all()) <= MOST


# -- what is written in C ---------------------------------------------------------------------------------------


def kept(x: Any) -> Any:
    return x


@functools.cache
def kept_and_stored(x: Any) -> Any:
    global stored
    stored = x
    return x


@pytest.mark.parametrize(
    "fns",
    [
        [functools.cache(kept), kept_and_stored],
        [str.upper, str.lower, list.sort],
        [(1).__add__, (1).__sub__, [].__add__],
        [functools.cache(len), functools.cache(abs)],
    ],
)
def test_each_function_of_c_has_its_own(profiles: Profiles, fns: list[Any]) -> None:
    found = [profiles.of(fn, (1,)) for fn in fns]
    assert len(set(found)) == len(fns)
    assert [profiles.of(fn, (1,)) for fn in fns] == found
    assert [profiles.find(fn) for fn in fns] == [[profile] for profile in found]


def test_methods_of_c_are_one_whatever_they_are_bound_to(profiles: Profiles) -> None:
    assert profiles.of((1).__add__, (1,)) is profiles.of((2).__add__, (1,))


def test_functions_of_numpy_have_their_own(profiles: Profiles) -> None:
    numpy = pytest.importorskip("numpy")
    fns = [numpy.add, numpy.exp, numpy.sort, numpy.dot]
    assert len({profiles.of(fn, (1,)) for fn in fns}) == len(fns)


def test_one_cache_s_verdict_is_not_another_s(profiles: Profiles) -> None:
    pure = functools.cache(kept)
    call(profiles.of(pure, (1,)), 20, times=FIRST, fn=pure)
    other = profiles.of(kept_and_stored, (1,))
    call(other, 20, times=FIRST, fn=kept_and_stored)
    assert other.unsafe == "it stores the global 'stored'"


# -- what is uncertain ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queued", [0.0, 30.0])
def test_a_busy_machine_brings_nothing_back_from_processes(profiles: Profiles, queued: float) -> None:
    """Beside others a worker has a core a fifth of the time; some systems don't tell."""
    profile = profiles.of(work)
    call(profile, 20, times=FIRST)
    for _ in range(4000):
        profiles.clock.now += 0.05  # type: ignore[attr-defined]
        if profile.wants_meter():
            blocked = 80.0 if not queued else 80.0 - queued - 50.0
            profile.add(measure(20, blocked, queued), None, profile.decision.lane)
        assert profile.decision.lane == "processes"


def test_what_always_raises_is_judged_without_a_result(profiles: Profiles) -> None:
    profile = profiles.of(work)
    for _ in range(5000):
        profile.add(measure(20), HOLDER, "threads")
    assert profile.candidate
    assert len(profile._first) <= PATIENCE
    profile.conclude(examine(work, (1,), {}, None))
    assert profile.decision.lane == "processes"


def test_who_was_refused_is_tried_again_later_and_later(profiles: Profiles, clock: Clock) -> None:
    profile = profiles.of(work)
    call(profile, 20, times=FIRST)
    for wait in (REFUSED, 2 * REFUSED):
        for _ in range(3):  # were on their way there together
            profile.refuse("no way")
        assert profile.decision.lane == "threads"
        clock.now += wait - 2
        call(profile, 20, times=EVERY * 2)
        assert profile.decision.lane == "threads"
        clock.now += 3
        call(profile, 20, times=EVERY * 2)
        assert profile.decision.lane == "processes"
        assert profile.unsafe is None


def test_what_is_not_safe_is_not_tried_again(profiles: Profiles, clock: Clock) -> None:
    profile = profiles.of(stores)
    call(profile, 20, times=FIRST, fn=stores)
    profile.refuse("no way")
    clock.now += REFUSED + 1
    call(profile, 20, times=EVERY * 2, fn=stores)
    assert profile.decision.lane == "threads"
    assert profile.unsafe == "it stores the global 'stored'"


def test_a_file_that_is_read_first_is_not_all_that_it_does(profiles: Profiles) -> None:
    """Many at once: each has an eighth of the GIL, and at the beginning all of them read without it."""
    profile = profiles.of(work)
    call(profile, 300, held=Held(2.5, 2, 5, 0))
    call(profile, 300, held=Held(2.5, 0, 5, 0))
    assert not profile.decided
    call(profile, 300, held=Held(8.0, 0, 5, 0), times=2)
    assert profile.decision.lane == "processes"


def test_after_enough_calls_the_wait_is_for_what_they_hold(profiles: Profiles) -> None:
    profile = profiles.of(work)
    call(profile, 20, held=UNSEEN, times=FIRST + 3)
    assert profile.decision.reason == "the first 11 calls measured, what they hold was not seen yet"


def test_calls_that_are_cancelled_do_not_end_the_measuring() -> None:
    profile = Profiles().of(abs)
    for _ in range(2 * FIRST):
        assert profile.wants_meter()
        profile.miss()
    for _ in range(FIRST):
        assert profile.wants_meter()
    assert not profile.wants_meter()
