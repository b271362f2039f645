"""The URLs between the source and the slots, so that a slow host does not hold up the others.

A URL whose host has a place free is ready, and the next slot takes it; one whose host is busy is put aside
until that host has a place again. Only so many are put aside or ready at a time (``room``): then the source
waits. So one slow host keeps at most its own ``per_host`` slots, unless a list has ``room`` URLs of busy
hosts in a row; then the other slots stand idle until that stretch is through.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque

from .address import Address


class Waiting:
    """At most ``per_host`` URLs of a host are ready or with a slot; at most ``room`` wait here in all."""

    def __init__(self, per_host: int, room: int) -> None:
        self._per_host = per_host
        self._room = asyncio.Semaphore(room)
        self._ready: asyncio.Queue[Address] = asyncio.Queue()
        self._places_taken: dict[str, int] = {}
        self._aside: defaultdict[str, deque[Address]] = defaultdict(deque)

    async def put(self, address: Address) -> None:
        """Add a URL, when there is room for it."""
        await self._room.acquire()
        taken = self._places_taken.get(address.host, 0)
        if taken < self._per_host:
            self._places_taken[address.host] = taken + 1
            self._ready.put_nowait(address)
        else:
            self._aside[address.host].append(address)

    async def take(self) -> Address:
        """The next URL that may be fetched now. Its taker calls ``leave`` when it is through with it."""
        address = await self._ready.get()
        self._room.release()
        return address

    def is_followed(self, address: Address) -> bool:
        """Whether another URL of the same host waits for this one's place."""
        return address.host in self._aside

    def leave(self, address: Address) -> None:
        """The URL is through: its place at the host goes to the next of that host, if one waits."""
        host = address.host
        if host in self._aside:
            self._ready.put_nowait(self._aside[host].popleft())
            if not self._aside[host]:
                del self._aside[host]
        elif self._places_taken[host] > 1:
            self._places_taken[host] -= 1
        else:
            # Hosts that are through are forgotten: a list may name a million of them.
            del self._places_taken[host]
        self._ready.task_done()

    async def finish(self) -> None:
        """Wait until all that was put is through."""
        # A URL put aside enters the queue before the one that held its place leaves it: the queue's count is
        # enough.
        await self._ready.join()
