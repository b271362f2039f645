"""Function: a callable as the lanes see it, whatever form it came in.

Figures and decisions belong to the code that runs, not to the object that was handed over: a partial, a bound method
and a callable object all lead to the function inside.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType
from typing import Any


def inner(fn: Callable[..., Any]) -> Callable[..., Any]:
    """What runs in the end when ``fn`` is called: through partials, bound methods and callable objects."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, MethodType):
            fn = fn.__func__
        elif isinstance(fn, FunctionType | BuiltinFunctionType | type):
            return fn
        else:
            call = getattr(type(fn), "__call__", None)  # noqa: B004 - the function itself is wanted, not whether it is
            if not isinstance(call, FunctionType):
                return fn
            fn = call


def key_of(fn: Callable[..., Any]) -> Hashable:
    """What figures of ``fn`` are kept under: its code, or where it is written in C, the object itself or its name. Only
    for an object without a name of its own is it the type.
    """
    if type(fn) is FunctionType:
        return fn.__code__
    found = inner(fn)
    if isinstance(found, FunctionType):
        return found.__code__
    if isinstance(found, BuiltinFunctionType):
        # A method of a C type is a new object at every look: its type and its name stay.
        owner = found.__self__
        return (found.__module__, type(owner), found.__name__) if owner is not None else found.__qualname__
    inside = getattr(found, "__wrapped__", None)
    if isinstance(inside, FunctionType) and not isinstance(found, type):
        return inside.__code__  # functools.cache
    if isinstance(found, MethodWrapperType):
        return (None, type(found.__self__), found.__name__)
    is_named = hasattr(found, "__qualname__") or hasattr(found, "__name__")
    return found if isinstance(found, type) or is_named else type(found)  # type: ignore[return-value]


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether a call of ``fn`` makes a coroutine."""
    if type(fn) is FunctionType and not fn.__dict__:  # nor marked as one
        return bool(fn.__code__.co_flags & inspect.CO_COROUTINE)
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.iscoroutinefunction(fn):
        return True
    return not inspect.isroutine(fn) and inspect.iscoroutinefunction(getattr(type(fn), "__call__", None))  # noqa: B004


def name_of(fn: Callable[..., Any]) -> str:
    """``fn`` as messages name it: ``module.qualified.name``, of the function inside."""
    owner = fn.__self__ if isinstance(fn, MethodType | BuiltinFunctionType) else None
    found = inner(fn)
    name = getattr(found, "__qualname__", None) or type(found).__qualname__
    module = getattr(found, "__module__", None) or (type(owner).__module__ if owner is not None else None)
    return name if module in (None, "builtins", "__main__") else f"{module}.{name}"
