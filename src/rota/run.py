"""Run a program on rota: one coroutine, or everything that asks asyncio for a loop."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

from .core.policy import Policy
from .loop import Loop

Result = TypeVar("Result")

with warnings.catch_warnings():
    # Python 3.14 deprecates policies, and until 3.16 there is no other way to reach a program's own asyncio.run().
    warnings.simplefilter("ignore", DeprecationWarning)

    class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
        """asyncio's policy, with rota's loop wherever a new one is made."""

        def new_event_loop(self) -> Loop:
            return new_event_loop()


def new_event_loop(*, policy: str | Policy = "fifo") -> Loop:
    """A new loop, for ``asyncio.Runner(loop_factory=...)``, ``uvicorn --loop rota:new_event_loop`` and the like."""
    return Loop(policy=policy)


def run(main: Coroutine[Any, Any, Result], *, policy: str | Policy = "fifo", debug: bool | None = None) -> Result:
    """Run ``main`` on a new loop to its end and return what it returns, as :func:`asyncio.run` does.

    ``policy`` says who of the ready runs next. Ctrl-C cancels ``main``, then raises KeyboardInterrupt; tasks that
    are left are cancelled and waited for. Raises RuntimeError inside a running loop, ValueError for what is no
    coroutine.
    """
    if asyncio._get_running_loop() is not None:
        # Before there is a loop: a Runner that is refused later can't close the one that it has made.
        raise RuntimeError("rota.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=functools.partial(new_event_loop, policy=policy)) as runner:
        return runner.run(main)


def install() -> None:
    """Let ``asyncio.run`` and everything else that asks asyncio for a new loop get rota's, in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(EventLoopPolicy())
