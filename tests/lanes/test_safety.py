"""Which calls may move to another process."""

from __future__ import annotations

import argparse
import ast
import collections
import contextvars
import copy
import csv
import dataclasses
import decimal
import email
import enum
import functools
import hashlib
import heapq
import importlib.util
import inspect
import json
import logging
import math
import operator
import os
import pathlib
import queue
import random
import re
import socket
import struct
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, NamedTuple

import pytest

from rota.lanes import bytecode, reading, safety
from rota.lanes.safety import process_safe, result_ships, size_of

COUNTER = 0
REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST")
LOCAL = threading.local()


def plain(x: Any) -> Any:
    items = [x]
    items.append(x)
    mapping = {}
    mapping[1] = items
    return mapping


def counts(x: int) -> int:
    global COUNTER
    COUNTER += x
    return COUNTER


def counts_inside(x: int) -> Any:
    def inside() -> None:
        global COUNTER
        COUNTER = x

    return inside()


def forgets() -> None:
    global COUNTER
    del COUNTER


def asks_context() -> str:
    return REQUEST.get()


def asks_thread() -> Any:
    return LOCAL.connection


def stores_item(x: list[int]) -> None:
    x[0] = 1


def stores_at(x: list[int], at: int, value: int) -> None:
    x[at] = value


def adds_item(x: dict[str, int], word: str) -> None:
    x[word] += 1


def deletes_item(x: list[int]) -> None:
    del x[0]


def stores_attribute(x: Any) -> None:
    x.name = 1


def appends(x: list[int]) -> None:
    x.append(1)


def changes_a_copy(x: list[int]) -> list[int]:
    x = list(x)
    x.append(1)
    x[0] = 2
    return x


class Shop:
    def __init__(self) -> None:
        self.sold = 0

    def sell(self) -> int:
        return self.sold

    @staticmethod
    def tax(x: int) -> int:
        return x

    @classmethod
    def made(cls, x: int) -> int:
        return x

    def __call__(self) -> int:
        return self.sold


class Point(NamedTuple):
    x: int

    def far(self) -> int:
        return self.x


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any

    def double(self) -> Any:
        return self.x


@functools.cache
def remembers(x: int) -> int:
    return x


def around() -> Callable[[int], int]:
    items: list[int] = []

    def uses(x: int) -> int:
        return len(items) + x

    return uses


SEEN: list[int] = []
KEPT: dict[int, int] = {}


def appends_to_global(x: int) -> None:
    SEEN.append(x)


def keeps_in_global(x: int) -> int:
    if x not in KEPT:
        KEPT[x] = x * x
    return KEPT[x]


def marks_itself(x: int) -> None:
    marks_itself.last = x  # type: ignore[attr-defined]


def calls_a_module(path: str) -> None:
    os.remove(path)


@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (plain, (1,)),
        (functools.partial(plain, 1), ()),
        (json.loads, ("1",)),
        (sorted, ([1],)),
        (math.sqrt, (2,)),
        (int, ("1",)),
        (changes_a_copy, ([1],)),
        (remembers, (1,)),
        (Shop.tax, (1,)),
        (Shop.made, (1,)),
        ("a b".split, ()),
        (re.compile("a").findall, ("aa",)),
        (operator.itemgetter(0), ([1],)),
        (Point(1).far, ()),
        (Frozen(1).double, ()),
        (Frozen, (1,)),
        (Point, (1,)),
        (Shop, ()),
        (calls_a_module, ("nowhere",)),
    ],
    ids=str,
)
def test_what_means_the_same_elsewhere_may_move(fn: Any, args: tuple[Any, ...]) -> None:
    assert process_safe(fn, args, {}) is None


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (counts, "it stores the global 'COUNTER'"),
        (counts_inside, "it stores the global 'COUNTER'"),
        (forgets, "it stores the global 'COUNTER'"),
        (functools.partial(counts, 1), "it stores the global 'COUNTER'"),
        (asks_context, "it uses the context variable 'REQUEST', and a context does not reach a process"),
        (asks_thread, "it uses 'LOCAL', which each thread has its own of"),
        (around(), "it uses 'items' of the function around it"),
        ([].append, "it is bound to a list, which it may change"),
        (collections.Counter().update, "it is bound to a Counter, which it may change"),
        (Shop().sell, "it is bound to a Shop, which it may change"),
        (functools.partial(Shop().sell), "it is bound to a Shop, which it may change"),
        (Shop(), "it is bound to a Shop, which it may change"),
        (Frozen([]).double, "it is bound to a Frozen, which it may change"),
        (stores_item, "it changes its argument 'x'"),
        (stores_at, "it changes its argument 'x'"),
        (adds_item, "it changes its argument 'x'"),
        (deletes_item, "it changes its argument 'x'"),
        (stores_attribute, "it changes its argument 'x'"),
        (appends, "it changes its argument 'x'"),
        (appends_to_global, "it changes the global 'SEEN'"),
        (keeps_in_global, "it changes the global 'KEPT'"),
        (marks_itself, "it changes the global 'marks_itself'"),
    ],
    ids=str,
)
def test_what_would_mean_something_else_stays(fn: Any, reason: str) -> None:
    assert process_safe(fn, (), {}) == reason


def test_an_argument_that_does_not_pickle_is_named() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert (process_safe(plain, (1, here), {}) or "").startswith("the argument 1 (a socket) does not pickle: ")
    lock = threading.Lock()
    assert (process_safe(plain, (), {"x": [lock]}) or "").startswith("the argument x (a list) does not pickle: ")
    assert (process_safe(functools.partial(plain, lock), (), {}) or "").startswith("the argument 0 (a lock)")


def test_a_result_that_does_not_pickle_is_named() -> None:
    def results() -> Iterator[int]:
        yield 1

    assert (result_ships(results()) or "").startswith("its result (a generator) does not pickle: ")
    assert result_ships({"a": [1, 2.5, None]}) is None


class Unwilling:
    def __reduce__(self) -> Any:
        raise RuntimeError("not\nme")


def test_whatever_pickling_raises_is_the_reason() -> None:
    assert result_ships(Unwilling()) == "its result (an Unwilling) does not pickle: not me"


def test_a_lambda_needs_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    triple = lambda x: 3 * x  # noqa: E731 - that is what is tested
    monkeypatch.setattr(safety, "has_cloudpickle", lambda: False)
    assert "which takes cloudpickle to send: pip install 'rota[lanes]'" in (process_safe(triple, (1,), {}) or "")
    monkeypatch.setattr(safety, "has_cloudpickle", lambda: True)
    assert process_safe(triple, (1,), {}) is None


def test_functions_of_the_program_itself_need_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "__module__", "__main__")
    monkeypatch.setattr(safety, "has_cloudpickle", lambda: False)
    assert (process_safe(plain, (1,), {}) or "").startswith("it is part of the program itself")
    monkeypatch.setattr(safety, "has_cloudpickle", lambda: True)
    assert process_safe(plain, (1,), {}) is None


@pytest.mark.skipif(importlib.util.find_spec("cloudpickle") is None, reason="cloudpickle is not installed")
def test_an_argument_that_cloudpickle_sends_is_no_hindrance() -> None:
    assert process_safe(plain, (lambda x: x,), {}) is None


class Endless:
    """Counts how much of it was pickled."""

    looked = 0

    def __reduce__(self) -> Any:
        Endless.looked += 1
        return bytes, (bytes(1000),)


def test_only_the_beginning_of_what_is_large_is_looked_at() -> None:
    assert result_ships([Endless() for _ in range(100_000)]) is None
    assert Endless.looked < 1000


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (7, 1, 100),
        (b"x" * 5_000_000, 5_000_000, 5_001_000),
        (bytearray(5_000_000), 5_000_000, 5_001_000),
        ([bytes(1000)] * 3, 1000, 4000),
        (list(range(1_000_000)), 1_000_000, 10_000_000),
        ({number: f"{number:10}" for number in range(100_000)}, 1_000_000, 5_000_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sizes_are_about_right(value: Any, least: int, most: int) -> None:
    assert least <= size_of(value) <= most


def test_the_size_of_an_array() -> None:
    numpy = pytest.importorskip("numpy")
    assert 8_000_000 <= size_of(numpy.zeros(1_000_000)) <= 8_001_000
    assert process_safe(plain, (numpy.zeros(1_000_000),), {}) is None
    assert process_safe(numpy.sqrt, (numpy.zeros(10),), {}) is None


# -- what the code shows: both kinds, with the Python that runs this --------------------------------------------

QUEUE: queue.Queue[int] = queue.Queue()
LOCK = threading.Lock()
READY = threading.Event()
TABLE = {"a": [1, 2], "b": [3]}
NESTED: dict[str, dict[str, int]] = {"a": {}}
NUMBERS = [3, 1, 2]
NAMES = ("a", "b")
LIMIT = 10
WORD = re.compile("[a-z]+")
HEADER = struct.Struct("<I")
logger = logging.getLogger("tests.safety")


class Kind(enum.Enum):
    GOOD = 1


class Stock:
    size = 3

    def __init__(self, items: Any = ()) -> None:
        self.items = list(items)
        self.count = 0
        self.inside: Any = None

    def total(self) -> int:
        return len(self.items) + self.size

    def take(self, x: int) -> int:
        self.items.append(x)
        return x

    def take_later(self, x: int) -> int:
        return self.take(x)

    def put_down(self) -> None:
        global COUNTER
        COUNTER += 1


STOCK = Stock()


class Memo:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}

    def __getitem__(self, key: Any) -> int:
        return self.known.setdefault(key, 1)

    def __contains__(self, key: Any) -> bool:
        self.known[key] = 1
        return True

    def __iter__(self) -> Any:
        self.known.clear()
        return iter(())

    def __len__(self) -> int:
        self.known = {}
        return 0


class Missing(dict[Any, Any]):
    def __missing__(self, key: Any) -> int:
        self[key] = 1
        return 1


class Table:
    """Changes nothing when it is asked."""

    def __init__(self) -> None:
        self.rows = {"a": 1}

    def __getitem__(self, key: Any) -> int:
        return self.rows[key]

    def __len__(self) -> int:
        return len(self.rows)


MEMO, MISSING, LOOKED_UP = Memo(), Missing(), Table()


def asks_for_globals(x: int) -> None:
    globals()["COUNTER"] = x


def executes(x: int) -> None:
    exec("global COUNTER; COUNTER = 1")


def evaluates(x: int) -> Any:
    return eval("NUMBERS.append(1)")


def copies_into(x: Any) -> None:
    import numpy

    numpy.copyto(x, 1)


def puts_into(x: Any) -> None:
    import numpy

    numpy.put(x, [0], 1)


def shuffles(x: Any) -> None:
    import numpy

    numpy.random.shuffle(x)


def seeds(x: int) -> None:
    import numpy

    numpy.random.seed(x)


def iterates(x: int) -> list[Any]:
    return [x for x in MEMO]  # noqa: C416 - that is the point


def bump(x: int) -> int:
    global COUNTER
    COUNTER += 1
    return x


def bump_further(x: int) -> int:
    return bump(x) + 1


@functools.cache
def bump_once(x: int) -> int:
    return bump(x)


def square(x: int) -> int:
    return x * x


def order_by(items: list[int], key: Any) -> list[int]:
    return sorted(items, key=key)


def the_table() -> dict[str, list[int]]:
    return TABLE


def first_of(items: Any) -> Any:
    return items[0]


def fill(items: Any, x: Any = 1) -> Any:
    items.append(x)
    return items


def calls_itself(x: int) -> int:
    return x if x < 2 else calls_itself(x - 1) + square(x)


def alias(x: int) -> None:
    table = TABLE
    table["c"] = [x]


def alias_of_one(x: Any) -> None:
    rows = x if len(x) else []
    rows[0] = 1


def changes_rows(x: list[list[int]]) -> None:
    for row in x:
        row.append(1)


def changes_in_a_comprehension(x: list[int]) -> Any:
    return [NUMBERS.append(each) for each in x]  # type: ignore[func-returns-value]


def changes_rows_in_a_comprehension(x: list[list[int]]) -> Any:
    return [row.sort() for row in x]


def changes_in_an_inner_function(x: list[int]) -> None:
    def inside() -> None:
        x.append(1)

    inside()


def changes_after_an_error(x: dict[str, int]) -> None:
    try:
        int("x")
    except ValueError as error:
        x[str(error)] = 1


def changes_a_part(x: Any) -> None:
    first, *_ = x
    first.items.clear()


def changes_one_in_a_list_of_its_own(x: Any) -> None:
    mine = [x]
    mine[0].append(1)


def changes_its_default(x: int, seen: list[int] = []) -> int:  # noqa: B006 - that is what is tested
    seen.append(x)
    return len(seen)


def locks(x: int) -> int:
    with LOCK:
        return x


def adds_in_place(x: Any) -> Any:
    x += [1]
    return x


def changes_a_slice(x: Any) -> None:
    part = x[1:]
    part[0] = 7


def imports_and_changes(x: int) -> None:
    import os

    os.environ["X"] = str(x)


STAYING: list[tuple[Any, Any, str]] = [
    (lambda x: QUEUE.put(x), 1, "it uses the global 'QUEUE', which does not pickle"),
    (lambda x: QUEUE.qsize(), 1, "it uses the global 'QUEUE', which does not pickle"),
    (lambda x: READY.set(), 1, "it uses the global 'READY', which does not pickle"),
    (locks, 1, "it uses the global 'LOCK', which does not pickle"),
    (lambda x: KEPT.__setitem__(x, 1), 1, "it changes the global 'KEPT'"),
    (lambda x: TABLE["a"].append(x), 1, "it changes the global 'TABLE'"),
    (lambda x: TABLE.setdefault(str(x), []).append(x), 1, "it changes the global 'TABLE'"),
    (lambda x: TABLE.get("a", []).append(x), 1, "it changes the global 'TABLE'"),
    (lambda x: the_table()["a"].append(x), 1, "it changes the global 'TABLE'"),
    (lambda x: [rows.pop() for rows in TABLE.values()], 1, "it changes the global 'TABLE'"),
    (lambda x: STOCK.take(x), 1, "it calls 'STOCK.take', which may change it"),
    (lambda x: STOCK.items.append(x), 1, "it changes the global 'STOCK.items'"),
    (lambda x: setattr(STOCK, "count", x), 1, "it changes the global 'STOCK'"),
    (lambda x: getattr(NUMBERS, "append")(x), 1, "it calls a method of the global 'NUMBERS', which may change it"),  # noqa: B009
    (asks_for_globals, 1, "it calls 'globals', and what that reaches can't be seen"),
    (executes, 1, "it calls 'exec', and what that reaches can't be seen"),
    (evaluates, 1, "it calls 'eval', and what that reaches can't be seen"),
    (lambda x: MEMO[x], 1, "it changes the global 'MEMO"),
    (lambda x: x in MEMO, 1, "it changes the global 'MEMO"),
    (lambda x: len(MEMO) + x, 1, "it changes the global 'MEMO"),
    (iterates, 1, "it changes the global 'MEMO"),
    (lambda x: MISSING[x], 1, "it changes the global 'MISSING"),
    (lambda x: heapq.heappush(NUMBERS, x), 1, "it changes the global 'NUMBERS'"),
    (lambda x: fill(NUMBERS, x), 1, "it changes the global 'NUMBERS'"),
    (lambda x: fill(x), [1], "it changes its argument 'x'"),
    (lambda x: fill(first_of(x)), [[1]], "it changes its argument 'x'"),
    (lambda x: heapq.heapify(x), [1], "it changes its argument 'x'"),
    (lambda x: x.items.append(1), Stock(), "it changes its argument 'x'"),
    (lambda x: x[0].items.append(1), [Stock()], "it changes its argument 'x'"),
    (lambda x: x.take(1), Stock(), "it calls 'take' of its argument 'x' (a Stock), which may change it"),
    (lambda x: x.take_later(1), Stock(), "it calls 'take_later' of its argument 'x' (a Stock), which may change it"),
    (lambda x: [each.take(1) for each in x], [Stock()], "it calls 'take' of its argument 'x' (a Stock)"),
    (lambda x: Stock().put_down(), 1, "it calls 'put_down', which stores the global 'COUNTER'"),
    (lambda x: bump(x), 1, "it calls 'bump', which stores the global 'COUNTER'"),
    (bump_further, 1, "it calls 'bump', which stores the global 'COUNTER'"),
    (lambda x: bump_further(x), 1, "it calls 'bump_further', which calls 'bump', which stores the global 'COUNTER'"),
    (bump_once, 1, "it calls 'bump', which stores the global 'COUNTER'"),
    (lambda x: list(map(bump, x)), [1], "it calls 'bump', which stores the global 'COUNTER'"),
    (lambda x: list(map(STOCK.take, x)), [1], "it calls 'STOCK.take', which may change it"),
    (lambda x: list(map(NUMBERS.append, x)), [1], "it changes the global 'NUMBERS'"),
    (lambda x: {"b": bump}["b"](x), 1, "it calls 'bump', which stores the global 'COUNTER'"),
    (lambda x: os.chdir(x), "/", "it calls 'os.chdir', which is about this process"),
    (lambda x: os.environ.update(X=x), "x", "it changes the global 'os.environ'"),
    (lambda x: sys.path.insert(0, x), "x", "it changes the global 'sys.path'"),
    (lambda x: x(1), bump, "it calls its argument 'x', and it stores the global 'COUNTER'"),
    (lambda *x: x[0].append(1), [1], "it changes its argument 'x'"),
    (imports_and_changes, 1, "it changes the global 'os.environ'"),
    (alias, 1, "it changes the global 'TABLE'"),
    (alias_of_one, [1], "it changes its argument 'x'"),
    (changes_rows, [[1]], "it changes its argument 'x'"),
    (changes_in_a_comprehension, [1], "it changes the global 'NUMBERS'"),
    (changes_rows_in_a_comprehension, [[1]], "it changes its argument 'x'"),
    (changes_in_an_inner_function, [1], "it changes its argument 'x'"),
    (changes_after_an_error, {}, "it changes its argument 'x'"),
    (changes_a_part, [Stock()], "it changes its argument 'x'"),
    (changes_one_in_a_list_of_its_own, [1], "it changes its argument 'x'"),
    (changes_its_default, 1, "it changes its argument 'seen'"),
    (adds_in_place, [1], "it changes its argument 'x'"),
    (changes_a_slice, memoryview(bytearray(9)), "it changes its argument 'x'"),
]


@pytest.mark.parametrize(("fn", "argument", "reason"), STAYING, ids=[str(row[2]) for row in STAYING])
def test_what_the_code_shows_to_be_seen_elsewhere_stays(fn: Any, argument: Any, reason: str) -> None:
    assert (process_safe(fn, (argument,), {}) or "").startswith(reason)


def fills_and_returns(x: int) -> Any:
    rows: list[Any] = []
    table: dict[str, Any] = {}
    for number in range(x):
        rows.append([number])
        table.setdefault(str(number), []).append(number)
        table["last"] = rows[-1]
    rows[0].append(1)
    rows.sort()
    return rows, table


def reads_a_file(path: str) -> Any:
    with open(path) as file:
        text = file.read()
    try:
        found = json.loads(text)
    except ValueError as error:
        logger.warning("bad: %s", error)
        return {}
    found["a"]["b"] = 1
    return found


def has_an_inner_function(x: int) -> int:
    total = 0

    def add(y: int) -> None:
        nonlocal total
        total += y

    for each in range(x):
        add(each)
    return total


def makes_objects(x: int) -> int:
    stock = Stock()
    for each in range(x):
        stock.take(each)
    stock.count += 1
    stock.inside = {}
    stock.inside["a"] = x
    return stock.total()


def adds_up(x: list[int]) -> int:
    total = x[0]
    for each in x[1:]:
        total += each
    return total


def changes_copies(x: list[int], table: dict[str, int] = {}) -> Any:  # noqa: B006 - read only
    mine, other, part = list(x), {**table}, x[1:]
    mine.append(1)
    other["a"] = 2
    part.append(3)
    ordered = sorted(x)
    ordered.pop()
    return mine, other, part, ordered


def finds_primes(x: int) -> list[int]:
    sieve = bytearray([1]) * x
    for number in range(2, x):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, x, number)))
    return [number for number in range(2, x) if sieve[number]]


def counts_words(x: str) -> Any:
    counter: collections.Counter[str] = collections.Counter()
    for word in WORD.findall(x.lower()):
        counter[word] += 1
    counter.update(x.split())
    return counter.most_common(3)


def walks(x: Any) -> int:
    waiting, seen = collections.deque([x]), set()
    while waiting:
        node = waiting.popleft()
        seen.add(node)
        if node > 0:
            waiting.append(node - 1)
    return len(seen)


def matches(x: Any) -> str:
    match x:
        case {"a": int(number)}:
            return str(number)
        case [first, *_]:
            return f"{first!r:>10}"
        case _:
            return "else"


def digests(x: bytes) -> str:
    digest = hashlib.sha256()
    digest.update(x)
    return digest.hexdigest()


def yields_inside(x: int) -> list[int]:
    def numbers() -> Iterator[int]:
        yield from range(x)

    return [number for number in numbers() if number % 2]


def computes_arrays(x: Any) -> Any:
    import numpy

    matrix = numpy.zeros((4, 4))
    matrix[0] = x
    matrix += numpy.eye(4)
    matrix[1:, :] *= 2
    matrix.sort()
    return numpy.dot(matrix, x * 2).sum()


def draws(x: str) -> Any:
    from PIL import Image  # type: ignore[import-not-found]

    with Image.open(x) as picture:
        picture.thumbnail((10, 10))
        small = picture.convert("RGB").resize((5, 5))
    small.save(x)
    return small.size


def adds_into(x: Any, y: Any) -> None:
    import numpy

    numpy.add(x, 1, out=y)


MOVING: list[tuple[Any, Any]] = [
    (fills_and_returns, 3),
    (reads_a_file, "nowhere"),
    (has_an_inner_function, 3),
    (makes_objects, 3),
    (adds_up, [1, 2]),
    (changes_copies, [1, 2]),
    (finds_primes, 10),
    (counts_words, "a b a"),
    (walks, 3),
    (matches, {"a": 1}),
    (digests, b"x"),
    (yields_inside, 3),
    (computes_arrays, 1),
    (draws, "nowhere"),
    (calls_itself, 3),
    (first_of, [1]),
    (lambda x: NUMBERS[0] + x, 1),
    (lambda x: TABLE["a"][0] + len(TABLE.get("b", ())), 1),
    (lambda x: [each for rows in TABLE.values() for each in rows], 1),
    (lambda x: sorted([*NUMBERS, x], key=lambda each: -each), 1),
    (lambda x: sum(map(square, x)), [1, 2]),
    (lambda x: max(x, key=len).upper(), ["a", "bb"]),
    (lambda x: WORD.sub("", x) + NAMES[0], "a"),
    (lambda x: HEADER.pack(x), 1),
    (lambda x: Kind.GOOD.value + LIMIT + x, 1),
    (lambda x: math.sqrt(x) + math.pi, 1.0),
    (lambda x: random.random() * x, 1),
    (lambda x: random.Random(x).shuffle([1, 2]), 1),
    (lambda x: json.dumps({"a": x, **TABLE}), 1),
    (lambda x: json.loads(x)["a"].append(1), "{}"),
    (lambda x: os.path.join(x, os.environ.get("HOME", "")), "a"),
    (lambda x: logger.info("%s", x), 1),
    (lambda x: logging.getLogger(__name__).debug(x), "a"),
    (lambda x: print(x, file=sys.stderr), 1),
    (lambda x: list(csv.reader(x)), ["a,b"]),
    (lambda x: STOCK.size + Stock.size, 1),
    (lambda x: LOOKED_UP[x] + len(LOOKED_UP), "a"),
    (lambda x: getattr(STOCK, "size", 3) + x, 1),
    (lambda x: x.total(), Stock([1])),
    (lambda x: [each.total() for each in x], [Stock([1])]),
    (lambda x: x.strip().split(","), "a,b"),
    (lambda x: x.decode().splitlines(), b"a"),
    (lambda x: x(3), square),
    (lambda x: functools.reduce(operator.add, x), [1, 2]),
    (lambda *x, **more: sum(x) + len(more), 1),
    (lambda x: f"{x:>10} {x!r}"[::-1], "a"),
    (lambda x: Frozen(x).double(), 1),
    (lambda x: copy.deepcopy(x).append(1), [1]),
]


@pytest.mark.parametrize(("fn", "argument"), MOVING, ids=range(len(MOVING)))
def test_what_is_plainly_nobody_else_s_business_moves(fn: Any, argument: Any) -> None:
    assert process_safe(fn, (argument,), {}) is None


def test_arrays_that_are_changed_in_place_stay() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(9)
    assert process_safe(changes_a_slice, (array,), {}) == "it changes its argument 'x'"
    assert process_safe(adds_in_place, (array,), {}) == "it changes its argument 'x'"
    assert process_safe(adds_in_place, ((1,),), {}) is None  # a tuple is another one then
    assert process_safe(adds_into, (array, array), {}) == "it changes its argument 'y'"
    assert numpy.random.random() < 1  # until then there is no numpy.random
    for fill in (copies_into, puts_into, shuffles):
        assert process_safe(fill, (array,), {}) == "it changes its argument 'x'"
    assert process_safe(seeds, (1,), {}) == "it calls 'numpy.random.seed', which is about this process"


def test_helpers_in_a_closure_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any) -> Any:
            return fn(*args)

        return around

    monkeypatch.setitem(globals(), "decorated_bump", decorated(bump))
    monkeypatch.setitem(globals(), "decorated_square", decorated(square))
    bumps = lambda x: decorated_bump(x)  # type: ignore[name-defined]  # noqa: E731, F821
    squares = lambda x: decorated_square(x)  # type: ignore[name-defined]  # noqa: E731, F821
    assert "stores the global 'COUNTER'" in (process_safe(bumps, (1,), {}) or "")
    assert process_safe(squares, (1,), {}) is None


def test_what_is_too_long_to_be_looked_through_stays() -> None:
    lines = "\n".join(f"    x = x + {number} if x > {number} else x" for number in range(4000))
    namespace: dict[str, Any] = {}
    exec(f"def endless(x):\n{lines}\n    return x", namespace)
    assert process_safe(namespace["endless"], (1,), {}) == "it has too much code to be looked through"


@pytest.mark.parametrize("module", [argparse, ast, csv, dataclasses, decimal, email, inspect, json, pathlib, typing])
def test_any_code_can_be_followed(module: Any) -> None:
    """Other people's, of all sorts: none is too strange to be read."""
    for found in vars(module).values():
        for function in (found, *(vars(found).values() if isinstance(found, type) else ())):
            if isinstance(function, FunctionType):
                problem = reading.read(function, safety.RULES).problem
                assert problem is None or "can't be followed" not in problem, function


def even(x: int, found: list[int]) -> bool:
    return x == 0 or odd(x - 1, found)


def odd(x: int, found: list[int]) -> bool:
    found.append(x)
    bump(x)
    return x == 1 or even(x - 1, found)


def swaps(x: list[int], y: list[int]) -> None:
    if x:
        x.pop()
        swaps(y, x)


def test_functions_that_call_each_other_are_known_both() -> None:
    assert "stores the global 'COUNTER'" in (process_safe(even, (1, []), {}) or "")
    assert "stores the global 'COUNTER'" in (process_safe(odd, (1, []), {}) or "")
    assert set(reading.read(swaps, safety.RULES).changes) == {"x", "y"}


def fills_what_it_may(x: int, out: Any = None) -> Any:
    if out is not None:
        out[0] = x
    return x


def test_what_is_not_given_is_not_changed() -> None:
    assert process_safe(fills_what_it_may, (1,), {}) is None
    assert process_safe(fills_what_it_may, (1, [0]), {}) == "it changes its argument 'out'"
    assert process_safe(fills_what_it_may, (1,), {"out": [0]}) == "it changes its argument 'out'"
    assert process_safe(functools.partial(fills_what_it_may, out=[0]), (1,), {}) == "it changes its argument 'out'"


def imports_a_helper(x: int) -> int:
    from tests.lanes.work import count_up

    return count_up(x)


def imports_another(x: int) -> int:
    from tests.lanes import work

    return work.compute(x)


def test_what_is_imported_inside_is_looked_into() -> None:
    import tests.lanes.work  # noqa: F401 - by the time that a call has ended it is there

    assert process_safe(imports_another, (1,), {}) is None
    reason = "it calls 'tests.lanes.work.count_up', which stores the global 'counter'"
    assert process_safe(imports_a_helper, (1,), {}) == reason


def test_on_a_python_that_is_newer_than_what_is_known_nothing_written_in_python_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bytecode, "NEWEST", (3, 10))
    monkeypatch.setattr(reading, "summaries", {})
    here = "{}.{}".format(*sys.version_info)
    reason = f"it can't be followed on Python {here}, only up to 3.10; @rota.cpu moves it all the same"
    for function in (plain, functools.partial(plain, 1), Shop, Point(1).far, json.loads):
        assert process_safe(function) == reason
    assert process_safe(sorted, ([1],)) is None
    assert process_safe(hashlib.sha256, (b"1",)) is None


@pytest.mark.parametrize(
    "call",
    [
        (sorted, ([1],), {"key": bump}),
        (functools.reduce, (bump, [1, 2])),
        (functools.partial(sorted, key=bump), ([1],)),
        (sorted, ([1],), {"key": functools.partial(bump)}),
        (order_by, ([1], bump)),
    ],
)
def test_a_function_that_c_may_call_is_looked_at(call: Any) -> None:
    reason = f"its argument {__name__}.bump may be called: it stores the global 'COUNTER'"
    assert process_safe(*call) == reason


def test_a_method_that_c_may_call_is_looked_at() -> None:
    reason = "its argument list.append may be called: it is bound to a list, which it may change"
    assert process_safe(sorted, ([1],), {"key": [].append}) == reason
    for harmless in (square, math.sqrt, "a".count, str.lower, None):
        assert process_safe(sorted, ([1],), {"key": harmless}) is None
