"""Fifteen thousand connections at once: a loop holds them, answers all, and closes clean.

    python -m tests.soak.connections [COUNT]

The server is this process and the clients are another one, since each has its own bound of open files. All connect,
stay, and each is answered twice while all are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
import time
from typing import Any

import rota

AT_ONCE = 500  # connections that are being made at the same time
PER_ADDRESS = 10_000  # ... from one source address: it has 28,000 ports on Linux, some in use
BACKLOG = 1024
LONGEST = 300.0  # seconds for all of it


def raise_limit(count: int) -> None:
    """Let this process open ``count`` files and a few more. Raises SystemExit when the system does not."""
    need = count + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < need:
        raise SystemExit(f"{count} connections need {need} open files, and this system allows {hard} (ulimit -Hn)")
    if soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def resident() -> int:
    """This process' memory, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Answer(asyncio.Protocol):
    """Answers each number with its double."""

    now = 0
    most = 0
    answers = 0

    def connection_made(self, transport: Any) -> None:
        Answer.now += 1
        Answer.most = max(Answer.most, Answer.now)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        Answer.answers += 1
        self.transport.write(b"%d\n" % (2 * int(data)))

    def connection_lost(self, error: BaseException | None) -> None:
        Answer.now -= 1


class Ask(asyncio.Protocol):
    """Waits for one line at a time."""

    def connection_made(self, transport: Any) -> None:
        loop = asyncio.get_running_loop()
        self.transport = transport
        self.line: asyncio.Future[bytes] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def data_received(self, data: bytes) -> None:
        self.line.set_result(data)

    def connection_lost(self, error: BaseException | None) -> None:
        self.lost.set_result(None)
        if not self.line.done():
            self.line.set_exception(ConnectionResetError("lost before the answer came"))

    async def ask(self, number: int) -> None:
        self.line = asyncio.get_running_loop().create_future()
        self.transport.write(b"%d\n" % number)
        answer = await self.line
        assert int(answer) == 2 * number, f"{number} was answered {answer!r}"


async def clients(port: int, count: int) -> None:
    """Connect all, ask each twice, close all."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(AT_ONCE)

    async def connect(number: int) -> Ask:
        local = (f"127.0.0.{2 + number // PER_ADDRESS}", 0)
        async with gate:
            _, protocol = await loop.create_connection(Ask, "127.0.0.1", port, local_addr=local)
            await protocol.ask(number)
            return protocol

    async with asyncio.timeout(LONGEST):
        asking = await asyncio.gather(*[connect(number) for number in range(count)])
        await asyncio.gather(*[protocol.ask(number) for number, protocol in enumerate(asking)])
        for protocol in asking:
            protocol.transport.close()
        await asyncio.gather(*[protocol.lost for protocol in asking])


async def serve(count: int) -> dict[str, Any]:
    """Serve ``count`` clients from another process; what was seen."""
    loop = asyncio.get_running_loop()
    Answer.now = Answer.most = Answer.answers = 0
    files = len(os.listdir("/proc/self/fd"))
    memory = resident()
    began = time.perf_counter()
    server = await loop.create_server(Answer, "127.0.0.1", 0, backlog=BACKLOG)
    port = server.sockets[0].getsockname()[1]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.soak.connections", "--clients", str(port), str(count)
    )
    most = memory
    while child.returncode is None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), 0.2)
        most = max(most, resident())
    async with asyncio.timeout(30):
        while Answer.now:
            await asyncio.sleep(0.01)
    server.close()
    await server.wait_closed()
    return {
        "clients ended with": child.returncode,
        "at once": Answer.most,
        "answers": Answer.answers,
        "seconds": round(time.perf_counter() - began, 1),
        "bytes a connection": (most - memory) // count,
        "files left": len(os.listdir("/proc/self/fd")) - files,
    }


def failures(found: dict[str, Any], count: int) -> list[str]:
    expected = {"clients ended with": 0, "at once": count, "answers": 2 * count, "files left": 0}
    return [f"{name}: {found[name]}, not {value}" for name, value in expected.items() if found[name] != value]


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--clients"]:
        port, count = map(int, arguments[1:])
        raise_limit(count)
        rota.run(clients(port, count))
        return 0
    count = int(arguments[0]) if arguments else 15_000
    raise_limit(count)
    found = rota.run(serve(count))
    wrong = failures(found, count)
    print(", ".join(f"{name}: {value}" for name, value in found.items()), flush=True)
    print(f"{count} connections at once: {'FAILED: ' + '; '.join(wrong) if wrong else 'passed'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
