"""A protocol that writes down what it is told, waiting for it, and the other end of the wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any


class Recorder(asyncio.Protocol):
    """``events`` are the calls in their order, data joined; ``lost`` is done when the connection is."""

    keep_open = False

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.data = bytearray()
        self.transport: Any = None
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.events[-1] != "data":
            self.events.append("data")

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, error: BaseException | None) -> None:
        self.events.append("lost")
        self.lost.set_result(error)


class HalfOpen(Recorder):
    """Goes on writing after the peer has ended its side."""

    keep_open = True


async def until(condition: Callable[[], Any]) -> None:
    """Turn the loop until ``condition()``. Fails after five seconds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def turns(count: int = 40) -> None:
    """Long enough for whatever is there to have been seen: rota looks at the files every 16 busy turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def troubles() -> list[dict[str, Any]]:
    """What the running loop's exception handler is told from now on."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    return told


async def fill(transport: asyncio.Transport) -> int:
    """Write, with limits out of reach, until the kernel takes no more; how many bytes are left."""
    transport.set_write_buffer_limits(high=1 << 24, low=0)
    while not transport.get_write_buffer_size():
        transport.write(bytes(1 << 20))
        await turns(3)
    return transport.get_write_buffer_size()


async def write_until_paused(transport: Any, protocol: Recorder) -> int:
    """Write until the protocol is asked to wait; how many bytes that were."""
    written = 0
    while "pause" not in protocol.events:
        transport.write(bytes(100_000))
        written += 100_000
        await turns(3)
    return written


async def abort(transport: Any, protocol: Recorder) -> None:
    """End the connection at once, and wait for that."""
    transport.abort()
    await protocol.lost


class Kept:
    """A protocol factory that keeps what it makes."""

    def __init__(self, factory=Recorder):
        self.factory = factory
        self.protocols = []

    def __call__(self):
        self.protocols.append(self.factory())
        return self.protocols[-1]

    def made(self, count=1):
        return len(self.protocols) == count and all(protocol.events for protocol in self.protocols)


def read_all(sock: socket.socket, size: int = 1 << 20) -> bytes:
    """Whatever is there now."""
    found = bytearray()
    while True:
        try:
            data = sock.recv(size)
        except BlockingIOError:
            return bytes(found)
        if not data:
            return bytes(found)
        found += data
