"""Dependencies: what goes along with a function that is sent by value, and whether any of that may have changed.

To pickle a function by value takes far longer than to call one in another process. As long as all that goes along is
the same as it was, and can't change in place, so is its pickle. Of what may change unseen nothing is said here, and it
is pickled each time: that is most of what a program can do, and none of what small functions do.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from .shipping import cloudpickle

#: Values that never change.
FIXED = frozenset((int, float, complex, bool, str, bytes, type(None)))

#: ... and that are not worth to be kept for this: so many characters or bytes.
LARGE = 4096

#: Stands for a global that is not there.
MISSING = object()


def dependencies_of(fn: FunctionType) -> tuple[Any, ...] | None:
    """What the pickle by value of ``fn`` is made of: as long as these are the very same objects, in the same order, it
    is the same. None if one of them could change in place: a list, a class of the program's own file, a closure.
    """
    library = cloudpickle()
    if library is None or library.list_registry_pickle_by_value():
        return None  # whole modules go by value
    found: list[Any] = []
    functions = [fn]
    for function in functions:  # more come as they are found
        if not is_bare(function):
            return None
        found += (function.__code__, function.__defaults__, *function.__annotations__.values())
        for name in names_of(function.__code__):
            value = function.__globals__.get(name, MISSING)
            if type(value) is FunctionType and value.__globals__ is fn.__globals__:
                if value not in functions:
                    functions.append(value)
            elif value is not MISSING and not is_fixed(value) and not is_found_by_name(value):
                return None
            found.append(value)
    return tuple(found)


def are_same(these: tuple[Any, ...], those: tuple[Any, ...]) -> bool:
    """Whether they are the very same objects."""
    return len(these) == len(those) and all(map(operator.is_, these, those))


def names_of(code: CodeType) -> Iterator[str]:
    """The names that code may look up in its globals, those inside it included. Names of attributes are among them."""
    yield from code.co_names
    for inner in code.co_consts:
        if type(inner) is CodeType:
            yield from names_of(inner)


def is_bare(function: FunctionType) -> bool:
    """Whether nothing goes along with it but its code, its globals, and defaults and annotations that never change."""
    if function.__closure__ or function.__dict__ or function.__kwdefaults__:
        return False
    annotations = function.__annotations__.values()
    return all(map(is_fixed, function.__defaults__ or ())) and all(
        is_fixed(value) or is_found_by_name(value) for value in annotations
    )


def is_fixed(value: Any) -> bool:
    return type(value) in FIXED and not (type(value) in (str, bytes) and len(value) > LARGE)


def is_found_by_name(value: Any) -> bool:
    """Whether a worker imports it, and gets its own: a module, or a function or class of one. Packages are none: their
    modules may be imported one by one. Others are not asked for anything: they may be proxies.
    """
    if type(value) is ModuleType:
        return sys.modules.get(value.__name__) is value and "__path__" not in vars(value)
    if type(value) not in (FunctionType, BuiltinFunctionType) and not issubclass(type(value), type):
        return False
    module = sys.modules.get(value.__module__ or "__main__")
    return module is not None and module.__name__ != "__main__" and vars(module).get(value.__qualname__) is value
