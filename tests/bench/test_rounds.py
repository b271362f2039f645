"""Rounds: who takes turns, what becomes of their figures, and what of a process that has none."""

from __future__ import annotations

import sys

import pytest

from rota.bench.rounds import Cell, NoFigure, ask, by_turns, cell, is_behind


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_they_take_turns_and_a_ratio_is_the_median_of_those_within_each_round() -> None:
    figures = {"rota": [1.0, 10.0, 2.0], "uvloop": [3.0, 20.0, 8.0]}
    called = []

    def turn(peer: str) -> float:
        called.append(peer)
        return figures[peer].pop(0)

    found, why = by_turns(["rota", "uvloop"], 3, turn)
    assert called == ["rota", "uvloop", "uvloop", "rota", "rota", "uvloop"]  # nobody is always first
    assert why == {}
    assert cell(found["rota"], found["rota"]) == Cell(2.0, 1.0, range=(1.0, 1.0))
    assert cell(found["uvloop"], found["rota"]) == Cell(8.0, 3.0, range=(2.0, 4.0))
    more = cell(found["uvloop"], found["rota"], more_is_better=True)
    assert more == Cell(8.0, 1 / 3, range=(0.25, 0.5))


def test_who_has_no_figure_once_is_not_asked_again_and_says_why() -> None:
    called = []

    def turn(peer: str) -> float:
        called.append(peer)
        if peer == "rloop" and called.count("rloop") == 2:
            raise NoFigure("no TLS")
        return 1.0

    found, why = by_turns(["rota", "rloop"], 3, turn)
    assert why == {"rloop": "no TLS"}
    assert cell(found["rloop"], found["rota"], why["rloop"]) == Cell(None, None, "no TLS")
    assert called == ["rota", "rloop", "rloop", "rota", "rota"]


def test_rota_is_behind_by_what_can_be_read() -> None:
    assert [is_behind(ratio) for ratio in (None, 0.5, 0.99, 0.996, 1.0)] == [False, True, True, False, False]


def test_where_rota_has_no_figure_the_others_have_no_ratio() -> None:
    assert cell([1.0, 2.0], [1.0]) == Cell(1.5, None)
    assert cell([1.0], []) == Cell(1.0, None)


def test_the_last_line_of_a_process_is_its_answer() -> None:
    assert ask(python("print('warm'); print(2.5e-7)")) == "2.5e-07"


def test_a_process_that_stands_still_is_ended() -> None:
    with pytest.raises(NoFigure, match=r"nothing came in 0\.2 s"):
        ask(python("import time; time.sleep(60)"), patience=0.2)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise NotImplementedError('no TLS here')", "NotImplementedError: no TLS here"),
        ("import sys; sys.exit(3)", "it ended with exit code 3 and without a word"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it was ended by signal 9 (Killed)"),
        ("", "it ended with exit code 0 and without a word"),
    ],
)
def test_a_process_without_a_figure_is_a_reason(program: str, why: str) -> None:
    with pytest.raises(NoFigure) as raised:
        ask(python(program))
    assert str(raised.value) == why


@pytest.mark.parametrize("name", ["PYTHONASYNCIODEBUG", "PYTHONDEVMODE"])
def test_debugging_is_not_what_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert ask(python(f"import os; print({name!r} in os.environ)")) == "False"
