"""Origins: where a value comes from, as far as the code shows, for who reads it."""

from __future__ import annotations

from types import CodeType
from typing import NamedTuple

from .objects import argument_count

#: How a value has to do with where it came from: it is a container of this function's own that holds it, it is
#: it, is a part of it, or a slice, which is a part of an array and a copy of a list.
HOLDS, IS, PART, SLICE = -1, 0, 1, 2

GLOBAL, ARGUMENT, MADE = "global", "argument", "made"


class Origin(NamedTuple):
    """Where a value came from: a global, an argument, or an object of a class, by its name; and what it is to that."""

    kind: str
    name: str
    level: int = IS


Origins = frozenset[Origin]
NOWHERE: Origins = frozenset()


class Value(NamedTuple):
    """What is known of a value: its origins; of an attribute, whose it is and its name; of a function made here, its
    code. ``mark`` is of what the interpreter itself puts on the stack.
    """

    origins: Origins = NOWHERE
    of: Origins = NOWHERE
    name: str = ""
    code: CodeType | None = None
    mark: str = ""


OWN, NULL, CUT = Value(), Value(mark="null"), Value(mark="slice")


def joined(a: Value, b: Value) -> Value:
    """A value that is one of both."""
    if a == b:
        return a
    same = (a.of, a.name) == (b.of, b.name)
    return Value(
        a.origins | b.origins,
        a.of | b.of,
        a.name if same else a.name or b.name,
        a.code or b.code,
        a.mark if a.mark == b.mark else "",
    )


def part_of(origins: Origins) -> Origins:
    """Where a part of a value comes from."""
    found = set()
    for origin in origins:
        if origin.kind == MADE:
            continue
        found.add(origin._replace(level=PART if origin.level != HOLDS else HOLDS))
        if origin.level == HOLDS:
            found.add(origin._replace(level=IS))
    return frozenset(found)


def held(origins: Origins) -> Origins:
    return frozenset(origin._replace(level=HOLDS) for origin in origins if origin.kind != MADE)


def union(values: list[Value]) -> Origins:
    return NOWHERE.union(*(value.origins for value in values))


def places_of(code: CodeType, given: list[Value], named: dict[str, Value]) -> dict[str, Value]:
    """The arguments of a call by their names in the function."""
    names = code.co_varnames[: argument_count(code)]
    whole = code.co_argcount + code.co_kwonlyargcount
    places = dict(zip(names[: code.co_argcount], given, strict=False))
    places |= {name: value for name, value in named.items() if name in names[:whole]}
    more = union([*given[code.co_argcount :], *(value for name, value in named.items() if name not in places)])
    return places | dict.fromkeys(names[whole:], Value(more))
