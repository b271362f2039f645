"""A small echo on a loop whose system calls fail: run with ``injector.c`` preloaded, prints what went wrong as JSON.

    python echo.py KIND WIRE FUNCTION ERRNO,... EVERY

Three clients talk to one server, small messages and large ones, both ends on the same loop. Then the whole is done
again with the first call of FUNCTION failing, then the second, and so on until there are no more (with EVERY 3, each
third), with each ERRNO. Whatever happens, each client must have all its bytes or be told, one connection at most may
be lost, the server must still serve, each protocol must have been told of its end once, and no file be left open.
"""

from __future__ import annotations

import asyncio
import collections
import ctypes
import errno
import gc
import json
import logging
import os
import ssl
import sys
import tempfile
from typing import Any

import rota

SIZES = (10, 5_000, 300_000)
CLIENTS = 3
LONGEST = 5.0  # seconds until a client hangs

#: Nothing is lost: try again.
SOFT = {errno.EINTR, errno.EAGAIN}


class Echo(asyncio.Protocol):
    """Sends back what comes, and reads no more than it can send."""

    ends: collections.Counter[str]

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


async def talk(wire: Wire, server: Any, number: int, ends: collections.Counter[str]) -> str:
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


async def scenario(wire: Wire, disarm: Any, ends: collections.Counter[str]) -> list[str]:
    """How it went for each client, and for one more that comes after the fault."""

    def factory() -> Echo:
        echo = Echo()
        echo.ends = ends
        return echo

    server = await wire.serve(asyncio.get_running_loop(), factory)
    try:
        found = await asyncio.gather(*[talk(wire, server, 65 + number, ends) for number in range(CLIENTS)])
        disarm()
        return [*found, await talk(wire, server, 90, ends)]
    finally:
        disarm()
        server.close()
        async with asyncio.timeout(LONGEST):
            while ends["lost"] < ends["made"]:
                await asyncio.sleep(0.001)
            await server.wait_closed()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class Cases:
    """One function that fails on one kind of loop and one wire."""

    def __init__(self, kind: str, wire: Wire, function: str) -> None:
        self.make = rota.new_event_loop if kind == "rota" else asyncio.SelectorEventLoop
        self.wire = wire
        self.function = function.encode()
        self.injector = ctypes.CDLL(None)
        self.injector.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long, ctypes.c_int]
        self.injector.fault_disarm.restype = ctypes.c_long
        self.calls = 0
        self.reports: list[str] = []
        self.logged = 0

    def disarm(self) -> None:
        if not self.calls:
            self.calls = self.injector.fault_disarm()

    def run(self, first: int, number: int) -> list[str]:
        """What went wrong with call ``first`` failing."""
        self.calls = 0
        self.reports = []
        ends: collections.Counter[str] = collections.Counter()
        files = open_files()
        found: list[str] = []
        setup = None
        self.injector.fault_arm(self.function, first, 1, number)
        try:
            loop = self.make()
            try:
                loop.set_exception_handler(lambda loop, context: self.reports.append(repr(context)))
                found = loop.run_until_complete(scenario(self.wire, self.disarm, ends))
            finally:
                self.disarm()
                loop.close()
        except OSError as error:
            setup = error  # there is no server, and whoever wanted one knows
        finally:
            self.disarm()
        loop = None
        gc.collect()
        return self.judge(found, setup, ends, number, open_files() - files)

    def judge(
        self, found: list[str], setup: OSError | None, ends: collections.Counter[str], number: int, files: int
    ) -> list[str]:
        wrong = []
        if files:
            wrong.append(f"{files} files left open")
        if ends["lost"] != ends["made"] or ends["lost twice"] or ends["data after the end"]:
            wrong.append(f"protocols were told {dict(ends)}")
        if setup is not None:
            if setup.errno != number:
                wrong.append(f"raised {setup!r}")
            if number in SOFT:
                wrong.append(f"raised for nothing: {setup!r}")
            return wrong
        *during, after = found
        if after != "ok":
            wrong.append(f"the next client: {after}")
        troubled = [outcome for outcome in during if outcome != "ok"]
        if len(troubled) > (number not in SOFT) or not {"hangs", "wrong bytes"}.isdisjoint(troubled):
            wrong.append(f"clients: {troubled}")
        if len(self.reports) > (number not in SOFT):
            wrong.append(f"reported: {self.reports}")
        return wrong


def main(kind: str, wire: str, function: str, numbers: list[int], every: int) -> dict[str, Any]:
    logging.disable()
    rota.limits.ACCEPT_RETRY_DELAY = 0.002
    asyncio.constants.ACCEPT_RETRY_DELAY = 0.002  # type: ignore[misc]
    wrong = {}
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(kind, Wire(wire, folder), function)
        cases.run(1 << 40, 0)
        calls = cases.calls
        most = 0
        for number in numbers:
            first = 0
            while first <= cases.calls or first < calls:
                found = cases.run(first, number)
                if found:
                    wrong[f"{function} call {first}, {errno.errorcode[number]}"] = found
                most = max(most, first)
                first += every
                if len(wrong) > 10:
                    return {"calls": calls, "wrong": wrong}
    return {"calls": calls, "cases": (most + 1) * len(numbers), "wrong": wrong}


if __name__ == "__main__":
    kind, wire, function, numbers, every = sys.argv[1:]
    chosen = [int(getattr(errno, name)) for name in numbers.split(",")]
    print(json.dumps(main(kind, wire, function, chosen, int(every)), indent=1))
