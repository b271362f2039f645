"""Stock: data that the workers of a cluster hold for this program: sent once, and used by many tasks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from .chunk import framed
from .connection import Connection, in_thread
from .errors import ClusterError
from .wording import describe

#: How a task asks for data: its name, for the runner, and its key and its future, for Dask.
Order = list[Any]


#: So often data is sent to workers that turn out to have left.
ATTEMPTS = 5

#: What the connection may be closed, or break, in the midst of here.
SENT = "something was sent"


class Stock:
    """What was sent over a connection and not let go of yet. ``prefix`` tells our shared objects from those of other
    programs on the same workers.
    """

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        #: The tasks that send it, by its name; the result is Dask's future, and what else the workers must have first.
        self._sent: dict[str, asyncio.Task[tuple[Any, list[Any]]]] = {}
        #: What lets go of a shared object here when the program lets go of it, by its name.
        self._finalizers: dict[str, weakref.finalize[..., Any]] = {}

    async def function(self, digest: str, blob: bytes) -> Order:
        """Order a function's pickle; it is there until somebody lets ``go`` of it."""
        future, _ = await self._hold(digest, lambda: (blob, []))
        return order(digest, future)

    async def shared(self, things: Iterable[Any]) -> list[Order]:
        """Order shared objects, and those inside them: before whoever holds them. They are there for as long as the
        program has them.
        """
        orders: dict[str, Order] = {}
        for thing in things:
            await self._add(thing, orders, set())
        return list(orders.values())

    async def _add(self, thing: Any, orders: dict[str, Order], outside: set[str]) -> None:
        name = self._prefix + thing.__rota_shared__
        if name in orders or name in outside:
            return
        self._connection.still_running(SENT)
        self._drop_with(thing, name)
        future, inside = await self._hold(name, functools.partial(framed, thing, self._prefix))
        for each in inside:
            await self._add(each, orders, outside | {name})
        orders[name] = order(name, future)

    async def parcel(self, blob: bytes) -> Any:
        """Send data for one task; Dask's future, to be let go of when the task has been submitted."""
        return await self._connection.brought(self._connection.apart(self._scatter(blob, broadcast=False)))

    def let_go(self, name: str) -> None:
        """Whoever asks for it next will send it again."""
        self._sent.pop(name, None)

    def clear(self) -> None:
        self._sent.clear()
        while self._finalizers:
            self._finalizers.popitem()[1].detach()  # they hold the loop

    async def _hold(self, name: str, make: Callable[[], tuple[bytes, list[Any]]]) -> tuple[Any, list[Any]]:
        """See that the workers have what ``make``, which runs in a thread, returns."""
        sending = self._sent.get(name)
        if sending is None or is_gone(sending):
            sending = self._sent[name] = self._connection.apart(self._send(make))
            sending.add_done_callback(functools.partial(self._drop_failed, name))
        found: tuple[Any, list[Any]] = await self._connection.brought(sending)
        return found

    async def _send(self, make: Callable[[], tuple[bytes, list[Any]]]) -> tuple[Any, list[Any]]:
        blob, inside = await in_thread(make)
        return await self._scatter(blob, broadcast=True), inside

    def _drop_failed(self, name: str, sending: asyncio.Task[Any]) -> None:
        """Its traceback would keep alive what could not be sent."""
        if self._sent.get(name) is sending and (sending.cancelled() or sending.exception()):
            del self._sent[name]

    async def _scatter(self, blob: bytes, *, broadcast: bool) -> Any:
        """Data goes to workers, not to the scheduler: where there are none it waits for some."""
        is_anybody_there = self._connection.width > 0
        for _ in range(ATTEMPTS):
            if not is_anybody_there:
                await self._wake()
                is_anybody_there = True
            client = self._connection.still_running(SENT)
            try:
                [future] = await client.scatter([blob], broadcast=broadcast, hash=False)
                return future
            except OSError as error:
                failed = error
            self._connection.still_running(SENT)
            if not isinstance(failed, TimeoutError):
                break
            # The width was that of two seconds ago: perhaps the last has left since.
            with contextlib.suppress(OSError):
                is_anybody_there = await self._connection.ask_width(anew=True) > 0
            if is_anybody_there:
                break
        raise ClusterError(
            f"{len(blob):,} bytes could not be sent to the workers of {self._connection.address}: {describe(failed)}"
        ) from failed

    async def _wake(self) -> None:
        """Have a worker: a cluster that grows by need has none before there is work."""
        first = self._connection.still_running(SENT).submit(int, key=f"wake-{uuid.uuid4().hex}", pure=False)
        await self._connection.result(first, "a first task")

    def _drop_with(self, thing: Any, name: str) -> None:
        """Let go of a shared object on the cluster when the program has let go of it."""
        if name not in self._finalizers:
            ours, loop = weakref.ref(self), asyncio.get_running_loop()
            finalizer = self._finalizers[name] = weakref.finalize(thing, drop, ours, loop, name)
            finalizer.atexit = False


def order(name: str, future: Any) -> Order:
    # The key as bytes: older Dasks put the data itself in the place of text that is a key.
    return [name, future.key.encode(), future]


def is_gone(sending: asyncio.Task[tuple[Any, list[Any]]]) -> bool:
    """Whether it was not sent, or the workers have it no more."""
    if not sending.done():
        return False
    if sending.cancelled() or sending.exception():
        return True
    future, _ = sending.result()
    return future.status in ("cancelled", "lost", "error")


def drop(ours: weakref.ref[Stock], loop: asyncio.AbstractEventLoop, name: str) -> None:
    """From whatever thread a shared object went in."""

    def now() -> None:
        stock = ours()
        if stock is not None:
            stock._sent.pop(name, None)
            stock._finalizers.pop(name, None)

    with contextlib.suppress(RuntimeError):  # the loop is closed, and the cluster with it
        loop.call_soon_threadsafe(now)
