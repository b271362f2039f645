"""Everything at once for a while: memory stays flat, nothing is left open, nothing goes wrong unheard.

    python -m tests.soak.load [SECONDS]

Connections over TCP, Unix sockets and TLS, datagrams, timeouts that are reached and that are not, cancellations,
child processes, functions in threads, signals and async generators, each over and over. A line every ten seconds says
how much of each was done and how much memory there is.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import os
import random
import signal
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trustme
from tests.soak.connections import resident

import rota

#: After this share of the time the memory is what it is: caches are warm, and the allocator has its arenas.
WARM_UP = 0.3

#: ... and may grow by so much from the first third of the rest to the last: one connection in a thousand, kept, would
#: be more. At least the first, and for runs of minutes the share.
GROWTH_MOST = 2 * 1024 * 1024
GROWTH_SHARE = 0.02

REPORT_EVERY = 10.0

Act = Callable[[], Awaitable[None]]


class Load:
    """What is done, and how often it was."""

    def __init__(self, seconds: float, folder: str) -> None:
        self.seconds = seconds
        self.path = os.path.join(folder, "socket")
        self.done: collections.Counter[str] = collections.Counter()
        self.troubles: list[str] = []
        self.memory: list[tuple[float, int]] = []
        authority = trustme.CA()
        self.server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("server.test").configure_cert(self.server_context)
        self.client_context = ssl.create_default_context()
        authority.configure_trust(self.client_context)

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            writer.close()  # the client that leaves in the middle

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for size in (10, random.randrange(1, 100_000)):
            sent = random.randbytes(size)
            writer.write(sent)
            if await reader.readexactly(size) != sent:
                self.troubles.append("wrong bytes")
        writer.close()
        await writer.wait_closed()

    async def tcp(self) -> None:
        await self.talk(*await asyncio.open_connection(*self.tcp_address))

    async def unix(self) -> None:
        await self.talk(*await asyncio.open_unix_connection(self.path))

    async def tls(self) -> None:
        host, port = self.tls_address
        await self.talk(
            *await asyncio.open_connection(host, port, ssl=self.client_context, server_hostname="server.test")
        )

    async def leave(self) -> None:
        """Gone in the middle, with bytes both ways under way."""
        reader, writer = await asyncio.open_connection(*self.tcp_address)
        writer.write(bytes(300_000))
        await reader.readexactly(1)
        writer.transport.abort()

    async def datagrams(self) -> None:
        loop = asyncio.get_running_loop()
        came = loop.create_future()

        class Ping(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, address: Any) -> None:
                if not came.done():
                    came.set_result(data)

        one, _ = await loop.create_datagram_endpoint(Ping, local_addr=("127.0.0.1", 0))
        other, _ = await loop.create_datagram_endpoint(Ping, remote_addr=one.get_extra_info("sockname"))
        other.sendto(b"ping")
        await came
        one.close()
        other.close()

    async def timeouts(self) -> None:
        try:
            async with asyncio.timeout(random.random() * 0.002):
                await asyncio.sleep(random.random() * 0.002)
        except TimeoutError:
            pass

    async def cancellations(self) -> None:
        async def wait() -> None:
            async with asyncio.timeout(3600):
                await self.talk(*await asyncio.open_connection(*self.tcp_address))

        task = asyncio.create_task(wait())
        await asyncio.sleep(random.random() * 0.001)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            self.troubles.append(f"a cancelled task raised {task.exception()!r}")

    async def children(self) -> None:
        child = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await child.communicate(b"hello")
        if said != b"hello" or child.returncode != 0:
            self.troubles.append(f"a child said {said!r} and ended with {child.returncode}")

    async def threads(self) -> None:
        await asyncio.gather(*[asyncio.to_thread(time.sleep, 0.0001) for _ in range(5)])

    async def signals(self) -> None:
        before = self.signalled
        os.kill(os.getpid(), signal.SIGUSR1)
        while self.signalled == before:
            await asyncio.sleep(0.001)

    async def generators(self) -> None:
        async def numbers():
            try:
                for number in range(10):
                    yield number
                    await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0)

        async for number in numbers():
            if number == 3:
                break

    def note_signal(self) -> None:
        self.signalled += 1

    async def again_and_again(self, name: str, act: Act, pause: float) -> None:
        while time.monotonic() < self.ends:
            try:
                async with asyncio.timeout(60):
                    await act()
                self.done[name] += 1
            except Exception as error:
                self.troubles.append(f"{name}: {error!r}")
            await asyncio.sleep(pause)

    async def report(self) -> None:
        began = time.monotonic()
        while time.monotonic() < self.ends:
            await asyncio.sleep(min(REPORT_EVERY, self.seconds / 30))
            passed = time.monotonic() - began
            gc.collect()
            self.memory.append((passed, resident()))
            if len(self.memory) % max(1, round(REPORT_EVERY / (self.seconds / 30))) == 0:
                counts = ", ".join(f"{name} {count}" for name, count in sorted(self.done.items()))
                print(f"{passed:5.0f} s  {resident() >> 10} KiB  {counts}", flush=True)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: self.troubles.append(f"reported: {context}"))
        self.signalled = 0
        loop.add_signal_handler(signal.SIGUSR1, self.note_signal)
        servers = [
            await asyncio.start_server(self.echo, "127.0.0.1", 0),
            await asyncio.start_server(self.echo, "127.0.0.1", 0, ssl=self.server_context),
            await asyncio.start_unix_server(self.echo, self.path),
        ]
        self.tcp_address = servers[0].sockets[0].getsockname()
        self.tls_address = servers[1].sockets[0].getsockname()
        self.ends = time.monotonic() + self.seconds
        work: list[tuple[str, Act, float, int]] = [
            # name, what, pause after it in seconds, how many at once
            ("tcp", self.tcp, 0.001, 4),
            ("unix", self.unix, 0.001, 2),
            ("tls", self.tls, 0.005, 2),
            ("leave", self.leave, 0.01, 1),
            ("datagrams", self.datagrams, 0.005, 1),
            ("timeouts", self.timeouts, 0, 4),
            ("cancellations", self.cancellations, 0.001, 2),
            ("children", self.children, 0.05, 1),
            ("threads", self.threads, 0.01, 1),
            ("signals", self.signals, 0.01, 1),
            ("generators", self.generators, 0.001, 1),
        ]
        await asyncio.gather(
            self.report(),
            *[self.again_and_again(name, act, pause) for name, act, pause, at_once in work for _ in range(at_once)],
        )
        for server in servers:
            server.close()
            await server.wait_closed()
        loop.remove_signal_handler(signal.SIGUSR1)
        for name, *_ in work:
            if not self.done[name]:
                self.troubles.append(f"{name} was never done")

    def growth(self) -> tuple[int, int]:
        """How much the memory grew once it was warm, and how much it may."""
        warm = [size for passed, size in self.memory if passed > WARM_UP * self.seconds]
        third = max(1, len(warm) // 3)
        early, late = statistics.median(warm[:third]), statistics.median(warm[-third:])
        return int(late - early), int(max(GROWTH_MOST, GROWTH_SHARE * early))


def main(seconds: float) -> int:
    def files() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    with tempfile.TemporaryDirectory() as folder:
        load = Load(seconds, folder)
        before = files()
        rota.run(load.run())
        left = files() - before
    wrong = load.troubles[:10]
    grown, bound = load.growth()
    if grown > bound:
        wrong.append(f"{grown} bytes more at the end")
    if left:
        wrong.append(f"{left} files left open")
    print(f"memory {grown:+,} bytes once warm (bound {bound:,}), files left {left}, troubles {len(load.troubles)}")
    print(f"{seconds:.0f} s of mixed load: {'FAILED: ' + '; '.join(wrong) if wrong else 'passed'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 600.0))
