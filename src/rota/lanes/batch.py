"""Batch: calls that are too short to be sent away alone, one after the other in one thread."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from typing import Any

from . import shipping
from .job import Outcome
from .meter import Measure, Metered


class Batch:
    """``batch()`` calls ``fn`` with each of ``items`` and returns the outcomes: of the first at least, and of no more
    than are begun within ``seconds`` and before ``stop``. What looked short may not be. Each call has a context
    of its own, as it has elsewhere.
    """

    def __init__(self, fn: Callable[..., Any], items: list[Any], seconds: float) -> None:
        self._fn = shipping.opened_function(fn)
        self._items = [shipping.opened((item,), {})[0][0] for item in items] if shipping.sharing else items
        self._seconds = seconds
        self._stopped = False
        self._metered = Metered()
        self.done = 0

    def __call__(self) -> list[Outcome]:
        return self._metered(self._run, (), {})  # type: ignore[no-any-return]

    def _run(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        fn, now, own_context = self._fn, time.perf_counter, contextvars.copy_context
        until = now() + self._seconds
        for item in self._items:
            try:
                outcomes.append((True, own_context().run(fn, item)))
            except BaseException as error:
                outcomes.append((False, error))
            if self._stopped or now() >= until:
                break
        self.done = len(outcomes)
        return outcomes

    def stop(self) -> None:
        """Begin no more; from any thread."""
        self._stopped = True

    @property
    def measure(self) -> Measure:
        """What one of the calls has cost, on average, once they are done."""
        return Measure(*(seconds / self.done for seconds in self._metered.measure))
