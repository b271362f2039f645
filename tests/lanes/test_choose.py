"""From figures to a lane: the rules, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from rota.lanes.choose import Decision, Figures, choose, gain

MS = 1e-3


def figures(cpu: float, blocked: float = 0.0, **others: Any) -> Figures:
    """In milliseconds; ``wall`` is that of a machine without others."""
    given = {"wall": cpu + blocked, "held": 1.0, "rate": 1.0, "ship": 0.3} | others
    given["wall"] *= MS
    given["ship"] *= MS
    return Figures(cpu * MS, blocked=blocked * MS, **given)


def lane(*args: float, cores: int = 2, **given: Any) -> str:
    names = {"unsafe", "processes_allowed", "gil", "gil_demand", "foremost"}
    rules = {name: given.pop(name) for name in names & set(given)}
    return choose(figures(*args, **given), cores=cores, **rules).lane


@pytest.mark.parametrize(
    ("cpu", "blocked", "held", "expected"),
    [
        (20.0, 0.0, 1.0, "processes"),  # Python code, or C that holds the GIL
        (20.0, 0.0, 0.8, "processes"),  # ... and now and then lets go of it
        (20.0, 0.0, 0.0, "threads"),  # C without it
        (20.0, 0.0, 0.3, "threads"),  # ... seen seldom, on a busy machine
        (20.0, 0.0, None, "processes"),  # nobody could tell
        (0.0, 50.0, None, "threads"),  # asleep
        (1.2, 50.0, 1.0, "threads"),  # a client of a server
        (20.0, 60.0, 1.0, "threads"),  # both
        (20.0, 5.0, 1.0, "processes"),
        (500.0, 0.0, 1.0, "processes"),
        (500.0, 2000.0, 1.0, "threads"),
    ],
)
def test_the_lane_of_one_call_at_a_time(cpu: float, blocked: float, held: float | None, expected: str) -> None:
    assert lane(cpu, blocked, held=held) == expected


@pytest.mark.parametrize("wall", [20.0, 200.0, 2000.0])
def test_a_busy_machine_changes_nothing(wall: float) -> None:
    """What a call waited for a core or the GIL is in none of the figures but ``wall``."""
    assert lane(20.0, wall=wall) == "processes"
    assert lane(20.0, wall=wall, held=0.0) == "threads"


@pytest.mark.parametrize(
    ("cpu", "ship", "expected"),
    [(20.0, 0.3, "processes"), (20.0, 9.0, "processes"), (20.0, 11.0, "threads"), (6.0, 4.0, "threads")],
)
def test_what_costs_more_to_ship_than_it_saves_stays(cpu: float, ship: float, expected: str) -> None:
    assert lane(cpu, ship=ship) == expected


@pytest.mark.parametrize(
    ("cpu", "blocked", "demand", "foremost", "expected"),
    [
        (2.0, 0.0, 0.1, True, "threads"),
        (2.0, 0.0, 0.5, True, "processes"),
        (2.0, 0.0, 0.5, False, "threads"),  # another one takes more: that one first
        (20.0, 30.0, 0.1, True, "threads"),  # mixed
        (20.0, 30.0, 0.5, True, "processes"),
        (0.5, 0.0, 0.9, True, "threads"),  # not worth the way
    ],
)
def test_short_and_mixed_calls_go_by_what_they_take_together(
    cpu: float, blocked: float, demand: float, foremost: bool, expected: str
) -> None:
    assert lane(cpu, blocked, gil_demand=demand, foremost=foremost) == expected


@pytest.mark.parametrize(("cpu", "blocked"), [(0.003, 0.0), (0.1, 0.05), (0.0, 0.0)])
def test_tiny_calls_are_done_many_at_a_time(cpu: float, blocked: float) -> None:
    found = choose(figures(cpu, blocked), cores=2)
    assert (found.lane, found.tiny) == ("threads", True)
    assert not choose(figures(cpu, blocked + 1.0), cores=2).tiny


@pytest.mark.parametrize("cpu", [2.0, 20.0, 2000.0])
def test_without_a_gil_all_is_done_in_threads(cpu: float) -> None:
    assert lane(cpu, gil=False, gil_demand=9.0) == "threads"


def test_without_processes_all_is_done_in_threads() -> None:
    assert lane(20.0, processes_allowed=False) == "threads"


@pytest.mark.parametrize(
    ("cpu", "blocked", "rate", "wall", "width"),
    [
        (0.01, 1000.0, 200.0, 1000.0, 300),  # half as many again as are on their way
        (0.01, 1000.0, 1.0, 1000.0, 8),  # seldom called: no reason to queue
        (0.01, 1000.0, 90_000.0, 1000.0, 500),  # as many threads as there may be
        (1.2, 1000.0, 5_000.0, 1000.0, 500),
        (10.0, 90.0, 5_000.0, 100.0, 10),  # more than that and they wait for the GIL
    ],
)
def test_as_many_wait_at_once_as_arrive(cpu: float, blocked: float, rate: float, wall: float, width: int) -> None:
    assert choose(figures(cpu, blocked, rate=rate, wall=wall), cores=2, most=500).width == width


def test_as_many_compute_at_once_as_there_are_cores() -> None:
    assert choose(figures(20.0, held=0.0), cores=7).width == 7
    assert choose(figures(20.0), cores=7).width == 7


@pytest.mark.parametrize(
    ("given", "rules", "reason"),
    [
        ({"cpu": 21.0}, {}, "computes 21 ms a call and holds the GIL"),
        ({"cpu": 1.0, "blocked": 50.0}, {}, "waits 98% of its 51 ms"),
        ({"cpu": 21.0, "held": 0.1}, {}, "computes 21 ms a call and lets go of the GIL"),
        ({"cpu": 21.0, "held": None}, {}, "computes 21 ms a call, whether with the GIL could not be seen"),
        (
            {"cpu": 21.0},
            {"unsafe": "it stores the global 'seen'"},
            "computes 21 ms a call and holds the GIL, but stays: it stores the global 'seen'",
        ),
        (
            {"cpu": 21.0, "ship": 15.0},
            {},
            "computes 21 ms a call and holds the GIL, but stays: to ship a call takes 15 ms",
        ),
        ({"cpu": 21.0}, {"gil": False}, "computes 21 ms a call, and this Python has no GIL"),
        ({"cpu": 2.5, "rate": 40.0}, {}, "computes 2.5 ms a call and holds the GIL, 10% of a core"),
        ({"cpu": 0.003}, {}, "takes 3 µs a call, too little to be sent away alone"),
    ],
)
def test_a_reason_is_a_line_with_the_figures(given: dict[str, Any], rules: dict[str, Any], reason: str) -> None:
    assert choose(figures(**given), cores=2, **rules).reason == reason


def test_a_decision_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Decision("threads", 1, False, "").lane = "processes"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("before", "after", "given", "times"),
    [
        ("threads", "processes", {"cpu": 20.0}, 2.0),  # two cores instead of one GIL
        ("processes", "threads", {"cpu": 20.0, "ship": 60.0}, 3.0),
        ("threads", "processes", {"cpu": 20.0, "held": 0.0}, 1.0),  # it had the cores
        ("processes", "threads", {"cpu": 1.0, "blocked": 49.0}, 25.0),  # who waits there keeps a process from work
    ],
)
def test_what_a_move_gains(before: str, after: str, given: dict[str, Any], times: float) -> None:
    assert gain(figures(**given), before, after, cores=2) == pytest.approx(times)


def test_only_what_computes_crowds() -> None:
    """More of those at once are in one another's way; of what waits there may be any number."""
    holder = Figures(0.02, 0.02, 0.0, 1.0, 1.0, 0.0003)
    free = holder._replace(held=0.0)
    waits = Figures(0.001, 0.1, 0.099, 1.0, 1.0, 0.0003)
    assert choose(free, cores=4).crowd
    assert choose(free, cores=4).width == 4
    assert choose(holder, cores=4, unsafe="it keeps something").crowd
    assert choose(holder, gil=False).crowd
    assert not choose(waits).crowd
    assert not choose(holder._replace(cpu=0.00001)).crowd
