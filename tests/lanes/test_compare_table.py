"""The table on terminals of every width: it fits, and goes without what says least first."""

from __future__ import annotations

import pytest

from rota.lanes.compare.report import Comparison, Figures, Run, Verdict
from rota.lanes.compare.table import HEAD, SPARED, legend, table

SENTENCE = (
    "Of all the words that a verdict may have, these are some, and they go on for more than one line of any width."
)


def comparison(failures: int = 0, lane: str | None = None, in_lane: int = 100) -> Comparison:
    figures = Figures(0.123, 0.0456, 0.789, 0.0123, 123_000_000, 50, 1234, 567)
    runs = tuple(Run(model, 100, failures, None, figures) for model in ("sync", "processes", "rota"))
    if lane is not None:
        runs = (*runs, Run("auto", 100, failures, None, figures, lane, in_lane))
    verdict = Verdict("io", 0.1, 0.1, "asyncio", "rota", "rota", True, SENTENCE)
    return Comparison("job.py", "job.py", 100, 50, (), runs, verdict)


def heads(text: str) -> list[str]:
    first = text.splitlines()[0]
    return [head for head in HEAD if head in first]


def test_where_there_is_no_terminal_all_is_said_in_full() -> None:
    text = table(comparison(), False)
    assert heads(text) == list(HEAD)
    assert "<- best, the rule's pick" in text
    assert text == table(comparison(), False, 200)


@pytest.mark.parametrize("columns", [70, 80, 100, 110, 120])
@pytest.mark.parametrize("style", [False, True])
def test_it_fits_the_terminal(columns: int, style: bool) -> None:
    text = table(comparison(), style, columns) + "\n" + legend(style, columns)
    for code in ("\033[0m", "\033[1m", "\033[2m", "\033[32m"):
        text = text.replace(code, "")
    assert max(map(len, text.splitlines())) <= columns
    assert "<- best, " in text


@pytest.mark.parametrize(
    ("lane", "in_lane", "note"),
    [
        ("loop", 100, "<- on the loop"),
        ("threads", 100, "<- in threads"),
        ("processes", 84, "<- 84 of 100 in processes"),
    ],
)
def test_where_the_items_of_auto_went_is_told_as_shortly_as_it_must(lane: str, in_lane: int, note: str) -> None:
    where = comparison(lane=lane, in_lane=in_lane)
    assert table(where, False).splitlines()[4].endswith(note)
    narrow = table(where, False, 70).splitlines()
    assert max(map(len, narrow)) <= 70
    assert narrow[4].endswith(f"<- {lane}")


def test_columns_go_in_a_fixed_order_and_the_mark_is_shortened_first() -> None:
    full = len(table(comparison(), False).splitlines()[3])
    shorter = table(comparison(), False, full - 1)
    assert heads(shorter) == list(HEAD)
    assert "<- best, rule\n" in shorter
    gone = [[head for head in HEAD if head not in heads(table(comparison(), False, full - n))] for n in range(60)]
    steps = [each for n, each in enumerate(gone) if n == 0 or each != gone[n - 1]]
    assert [set(each) for each in steps] == [set(SPARED[:n]) for n in range(len(SPARED) + 1)]


def test_items_stay_where_some_of_them_failed() -> None:
    assert "items" in heads(table(comparison(failures=3), False, 40))
