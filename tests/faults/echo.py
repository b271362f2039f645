"""A small echo on a loop whose system calls fail: run with ``injector.c`` preloaded, prints what went wrong as JSON.

    python echo.py KIND WIRE FUNCTION ERRNO,... EVERY

Three clients talk to one server, small messages and large ones, both ends on the same loop. Then the whole is done
again with the first call of FUNCTION failing, then the second, and so on until there are no more (with EVERY 3, each
third), with each ERRNO. Whatever happens, each client must have all its bytes or be told, one connection at most may
be lost, the server must still serve, each protocol must have been told of its end once, and no file be left open.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from tests.faults.cases import LONGEST, SOFT, Cases, Ends, Scenario, errnos

import rota

SIZES = (10, 5_000, 300_000)
CLIENTS = 3


class Echo(asyncio.Protocol):
    """Sends back what comes, and reads no more than it can send."""

    ends: Ends

    def connection_made(self, transport: Any) -> None:
        self.ends["made"] += 1
        self.open = True
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.open:
            self.ends["data after the end"] += 1
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def connection_lost(self, error: BaseException | None) -> None:
        if not self.open:
            self.ends["lost twice"] += 1
        self.open = False
        self.ends["lost"] += 1


class Client(Echo):
    """Waits for so many bytes."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self.got = bytearray()
        self.more: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def data_received(self, data: bytes) -> None:
        self.got += data
        if not self.more.done():
            self.more.set_result(None)

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    def connection_lost(self, error: BaseException | None) -> None:
        super().connection_lost(error)
        self.lost.set_result(None)
        if not self.more.done():
            self.more.set_result(None)

    async def receive(self, size: int) -> bytes:
        while len(self.got) < size and not self.lost.done():
            self.more = asyncio.get_running_loop().create_future()
            await self.more
        data = bytes(self.got[:size])
        del self.got[:size]
        return data


def payload(number: int, size: int) -> bytes:
    return bytes([number]) * (size - 1) + b"\n"


class Wire:
    """How the two ends meet."""

    def __init__(self, name: str, folder: str) -> None:
        self.name = name
        self.path = os.path.join(folder, "socket")
        self.server_context: ssl.SSLContext | None = None
        self.client_context: ssl.SSLContext | None = None
        if name == "tls":
            import trustme

            authority = trustme.CA()
            self.server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("server.test").configure_cert(self.server_context)
            self.client_context = ssl.create_default_context()
            authority.configure_trust(self.client_context)

    async def serve(self, loop: Any, factory: Any) -> Any:
        if self.name == "unix":
            return await loop.create_unix_server(factory, self.path)
        return await loop.create_server(factory, "127.0.0.1", 0, ssl=self.server_context)

    async def connect(self, loop: Any, server: Any, factory: Any) -> Any:
        if self.name == "unix":
            return await loop.create_unix_connection(factory, self.path)
        host, port = server.sockets[0].getsockname()
        name = "server.test" if self.client_context else None
        return await loop.create_connection(factory, host, port, ssl=self.client_context, server_hostname=name)


async def talk(wire: Wire, server: Any, number: int, ends: Ends) -> str:
    """One client's life: "ok", or how it learned that there is none."""

    def factory() -> Client:
        client = Client()
        client.ends = ends
        return client

    bound = asyncio.timeout(LONGEST)
    try:
        async with bound:
            transport, protocol = await wire.connect(asyncio.get_running_loop(), server, factory)
            try:
                for size in SIZES:
                    sent = payload(number, size)
                    transport.write(sent)
                    got = await protocol.receive(size)
                    if got != sent:
                        return "lost" if sent.startswith(got) else "wrong bytes"
                return "ok"
            finally:
                transport.close()
                await protocol.lost
    except OSError as error:  # ETIMEDOUT is a TimeoutError, too
        return "hangs" if bound.expired() else f"OSError {error.errno}"


class Echoes(Scenario):
    """How it went for each client, and for one more that comes after the fault."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def play(self, arm: Callable[[], None], disarm: Callable[[], None], ends: Ends) -> list[str]:
        def factory() -> Echo:
            echo = Echo()
            echo.ends = ends
            return echo

        server = await self.wire.serve(asyncio.get_running_loop(), factory)
        try:
            found = await asyncio.gather(*[talk(self.wire, server, 65 + number, ends) for number in range(CLIENTS)])
            disarm()
            return [*found, await talk(self.wire, server, 90, ends)]
        finally:
            disarm()
            server.close()
            async with asyncio.timeout(LONGEST):
                while ends["lost"] < ends["made"]:
                    await asyncio.sleep(0.001)
                await server.wait_closed()

    def judge(self, found: list[str], number: int, fell: bool) -> list[str]:
        wrong = []
        *during, after = found
        if after != "ok":
            wrong.append(f"the next client: {after}")
        troubled = [outcome for outcome in during if outcome != "ok"]
        if len(troubled) > (number not in SOFT) or not {"hangs", "wrong bytes"}.isdisjoint(troubled):
            wrong.append(f"clients: {troubled}")
        return wrong


def main(kind: str, wire: str, function: str, numbers: list[int], every: int) -> dict[str, Any]:
    logging.disable()
    rota.limits.ACCEPT_RETRY_DELAY = 0.002
    asyncio.constants.ACCEPT_RETRY_DELAY = 0.002  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        return Cases(kind, function, Echoes(Wire(wire, folder))).all(numbers, every)


if __name__ == "__main__":
    kind, wire, function, numbers, every = sys.argv[1:]
    print(json.dumps(main(kind, wire, function, errnos(numbers.split(",")), int(every)), indent=1))
