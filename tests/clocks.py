"""Time that a test controls: a loop of each kind that never waits.

When nobody is ready, time jumps to the next timer. A real file descriptor or thread is not waited for while a timer
is pending, so such tests use the real clock.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import rota


class VirtualClock(rota.Clock):
    """Stands still, and jumps when the loop would sleep."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def until(self, when: float) -> float:
        self.now = max(self.now, when)
        return 0.0


def virtual_rota_loop() -> rota.Loop:
    return rota.Loop(clock=VirtualClock())


class JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Jumps instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(None)
        found = super().select(0)
        if not found:
            self.now += timeout
        return found


class VirtualSelectorLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on a selector that jumps."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now
