"""The value that a coroutine returned, held so that it can't be taken for one that it yielded."""

from __future__ import annotations

from typing import Any


class Returned:
    """Returned by ``native.step`` and ``native.throw`` in place of a yielded value; ``value`` is what came back.

    One instance serves every task: whoever steps a coroutine takes the value out before anything else is stepped.
    """

    __slots__ = ("value",)

    value: Any

    def __init__(self) -> None:
        self.value = None

    def take(self) -> Any:
        """The value, which is forgotten here."""
        value = self.value
        self.value = None
        return value
