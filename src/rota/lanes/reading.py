"""Reading: what a function's code shows of what it does beyond its result.

The code is walked through once for each way that it can take, with names in place of values: each value on the stack
and in a variable is known by where it came from, a global, an argument, or neither. So what is changed has a name, by
whatever way it was reached: ``a.b[key].append(x)`` and ``rows = table; rows[0] = x`` change ``a`` and ``table``. Own
functions that are called are read as well, libraries' are trusted.

What is made here is its own to change. What a type of the user's does with what it was given is not followed.
"""

from __future__ import annotations

import contextvars
import dis
import inspect
import logging
import random
import sys
import threading
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from .objects import (
    CHANGERS,
    CHANGING,
    GIVING,
    HOLDERS,
    HOLDING,
    IN_PLACE,
    PICKERS,
    PROCESS_WIDE,
    a,
    argument_count,
    entries_of,
    functions_of,
    is_c_function,
    is_iterator,
    is_library,
    is_library_file,
    is_near,
    is_own,
    is_reading,
    parts,
    unwrapped,
)
from .origins import (
    ARGUMENT,
    CUT,
    GLOBAL,
    HOLDS,
    IS,
    MADE,
    NOWHERE,
    NULL,
    OWN,
    PART,
    SLICE,
    Origin,
    Origins,
    Value,
    held,
    joined,
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
known: weakref.WeakKeyDictionary[FunctionType, Summary] = weakref.WeakKeyDictionary()


class Effort:
    """What one look at a function, with all that it calls, may take, and whether it met one that is still read."""

    def __init__(self) -> None:
        self.left = STEPS
        self.met: set[FunctionType] = set()


def read(function: FunctionType, rules: Rules, effort: Effort | None = None) -> Summary:
    """What the code of ``function`` shows."""
    summary = known.get(function)
    if summary is not None:
        if effort is not None and not summary.whole:
            effort.met.add(function)
        return summary
    known[function] = summary = Summary()  # for who calls itself
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
        del known[function]
    return summary


class LostError(Exception):
    """The code can't be followed."""


class State(NamedTuple):
    """Before an instruction: the stack, and the variables."""

    stack: tuple[Value, ...]
    variables: dict[str, Value]


class Reader:
    """Reads one function. Its problem, and what else it finds, goes to ``summary``."""

    def __init__(self, function: FunctionType, rules: Rules, summary: Summary, effort: Effort) -> None:
        self.function = function
        self.rules = rules
        self.summary = summary
        self.effort = effort
        self.is_library = is_own(function.__code__.co_filename)  # trusted
        self.objects = summary.objects
        self.cells: dict[str, Value] = {}
        self.inside: dict[CodeType, dict[str, Value]] = {}
        self.before: dis.Instruction | None = None
        self.jumped: list[Value] | None = None
        self.constants: tuple[Any, ...] = ()

    def read(self) -> None:
        code = self.function.__code__
        names = code.co_varnames[: argument_count(code)]
        for name, cell in zip(code.co_freevars, self.function.__closure__ or (), strict=False):
            try:
                self.cells[name] = self.known(name, cell.cell_contents)
            except ValueError:  # empty
                continue
        # What *args and **kwargs are is made for the call.
        whole = code.co_argcount + code.co_kwonlyargcount
        levels = {name: IS if at < whole else HOLDS for at, name in enumerate(names)}
        self.walk(code, {name: Value(frozenset((Origin(ARGUMENT, name, levels[name]),))) for name in names})

    def found(self, problem: str) -> None:
        if self.summary.problem is None:
            self.summary.problem = problem

    # -- the walk -----------------------------------------------------------------------------------------------

    def walk(self, code: CodeType, variables: dict[str, Value]) -> None:
        """Through ``code``, and then through the functions and classes in it."""
        for name in code.co_cellvars:
            if name in variables:
                self.cells[name] = joined(self.cells.get(name, OWN), variables[name])
        steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PRECALL")]
        self.constants = code.co_consts
        places = {step.offset: number for number, step in enumerate(steps)}
        handlers = [(e.start, e.end, e.target, e.depth, e.lasti) for e in entries_of(code)]
        states: dict[int, State] = {0: State((), variables)}
        waiting = [0]
        while waiting:
            number = waiting.pop()
            self.effort.left -= 1
            if self.effort.left < 0:
                raise LostError("has too much code to be looked through")
            state, step = states[number], steps[number]
            self.before = steps[number - 1] if number else None
            after = self.step(step, state)
            for start, end, target, depth, lasti in handlers:
                if start <= step.offset < end:
                    stack = (*state.stack[:depth], *([OWN] if lasti else []), OWN)
                    follow(states, waiting, places[target], State(stack, state.variables))
                    follow(states, waiting, places[target], State(stack, after.variables))
            if self.jumped is not None and step.argval in places:
                follow(states, waiting, places[step.argval], State(tuple(self.jumped), after.variables))
            if step.opname not in ENDS and number + 1 < len(steps):
                follow(states, waiting, number + 1, after)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.walk(constant, dict(self.inside.get(constant, {})))

    def step(self, step: dis.Instruction, state: State) -> State:
        """What is so after an instruction. Where it may jump, ``jumped`` is the stack there."""
        self.stack = list(state.stack)
        self.variables = dict(state.variables)
        self.jumped = None
        name = step.opname
        handler = HANDLERS.get(name)
        jumps = step.opcode in dis.hasjrel or step.opcode in dis.hasjabs
        if jumps and handler is None:
            self.jumped = list(self.stack)
            self.shift(self.jumped, dis.stack_effect(step.opcode, step.arg, jump=True))
        if handler is not None:
            handler(self, step)
            if jumps and self.jumped is None:
                self.jumped = list(self.stack)
        elif name not in ENDS or jumps:
            self.shift(
                self.stack,
                dis.stack_effect(step.opcode, step.arg if step.opcode >= dis.HAVE_ARGUMENT else None, jump=False),
            )
        return State(tuple(self.stack), self.variables)

    @staticmethod
    def shift(stack: list[Value], effect: int) -> None:
        """What an instruction does to the stack that changes nothing: what it leaves comes from what was there."""
        if effect > 0:
            stack.extend([OWN] * effect)
        elif effect < 0:
            del stack[effect:]

    def pop(self, count: int = 1) -> Value:
        value = OWN
        for _ in range(count):
            value = self.stack.pop() if self.stack else OWN
        return value

    def take(self, count: int) -> list[Value]:
        """The uppermost values, the lowest of them first."""
        return [self.pop() for _ in range(count)][::-1]

    def push(self, origins: Origins = NOWHERE) -> None:
        self.stack.append(Value(origins) if origins else OWN)

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

    def change(self, value: Value) -> None:
        """Something is stored in ``value``, or it is changed otherwise."""
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

    def call_method(self, origin: Origin, name: str) -> None:
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

    def call(self, callee: Value, given: list[Value], named: dict[str, Value]) -> None:
        """Pushes what the call brings."""
        result: Origins = NOWHERE
        everything = [*given, *named.values()]
        for value in everything:
            self.hand_over(value)
        if "out" in named:
            self.change(named["out"])
        if callee.code is not None:
            self.enter(callee.code, given)
            result |= held(union(everything))
        if callee.name:
            for origin in callee.of:
                self.call_method(origin, callee.name)
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
                self.call_method(origin, "__call__")
        self.push(result)

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

    def enter(self, code: CodeType, given: list[Value]) -> None:
        """A function made here is called: where its arguments come from is known when it is read."""
        inside = self.inside.setdefault(code, {})
        for name, value in zip(code.co_varnames[: argument_count(code)], given, strict=False):
            inside[name] = joined(inside.get(name, OWN), value)

    def call_part(self, origin: Origin) -> None:
        """``HANDLERS[name](x)``: all that are there are looked at."""
        for each in parts(self.objects.get(origin.name)):
            if callable(each):
                self.call_global(f"{origin.name.strip()}[...]", each, [], {})

    def call_global(self, name: str, value: Any, given: list[Value], named: dict[str, Value]) -> Origins:
        everything = union([*given, *named.values()])
        if any(value is each for each in CHANGERS):
            for first in given[:1]:
                self.change(first)
        if any(value is each for each in PROCESS_WIDE):
            self.found(f"calls {name!r}, which is about this process")
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
        if not self.is_library and not self.is_plain(value) and callable(value):
            self.found(f"calls the global {name!r}, {a(value)}, which may change itself")
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
            size = len(self.stack)
            self.call(value, [], {})
            del self.stack[size:]
        elif ask.does in IN_PLACE.values():
            self.change_in_place(value, ask.does)
        else:
            for origin in value.origins:
                self.call_method(origin, ask.does)

    # -- instructions -------------------------------------------------------------------------------------------

    def on_load_fast(self, step: dis.Instruction) -> None:
        names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        for name in names:
            self.stack.append(self.cells[name] if name in self.cells else self.variables.get(name, OWN))

    def on_store_fast(self, step: dis.Instruction) -> None:
        names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        for name in names:
            self.variables[name] = self.pop()

    def on_store_load(self, step: dis.Instruction) -> None:
        stored, loaded = step.argval
        self.variables[stored] = self.pop()
        self.stack.append(self.variables.get(loaded, OWN))

    def on_load_deref(self, step: dis.Instruction) -> None:
        if step.opname == "LOAD_FROM_DICT_OR_DEREF":
            self.pop()
        self.stack.append(self.cells.get(step.argval, OWN))

    def on_store_deref(self, step: dis.Instruction) -> None:
        self.cells[step.argval] = joined(self.cells.get(step.argval, OWN), self.pop())

    def on_load_const(self, step: dis.Instruction) -> None:
        self.stack.append(Value(code=step.argval) if isinstance(step.argval, CodeType) else OWN)

    def on_load_global(self, step: dis.Instruction) -> None:
        with_null = step.opname == "LOAD_GLOBAL" and (step.arg or 0) & 1
        if with_null and sys.version_info < (3, 13):
            self.stack.append(NULL)
        if step.opname == "LOAD_FROM_DICT_OR_GLOBALS":
            self.pop()
        name = step.argval
        self.stack.append(
            self.variables[name] if step.opname == "LOAD_NAME" and name in self.variables else self.load(name)
        )
        if with_null and sys.version_info >= (3, 13):
            self.stack.append(NULL)

    def on_store_global(self, step: dis.Instruction) -> None:
        if step.opname == "STORE_GLOBAL":
            self.pop()
        self.found(f"stores the global {step.argval!r}")

    def on_load_attr(self, step: dis.Instruction) -> None:
        owner = self.pop()
        self.stack.append(self.attribute(owner, step.argval))
        if step.opname == "LOAD_METHOD" or (sys.version_info >= (3, 12) and (step.arg or 0) & 1):
            self.stack.append(NULL)  # bound already

    def on_load_super_attr(self, step: dis.Instruction) -> None:
        owner = self.pop()
        self.pop(2)
        self.stack.append(self.attribute(owner, step.argval))
        if (step.arg or 0) & 1:
            self.stack.append(NULL)

    def on_store_attr(self, step: dis.Instruction) -> None:
        self.change(self.pop())
        if step.opname == "STORE_ATTR":
            self.pop()

    def on_store_subscr(self, step: dis.Instruction) -> None:
        self.pop(2 if step.opname == "STORE_SLICE" else 1)
        self.change(self.pop())
        if step.opname != "DELETE_SUBSCR":
            self.pop()

    def on_subscr(self, step: dis.Instruction) -> None:
        cut = step.opname == "BINARY_SLICE"
        key = self.pop(2 if cut else 1)
        origins = self.pop().origins
        if cut or key.mark == "slice":
            self.push(frozenset(o._replace(level=SLICE) if o.level == IS else o for o in origins))
        else:
            self.push(part_of(origins))

    def on_build_slice(self, step: dis.Instruction) -> None:
        self.pop(step.arg or 2)
        self.stack.append(CUT)

    def on_build(self, step: dis.Instruction) -> None:
        count = (step.arg or 0) * (2 if step.opname == "BUILD_MAP" else 1) + (step.opname == "BUILD_CONST_KEY_MAP")
        self.push(held(union(self.take(count))))

    def on_build_string(self, step: dis.Instruction) -> None:
        self.take(step.arg or 0)
        self.push()

    def on_collect(self, step: dis.Instruction) -> None:
        """A list or its like that is being made takes one more."""
        count = 2 if step.opname == "MAP_ADD" else 1
        origins = union(self.take(count))
        if step.opname not in ("LIST_APPEND", "SET_ADD", "MAP_ADD"):
            origins = part_of(origins) | origins
        at = len(self.stack) - (step.arg or 1)
        if at >= 0:
            self.stack[at] = joined(self.stack[at], Value(held(origins)))

    def on_unpack(self, step: dis.Instruction) -> None:
        count = (
            (step.arg or 0)
            if step.opname == "UNPACK_SEQUENCE"
            else ((step.arg or 0) & 0xFF) + 1 + ((step.arg or 0) >> 8)
        )
        origins = part_of(self.pop().origins)
        for _ in range(count):
            self.push(origins)

    def on_for_iter(self, step: dis.Instruction) -> None:
        self.jumped = list(self.stack)
        self.shift(self.jumped, dis.stack_effect(step.opcode, step.arg, jump=True))
        over = self.stack[-1] if self.stack else OWN
        for origin in over.origins:
            if origin.kind == GLOBAL and origin.level == IS and is_iterator(self.objects.get(origin.name)):
                self.change(over)
        self.push(part_of(over.origins))

    def on_binary_op(self, step: dis.Instruction) -> None:
        left = self.take(2)[0]
        operation = IN_PLACE.get(step.argrepr)
        if operation is None:
            self.push()
        else:
            self.change_in_place(left, operation)
            self.push(left.origins)

    def on_compare(self, _step: dis.Instruction) -> None:
        self.pop(2)
        self.push()

    def on_unary(self, _step: dis.Instruction) -> None:
        self.pop()
        self.push()

    def on_copy(self, step: dis.Instruction) -> None:
        self.stack.append(self.stack[-(step.arg or 1)])

    def on_swap(self, step: dis.Instruction) -> None:
        at = -(step.arg or 1)
        self.stack[-1], self.stack[at] = self.stack[at], self.stack[-1]

    def on_pass(self, _step: dis.Instruction) -> None:
        """It does nothing to what is known."""

    def on_call(self, step: dis.Instruction) -> None:
        names: tuple[str, ...] = ()
        if step.opname == "CALL_KW":
            self.pop()
            names = self.before.argval if self.before is not None and isinstance(self.before.argval, tuple) else ()
        elif self.before is not None and self.before.opname == "KW_NAMES":
            names = self.constants[self.before.arg or 0]  # which 3.11 does not show as its argument
        given = self.take(step.arg or 0)
        callee, first = self.take(2)
        if callee.mark == "null":
            callee = first
        elif first.mark != "null":
            given = [first, *given]
        count = len(given) - len(names)
        self.call(callee, given[:count], dict(zip(names, given[count:], strict=False)))

    def on_call_function_ex(self, step: dis.Instruction) -> None:
        given = self.take(1 + ((step.arg or 0) & 1))
        callee, first = self.take(2)
        callee = first if callee.mark == "null" else callee
        # One of the many: any of what is given may be any argument.
        some = Value(part_of(union(given)))
        self.call(callee, [some] * 8, {})

    def on_make_function(self, step: dis.Instruction) -> None:
        made = self.pop()
        if sys.version_info < (3, 13):
            self.pop(((step.arg or 0) & 0xF).bit_count())
        self.stack.append(made)

    def on_set_function_attribute(self, _step: dis.Instruction) -> None:
        made = self.pop()
        self.pop()
        self.stack.append(made)

    def on_with(self, step: dis.Instruction) -> None:
        manager = self.pop()
        for origin in manager.origins:
            self.call_method(origin, "__enter__" if step.opname == "BEFORE_WITH" else "__aenter__")
        self.push()
        self.push(manager.origins)

    def on_import(self, step: dis.Instruction) -> None:
        self.pop(2)
        names = self.before.argval if self.before is not None else None
        name = step.argval if names else step.argval.partition(".")[0]
        package = self.function.__globals__.get("__package__") or ""
        module = sys.modules.get(name) or sys.modules.get(f"{package}.{name}")
        self.stack.append(OWN if module is None else self.known(name, module))

    def on_import_from(self, step: dis.Instruction) -> None:
        self.push(self.attribute(self.stack[-1], step.argval).origins)

    def on_return(self, _step: dis.Instruction) -> None:
        self.summary.returns |= self.pop().origins


def follow(states: dict[int, State], waiting: list[int], number: int, state: State) -> None:
    """``state`` is one that the instruction ``number`` may be met with."""
    before = states.get(number)
    if before is None:
        states[number] = state
        waiting.append(number)
        return
    if len(before.stack) != len(state.stack):
        raise LostError("has code that can't be followed")
    stack = tuple(map(joined, before.stack, state.stack))
    variables = dict(before.variables)
    for name, value in state.variables.items():
        variables[name] = joined(variables[name], value) if name in variables else value
    if stack != before.stack or variables != before.variables:
        states[number] = State(stack, variables)
        waiting.append(number)


ENDS = frozenset(
    """RETURN_VALUE RETURN_CONST RAISE_VARARGS RERAISE JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT
    INTERPRETER_EXIT""".split()  # noqa: SIM905 - a few lines
)

INSTRUCTIONS: dict[Callable[[Reader, dis.Instruction], None], str] = {
    Reader.on_load_fast: """LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR LOAD_FAST_LOAD_FAST LOAD_FAST_BORROW
    LOAD_FAST_BORROW_LOAD_FAST_BORROW""",
    Reader.on_store_fast: "STORE_FAST STORE_FAST_STORE_FAST STORE_NAME",
    Reader.on_store_load: "STORE_FAST_LOAD_FAST",
    Reader.on_load_deref: "LOAD_DEREF LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF",
    Reader.on_store_deref: "STORE_DEREF",
    Reader.on_load_const: "LOAD_CONST LOAD_SMALL_INT",
    Reader.on_load_global: "LOAD_GLOBAL LOAD_NAME LOAD_FROM_DICT_OR_GLOBALS",
    Reader.on_store_global: "STORE_GLOBAL DELETE_GLOBAL",
    Reader.on_load_attr: "LOAD_ATTR LOAD_METHOD",
    Reader.on_load_super_attr: "LOAD_SUPER_ATTR",
    Reader.on_store_attr: "STORE_ATTR DELETE_ATTR",
    Reader.on_store_subscr: "STORE_SUBSCR DELETE_SUBSCR STORE_SLICE",
    Reader.on_subscr: "BINARY_SUBSCR BINARY_SLICE",
    Reader.on_build_slice: "BUILD_SLICE",
    Reader.on_build: "BUILD_LIST BUILD_TUPLE BUILD_SET BUILD_MAP BUILD_CONST_KEY_MAP",
    Reader.on_build_string: "BUILD_STRING",
    Reader.on_collect: "LIST_APPEND SET_ADD MAP_ADD LIST_EXTEND SET_UPDATE DICT_UPDATE DICT_MERGE",
    Reader.on_unpack: "UNPACK_SEQUENCE UNPACK_EX",
    Reader.on_for_iter: "FOR_ITER",
    Reader.on_binary_op: "BINARY_OP",
    Reader.on_compare: "COMPARE_OP IS_OP CONTAINS_OP",
    Reader.on_unary: "UNARY_NEGATIVE UNARY_NOT UNARY_INVERT UNARY_POSITIVE TO_BOOL CONVERT_VALUE FORMAT_SIMPLE",
    Reader.on_copy: "COPY",
    Reader.on_swap: "SWAP",
    Reader.on_pass: "GET_ITER GET_YIELD_FROM_ITER KW_NAMES RESUME NOP MAKE_CELL COPY_FREE_VARS CHECK_EXC_MATCH",
    lambda reader, _step: reader.stack.append(NULL): "PUSH_NULL",
    Reader.on_call: "CALL CALL_KW",
    Reader.on_call_function_ex: "CALL_FUNCTION_EX",
    Reader.on_make_function: "MAKE_FUNCTION",
    Reader.on_set_function_attribute: "SET_FUNCTION_ATTRIBUTE",
    Reader.on_with: "BEFORE_WITH BEFORE_ASYNC_WITH",
    Reader.on_import: "IMPORT_NAME",
    Reader.on_import_from: "IMPORT_FROM",
    Reader.on_return: "RETURN_VALUE",
}

HANDLERS = {name: handler for handler, names in INSTRUCTIONS.items() for name in names.split()}
