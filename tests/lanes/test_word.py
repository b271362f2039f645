"""The user's word: ``@rota.io``, ``@rota.cpu``."""

from __future__ import annotations

import functools
import json
import pickle
from typing import Any

import pytest

from rota.errors import UsageError
from rota.lanes.word import Word, cpu, io, word_of


@io
def fetch(url: str) -> str:
    """What it fetches."""
    return url


class Client:
    @cpu
    def render(self, page: int) -> int:
        return page + 1

    @io(limit=3)
    def __call__(self, page: int) -> int:
        return page


def test_a_function_bears_its_word_and_stays_itself() -> None:
    word = word_of(fetch)
    assert word is not None
    assert (word.kind, word.limit) == ("io", None)
    assert (fetch.__name__, fetch.__doc__, fetch("x")) == ("fetch", "What it fetches.", "x")
    assert pickle.loads(pickle.dumps(fetch)) is fetch


def test_a_word_is_found_through_what_stands_around_a_function() -> None:
    found = [word_of(fn) for fn in (functools.partial(fetch, "x"), Client().render, Client.render, Client())]
    assert [word and word.kind for word in found] == ["io", "cpu", "cpu", "io"]
    assert found[3] is not None
    assert found[3].limit == 3


def test_who_bears_no_word_has_none() -> None:
    assert [word_of(fn) for fn in (len, json.loads, str, Client, functools.partial(len), [].append)] == [None] * 6


def test_the_outermost_word_wins() -> None:
    word = word_of(cpu(functools.partial(fetch, "x")))
    assert word is not None
    assert word.kind == "cpu"


@pytest.mark.parametrize("fn", [len, [1].count, Client().render, functools.partial(int, base=2), int])
def test_what_can_not_bear_a_word_comes_back_as_a_partial_that_does(fn: Any) -> None:
    marked: Any = io(fn)
    assert isinstance(marked, functools.partial)
    assert marked.func == (fn.func if isinstance(fn, functools.partial) else fn)
    word = word_of(marked)
    assert word is not None
    assert word.kind == "io"
    assert marked("1") == fn("1") if fn in (len, int) else True


def test_functions_with_one_word_share_it() -> None:
    slow = io(limit=50)
    assert word_of(slow(len)) is word_of(slow(json.loads)) is slow
    json_word = json.loads.__dict__.pop("__rota_word__")
    assert json_word is slow


def test_words_for_people() -> None:
    assert [repr(word) for word in (io(limit=50), cpu(), word_of(fetch))] == [
        "rota.io(limit=50)",
        "rota.cpu",
        "rota.io",
    ]


def test_a_word_travels() -> None:
    there = pickle.loads(pickle.dumps(io(limit=2)))
    assert isinstance(there, Word)
    assert (there.kind, there.limit) == ("io", 2)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_under_which_nothing_runs_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match="nothing would ever run"):
        io(limit=limit)


@pytest.mark.parametrize("limit", ["5", 1.5, True])
def test_a_limit_is_a_number(limit: Any) -> None:
    with pytest.raises(TypeError, match="limit is a number of calls or None"):
        cpu(limit=limit)


def test_only_functions_bear_words() -> None:
    with pytest.raises(TypeError, match="marks a function, not 50"):
        io(50)  # type: ignore[call-overload]


def test_what_a_function_bears_beside_is_no_word() -> None:
    def plain() -> None: ...

    plain.other = 1  # type: ignore[attr-defined]
    assert word_of(plain) is None
    plain.__rota_word__ = "no word"  # type: ignore[attr-defined]
    assert word_of(plain) is None
