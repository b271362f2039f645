"""Catalogue: the functions that a pool of processes has sent, or is about to, each with a number."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..errors import MissingExtra
from . import shipping
from .dependencies import are_same, dependencies_of
from .errors import ShippingError
from .function import is_async, name_of
from .shipping import MemoryFile, Shared

_numbers = itertools.count(1)


class Entry:
    """A function as workers get it."""

    __slots__ = ("__weakref__", "_lock", "data", "files", "is_async", "large", "name", "number", "shared")

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.name = name_of(fn)
        self._lock = threading.Lock()
        try:
            parcel = shipping.pack_function(fn)
        except MissingExtra:
            raise
        except Exception as error:
            why = f"{type(error).__qualname__}: {error}"
            if shipping.cloudpickle() is None:
                why += " (with pip install 'rota[lanes]' functions go by value)"
            raise ShippingError(self.name, "the function", why) from error
        self.number = next(_numbers)
        self.is_async = is_async(fn)
        self.data = parcel.data
        self.large = parcel.large  # to be written to files before it is sent
        self.files: list[MemoryFile] = []
        self.shared: list[Shared] = parcel.shared

    @property
    def size(self) -> int:
        """Bytes that a worker keeps of it."""
        return len(self.data) + sum(file.size for file in self.files)

    def write(self) -> None:
        """Copy what is large to memory files. Lets go of the GIL: for a thread."""
        with self._lock:  # chunks of one map may come at once
            if self.large:
                self.files = [MemoryFile.of(buffer) for buffer in self.large]
                self.large = []  # last: who finds nothing here finds the files there


class Catalogue:
    """The entries of functions that are sent by their name: those stay the same. What is sent by value, with the
    globals that it reads, is made anew if any of that may have changed; the same bytes are the same entry.
    """

    def __init__(self) -> None:
        self._by_function: weakref.WeakKeyDictionary[Callable[..., Any], Entry] = weakref.WeakKeyDictionary()
        self._by_value: dict[Callable[..., Any], tuple[tuple[Any, ...], Entry]] = {}  # the last ones
        self._by_data: weakref.WeakValueDictionary[bytes, Entry] = weakref.WeakValueDictionary()
        self._recent: list[Entry] = []

    def entry(self, fn: Callable[..., Any]) -> Entry:
        """The entry of ``fn``. Raises ShippingError if it does not pickle, MissingExtra if it takes cloudpickle."""
        if type(fn) is not FunctionType:
            return self._made(fn)
        known = self._by_function.get(fn)
        if known is not None:
            return known
        dependencies = dependencies_of(fn)
        last = self._by_value.get(fn)
        if last is not None and dependencies is not None and are_same(dependencies, last[0]):
            return last[1]
        made = self._made(fn)
        if made.large:
            return made
        if BY_VALUE not in made.data:
            self._by_function[fn] = made
        elif dependencies is not None:
            self._by_value.pop(fn, None)
            self._by_value[fn] = dependencies, made
            if len(self._by_value) > RECENT:
                del self._by_value[next(iter(self._by_value))]
        return made

    def _made(self, fn: Callable[..., Any]) -> Entry:
        made = Entry(fn)
        if not made.large:
            made = self._by_data.setdefault(made.data, made)
            if made in self._recent:
                self._recent.remove(made)
            self._recent.append(made)
            del self._recent[:-RECENT]
        return made


#: What the pickle of a function that goes by value says.
BY_VALUE = b"cloudpickle"

#: So many entries are kept alive though no call has them: a partial that is made for each call is one entry.
RECENT = 32
