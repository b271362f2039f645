"""How times, objects and exceptions read in messages."""

from __future__ import annotations

import pytest

from rota.lanes.wording import arguments, describe, seconds, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 µs"),
        (2.5e-6, "2.5 µs"),
        (4.8123e-4, "481 µs"),
        (9.996e-4, "1 ms"),
        (0.0514, "51.4 ms"),
        (0.99949, "999 ms"),
        (0.9994999999999999, "1.00 s"),
        (0.9996, "1.00 s"),
        (1.26, "1.26 s"),
        (4321.0, "4321.00 s"),
    ],
)
def test_times_read_well(value: float, text: str) -> None:
    assert seconds(value) == text


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_objects_stand_in_one_line_whatever_their_code_does() -> None:
    assert short("two\nlines") == r"'two\nlines'"
    assert len(short("x" * 1000)) <= 80
    assert short(Mute()).startswith("<Mute")
    assert arguments((1, "a"), {"b": 2}) == "1, 'a', b=2"


def test_exceptions_are_described_by_their_first_line_whatever_their_code_does() -> None:
    assert describe(ValueError("first\nsecond")) == "ValueError: first"
    assert describe(KeyError()) == "KeyError"
    assert describe(SilentError()) == "SilentError: (its text can't be made)"
