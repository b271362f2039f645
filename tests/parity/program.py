"""Random programs, as data: what the interpreter beside this file runs, on rota and on asyncio.

A program is a list of bodies. A body is a style, which says what it does with an exception, and a list of operations.
An operation is a name with arguments: small integers that choose among the futures, tasks, queues and bodies that are
there when it runs (modulo their number, so that every number means something), or an operation that a callback will
do. The first bodies are the programs of tasks that are there from the beginning; an operation that takes a body runs
it in its own task, in a new one or as an async generator, and only bodies that stand further down: all programs end.

All of it can be printed as JSON and read back. Hypothesis draws it and makes it small when two loops disagree.
"""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import strategies as st

#: What a body does with an exception of one of its operations: go on after an Exception (twice as often as the last
#: two), go on after a cancellation, too, pass it on, or raise another one from it.
STYLES = ("sturdy", "stubborn", "fragile", "translating", "sturdy", "stubborn")

#: What is raised, thrown and given to ``set_exception``; the interpreter knows how each is made.
ERRORS = (
    "value", "class", "timeout", "cancelled", "cancelled bare", "group", "doom", "stop", "stop class",
    "stop async", "exit of generator", "keyboard", "exit", "nonsense",
)  # fmt: skip

EAGER = sys.version_info >= (3, 12)

INDEX = st.integers(0, 7)
BODY = st.integers(0, 3)
UNITS = st.integers(-1, 3)
SOME = st.integers(0, 2)
FLAG = st.booleans()
MESSAGE = st.sampled_from([None, "first", "second"])
ERROR = st.sampled_from(ERRORS)
LIMIT = st.one_of(st.none(), UNITS)

FUTURE = st.tuples(st.just("future"), INDEX)
TASK = st.tuples(st.just("task"), INDEX)
THERE = st.one_of(FUTURE, TASK)  # something that is there
AWAITABLE = st.one_of(FUTURE, TASK, st.tuples(st.just("body"), BODY))


def several(awaitables: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(awaitables, max_size=3)


#: What needs no await, so that a callback can do it: name, and what its arguments are drawn from.
IMMEDIATE: dict[str, tuple[Any, ...]] = {
    "new_future": (INDEX, st.sampled_from(["loop", "own", "stock"])),
    "set_result": (INDEX,),
    "set_exception": (INDEX, ERROR),
    "cancel": (THERE, MESSAGE),
    "uncancel": (INDEX,),
    "cancel_and_uncancel": (INDEX, MESSAGE),
    "look": (THERE,),
    "take": (THERE, st.sampled_from(["result", "exception", "remake"])),
    "drive_by_hand": (INDEX, st.sampled_from(["next", "throw", "close", "twice"])),
    "remove_callback": (THERE, INDEX),
    "cancel_handle": (INDEX,),
    "spawn": (BODY, st.sampled_from(["loop", "asyncio", "own", "stock", "ensure", "own eager", "stock eager"]), LIMIT),
    "keep_shield": (AWAITABLE,),
    "keep_gather": (several(AWAITABLE), FLAG, FLAG),
    "put_nowait": (SOME, SOME),
    "get_nowait": (SOME,),
    "task_done": (SOME,),
    "set_event": (),
    "clear_event": (),
    "release": (SOME,),
    "abort_barrier": (FLAG,),
    "shut_queue": (SOME, FLAG),
    "reschedule": (LIMIT,),
    "set_variable": (SOME,),
    "census": (),
    "fail": (ERROR,),
    "stop_loop": (),
}

#: What asks for a callback, which will do the operation that it is given.
ASKING: dict[str, tuple[Any, ...]] = {
    "call_soon": (LIMIT,),
    "call_soon_threadsafe": (),
    "call_later": (UNITS,),
    "call_at": (UNITS,),
    "add_callback": (THERE, LIMIT),
}

#: What a task awaits.
AWAITED: dict[str, tuple[Any, ...]] = {
    "sleep": (UNITS, FLAG),
    "wait_until_done": (AWAITABLE,),
    "wait_in_own_way": (INDEX,),
    "yield_something": (st.sampled_from(["nothing", "number", "generator", "future", "own task", "foreign"]),),
    "inline": (BODY,),
    "in_the_end": (BODY, BODY),
    "wait_for": (AWAITABLE, LIMIT),
    "timeout": (LIMIT, BODY),
    "shield": (AWAITABLE,),
    "gather": (several(AWAITABLE), FLAG, FLAG),
    "wait": (several(THERE), LIMIT, st.sampled_from(["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])),
    "as_completed": (several(THERE), LIMIT),
    "group": (several(BODY), BODY),
    "put": (SOME, SOME),
    "get": (SOME,),
    "join": (SOME,),
    "wait_event": (),
    "hold": (SOME, BODY),
    "wait_condition": (),
    "notify": (SOME,),
    "meet": (),
    "stream": (BODY, SOME, st.sampled_from(["drop", "aclose", "athrow", "exhaust"])),
}


def operations_of(table: dict[str, tuple[Any, ...]], *more: Any) -> list[st.SearchStrategy[Any]]:
    return [st.tuples(st.just(name), *arguments, *more) for name, arguments in table.items()]


immediate = st.one_of(*operations_of(IMMEDIATE), *operations_of(ASKING, st.one_of(*operations_of(IMMEDIATE))))
operations = st.one_of(*operations_of(AWAITED), immediate)

bodies = st.fixed_dictionaries({"style": st.sampled_from(STYLES), "operations": st.lists(operations, max_size=16)})

programs = st.fixed_dictionaries(
    {
        "roots": st.integers(1, 4),
        "eager": st.sampled_from(["no", "no", "own", "stock"] if EAGER else ["no"]),
        "debug": st.sampled_from([False] * 7 + [True]),
        "bodies": st.lists(bodies, min_size=1, max_size=10),
    }
)
