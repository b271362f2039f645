"""Datagrams there and back, on a loop whose system calls fail; ``echo.py`` says how it is done.

    python datagrams.py KIND udp|unix EVERY FUNCTION=ERRNO,... ...

An error of the network costs one datagram at most, and whose call it was hears of it by ``error_received``, once. No
endpoint ends, the others come in order, and what could only be sent later is. One client's endpoint is connected, the
other's is not; Unix sockets hold ten datagrams, so that most must wait.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from tests.faults.cases import LONGEST, SOFT, Ends, Scenario, sweep

COUNT = 20
PATIENCE = 0.2  # seconds until the last datagram, which may be the one that was lost, is sent again


class Endpoint(asyncio.DatagramProtocol):
    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self.got: list[bytes] = []
        self.more = asyncio.Event()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ends["made"] += 1

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.got.append(data)
        self.more.set()

    def error_received(self, error: OSError) -> None:
        self.ends[f"told {errno.errorcode[error.errno or 0]}"] += 1

    def connection_lost(self, error: BaseException | None) -> None:
        self.ends["lost" if error is None else "lost by an error"] += 1
        self.lost.set_result(None)


class Echo(Endpoint):
    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data, address)


class Datagrams(Scenario):
    def __init__(self, unix: bool, folder: str) -> None:
        self.unix = unix
        self.folder = folder

    async def play(self, arm: Callable[[], None], disarm: Callable[[], None], ends: Ends) -> Any:
        _, server = await self.endpoint(Echo, ends, self.address("server"), None)
        address = server.transport.get_extra_info("sockname")
        found = await asyncio.gather(*[self.talk(ends, address, number) for number in range(2)])
        disarm()
        told = {name: count for name, count in ends.items() if name.startswith("told")}
        found.append(await self.talk(ends, address, 2))
        server.transport.close()
        await server.lost
        return found, told

    def address(self, name: str) -> Any:
        """A free one."""
        return os.path.join(self.folder, name) if self.unix else ("127.0.0.1", 0)

    async def endpoint(self, kind: type[Endpoint], ends: Ends, local: Any, remote: Any) -> Any:
        arguments: dict[str, Any] = {"family": 1} if self.unix else {}
        loop = asyncio.get_running_loop()
        return await loop.create_datagram_endpoint(lambda: kind(ends), local, remote, **arguments)

    async def talk(self, ends: Ends, server: Any, number: int) -> list[bytes] | None:
        """Which of its datagrams a client got back; None if it hangs."""
        connected = number % 2
        local = self.address(f"client {number}")
        transport, client = await self.endpoint(Endpoint, ends, local, server if connected else None)
        to = None if connected else server
        try:
            for index in range(COUNT):
                transport.sendto(b"%d" % index, to)
            async with asyncio.timeout(LONGEST):
                while b"last" not in client.got:
                    # In order: what has not come by then will not.
                    transport.sendto(b"last", to)
                    client.more.clear()
                    try:
                        async with asyncio.timeout(PATIENCE):
                            while b"last" not in client.got:
                                await client.more.wait()
                                client.more.clear()
                    except TimeoutError:
                        pass
        except TimeoutError:
            return None
        finally:
            transport.close()
            await client.lost
        return client.got[: client.got.index(b"last")]

    def judge(self, outcome: Any, number: int, fell: bool) -> list[str]:
        found, told = outcome
        wrong = []
        *during, after = found
        everything = [b"%d" % index for index in range(COUNT)]
        if after != everything:
            wrong.append(f"the next client: {after}")
        missing = 0
        for got in during:
            if got is None or got != [data for data in everything if data in got]:
                wrong.append(f"a client got {got}")
            else:
                missing += COUNT - len(got)
        hard = fell and number not in SOFT
        if missing > hard:
            wrong.append(f"{missing} lost")
        if told != ({f"told {errno.errorcode[number]}": 1} if hard else {}):
            wrong.append(f"told: {told}")
        return wrong


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sweep(Datagrams(sys.argv[2] == "unix", folder), sys.argv)
