"""Pipes of a program's own and of its children, on a loop whose system calls fail; ``echo.py`` says how it is done.

    python pipes.py KIND pipes|children EVERY FUNCTION=ERRNO,... ...

Whatever call fails: each pipe brings all its bytes or its protocols are told, with what the kernel said; one pipe at
most is lost, and the next one works. A child whose pipe is lost is still waited for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.faults.cases import LONGEST, SOFT, Ends, Scenario, sweep

SIZES = (10, 5_000, 300_000)
PIPES = 3
CHILDREN = 2


def payload(number: int, size: int) -> bytes:
    return bytes([number]) * (size - 1) + b"\n"


class End(asyncio.Protocol):
    """One end of a pipe, or a connection's only protocol: keeps what comes, and how it ended."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self.got = bytearray()
        self.errors: list[BaseException] = []
        self.more = asyncio.Event()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ends["made"] += 1

    def data_received(self, data: bytes) -> None:
        if self.lost.done():
            self.ends["data after the end"] += 1
        self.got += data
        self.more.set()

    def connection_lost(self, error: BaseException | None) -> None:
        self.ends["lost twice" if self.lost.done() else "lost"] += 1
        self.failed(error)
        self.lost.set_result(None)

    def failed(self, error: BaseException | None) -> None:
        """Something is over; nobody need wait for more."""
        if error is not None:
            self.errors.append(error)
        self.more.set()

    async def receive(self, size: int, over: Callable[[], bool]) -> bytes:
        """``size`` bytes, or what there is when it is ``over``."""
        while len(self.got) < size and not over():
            self.more.clear()
            await self.more.wait()
        data = bytes(self.got[:size])
        del self.got[:size]
        return data


class BufferedEnd(End, asyncio.BufferedProtocol):
    """Reads into memory of its own."""

    def get_buffer(self, sizehint: int) -> bytearray:
        self.memory = bytearray(20_000)
        return self.memory

    def buffer_updated(self, size: int) -> None:
        self.data_received(self.memory[:size])


class Process(End, asyncio.SubprocessProtocol):
    """A child with pipes, which says one thing more of each."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.data_received(data)

    def pipe_connection_lost(self, fd: int, error: BaseException | None) -> None:
        self.ends["pipe lost"] += 1
        self.pipes_lost = getattr(self, "pipes_lost", 0) + 1
        self.failed(error)

    def process_exited(self) -> None:
        self.ends["exited"] += 1


def outcome(sent: bytes, got: bytes, ends: list[End]) -> list[Any]:
    """What became of ``sent``, and the errnos that the protocols were told."""
    what = "ok" if got == sent else "lost" if sent.startswith(got) else "wrong bytes"
    return [what, [getattr(error, "errno", None) for end in ends for error in end.errors]]


class Pipes(Scenario):
    """Pipes whose ends both belong to the loop."""

    def __init__(self, kind: str) -> None:
        self.buffers = kind == "rota"  # asyncio's pipes know no BufferedProtocol

    async def play(self, arm: Callable[[], None], disarm: Callable[[], None], ends: Ends) -> Any:
        found = await asyncio.gather(*[self.relay(number, ends) for number in range(PIPES)])
        disarm()
        return [*found, await self.relay(PIPES, ends)]

    async def relay(self, number: int, ends: Ends) -> list[Any]:
        """One pipe's life."""
        loop = asyncio.get_running_loop()
        reads, writes = os.pipe()
        reader = BufferedEnd(ends) if self.buffers and number % 2 else End(ends)
        writer = End(ends)
        await loop.connect_read_pipe(lambda: reader, open(reads, "rb", 0))  # noqa: SIM115 - the transports close them
        await loop.connect_write_pipe(lambda: writer, open(writes, "wb", 0))  # noqa: SIM115
        got = sent = b""
        try:
            async with asyncio.timeout(LONGEST):
                for size in SIZES:
                    sent = payload(65 + number, size)
                    writer.transport.write(sent)
                    got = await reader.receive(size, reader.lost.done)
                    if got != sent:
                        break
                writer.transport.close()
                await reader.lost
                await writer.lost
        except TimeoutError:
            return ["hangs", []]
        return outcome(sent, got, [reader, writer])

    def judge(self, found: list[list[Any]], number: int, fell: bool) -> list[str]:
        wrong = []
        *during, (after, _) = found
        if after != "ok":
            wrong.append(f"the next one: {after}")
        troubled = [(what, errors) for what, errors in during if what != "ok"]
        if len(troubled) > (number not in SOFT) or any(
            what != "lost" or number not in errors for what, errors in troubled
        ):
            wrong.append(f"pipes: {troubled}")
        return wrong


class Children(Pipes):
    """Children that give back what they are given."""

    armed_at_once = False  # Popen's own reads are another matter

    def __init__(self, kind: str) -> None:
        pass

    async def play(self, arm: Callable[[], None], disarm: Callable[[], None], ends: Ends) -> Any:
        begun = [await self.start(ends) for _ in range(CHILDREN)]
        arm()
        found = await asyncio.gather(*[self.talk(*child) for child in begun])
        disarm()
        found.append(await self.talk(*await self.start(ends)))
        if not ends["exited"] * 2 == ends["pipe lost"] == 2 * (CHILDREN + 1):
            found.append([f"told {dict(ends)}", []])
        return found

    async def start(self, ends: Ends) -> tuple[Any, Process]:
        loop = asyncio.get_running_loop()
        return await loop.subprocess_exec(lambda: Process(ends), "cat", stderr=None)

    async def talk(self, transport: Any, process: Process) -> list[Any]:
        got = sent = b""
        try:
            async with asyncio.timeout(LONGEST):
                for size in SIZES:
                    sent = payload(65, size)
                    transport.get_pipe_transport(0).write(sent)
                    got = await process.receive(size, lambda: getattr(process, "pipes_lost", 0) > 0)
                    if got != sent:
                        break
                transport.get_pipe_transport(0).close()
                await process.lost
        except TimeoutError:
            return ["hangs", []]
        finally:
            transport.close()
        return outcome(sent, got, [process])


if __name__ == "__main__":
    sweep({"pipes": Pipes, "children": Children}[sys.argv[2]](sys.argv[1]), sys.argv)
