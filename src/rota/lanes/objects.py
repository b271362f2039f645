"""Objects: what is known of them without asking: which of their methods change them, what they hold, whose they are.

For who reads what a function does with them.
"""

from __future__ import annotations

import bisect
import copy
import dis
import gc
import heapq
import inspect
import locale
import operator
import os
import random
import signal
import sys
import sysconfig
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: Methods of lists, dictionaries, sets and their like that change them.
CHANGING = frozenset(
    """append appendleft extend extendleft insert remove clear update add discard setdefault pop popleft popitem sort
    reverse rotate difference_update intersection_update symmetric_difference_update move_to_end subtract put fill
    write writelines send set __setitem__ __delitem__ __setattr__ __delattr__""".split()  # noqa: SIM905 - a few lines
)

#: Methods of arrays that change them.
CHANGING_ARRAYS = frozenset("byteswap fill itemset partition put resize setfield setflags sort".split())  # noqa: SIM905

#: Whose methods are known: those that are not in CHANGING change nothing.
CONTAINERS = (list, dict, set, tuple, bytearray, deque, Counter, OrderedDict, defaultdict, type(os.environ))

#: Functions that change their first argument.
CHANGERS: tuple[Any, ...] = (
    *(heapq.heappush, heapq.heappop, heapq.heapify, heapq.heapreplace, heapq.heappushpop),
    *(bisect.insort, bisect.insort_left, bisect.insort_right, random.shuffle, setattr, delattr, next),
    *(operator.setitem, operator.delitem, operator.iadd, operator.iconcat, operator.ior, operator.iand),
)

#: Those of numpy, by their names: it may not be installed.
ARRAY_CHANGERS = frozenset("copyto fill_diagonal place put put_along_axis putmask shuffle".split())  # noqa: SIM905

#: They reach whatever they are told to.
OPAQUE: tuple[Any, ...] = (globals, exec, eval)

#: What they do belongs to this process.
PROCESS_WIDE: tuple[Any, ...] = (
    *(os.chdir, os.putenv, os.unsetenv, os.umask, sys.setrecursionlimit, sys.setswitchinterval, sys.settrace),
    *(locale.setlocale, signal.signal, gc.disable, gc.enable, random.seed),
)

#: Functions whose result holds what their arguments hold ...
HOLDERS: tuple[Any, ...] = (list, dict, set, tuple, frozenset, sorted, reversed, enumerate, zip, map, filter, copy.copy)

#: ... or is it, or a part of it.
PICKERS: tuple[Any, ...] = (iter, next, max, min, getattr, vars)

#: Methods whose result is a part of their object, or holds one.
GIVING = frozenset(("get", "pop", "popitem", "popleft", "setdefault", "__getitem__"))
HOLDING = frozenset(("copy", "items", "keys", "values"))

IN_PLACE = {
    "+=": "__iadd__",
    "-=": "__isub__",
    "*=": "__imul__",
    "/=": "__itruediv__",
    "//=": "__ifloordiv__",
    "%=": "__imod__",
    "**=": "__ipow__",
    "@=": "__imatmul__",
    "&=": "__iand__",
    "|=": "__ior__",
    "^=": "__ixor__",
    "<<=": "__ilshift__",
    ">>=": "__irshift__",
}

#: Where Python's own modules are, and those that were installed.
LIBRARY, INSTALLED = (
    tuple(os.path.join(path, "") for name in names if (path := sysconfig.get_path(name)))
    for names in (("stdlib", "platstdlib"), ("purelib", "platlib"))
)


def entries_of(code: CodeType) -> list[Any]:
    """Where each part of the code goes on after an exception."""
    return list(getattr(dis.Bytecode(code), "exception_entries", ()))


def argument_count(code: CodeType) -> int:
    flags = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + flags


def functions_of(kind: type) -> list[FunctionType]:
    """Those that run when an object of ``kind`` is made."""
    found = [inspect.getattr_static(kind, name, None) for name in ("__new__", "__init__", "__post_init__")]
    found = [each.__func__ if isinstance(each, staticmethod) else each for each in found]
    return [function for function in found if isinstance(function, FunctionType)]


def unwrapped(value: Any) -> Any:
    """The function inside a cache."""
    inside = getattr(value, "__wrapped__", None) if not isinstance(value, FunctionType | type) else None
    return inside if isinstance(inside, FunctionType) else value


def is_c_function(value: Any) -> bool:
    """A function of an extension, such as numpy's, is an object of a type of its own. So is a cache."""
    return callable(value) and hasattr(value, "__name__") and not isinstance(type(value).__call__, FunctionType)


def is_of_numpy(value: Any) -> bool:
    module = getattr(value, "__module__", None) or type(getattr(value, "__self__", None)).__module__
    return module.partition(".")[0] == "numpy"


def changes_first(value: Any) -> bool:
    """Whether it is a function that changes its first argument."""
    if any(value is each for each in CHANGERS):
        return True
    return getattr(value, "__name__", None) in ARRAY_CHANGERS and is_of_numpy(value)


def is_process_wide(value: Any) -> bool:
    """Whether it is a function that does something to its whole process."""
    return any(value is each for each in PROCESS_WIDE) or (
        getattr(value, "__name__", None) == "seed" and is_of_numpy(value)
    )


def is_opaque(value: Any) -> bool:
    """Whether what it reaches can't be seen."""
    return any(value is each for each in OPAQUE)


def is_reading(value: Any, method: str) -> bool:
    """Whether a method of an object is known to change nothing of it."""
    if type(value) in CONTAINERS:
        return method not in CHANGING
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "dtype"):
        return method not in CHANGING_ARRAYS
    return False


def is_iterator(value: Any) -> bool:
    return hasattr(type(value), "__next__")


def parts(value: Any, most: int = 64) -> Iterator[Any]:
    """Some of what a container or an object holds, and they in their turn."""
    waiting, seen = deque([value]), {id(value)}
    while waiting and most:
        each = waiting.popleft()
        if isinstance(each, dict):
            inside = list(each.values())[:most]
        elif isinstance(each, list | tuple | set | frozenset | deque):
            inside = [item for item, _ in zip(each, range(most), strict=False)]
        elif isinstance(each, ModuleType | type | FunctionType):
            inside = []
        else:
            inside = list((getattr(each, "__dict__", None) or {}).values())
        for part in inside:
            if id(part) not in seen and most:
                seen.add(id(part))
                most -= 1
                waiting.append(part)
                yield part


def is_library(function: FunctionType) -> bool:
    """Whether it is Python's own, or was installed."""
    return is_library_file(function.__code__.co_filename)


def is_library_file(path: str | None) -> bool:
    return path is None or is_own(path) or path.startswith(INSTALLED) or "dist-packages" in path


def is_own(path: str) -> bool:
    """Whether it is Python's own."""
    if path.startswith("<frozen"):
        return True
    return path.startswith(LIBRARY) and not path.startswith(INSTALLED) and "-packages" not in path


def is_near(function: FunctionType, other: FunctionType) -> bool:
    """Whether a function that another calls is read with it."""
    if not is_library(function):
        return True
    mine, its = ((each.__module__ or "").partition(".")[0] for each in (function, other))
    return mine == its and mine not in sys.stdlib_module_names


def a(value: Any) -> str:
    """``a list``, ``an int``."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
