"""Happy eyeballs (RFC 8305): several attempts at once, each begun a little after the one before; the first to succeed
wins. asyncio's own race forgets a second winner, breaks on eager tasks, and hides errors that are not the network's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def race(
    attempts: Iterable[Callable[[], Coroutine[Any, Any, Result]]], delay: float, loop: asyncio.AbstractEventLoop
) -> Result | None:
    """What the first attempt to succeed returns; None if each raised OSError.

    The next one is begun when the one before has failed, or after ``delay`` seconds. Those that lose are cancelled, and
    have ended when this returns or raises. Any other exception of an attempt is raised at once.
    """
    tasks: list[asyncio.Task[Result]] = []
    try:
        for attempt in attempts:
            latest = loop.create_task(attempt())
            latest.add_done_callback(look_at)
            tasks.append(latest)
            deadline = loop.time() + delay
            while not latest.done():
                left = deadline - loop.time()
                if left <= 0:
                    break
                await first_done(tasks, left)
                if (winner := find_winner(tasks)) is not None:
                    return winner.result()
            if (winner := find_winner(tasks)) is not None:
                return winner.result()
        while not all(task.done() for task in tasks):
            await first_done(tasks, None)
            if (winner := find_winner(tasks)) is not None:
                return winner.result()
        return None
    finally:
        running = [task for task in tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


async def first_done(tasks: list[asyncio.Task[Result]], timeout: float | None) -> None:
    """Wait for one of those that are not done, ``timeout`` seconds at most."""
    running = [task for task in tasks if not task.done()]
    await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def look_at(task: asyncio.Task[Any]) -> None:
    """Somebody has won: how the others end is no news."""
    if not task.cancelled():
        task.exception()


def find_winner(tasks: list[asyncio.Task[Result]]) -> asyncio.Task[Result] | None:
    """Who has succeeded. Raises what is no OSError."""
    for task in tasks:
        if task.done() and not task.cancelled():
            error = task.exception()
            if error is None:
                return task
            if not isinstance(error, OSError):
                raise error
    return None
