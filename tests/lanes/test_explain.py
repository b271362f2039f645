"""What explain says of a function, with figures that the tests give."""

from __future__ import annotations

from typing import Any

import pytest

from rota.lanes.explain import Explanation, Row, explain
from rota.lanes.meter import Held, Measure
from rota.lanes.profile import FIRST, Profile, Profiles, examine

HOLDER = Held(2.0, 0, 0, 0)
NAME = f"{__name__}.work"


def work(x: Any = None) -> Any:
    return x


@pytest.fixture
def profiles() -> Profiles:
    return Profiles(cores=2, clock=lambda: 1000.0)


def call(profile: Profile, cpu: float, wait: float = 0.0, times: int = FIRST) -> None:
    """Calls that take so many seconds."""
    for _ in range(times):
        profile.wants_meter()
        profile.add(Measure(cpu, cpu + wait, 0.0, wait), HOLDER, "threads")
        if profile.candidate:
            profile.conclude(examine(work, (1,), {}, 1))


def test_the_lane_stands_once_and_then_the_reason(profiles: Profiles) -> None:
    call(profiles.of(work), 0.02)
    found = explain(profiles, work)
    assert (found.lane, found.reason) == ("processes", "computes 20 ms a call and holds the GIL")
    assert (found.rows[0].lane, found.rows[0].reason) == (found.lane, found.reason)
    assert str(found).splitlines() == [
        f"{NAME}: processes: computes 20 ms a call and holds the GIL",
        "    8 calls, of 20 ms computing, 0 µs waiting, 20 ms in all",
    ]


def test_a_size_with_another_lane_says_so(profiles: Profiles) -> None:
    call(profiles.of(work, ("a" * 1000,)), 0.02)
    call(profiles.of(work, ("a",)), 0.001, 0.05, FIRST + 1)  # more calls: first
    first, *rows = str(explain(profiles, work)).splitlines()
    assert first == f"{NAME}: threads: waits 98% of its 51 ms"
    assert rows[0] == "    9 calls, of 1 ms computing, 50 ms waiting, 51 ms in all"
    assert rows[1].startswith("    8 calls with arguments of 256 to 2,047, of 20 ms computing, ")
    assert rows[1].endswith(" in all; processes: computes 20 ms a call and holds the GIL")


def test_a_size_with_another_lane_says_so_for_the_same_reason_too() -> None:
    row = Row("", 1, 1, 0.0, 0.0, 0.0, 0.0, "threads", 1, "because")
    assert str(Explanation("f", "processes", "because", (row,))).endswith("; threads: because")


def test_before_the_figures_are_known_the_reason_is_how_many_there_are(profiles: Profiles) -> None:
    call(profiles.of(work), 0.02, times=1)
    assert str(explain(profiles, work)).startswith(f"{NAME}: threads: 1 of the first 8 calls measured so far\n")
