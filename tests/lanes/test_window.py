"""How many threads a map has: fed with what its looks would see, at times that the test says."""

from __future__ import annotations

import pytest

from rota.lanes.choose import Figures
from rota.lanes.window import LOOK_EVERY, PATIENCE, PATIENCE_UNSEEN, SLOWER, START, START_TOLD, Window


class Looks:
    """A window that is looked at when it is due; ``look`` says the width after it."""

    def __init__(self, window, width=0):
        self.window = window
        self.spent = 0.0
        window.begin(0.0, 0, 0.0, width)

    @property
    def now(self):
        return self.window.due

    def look(self, *, computing=False, ended=0, busy=0.0, figures=None, full=True, late=0.0):
        now = self.now + late
        self.spent += busy * LOOK_EVERY
        self.window.look(now, ended, full, computing, self.spent, figures)
        return self.window.width

    def widths(self, seconds, **seen):
        """The widths one after the other, and when each was reached."""
        found = []
        while self.now < seconds:
            before, now = self.window.width, self.now
            if self.look(**seen) != before:
                found.append((self.window.width, round(now, 1)))
        return found


def told(most):
    return Looks(Window(START_TOLD, most, told=True))


def test_calls_that_don_t_come_back_are_twice_as_many_at_each_look():
    looks = Looks(Window(START, 100))
    assert [looks.look() for _ in range(6)] == [8, 16, 32, 64, 100, 100]


def test_a_width_that_is_told_is_reached_when_the_calls_are_seen_to_wait():
    looks = told(100)
    assert looks.look(computing=True) == START_TOLD
    assert looks.look() == 100
    assert looks.window.is_fixed


def test_what_is_told_and_little_is_there_at_once():
    window = Window(START_TOLD, 1, told=True)
    assert window.width == 1
    assert window.is_fixed


def test_what_is_known_needs_no_look():
    assert Looks(Window(START, 100), width=8).window.width == 8
    assert Looks(Window(START, 100), width=1000).window.width == 100


@pytest.mark.parametrize("is_told", [False, True])
def test_calls_that_compute_are_more_later_and_later(is_told):
    """They may wait for one another all the same, so all get in in the end."""
    start = START_TOLD if is_told else START
    looks = Looks(Window(start, 100, is_told))
    first, second = PATIENCE, PATIENCE * (1 + SLOWER)
    assert looks.widths(2 * second, computing=True) == [
        (2 * start, pytest.approx(first, abs=0.2)),
        (4 * start, pytest.approx(second, abs=0.2)),
    ]
    looks.widths(10_000.0, computing=True)
    assert looks.window.width == 100


def test_calls_that_compute_and_come_back_are_no_reason_for_more():
    looks = Looks(Window(START, 100))
    assert [looks.look(computing=True, ended=ended) for ended in range(4, 100, 4)] == [START] * 24
    assert looks.look(ended=100) == 2 * START


def test_what_is_known_says_more_than_what_is_seen():
    figures = Figures(cpu=0.001, wall=0.1, blocked=0.099, held=None, rate=100.0, ship=0.0)
    assert told(50).look(computing=True, figures=figures) == 50
    looks = Looks(Window(START, 100))
    assert looks.look(computing=True, ended=4, figures=figures) == 2 * START


def test_where_nothing_is_seen_a_busy_core_says_that_they_may_compute():
    for looks in (told(100), Looks(Window(START, 100))):
        start = looks.window.width
        assert looks.widths(3 * PATIENCE_UNSEEN, computing=None, busy=1.0)[0] == (
            2 * start,
            pytest.approx(PATIENCE_UNSEEN, abs=0.1),
        )


def test_where_nothing_is_seen_the_second_look_counts():
    """At the first it may not be seen yet."""
    looks = told(100)
    assert [looks.look(computing=None) for _ in range(2)] == [START_TOLD, 100]
    looks = told(100)
    assert [looks.look(computing=None, late=late) for late in (0.0, 0.01, 0.0)] == [START_TOLD, START_TOLD, 100]


def test_more_that_bring_nothing_are_taken_back():
    looks = Looks(Window(START, 100))
    assert looks.look(ended=4) == 2 * START
    assert looks.look(ended=12) == 4 * START  # twice as many came
    for ended in range(20, 37, 8):  # and no more than that from the next ones
        looks.look(ended=ended)
    assert looks.window.width == 2 * START


def test_a_late_loop_has_fewer():
    looks = Looks(Window(START, 1000), width=400)
    assert looks.look(late=0.1) == 300


def test_who_is_not_full_learns_nothing():
    looks = Looks(Window(START, 100))
    assert looks.widths(5.0, full=False) == []


def test_no_more_than_one_core_can_serve():
    figures = Figures(cpu=0.01, wall=0.1, blocked=0.09, held=None, rate=10.0, ship=0.0)
    looks = Looks(Window(START, 1000), width=400)
    assert looks.look(ended=1, figures=figures) == 10
