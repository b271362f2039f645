"""Reading: what a function's code shows of what it does beyond its result.

``read`` promises a ``Summary``: what the function changes and calls that keeps it from another process, which of its
arguments it changes, and what depends on their types. ``bytecode`` goes through the code; here is what it means there
to load, to change, to call. Whatever is changed has a name, by whatever way it was reached: ``a.b[key].append(x)`` and
``rows = table; rows[0] = x`` change ``a`` and ``table``. Own functions that are called are read as well, libraries'
are trusted.

What is made here is its own to change. What a type of the user's does with what it was given is not followed.
"""

from __future__ import annotations

import contextvars
import inspect
import logging
import random
import sys
import threading
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from .bytecode import LostError, StackMachine
from .objects import (
    CHANGING,
    GIVING,
    HOLDERS,
    HOLDING,
    IN_PLACE,
    PICKERS,
    a,
    argument_count,
    changes_first,
    functions_of,
    is_c_function,
    is_iterator,
    is_library,
    is_library_file,
    is_near,
    is_opaque,
    is_own,
    is_process_wide,
    is_reading,
    parts,
    unwrapped,
)
from .origins import (
    ARGUMENT,
    GLOBAL,
    HOLDS,
    IS,
    MADE,
    NOWHERE,
    OWN,
    PART,
    SLICE,
    Origin,
    Origins,
    Value,
    held,
    part_of,
    places_of,
    union,
)

#: So many instructions are read for one function, with all that it calls: some 50 ms. What is longer stays.
STEPS = 20_000


class Ask(NamedTuple):
    """What depends on an argument's type: a method that is called of it (``()`` is itself), or of a part of it; or an
    operation that changes some objects in place; or ``[:]``, a slice of it that is changed.
    """

    argument: str
    level: int
    does: str


class Summary:
    """What was read: ``problem``, why the function can't run elsewhere, as in ``it ...``; the names of the arguments
    that it ``changes``; what must be asked of arguments (``asks``); where its result comes from.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        self.changes: dict[str, None] = {}
        self.asks: dict[Ask, None] = {}
        self.returns: Origins = NOWHERE
        self.objects: dict[str, Any] = {}
        self.whole = False


class Rules(NamedTuple):
    """What only who asks knows: whether an object is one that nothing can change, and why it does not pickle."""

    is_unchanging: Callable[[Any], bool]
    why_not: Callable[[Any], str | None]


#: Of functions, not of their code: what a name means depends on the module.
summaries: weakref.WeakKeyDictionary[FunctionType, Summary] = weakref.WeakKeyDictionary()


class Effort:
    """What one look at a function, with all that it calls, may take, and whether it met one that is still read."""

    def __init__(self) -> None:
        self.left = STEPS
        self.met: set[FunctionType] = set()


def read(function: FunctionType, rules: Rules, effort: Effort | None = None) -> Summary:
    """What the code of ``function`` shows."""
    summary = summaries.get(function)
    if summary is not None:
        if effort is not None and not summary.whole:
            effort.met.add(function)
        return summary
    summaries[function] = summary = Summary()  # for who calls itself
    is_first = effort is None
    effort = Effort() if effort is None else effort
    try:
        Reader(function, rules, summary, effort).read()
        if function in effort.met:
            Reader(function, rules, summary, effort).read()  # with what is known of its own calls by now
    except LostError as error:
        summary.problem = summary.problem or str(error)
    except Exception as error:
        # Whatever a strange object does when it is looked at: what was not understood stays.
        summary.problem = summary.problem or f"has code that can't be followed ({type(error).__name__}: {error})"
    used = {origin.name for origin in summary.returns}
    summary.objects = {name: value for name, value in summary.objects.items() if name in used}
    summary.whole = True
    effort.met.discard(function)
    if not is_first and (effort.met or effort.left < 0):
        # Its caller, which it calls in its turn, is not known yet: so neither is this one, for others.
        del summaries[function]
    return summary


class Reader:
    """Says what the instructions of one function do (``Effects``), and notes it in ``summary``."""

    def __init__(self, function: FunctionType, rules: Rules, summary: Summary, effort: Effort) -> None:
        self.function = function
        self.rules = rules
        self.summary = summary
        self.effort = effort
        self.is_library = is_own(function.__code__.co_filename)  # trusted
        self.objects = summary.objects

    def read(self) -> None:
        code = self.function.__code__
        names = code.co_varnames[: argument_count(code)]
        cells: dict[str, Value] = {}
        for name, cell in zip(code.co_freevars, self.function.__closure__ or (), strict=False):
            try:
                cells[name] = self.known(name, cell.cell_contents)
            except ValueError:  # empty
                continue
        # What *args and **kwargs are is made for the call.
        whole = code.co_argcount + code.co_kwonlyargcount
        levels = {name: IS if at < whole else HOLDS for at, name in enumerate(names)}
        variables = {name: Value(frozenset((Origin(ARGUMENT, name, levels[name]),))) for name in names}
        StackMachine(self, cells).run(code, variables)

    def count(self) -> None:
        self.effort.left -= 1
        if self.effort.left < 0:
            raise LostError("has too much code to be looked through")

    def return_value(self, value: Value) -> None:
        self.summary.returns |= value.origins

    def found(self, problem: str) -> None:
        if self.summary.problem is None:
            self.summary.problem = problem

    # -- what is known ------------------------------------------------------------------------------------------

    def known(self, name: str, value: Any) -> Value:
        """A global, or what is found of it. Some can't be used elsewhere."""
        if name in self.objects and self.objects[name] is not value:
            name = f"{name} "
        self.objects[name] = value
        if isinstance(value, contextvars.ContextVar):
            self.found(f"uses the context variable {name!r}, and a context does not reach a process")
        elif isinstance(value, threading.local):
            self.found(f"uses {name!r}, which each thread has its own of")
        elif not self.is_library and not self.is_plain(value) and (why := self.rules.why_not(value)):
            self.found(f"uses the global {name!r}, which does not pickle: {why}")
        return Value(frozenset((Origin(GLOBAL, name),)))

    def is_plain(self, value: Any) -> bool:
        """Whether a process has the same, and no call can change it."""
        if isinstance(value, FunctionType | type | ModuleType | logging.Logger | MethodType | BuiltinFunctionType):
            return True
        return is_c_function(value) or self.rules.is_unchanging(value) or isinstance(value, bool | int)

    def load(self, name: str) -> Value:
        space = self.function.__globals__
        if name in space:
            return self.known(name, space[name])
        builtins = space.get("__builtins__", {})
        builtins = vars(builtins) if isinstance(builtins, ModuleType) else builtins
        return self.known(name, builtins[name]) if name in builtins else OWN

    def load_module(self, name: str) -> Value:
        package = self.function.__globals__.get("__package__") or ""
        module = sys.modules.get(name) or sys.modules.get(f"{package}.{name}")
        return OWN if module is None else self.known(name, module)

    def attribute(self, owner: Value, name: str) -> Value:
        found: Origins = NOWHERE
        for origin in owner.origins:
            if origin.kind == GLOBAL and origin.level == IS:
                found |= self.member(origin, self.objects.get(origin.name), name)
            else:
                found |= part_of(frozenset((origin,)))
        return Value(found, owner.origins, name)

    def member(self, origin: Origin, value: Any, name: str) -> Origins:
        if value is sys and name in ("stdout", "stderr"):
            return NOWHERE  # a process has the same
        if isinstance(value, ModuleType):
            space = vars(value)
        elif isinstance(value, type):
            space = {name: inspect.getattr_static(value, name, None)}
        else:
            space = getattr(value, "__dict__", None) or {}
        if name not in space:
            return NOWHERE if isinstance(value, ModuleType) else frozenset((origin._replace(level=PART),))
        member = space[name]
        if isinstance(member, classmethod):
            member = MethodType(member.__func__, value)
        elif isinstance(member, staticmethod):
            member = member.__func__
        return self.known(f"{origin.name}.{name}", member).origins

    # -- what is changed ----------------------------------------------------------------------------------------

    def store(self, name: str) -> None:
        self.found(f"stores the global {name!r}")

    def change(self, value: Value) -> None:
        for origin in value.origins:
            if origin.level == HOLDS or origin.kind == MADE:
                continue
            if origin.kind == ARGUMENT:
                if origin.level == SLICE:
                    self.summary.asks[Ask(origin.name, IS, "[:]")] = None
                else:
                    self.summary.changes[origin.name] = None
            elif origin.level != SLICE or not isinstance(self.objects.get(origin.name), list | bytes | bytearray):
                self.found(f"changes the global {origin.name.strip()!r}")

    def change_in_place(self, value: Value, operation: str) -> None:
        """``x += y``, which changes lists and arrays, and no numbers."""
        for origin in value.origins:
            if origin.level == HOLDS or origin.kind == MADE:
                continue
            if origin.kind == ARGUMENT:
                self.summary.asks[Ask(origin.name, origin.level, operation)] = None
                continue
            found = self.objects.get(origin.name)
            if any(hasattr(type(each), operation) for each in ([found] if origin.level == IS else parts(found))):
                self.found(f"changes the global {origin.name.strip()!r}")

    def use(self, value: Value, *names: str) -> None:
        """The interpreter calls such a method of ``value`` if it has one: of a type of the user's, it is read."""
        for origin in value.origins:
            if origin.kind == GLOBAL and origin.level == IS:
                kind = type(self.objects.get(origin.name))
                for name in names:
                    method = inspect.getattr_static(kind, name, None)
                    if isinstance(method, FunctionType) and not is_library(method):
                        given = [Value(frozenset((origin,)))]
                        self.call_function(f"{origin.name.strip()}.{name}", method, given, {}, bound=True)

    def iterate(self, value: Value) -> None:
        self.use(value, "__iter__")
        for origin in value.origins:
            if origin.kind == GLOBAL and origin.level == IS and is_iterator(self.objects.get(origin.name)):
                self.change(value)

    def call_method(self, value: Value, name: str) -> None:
        for origin in value.origins:
            self.call_method_of(origin, name)

    def call_method_of(self, origin: Origin, name: str) -> None:
        """A method of an object is called, which may change it."""
        if origin.level == HOLDS:
            return
        if origin.kind == MADE:
            method = inspect.getattr_static(self.objects[origin.name], name, None)
            if isinstance(method, FunctionType):
                self.call_function(name, method, [Value(frozenset((origin,)))], {})
        elif origin.kind == ARGUMENT:
            if name in CHANGING:
                self.change(Value(frozenset((origin,))))
            else:
                self.summary.asks[Ask(origin.name, PART if origin.level == SLICE else origin.level, name)] = None
        else:
            self.call_global_method(origin, name)

    def call_global_method(self, origin: Origin, name: str) -> None:
        value = self.objects.get(origin.name)
        shown = origin.name.strip()
        if isinstance(value, ModuleType | type | FunctionType) and origin.level == IS:
            return  # os.remove changes no os, and the rest is seen where it is called
        if origin.level == IS:
            if is_reading(value, name) or self.is_plain(value):
                return
            problem = (
                f"changes the global {shown!r}"
                if name in CHANGING
                else f"calls {f'{shown}.{name}'!r}, which may change it"
            )
        else:
            if all(is_reading(each, name) or self.is_plain(each) for each in parts(value)):
                return
            problem = f"calls {name!r} of a part of the global {shown!r}, which may change it"
            if name in CHANGING:
                problem = f"changes the global {shown!r}"
        if name in CHANGING or not self.is_library:
            self.found(problem)

    # -- calls --------------------------------------------------------------------------------------------------

    def call(self, callee: Value, given: list[Value], named: dict[str, Value]) -> Origins:
        result: Origins = NOWHERE
        for value in (*given, *named.values()):
            self.hand_over(value)
        if "out" in named:
            self.change(named["out"])
        if callee.name:
            for origin in callee.of:
                self.call_method_of(origin, callee.name)
            if callee.name in GIVING:
                result |= part_of(callee.of)
            elif callee.name in HOLDING:
                result |= held(callee.of)
        for origin in callee.origins:
            if origin.kind == GLOBAL and origin.level == IS:
                result |= self.call_global(origin.name, self.objects.get(origin.name), given, named)
            elif not callee.name and origin.level != HOLDS and origin.kind != MADE:
                if origin.kind == ARGUMENT:
                    self.summary.asks[Ask(origin.name, origin.level, "()")] = None
                else:
                    self.call_part(origin)
            elif origin.kind == MADE and not callee.name:
                self.call_method_of(origin, "__call__")
        return result

    def hand_over(self, value: Value) -> None:
        """A function that is handed to another will be called."""
        for origin in value.origins:
            found = unwrapped(self.objects.get(origin.name)) if origin.kind == GLOBAL and origin.level == IS else None
            if isinstance(found, FunctionType | MethodType | BuiltinFunctionType):
                self.call_global(origin.name, found, [], {})
        for origin in value.of:
            if origin.kind == GLOBAL and origin.level == IS:
                member = inspect.getattr_static(type(self.objects.get(origin.name)), value.name, None)
                if callable(member) and not isinstance(member, type):
                    self.call_global_method(origin, value.name)

    def call_part(self, origin: Origin) -> None:
        """``HANDLERS[name](x)``: all that are there are looked at."""
        for each in parts(self.objects.get(origin.name)):
            if callable(each):
                self.call_global(f"{origin.name.strip()}[...]", each, [], {})

    def call_global(self, name: str, value: Any, given: list[Value], named: dict[str, Value]) -> Origins:
        everything = union([*given, *named.values()])
        if changes_first(value):
            for first in given[:1]:
                self.change(first)
        if is_process_wide(value):
            self.found(f"calls {name!r}, which is about this process")
        if is_opaque(value) and not self.is_library:
            self.found(f"calls {name!r}, and what that reaches can't be seen")
        if value is len and given:
            self.use(given[0], "__len__")
        if any(value is each for each in HOLDERS):
            return held(part_of(everything) | everything)
        if any(value is each for each in PICKERS):
            return part_of(everything) | everything
        value = unwrapped(value)
        if isinstance(value, FunctionType):
            return self.call_function(name, value, given, named)
        if isinstance(value, MethodType) and isinstance(value.__func__, FunctionType):
            if is_library(value.__func__) and isinstance(value.__self__, random.Random):
                return NOWHERE  # each process has its own chance
            bound = self.known(name.rpartition(".")[0] or f"{name}.__self__", value.__self__)
            return self.call_function(name, value.__func__, [bound, *given], named, bound=True)
        if isinstance(value, BuiltinFunctionType):
            owner = value.__self__
            is_module = isinstance(owner, ModuleType | type(None) | random.Random)
            if not is_module and value.__name__ in CHANGING and not self.is_plain(owner):
                self.found(f"calls {name!r}, which changes {a(owner)}")
            return NOWHERE
        if isinstance(value, type):
            return self.make(name, value)
        if not self.is_library and not self.is_plain(value):
            if callable(value):
                self.found(f"calls the global {name!r}, {a(value)}, which may change itself")
            elif not any(callable(each) for each in parts(value)):
                self.found(f"calls a method of the global {name!r}, which may change it")  # by getattr
        return NOWHERE

    def make(self, name: str, kind: type) -> Origins:
        """An object is made: its own methods are looked into, when they are called."""
        module = sys.modules.get(kind.__module__)
        if is_library_file(getattr(module, "__file__", None)):
            return NOWHERE
        for function in functions_of(kind):
            self.call_function(name, function, [OWN], {})
        return frozenset((Origin(MADE, name),))

    def call_function(
        self, name: str, function: FunctionType, given: list[Value], named: dict[str, Value], bound: bool = False
    ) -> Origins:
        """One of Python's, which is read if it is no library's, or of the same package."""
        if self.is_library or not is_near(function, self.function):
            if bound and not is_library(function):
                self.change(given[0])
            return NOWHERE
        summary = read(function, self.rules, self.effort)
        if summary.problem is not None:
            self.found(f"calls {name.strip()!r}, which {summary.problem}")
        places = places_of(function.__code__, given, named)
        for argument in summary.changes:
            if argument in places:
                self.change(places[argument])
        for ask in summary.asks:
            if ask.argument in places:
                self.pass_on(ask, places[ask.argument])
        result: Origins = NOWHERE
        for origin in summary.returns:
            if origin.kind == ARGUMENT:
                origins = places.get(origin.name, OWN).origins
                result |= (
                    origins if origin.level == IS else held(origins) if origin.level == HOLDS else part_of(origins)
                )
            else:
                result |= frozenset(
                    each._replace(level=origin.level, kind=origin.kind)
                    for each in self.known(origin.name, summary.objects.get(origin.name)).origins
                )
        return result

    def pass_on(self, ask: Ask, value: Value) -> None:
        """A function that was called asks of its argument what this one knows, or must ask in its turn."""
        if ask.level != IS:
            value = Value(part_of(value.origins))
        if ask.does == "[:]":
            self.change(Value(frozenset(o._replace(level=SLICE) if o.level == IS else o for o in value.origins)))
        elif ask.does == "()":
            self.call(value, [], {})
        elif ask.does in IN_PLACE.values():
            self.change_in_place(value, ask.does)
        else:
            self.call_method(value, ask.does)
