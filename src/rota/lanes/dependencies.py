"""Dependencies: what goes along with a function that is sent by value, and whether any of that may have changed.

To pickle a function by value takes far longer than to call one in another process. As long as all that it names is the
same as it was, and can't change in place, so is its pickle.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from .shipping import PLAIN


def dependencies_of(fn: FunctionType) -> tuple[Any, ...] | None:
    """What the pickle by value of ``fn`` is made of: as long as these are the very same objects, in the same order, it
    is the same. None if one of them could change in place: a list, a class of the program's own file, a closure.
    """
    found: list[Any] = []
    functions = [fn]
    for function in functions:  # more come as they are found
        if function.__closure__ or function.__dict__ or function.__kwdefaults__ or not is_plain(function.__defaults__):
            return None
        found += (function.__code__, function.__defaults__)
        for name in names_of(function.__code__):
            value = function.__globals__.get(name, found)  # that list is nobody's global
            if value is found:
                continue
            if type(value) is FunctionType and value.__globals__ is fn.__globals__:
                if value in functions:
                    continue
                functions.append(value)
            elif not (type(value) in PLAIN or is_found_by_name(value)):
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


def is_plain(defaults: tuple[Any, ...] | None) -> bool:
    return all(type(value) in PLAIN for value in defaults or ())


def is_found_by_name(value: Any) -> bool:
    """Whether a worker imports it, and gets its own: a module, or a function or class of one. Others are not asked for
    anything: they may be proxies.
    """
    if issubclass(type(value), ModuleType):
        return True
    if type(value) not in (FunctionType, BuiltinFunctionType) and not issubclass(type(value), type):
        return False
    module = sys.modules.get(value.__module__ or "__main__")
    return module is not None and module.__name__ != "__main__" and getattr(module, value.__qualname__, None) is value
