"""How a coroutine ended: with a value or with an exception, held so that neither can be taken for what it yielded."""

from __future__ import annotations

from typing import Any


class Ended:
    """Returned by ``native.step`` and ``native.throw`` in place of a yielded value.

    One instance serves every task of a loop: whoever steps a coroutine takes out how it ended before anything else is
    stepped.
    """

    __slots__ = ("error", "value")

    value: Any
    error: BaseException | None

    def __init__(self) -> None:
        self.value = None
        self.error = None

    def take_value(self) -> Any:
        """What the coroutine returned, which is forgotten here."""
        value = self.value
        self.value = None
        return value

    def take_error(self) -> BaseException | None:
        """What the coroutine raised, or None; forgotten here."""
        error = self.error
        self.error = None
        return error
