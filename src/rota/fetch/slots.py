"""A fixed number of slots that take URLs as they come: never a task a URL.

The list is pulled as slots become free, so a list of any length, or one that is still being written, runs in
the same memory. The first exception of a slot or of the source ends the others and is raised as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable

from .address import Address
from .waiting import Waiting

#: How many URLs of busy hosts are put aside in search of one that can go now: about 100 KB of them, and
#: enough to look past a page's worth of images on one host.
LOOK_AHEAD = 1000


async def fill(
    addresses: AsyncIterable[Address],
    work: Callable[[Address, bool], Awaitable[None]],
    *,
    concurrency: int,
    per_host: int,
) -> None:
    """Call ``work`` with each address, at most ``concurrency`` at a time and ``per_host`` of one host.

    Its second argument says whether another address of the same host will take the place.
    """
    waiting = Waiting(per_host, room=LOOK_AHEAD)

    async def slot() -> None:
        while True:
            address = await waiting.take()
            try:
                await work(address, waiting.is_followed(address))
            finally:
                waiting.leave(address)

    try:
        async with asyncio.TaskGroup() as group:
            slots = [group.create_task(slot()) for _ in range(concurrency)]
            async for address in addresses:
                await waiting.put(address)
            await waiting.finish()
            for task in slots:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise first(failures) from None


def first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that ended the rest."""
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def each(urls: Iterable[str] | AsyncIterable[str]) -> AsyncIterable[str]:
    """The same URLs, whichever way they come."""
    if isinstance(urls, AsyncIterable):
        async for url in urls:
            yield url
    else:
        for url in urls:
            yield url
