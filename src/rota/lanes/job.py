"""Job: calls of one function that wait for processes, and what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import pickle
from typing import Any

from . import shipping
from .catalogue import Entry
from .errors import RemoteError, RemoteTraceback, ShippingError
from .outbox import ERROR, UNSENT, VALUE
from .shipping import MemoryFile, Parcel
from .wording import arguments, describe, short
from .worker import CALLS

Outcome = tuple[bool, Any]


class Job:
    """Calls of ``entry`` with ``items``: each is ``(args, kwargs)`` if ``form`` is CALLS, else the one argument.

    ``future`` is done when all outcomes are there. ``timeout`` is in seconds, for each call from its own beginning.
    ``memory`` is how many bytes a worker may have, None for as many as there are.
    """

    __slots__ = (
        "alone",
        "caller",
        "cpu",
        "entry",
        "false_starts",
        "files",
        "form",
        "future",
        "given_up",
        "items",
        "memory",
        "outcomes",
        "parcel",
        "queued",
        "timeout",
        "todo",
        "unsettled",
        "wall",
    )

    def __init__(
        self,
        entry: Entry,
        items: list[Any],
        form: str,
        timeout: float | None,
        future: asyncio.Future[list[Outcome]],
        memory: int | None = None,
    ) -> None:
        self.entry = entry
        self.items = items
        self.form = form
        self.timeout = timeout
        self.future = future
        self.memory = memory
        self.parcel: Parcel | None = None  # of all items ...
        self.files: list[MemoryFile] = []  # ... and what is large in it
        self.outcomes: list[Outcome | None] = [None] * len(items)
        self.unsettled = len(items)
        self.todo = list(range(len(items)))  # not given to a worker
        self.alone: set[int] = set()  # those that a worker could not read together with others
        self.false_starts = 0  # workers in a row that died before they began with any of it
        self.given_up = False  # nobody waits for it: what has not begun never will
        self.cpu = self.wall = self.queued = 0.0  # seconds in the workers; queued for want of a core
        task = asyncio.current_task()
        self.caller = "" if task is None else task.get_name()

    def settle(self, item: int, outcome: Outcome) -> None:
        """This is what became of ``item``."""
        self.false_starts = 0
        if self.outcomes[item] is None:
            self.outcomes[item] = outcome
            self.unsettled -= 1

    def finish(self) -> None:
        """Tell whoever waits, if there is nothing to wait for any more."""
        if not self.unsettled and not self.future.done():
            self.future.set_result(self.outcomes)  # type: ignore[arg-type]

    def fail(self, error: BaseException) -> None:
        """All calls that have no outcome get ``error``."""
        for item, outcome in enumerate(self.outcomes):
            if outcome is None:
                self.settle(item, (False, error))
        self.todo.clear()
        self.finish()

    def left(self, items: list[int]) -> list[int]:
        """Those that have no outcome."""
        return [item for item in items if self.outcomes[item] is None]

    def again(self, items: list[int]) -> None:
        """These have not begun: they go to the head of the line, unless nobody waits for them."""
        if not self.given_up:
            self.todo[:0] = items

    def pack(self, items: list[int]) -> Parcel | None:
        """These items, to be sent. If they can't be together, each that can't by itself is settled, the others will go
        alone, and None is returned.
        """
        if self.parcel is not None and len(items) == len(self.items):
            return self.parcel
        try:
            return self.packed(items)
        except Exception as error:
            if len(items) == 1:
                self.settle(items[0], (False, self.unshippable(items[0], error)))
                return None
        for item in items:
            try:
                self.packed([item])
            except Exception as error:
                self.settle(item, (False, self.unshippable(item, error)))
        self.alone.update(self.left(items))
        return None

    def packed(self, items: list[int]) -> Parcel:
        """These items. Raises what pickling does, and MemoryError if no worker can have so much."""
        parcel = shipping.pack([self.items[item] for item in items])
        if self.memory is not None and len(parcel.data) >= self.memory:
            raise MemoryError(f"{len(parcel.data):,} bytes are more than a worker may have, with memory={self.memory}")
        return parcel

    def unshippable(self, item: int, error: Exception) -> ShippingError:
        """The error of an item that can't be sent."""
        what, why = "its argument", describe(error)
        if self.form == CALLS:
            args, kwargs = self.items[item]
            for name, value in [*enumerate(args), *kwargs.items()]:
                try:
                    shipping.pack(value)
                except Exception as own:
                    what, why = f"argument {name!r} ({short(value)})", describe(own)
                    break
        else:
            what = f"the item {short(self.items[item])}"
        made = ShippingError(self.entry.name, what, why)
        made.__cause__ = error
        return made

    def text_of(self, item: int) -> str:
        """What ``item`` was called with, short."""
        if self.form != CALLS:
            return short(self.items[item])
        args, kwargs = self.items[item]
        return arguments(args, kwargs)

    def call_of(self, item: int) -> str:
        """The call, for a message: ``name(item)``."""
        return f"{self.entry.name}({self.text_of(item)})"

    def open(self, item: int, kind: int, data: memoryview | bytes, files: list[MemoryFile], worker: str) -> Outcome:
        """What ``worker`` has sent of ``item``."""
        if kind == VALUE:
            return True, marshal.loads(data)
        if kind == UNSENT:
            kind_of_result, _, why = bytes(data).decode().partition("\0")
            return False, ShippingError(self.call_of(item), f"the result (a {kind_of_result})", why, ran=True)
        if kind != ERROR:
            try:
                return True, shipping.unpack(data, files)
            except Exception as error:
                why = f"it can't be made again here: {describe(error)}"
                made = ShippingError(self.call_of(item), "the result", why, ran=True)
                made.__cause__ = error
                return False, made
        task = f", for task {self.caller!r}" if self.caller else ""
        return False, error_from(bytes(data), self.call_of(item), f"{self.call_of(item)} ran in {worker}{task}")


def error_from(data: bytes, call: str, note: str) -> BaseException:
    """The exception that a worker has packed, with its traceback as the cause."""
    packed, kind, message, text = pickle.loads(data)
    error: BaseException = RemoteError(call, kind, message)
    if packed is not None:
        try:
            found = pickle.loads(packed)
        except Exception:
            found = None
        if isinstance(found, BaseException):
            error = found
    with contextlib.suppress(Exception):  # it may refuse attributes
        error.__cause__ = RemoteTraceback(text)
        error.add_note(note)
    return error
