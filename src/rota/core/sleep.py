"""Let others run: for one turn, or for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import coroutine
from typing import TypeVar

Result = TypeVar("Result")


@coroutine
def next_turn() -> Generator[None, None, None]:
    """Go behind all that are ready."""
    yield


async def sleep(delay: float, result: Result = None) -> Result:  # type: ignore[assignment]
    """Wait ``delay`` seconds on the loop's clock, never less, and return ``result``.

    Zero or less lets the others have a turn.
    """
    if delay != delay:
        raise ValueError("Invalid delay: NaN (not a number)")
    if delay <= 0:
        await next_turn()
        return result
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    timer = loop.call_later(delay, finish, future, result)
    try:
        return await future  # type: ignore[no-any-return]
    finally:
        timer.cancel()


def finish(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():  # cancelled in the turn in which its time came
        future.set_result(result)
