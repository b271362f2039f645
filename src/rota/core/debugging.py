"""What debug mode shows: where a thing was made, what a callback is, what took too long.

Plain Python on purpose: inside a compiled function there is no frame of its own to count from.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from asyncio import format_helpers
from asyncio.log import logger
from collections.abc import Callable
from types import FrameType
from typing import Any

DEPTH = 10  # frames of a source traceback, asyncio's number (constants.DEBUG_STACK_DEPTH)


def source_traceback() -> traceback.StackSummary:
    """The stack of the code that called into rota, innermost frame last, without rota's own frames on top."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("rota.core"):
        frame = frame.f_back
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=DEPTH, lookup_lines=False)
    stack.reverse()
    return stack


#: Since Python 3.13 the arguments of a callback, which may be secret or large, are shown in debug mode only.
ARGUMENTS_ARE_HIDDEN = sys.version_info >= (3, 13)


def callback_source(callback: Callable[..., Any], args: tuple[Any, ...] | None, debug: bool) -> str:
    """``callback(args) at file:line``, as asyncio writes it."""
    try:
        if ARGUMENTS_ARE_HIDDEN:
            return format_helpers._format_callback_source(callback, args or (), debug=debug)  # type: ignore[call-arg]
        return format_helpers._format_callback_source(callback, args or ())
    except Exception:
        return describe(callback)


def describe(thing: object) -> str:
    """``repr(thing)``, or what there is to say of something whose ``__repr__`` fails: it may be asked in trouble."""
    try:
        return repr(thing)
    except Exception as error:
        return f"<{type(thing).__module__}.{type(thing).__qualname__} object, whose repr raised {type(error).__name__}>"


def report_slow(runnable: object, seconds: float) -> None:
    """Log that one runnable held the loop for ``seconds``, in asyncio's words."""
    callback = getattr(runnable, "_callback", None)
    owner = getattr(callback, "__self__", None)
    what = owner if isinstance(owner, asyncio.Task) else runnable
    logger.warning("Executing %s took %.3f seconds", repr(what), seconds)


def check_callback(callback: object, method: str) -> None:
    """Raise TypeError for what is easily mistaken for a callback. In asyncio's words."""
    if asyncio.iscoroutine(callback) or asyncio.iscoroutinefunction(callback):
        raise TypeError(f"coroutines cannot be used with {method}()")
    if not callable(callback):
        raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")
