"""Word: what the user says of a function, which beats what is measured.

@rota.io                    # it waits: threads, whatever its figures
def fetch(url): ...

@rota.cpu                   # it computes: processes
def render(page): ...

slow = rota.io(limit=50)    # and whatever bears this one, at most 50 at once together
get, post = slow(requests.get), slow(requests.post)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, Literal, TypeVar, overload

from ..errors import UsageError

MARK = "__rota_word__"

Function = TypeVar("Function", bound=Callable[..., Any])


class Word:
    """What a decorator said: ``kind``, and ``limit``, how many of those that bear this word run at once; None is any
    number. Functions that were given the same word share its limit.
    """

    __slots__ = ("__weakref__", "kind", "limit")

    def __init__(self, kind: Literal["io", "cpu"], limit: int | None = None) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise TypeError(f"rota.{kind}: limit is a number of calls or None, not {limit!r}")
        if limit is not None and limit < 1:
            raise UsageError(f"rota.{kind}: with limit={limit} nothing would ever run; give 1 or more, or None")
        self.kind = kind
        self.limit = limit

    def __call__(self, fn: Function) -> Function:
        """``fn``, marked. A Python function bears the mark itself; anything else comes back as a partial that does."""
        if not callable(fn):
            raise TypeError(f"rota.{self.kind} marks a function, not {fn!r}")
        marked: Any = fn if isinstance(fn, FunctionType) else functools.partial(fn)
        setattr(marked, MARK, self)
        return marked  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"rota.{self.kind}" if self.limit is None else f"rota.{self.kind}(limit={self.limit})"

    def __reduce__(self) -> tuple[type[Word], tuple[str, int | None]]:
        return Word, (self.kind, self.limit)


@overload
def io(fn: Function, /) -> Function: ...


@overload
def io(*, limit: int | None = None) -> Word: ...


def io(fn: Any = None, /, *, limit: int | None = None) -> Any:
    """Say of a function that it waits for something outside: its calls run in threads, and none is measured for a
    choice. ``limit`` bounds how many of the functions decorated with this one run at once together.

    Raises TypeError for what can't be called, UsageError for a limit below 1.
    """
    word = Word("io", limit)
    return word if fn is None else word(fn)


@overload
def cpu(fn: Function, /) -> Function: ...


@overload
def cpu(*, limit: int | None = None) -> Word: ...


def cpu(fn: Any = None, /, *, limit: int | None = None) -> Any:
    """Say of a function that it computes, and may do so in another process: its calls go there, unasked whether what
    they mean changes on the way. ``limit`` and errors as with :func:`io`.
    """
    word = Word("cpu", limit)
    return word if fn is None else word(fn)


def word_of(fn: Callable[..., Any]) -> Word | None:
    """The word that ``fn`` bears, the outermost one, through partials, bound methods and callable objects."""
    if type(fn) is FunctionType:
        # As most are; asked at each call.
        word = fn.__dict__.get(MARK) if fn.__dict__ else None
        return word if isinstance(word, Word) else None
    found: Any = fn
    while True:
        word = getattr(found, "__dict__", {}).get(MARK) if not isinstance(found, type) else None
        if isinstance(word, Word):
            return word
        if isinstance(found, functools.partial):
            found = found.func
        elif isinstance(found, MethodType):
            found = found.__func__
        elif isinstance(found, FunctionType | type):
            return None
        else:
            found = getattr(type(found), "__call__", None)  # noqa: B004 - the function itself is wanted
            if not isinstance(found, FunctionType | functools.partial):
                return None
