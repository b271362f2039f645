"""Safety: whether a call may move to another process without changing what it means.

What can be seen in a function, and in the functions of its program that it calls, is looked for: globals and arguments
that it changes, or objects among them of which it calls what may change them; variables of the function around it; an
object that it is bound to and may change; what a process has not, a context, a thread's own data, a lock; an argument
or result that does not pickle. What can't be followed stays. What no look can see: a global that changes later, and
what installed modules keep for themselves. For such, and whoever knows better, there is the user's word.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import importlib.util
import inspect
import io
import operator
import pathlib
import pickle
import re
import struct
import sys
import uuid
from collections.abc import Callable, Mapping
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from .function import inner, name_of
from .objects import IN_PLACE, a, argument_count, functions_of, is_library, parts, unwrapped
from .origins import IS, PART
from .reading import Ask, Rules, read

#: So many pickled bytes of one object are looked at: a millisecond's work. What is larger is estimated.
LOOK = 256 * 1024

#: ... from so many of its items.
ITEMS = 64

CALLED = (FunctionType, MethodType, BuiltinFunctionType, functools.partial)

#: What a method can't change of its object.
UNCHANGING = (
    str,
    bytes,
    int,
    float,
    complex,
    frozenset,
    range,
    type(None),
    type,
    re.Pattern,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PurePath,
    uuid.UUID,
    enum.Enum,
    struct.Struct,
    slice,
    MappingProxyType,
    operator.itemgetter,
    operator.attrgetter,
    operator.methodcaller,
)


def process_safe(
    fn: Callable[..., Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
) -> str | None:
    """None if the call may move to another process, else one line that says why not."""
    return function_safe(fn) or arguments_safe(fn, args, kwargs or {}) or arguments_ship(fn, args, kwargs or {})


def function_safe(fn: Callable[..., Any]) -> str | None:
    """The part of ``process_safe`` that is the same for all calls of ``fn``."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    owner = owner_of(fn)
    if owner is not None and not is_unchanging(owner):
        return f"it is bound to {a(owner)}, which it may change"
    found = inner(fn)
    if isinstance(found, type):
        # What it makes is its own to change.
        problem = making_safe(found)
    else:
        function = unwrapped(found)  # of functools.cache
        problem = code_safe(function) if isinstance(function, FunctionType) else None
    if problem is not None:
        return problem
    # What is bound goes with its object, and a callable object is one.
    return None if owner is not None and not isinstance(fn, MethodType) else reachable(found)


def arguments_safe(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """What the arguments' types show against a call elsewhere."""
    while isinstance(fn, functools.partial):
        args, kwargs, fn = (*fn.args, *args), {**fn.keywords, **kwargs}, fn.func
    function = unwrapped(inner(fn))
    if isinstance(function, FunctionType):
        bound = not isinstance(fn, FunctionType) and function is not getattr(fn, "__wrapped__", None)
        problem = asks_safe(function, (owner_of(fn), *args) if bound else args, kwargs)
        if problem is not None:
            return problem
    # Functions among the arguments may be called by C, a key by sorted, and nobody reads that.
    for value in (*args, *kwargs.values()):
        problem = function_safe(value) if type(value) in CALLED else None
        if problem is not None:
            return f"its argument {name_of(value)} may be called: {problem}"
    return None


def owner_of(fn: Callable[..., Any]) -> Any:
    """The object that a method or a callable object would take along; None if there is none."""
    if isinstance(fn, MethodType | BuiltinFunctionType):
        return None if isinstance(fn.__self__, ModuleType) else fn.__self__
    return None if isinstance(fn, FunctionType | type) else fn


def is_unchanging(owner: Any) -> bool:
    if isinstance(owner, UNCHANGING):
        return True
    if isinstance(owner, tuple):
        return all(is_unchanging(item) for item in owner)
    if dataclasses.is_dataclass(owner) and type(owner).__dict__["__dataclass_params__"].frozen:
        return all(is_unchanging(getattr(owner, field.name, None)) for field in dataclasses.fields(owner))
    # A function of an extension, such as numpy's, is an object of a type of its own.
    return callable(owner) and hasattr(owner, "__name__") and lookup(owner) is owner


def reachable(found: Any) -> str | None:
    """Why another process can't find a function or class; None if it can."""
    if lookup(found) is found or has_cloudpickle():
        return None
    name = name_of(found)
    if getattr(found, "__module__", None) == "__main__" and "<" not in name:
        return "it is part of the program itself, which takes cloudpickle to send: pip install 'rota[lanes]'"
    return f"no other process can import {name}, which takes cloudpickle to send: pip install 'rota[lanes]'"


def lookup(found: Any) -> Any:
    """What stands under the name of ``found`` in its module; None for the program's own, which other processes lack."""
    module = getattr(found, "__module__", None) or "builtins"
    if module == "__main__":
        return None
    here: Any = sys.modules.get(module)
    for part in getattr(found, "__qualname__", getattr(found, "__name__", "")).split("."):
        here = getattr(here, part, None)
    return here


@functools.cache
def has_cloudpickle() -> bool:
    return importlib.util.find_spec("cloudpickle") is not None


# -- what the code shows ----------------------------------------------------------------------------------------


def code_safe(function: FunctionType) -> str | None:
    """What its code shows against moving ``function``, whatever its arguments; None if nothing."""
    code = function.__code__
    if code.co_freevars and code.co_freevars != ("__class__",):
        return f"it uses {code.co_freevars[0]!r} of the function around it"
    summary = read(function, RULES)
    if summary.problem is not None:
        return f"it {summary.problem}"
    # What has a default that can't be changed, None or a number, is only changed when it is given.
    whole = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = arguments_of(function, (), {})
    spared = [name for name in whole if name in defaults and is_unchanging(defaults[name])]
    return next((f"it changes its argument {name!r}" for name in summary.changes if name not in spared), None)


def making_safe(kind: type) -> str | None:
    """The same of a class: what it makes is its own to change."""
    for function in functions_of(kind):
        summary = read(function, RULES)
        if summary.problem is not None:
            return f"it {summary.problem}"
        own = function.__code__.co_varnames[:1]
        for name in summary.changes:
            if name not in own:
                return f"it changes its argument {name!r}"
    return None


def asks_safe(function: FunctionType, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """What the types of these arguments show against moving a call of ``function``; None if nothing."""
    summary = read(function, RULES)
    asks, changes = summary.asks, summary.changes
    if not asks and not (changes and (function.__defaults__ or function.__kwdefaults__)):
        return None
    given = arguments_of(function, args, kwargs)
    for name in changes:
        if not is_unchanging(given.get(name)):
            return f"it changes its argument {name!r}"
    code = function.__code__
    whole = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for ask in asks:
        # Of *args, what is in them is meant.
        asked = ask if ask.argument in whole else ask._replace(level=PART)
        if ask.argument in given and (problem := answer(asked, given[ask.argument])):
            return problem
    return None


def arguments_of(function: FunctionType, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by their names, as far as they are given, or stand in the function as defaults."""
    code = function.__code__
    names = code.co_varnames[: argument_count(code)]
    positional, rest = names[: code.co_argcount], names[code.co_argcount + code.co_kwonlyargcount :]
    defaults = function.__defaults__ or ()
    given = dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True))
    given |= function.__kwdefaults__ or {}
    given |= zip(positional, args, strict=False)
    given |= {name: value for name, value in kwargs.items() if name in names}
    if code.co_flags & inspect.CO_VARARGS:
        given[rest[0]] = args[code.co_argcount :]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        given[rest[-1]] = {name: value for name, value in kwargs.items() if name not in names}
    return given


def answer(ask: Ask, value: Any, depth: int = 4) -> str | None:
    """Whether what is done with an argument changes it, or what it holds."""
    of = f"its argument {ask.argument!r}"
    if depth == 0:
        return f"it may change {of}"
    for each in (value,) if ask.level == IS else parts(value):
        if ask.does == "[:]":
            if not isinstance(each, list | bytes | bytearray | str | tuple):
                return f"it changes {of}"
        elif ask.does == "()":
            if problem := function_safe(each) if callable(each) else None:
                return f"it calls {of}, and {problem}"
        elif ask.does in IN_PLACE.values():
            if hasattr(type(each), ask.does):
                return f"it changes {of}"
        elif method_changes(each, ask.does, depth - 1):
            return f"it calls {ask.does!r} of {of} ({a(each)}), which may change it"
    return None


def method_changes(owner: Any, name: str, depth: int) -> bool:
    """Whether a method of an object may change it. Of those that are written in C only the known ones do."""
    if type(owner).__module__ in sys.stdlib_module_names or isinstance(owner, type | ModuleType):
        return False
    method = inspect.getattr_static(type(owner), name, None)
    if isinstance(method, property):
        method = method.fget
    if not isinstance(method, FunctionType):
        return False
    summary = read(method, RULES)
    names = method.__code__.co_varnames[:1]
    if any(changed in names for changed in summary.changes):
        return True
    if is_library(method):
        return False  # what its objects keep for themselves is trusted to be for speed
    if summary.problem is not None:
        return True
    return any(ask.argument in names and answer(ask, owner, depth) for ask in summary.asks)


# -- what ships -------------------------------------------------------------------------------------------------


def arguments_ship(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """Why an argument can't go to another process; None if all can, as far as a first look shows."""
    while isinstance(fn, functools.partial):
        args, kwargs, fn = (*fn.args, *args), {**fn.keywords, **kwargs}, fn.func
    owner = owner_of(fn)
    if owner is not None and (problem := why_not(owner)):
        return f"it is bound to {a(owner)}, which does not pickle: {problem}"
    for name, value in (*enumerate(args), *kwargs.items()):
        if problem := why_not(value):
            return f"the argument {name} ({a(value)}) does not pickle: {problem}"
    return None


def result_ships(result: Any) -> str | None:
    """Why a result like this can't come back from another process; None if it can. Costs a millisecond at most."""
    problem = why_not(result)
    return f"its result ({a(result)}) does not pickle: {problem}" if problem else None


def why_not(value: Any) -> str | None:
    """Why ``value`` does not pickle, by its first ``LOOK`` bytes."""
    try:
        pickled(value)
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def size_of(value: Any) -> int:
    """About how many bytes ``value`` is when pickled: of a large container, by its first items."""
    try:
        size, whole = pickled(value)
        if whole or not isinstance(value, list | tuple | dict | set | frozenset):
            return max(size, getattr(value, "nbytes", 0)) if not whole else size
        some = list(islice(value.items() if isinstance(value, dict) else value, ITEMS))
        return max(size, pickled(some)[0] * len(value) // max(1, len(some)))
    except Exception:
        return 0


class Sink(io.RawIOBase):
    """Counts what is written to it, and has enough after ``LOOK`` bytes."""

    size = 0

    def write(self, data: Any) -> int:
        count = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        self.size += count
        if self.size > LOOK:
            raise Enough
        return count


class Enough(BaseException):
    """No except clause of a ``__reduce__`` shall take it for its own."""


def pickled(value: Any) -> tuple[int, bool]:
    """How many bytes ``value`` pickles to, and whether that is all of it. Raises what pickling does."""
    if type(value) in (bytes, str, int, float, bool, type(None)):
        return (len(value) if isinstance(value, bytes | str) else 8), True
    buffers: list[int] = []

    def keep(buffer: pickle.PickleBuffer) -> None:
        buffers.append(buffer.raw().nbytes)

    sink = Sink()
    try:
        try:
            pickle.Pickler(sink, 5, buffer_callback=keep).dump(value)
        except Exception:
            if not has_cloudpickle():
                raise
            import cloudpickle

            sink, buffers[:] = Sink(), []
            cloudpickle.Pickler(sink, 5, buffer_callback=keep).dump(value)
    except Enough:
        return sink.size + sum(buffers), False
    return sink.size + sum(buffers), True


RULES = Rules(is_unchanging, why_not)
