from __future__ import annotations

import pytest

from rota.fetch.figures import rate, size, span


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_549, "1.5 kB"),
        (999_960, "1.0 MB"),
        (20_000_000, "20.0 MB"),
        (3.2e18, "3200.0 PB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00 s"), (9.994, "9.99 s"), (9.996, "10.0 s"), (59.96, "1:00"), (185, "3:05"), (7200, "2:00:00")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("each_second", "text"), [(0, "0.0/s"), (9.9, "9.9/s"), (82.4, "82/s"), (1204, "1,204/s")])
def test_rates(each_second: float, text: str) -> None:
    assert rate(each_second) == text
