"""The bars on paper of every width: they fit, and say the same with and without colour."""

from __future__ import annotations

import io
import re

import pytest

from rota.bench.chart import Paper, chart, heading, plain_warning, seconds, summary, times
from rota.bench.report import Report, Row, Setting
from rota.bench.rounds import Cell

AHEAD = Row("step", "a task has its turn", {"rota": Cell(1e-7, 1.0), "uvloop": Cell(4e-7, 4.0)})
BEHIND = Row(
    "echo-tls",
    "1 KiB there and back, and more words than a narrow terminal has room for",
    {
        "rota": Cell(2e-5, 1.0),
        "asyncio": Cell(4e-5, 2.0),
        "uvloop": Cell(1.9e-5, 0.95),
        "rloop": Cell(None, None, "NotImplementedError"),
    },
)
LOOPS = {"rota": "rota 0.1.0 (compiled)", "asyncio": "asyncio 3.13.0", "uvloop": "uvloop 0.23.0"}
SETTING = Setting("0.1.0", True, "3.13.0", "CPython 3.13.0, Linux 6.1, 8 x A Processor", LOOPS, 3, 0.1, {})
REPORT = Report(SETTING, (AHEAD, BEHIND))


def paper(columns: int = 80, style: bool = False) -> Paper:
    return Paper(columns, style, "█", "▒")


def plain(text: str) -> str:
    return re.sub(r"\033\[\d*m", "", text)


def everything(on: Paper) -> str:
    parts = [plain_warning(True, on), heading(SETTING, on), chart(AHEAD, on), chart(BEHIND, on), summary(REPORT, on)]
    return "\n".join(parts)


def test_the_longest_figure_has_the_longest_bar_and_a_ratio_stands_beside_the_others() -> None:
    title, rota, uvloop = chart(AHEAD, paper()).splitlines()
    assert title == "step  a task has its turn"
    assert rota.split()[0::2] == ["rota", "100"]
    assert uvloop.split()[0::2] == ["uvloop", "400", "4.0x"]
    assert (rota.count("█"), uvloop.count("▒")) == (12, 50)
    assert uvloop.endswith(" ns  4.0x")
    assert rota.endswith(" ns")


def test_where_another_takes_less_it_is_marked_in_words() -> None:
    _, _, rota, asyncio, uvloop, rloop = chart(BEHIND, paper()).splitlines()
    assert rota.endswith("20.0 us  <- behind")
    assert asyncio.endswith("40.0 us  2.0x")
    assert uvloop.endswith("19.0 us  0.95x")
    assert rloop == "  rloop    -  NotImplementedError"
    assert "rota is behind in 1 of 2 operations: echo-tls (uvloop 0.95x)." in summary(REPORT, paper(100))


@pytest.mark.parametrize("columns", [32, 40, 41, 60, 80, 120])
@pytest.mark.parametrize("style", [False, True])
def test_it_fits_the_paper(columns: int, style: bool) -> None:
    text = everything(paper(columns, style))
    assert max(map(len, plain(text).splitlines())) <= columns
    assert ("\033" in text) == style
    assert plain(text) == everything(paper(columns))
    assert "<- behind" in text


def test_where_there_is_no_room_for_bars_the_figures_stand_alone() -> None:
    assert "▒" not in chart(AHEAD, paper(36))
    assert "400 ns  4.0x" in chart(AHEAD, paper(36))


def test_a_stream_that_has_no_blocks_gets_signs_that_it_has() -> None:
    narrow = Paper.of(io.TextIOWrapper(io.BytesIO(), "ascii"), False)
    chart(AHEAD, narrow).encode("ascii")
    assert (narrow.solid, narrow.light) == ("#", "=")
    assert Paper.of(io.TextIOWrapper(io.BytesIO(), "utf-8"), False).solid == "█"


def test_behind_is_what_can_be_read_off() -> None:
    level = Row("step", "", {"rota": Cell(1e-7, 1.0), "uvloop": Cell(0.996e-7, 0.996)})
    assert level.behind == []
    assert "1.00x" in chart(level, paper())
    assert "behind in none of 1 operations" in summary(Report(SETTING, (level,)), paper())


def test_without_another_loop_there_is_nothing_to_compare() -> None:
    alone = Row("step", "", {"rota": Cell(1e-7, 1.0)})
    assert "no other loop" in summary(Report(SETTING, (alone,)), paper())


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.21e-8, "92.1 ns"), (9.996e-7, "1.00 us"), (2.5e-6, "2.50 us"), (1.234e-4, "123 us"), (0.0021, "2.10 ms")],
)
def test_three_digits_and_a_unit(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_ratio_has_the_places_that_make_a_difference() -> None:
    assert [times(ratio) for ratio in (0.944, 1.267, 1.999, 3.16, 9.96, 12.4)] == [
        "0.94x",
        "1.27x",
        "2.0x",
        "3.2x",
        "10x",
        "12x",
    ]
