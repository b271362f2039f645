from __future__ import annotations

import math

import pytest

from rota.fetch.retry import FIRST, LONGEST, LONGEST_ASKED, asked_wait, pause

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def test_the_waits_double_up_to_the_longest() -> None:
    assert [pause(n, None, 1.0) for n in range(1, 8)] == [1, 2, 4, 8, 16, LONGEST, LONGEST]


def test_chance_spreads_a_wait_over_its_upper_half() -> None:
    assert pause(1, None, 0.0) == FIRST / 2
    assert pause(1, None, 0.5) == FIRST * 0.75


def test_any_number_of_failures_has_a_wait() -> None:
    assert pause(100_000, None, 1.0) == LONGEST


def test_the_server_is_obeyed_and_never_earlier_than_it_said() -> None:
    assert pause(5, 0.0, 1.0) == 0
    assert pause(1, 120.0, 0.0) == 120
    assert pause(1, 120.0, 1.0) > 120
    assert pause(1, 86_400.0, 0.0) == LONGEST_ASKED


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2000 22:14:20 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("٣", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert asked_wait(header, NOON) == seconds


def test_absurd_numbers_are_finite() -> None:
    wait = asked_wait("9" * 5000, NOON)
    assert wait is not None
    assert math.isfinite(wait)
