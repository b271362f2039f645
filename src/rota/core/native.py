"""The few calls of the core that need C, in plain Python.

``native.pxd`` beside this file holds the same functions as C inline functions; compiled modules use those, this
file is never compiled. Each pair keeps one contract:

* the context is entered for the call and left whatever happens;
* ``step`` and ``throw`` drive a coroutine to its next suspension and return what it yielded, or ``ended`` with how it
  ended in there. They raise nothing: so a step costs no exception, and no frame of the loop gets into a traceback.
"""

from __future__ import annotations

import operator
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, NoReturn, SupportsIndex, TypeVar

from .ended import Ended

Kind = TypeVar("Kind")

__all__ = [
    "another",
    "call",
    "call_method",
    "call_method_two",
    "cancel",
    "check_signals",
    "clip",
    "copy_context",
    "filled",
    "find",
    "give",
    "given",
    "is_here",
    "iterate_by",
    "later",
    "leave_dictionary",
    "monotonic",
    "nbytes",
    "run",
    "set_timer_slack",
    "step",
    "stop_iteration",
    "take",
    "throw",
    "unraisable",
    "untouched",
]


def step(context: Context, coro: Coroutine[Any, Any, Any], ended: Ended) -> Any:
    """Resume ``coro`` in ``context`` until it yields or ends."""
    try:
        return context.run(coro.send, None)
    except StopIteration as stop:
        ended.value = stop.value
    except BaseException as error:
        ended.error = without_own_frame(error)
    return ended


def throw(context: Context, coro: Coroutine[Any, Any, Any], error: BaseException, ended: Ended) -> Any:
    """Raise ``error`` where ``coro`` is suspended and run it until it yields or ends."""
    try:
        return context.run(coro.throw, error)
    except StopIteration as stop:
        ended.value = stop.value
    except BaseException as raised:
        ended.error = without_own_frame(raised)
    finally:
        # Its traceback leads back to this frame: the two would hold one another.
        del error
    return ended


def without_own_frame(error: BaseException) -> BaseException:
    """``error`` with a traceback that begins with the coroutine."""
    frames = error.__traceback__
    if frames is not None and frames.tb_next is not None:
        error.__traceback__ = frames.tb_next
    return error


def call(context: Context, callback: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """``callback(*args)`` in ``context``."""
    try:
        return context.run(callback, *args)
    finally:
        # What was raised may be kept, with this frame.
        del callback, args


def run(context: Context, callback: Callable[..., Any], args: tuple[Any, ...]) -> BaseException | None:
    """Call ``callback(*args)`` in ``context``; returns what it raised, or None."""
    try:
        context.run(callback, *args)
    except BaseException as error:
        return without_own_frame(error)
    finally:
        # As in call.
        del callback, args
    return None


def call_method(context: Context, owner: object, name: str, arg: object) -> Any:
    """``owner.name(arg)`` in ``context``."""
    return context.run(getattr(owner, name), arg)


def call_method_two(context: Context, owner: object, name: str, pair: tuple[Any, Any]) -> Any:
    """``owner.name(*pair)`` in ``context``."""
    return context.run(getattr(owner, name), *pair)


def cancel(future: Any, message: object) -> bool:
    """``future.cancel(msg=message)``. Raises RecursionError where tasks await one another in a ring or too deeply: C
    functions that call one another are not counted by themselves.
    """
    return future.cancel(msg=message)  # type: ignore[no-any-return]


def stop_iteration(value: object) -> NoReturn:
    """End an iterator with ``value``, as ``return value`` ends a generator."""
    raise StopIteration(value)


def untouched(kind: type[Kind]) -> type[Kind]:
    """What others of ``kind``, a class of the calling module, are made from: compiled, an object of it that nobody else
    sees, and the memory of up to 1,024 that have gone is kept to be used again; two classes a module.
    """
    return kind


def leave_dictionary(thing: object) -> None:
    """Compiled, do without the dictionary that ``__new__`` has made, until an attribute is set."""


def another(untouched: type[Kind]) -> Kind:
    """An object of the class, on which nothing is set. Compiled, it is a copy of the untouched one's memory: a quarter
    of the instructions of ``__new__``, which sets each attribute of each class and makes a dictionary.
    """
    return untouched.__new__(untouched)  # without __init__


results: list[Any] = []


def give(result: Any) -> None:
    """Leave ``result`` to whoever asks next, at once, with :func:`given`."""
    results.append(result)


def given() -> Any:
    """What was left."""
    return results.pop()


def iterate_by(kind: type, go_on: Callable[[Any], Any]) -> None:
    """Compiled, have ``next()`` of a ``kind`` call ``go_on`` with it, which returns what to yield, or None when it is
    over and has left its value by :func:`give`. A ``__next__`` that raises StopIteration has a traceback made for it
    first, in 200 ns, with which nobody does anything.
    """


def find(data: bytes | bytearray, part: bytes, begin: int) -> int:
    """Where ``part`` begins in ``data``, not before ``begin``, or -1."""
    return data.find(part, begin)


def nbytes(memory: Any) -> int:
    """How many bytes ``memory`` has, whatever its length counts. Raises TypeError for what is no memory."""
    with memoryview(memory) as view:
        return view.nbytes


def clip(number: SupportsIndex) -> int:
    """``number`` as a size: what is too large for one is the largest. Raises TypeError for what is no integer."""
    return min(operator.index(number), sys.maxsize)


def take(ring: list[Any], place: int) -> Any:
    """What stands at ``place`` of ``ring``, which has None there from now on. Compiled, a Runnable, unchecked."""
    taken = ring[place]
    ring[place] = None
    return taken


def monotonic() -> float:
    """Seconds of ``CLOCK_MONOTONIC``: the clock of :func:`time.monotonic`."""
    return time.monotonic()


def set_timer_slack(nanoseconds: int) -> int:
    """Let the kernel wake this thread at most so late, to wake it along with others; returns what it was before, or 0
    where the kernel knows no slack (prctl(2), ``PR_SET_TIMERSLACK``). Plain Python can't ask for it.
    """
    return 0


def filled(queue: deque[Any]) -> bool:
    """Whether anything is in ``queue``."""
    return bool(queue)


def is_here(thread_id: int | None) -> bool:
    """Whether this is the thread of that number."""
    return thread_id == threading.get_ident()


def later(now: float, delay: Any) -> float:
    """``now + delay``, of any number that can be added to a float. Raises TypeError for another."""
    return now + delay  # type: ignore[no-any-return]


def unraisable(owner: object, error: BaseException) -> None:
    """Report ``error``, that of the finalizer of ``owner``, which can raise it nowhere: to :func:`sys.unraisablehook`,
    as Python does by itself. Compiled finalizers would print it first, and at the very end of the interpreter complain
    that there is nothing left to print it with.
    """
    raise error


def check_signals() -> None:
    """Run the Python handlers of signals that have come. The interpreter does that between its instructions."""
