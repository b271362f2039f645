"""Bytecode: a stack machine that goes through a function's code, with origins in place of values.

It promises the way, and knows nothing of what is found on it. Each instruction is met with each stack and each set of
variables that the code can bring there, by jumps and exceptions too, until nothing new comes; then the functions and
classes inside are gone through. Of each value on the stack and in a variable it knows where that came from
(``origins``). What it takes more to say, what a name means and what a change or a call does, it asks ``Effects``.

Of the instructions of Python 3.11 to ``NEWEST``, those that do more than to push and pop have a method here. Any other
leaves the stack as high as ``dis`` says, and what it pushes counts as made here. So no code of a newer Python is gone
through: an instruction that is not known here may change what is somebody else's.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple, Protocol

from .objects import IN_PLACE, argument_count, entries_of
from .origins import CUT, IS, NOWHERE, NULL, OWN, SLICE, Origins, Value, held, joined, part_of, union

#: The newest Python whose instructions are known here.
NEWEST = (3, 13)


class LostError(Exception):
    """The code can't be followed."""


class Effects(Protocol):
    """What instructions do beyond the stack and the variables: who runs the machine says it, and hears of it here."""

    def count(self) -> None:
        """One instruction more is looked at. Raises LostError where that is one too many."""

    def load(self, name: str) -> Value:
        """A global."""

    def store(self, name: str) -> None:
        """A global is stored or deleted."""

    def attribute(self, owner: Value, name: str) -> Value:
        """An attribute of ``owner``."""

    def load_module(self, name: str) -> Value:
        """What an import inside the code brings."""

    def change(self, value: Value) -> None:
        """Something is stored in ``value``, or it is changed otherwise."""

    def change_in_place(self, value: Value, operation: str) -> None:
        """``x += y`` on ``value``: ``operation`` is ``__iadd__``."""

    def use(self, value: Value, *names: str) -> None:
        """The interpreter calls such special methods of ``value`` as it has."""

    def iterate(self, value: Value) -> None:
        """A loop takes the next one of ``value``."""

    def call(self, callee: Value, given: list[Value], named: dict[str, Value]) -> Origins:
        """A call with these arguments: where its result comes from."""

    def call_method(self, value: Value, name: str) -> None:
        """The interpreter calls a method of ``value``."""

    def return_value(self, value: Value) -> None:
        """A function, this one or one in it, returns ``value``."""


class State(NamedTuple):
    """Before an instruction: the stack, and the variables."""

    stack: tuple[Value, ...]
    variables: dict[str, Value]


class StackMachine:
    """Goes through one function. ``cells`` are the variables that it shares with functions around and inside it."""

    def __init__(self, effects: Effects, cells: dict[str, Value]) -> None:
        self.effects = effects
        self.cells = cells
        self.inside: dict[CodeType, dict[str, Value]] = {}  # the arguments of functions that are made and called here
        self.constants: tuple[Any, ...] = ()
        self.before: dis.Instruction | None = None
        self.stack: list[Value] = []
        self.variables: dict[str, Value] = {}
        self.jumped: list[Value] | None = None  # the stack where the instruction may jump to

    def run(self, code: CodeType, variables: dict[str, Value]) -> None:
        """Go through ``code``, which begins with ``variables``, and then through the functions and classes in it.

        Raises LostError where it can't be followed.
        """
        if sys.version_info[:2] > NEWEST:
            here, known = ("{}.{}".format(*version) for version in (sys.version_info[:2], NEWEST))
            raise LostError(f"can't be followed on Python {here}, only up to {known}; @rota.cpu moves it all the same")
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
            self.effects.count()
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
                self.run(constant, dict(self.inside.get(constant, {})))

    def step(self, step: dis.Instruction, state: State) -> State:
        """What is known after an instruction. Where it may jump, ``jumped`` is the stack there."""
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
        """The stack after an instruction without a method: higher or lower by ``effect``."""
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
            self.variables[name] if step.opname == "LOAD_NAME" and name in self.variables else self.effects.load(name)
        )
        if with_null and sys.version_info >= (3, 13):
            self.stack.append(NULL)

    def on_store_global(self, step: dis.Instruction) -> None:
        if step.opname == "STORE_GLOBAL":
            self.pop()
        self.effects.store(step.argval)

    def on_load_attr(self, step: dis.Instruction) -> None:
        owner = self.pop()
        self.stack.append(self.effects.attribute(owner, step.argval))
        if step.opname == "LOAD_METHOD" or (sys.version_info >= (3, 12) and (step.arg or 0) & 1):
            self.stack.append(NULL)  # bound already

    def on_load_super_attr(self, step: dis.Instruction) -> None:
        owner = self.pop()
        self.pop(2)
        self.stack.append(self.effects.attribute(owner, step.argval))
        if (step.arg or 0) & 1:
            self.stack.append(NULL)

    def on_store_attr(self, step: dis.Instruction) -> None:
        self.effects.change(self.pop())
        if step.opname == "STORE_ATTR":
            self.pop()

    def on_store_subscr(self, step: dis.Instruction) -> None:
        self.pop(2 if step.opname == "STORE_SLICE" else 1)
        self.effects.change(self.pop())
        if step.opname != "DELETE_SUBSCR":
            self.pop()

    def on_subscr(self, step: dis.Instruction) -> None:
        cut = step.opname == "BINARY_SLICE"
        key = self.pop(2 if cut else 1)
        owner = self.pop()
        self.effects.use(owner, "__getitem__", "__missing__")
        origins = owner.origins
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
        self.effects.iterate(over)
        self.push(part_of(over.origins))

    def on_binary_op(self, step: dis.Instruction) -> None:
        left = self.take(2)[0]
        operation = IN_PLACE.get(step.argrepr)
        if operation is None:
            self.push()
        else:
            self.effects.change_in_place(left, operation)
            self.push(left.origins)

    def on_compare(self, step: dis.Instruction) -> None:
        right = self.pop()
        self.pop()
        if step.opname == "CONTAINS_OP":
            self.effects.use(right, "__contains__")
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

    def call(self, callee: Value, given: list[Value], named: dict[str, Value]) -> None:
        result = self.effects.call(callee, given, named)
        if callee.code is not None:
            # Made here: where its arguments come from is known when it is gone through in its turn.
            inside = self.inside.setdefault(callee.code, {})
            for name, value in zip(callee.code.co_varnames[: argument_count(callee.code)], given, strict=False):
                inside[name] = joined(inside.get(name, OWN), value)
            result |= held(union([*given, *named.values()]))
        self.push(result)

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
        self.effects.call_method(manager, "__enter__" if step.opname == "BEFORE_WITH" else "__aenter__")
        self.push()
        self.push(manager.origins)

    def on_import(self, step: dis.Instruction) -> None:
        self.pop(2)
        names = self.before.argval if self.before is not None else None
        name = step.argval if names else step.argval.partition(".")[0]
        self.stack.append(self.effects.load_module(name))

    def on_import_from(self, step: dis.Instruction) -> None:
        self.push(self.effects.attribute(self.stack[-1], step.argval).origins)

    def on_return(self, _step: dis.Instruction) -> None:
        self.effects.return_value(self.pop())


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

INSTRUCTIONS: dict[Callable[[StackMachine, dis.Instruction], None], str] = {
    StackMachine.on_load_fast: "LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR LOAD_FAST_LOAD_FAST",
    StackMachine.on_store_fast: "STORE_FAST STORE_FAST_STORE_FAST STORE_NAME",
    StackMachine.on_store_load: "STORE_FAST_LOAD_FAST",
    StackMachine.on_load_deref: "LOAD_DEREF LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF",
    StackMachine.on_store_deref: "STORE_DEREF",
    StackMachine.on_load_const: "LOAD_CONST",
    StackMachine.on_load_global: "LOAD_GLOBAL LOAD_NAME LOAD_FROM_DICT_OR_GLOBALS",
    StackMachine.on_store_global: "STORE_GLOBAL DELETE_GLOBAL",
    StackMachine.on_load_attr: "LOAD_ATTR LOAD_METHOD",
    StackMachine.on_load_super_attr: "LOAD_SUPER_ATTR",
    StackMachine.on_store_attr: "STORE_ATTR DELETE_ATTR",
    StackMachine.on_store_subscr: "STORE_SUBSCR DELETE_SUBSCR STORE_SLICE",
    StackMachine.on_subscr: "BINARY_SUBSCR BINARY_SLICE",
    StackMachine.on_build_slice: "BUILD_SLICE",
    StackMachine.on_build: "BUILD_LIST BUILD_TUPLE BUILD_SET BUILD_MAP BUILD_CONST_KEY_MAP",
    StackMachine.on_build_string: "BUILD_STRING",
    StackMachine.on_collect: "LIST_APPEND SET_ADD MAP_ADD LIST_EXTEND SET_UPDATE DICT_UPDATE DICT_MERGE",
    StackMachine.on_unpack: "UNPACK_SEQUENCE UNPACK_EX",
    StackMachine.on_for_iter: "FOR_ITER",
    StackMachine.on_binary_op: "BINARY_OP",
    StackMachine.on_compare: "COMPARE_OP IS_OP CONTAINS_OP",
    StackMachine.on_unary: "UNARY_NEGATIVE UNARY_NOT UNARY_INVERT UNARY_POSITIVE TO_BOOL CONVERT_VALUE FORMAT_SIMPLE",
    StackMachine.on_copy: "COPY",
    StackMachine.on_swap: "SWAP",
    StackMachine.on_pass: "GET_ITER GET_YIELD_FROM_ITER KW_NAMES RESUME NOP MAKE_CELL COPY_FREE_VARS CHECK_EXC_MATCH",
    lambda machine, _step: machine.stack.append(NULL): "PUSH_NULL",
    StackMachine.on_call: "CALL CALL_KW",
    StackMachine.on_call_function_ex: "CALL_FUNCTION_EX",
    StackMachine.on_make_function: "MAKE_FUNCTION",
    StackMachine.on_set_function_attribute: "SET_FUNCTION_ATTRIBUTE",
    StackMachine.on_with: "BEFORE_WITH BEFORE_ASYNC_WITH",
    StackMachine.on_import: "IMPORT_NAME",
    StackMachine.on_import_from: "IMPORT_FROM",
    StackMachine.on_return: "RETURN_VALUE",
}

HANDLERS = {name: handler for handler, names in INSTRUCTIONS.items() for name in names.split()}
