"""Every callback of a protocol sees the context variables of whoever made the connection.

asyncio gives the reading callbacks the context of the task that resumed the reading last, so most are
for rota alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import os

import pytest

from .conftest import ROTA
from .recorder import until

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Witness(asyncio.Protocol):
    """Writes down who is there at each callback."""

    keep_open = False

    def __init__(self):
        self.seen = [("factory", who.get())]

    def connection_made(self, transport):
        self.transport = transport
        self.note("made")

    def data_received(self, data):
        self.note("data")

    def eof_received(self):
        self.note("eof")
        return self.keep_open

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")

    def connection_lost(self, error):
        self.note("lost")

    def note(self, what):
        self.seen.append((what, who.get()))

    def heard(self, what):
        return any(name == what for name, _ in self.seen)


class BufferedWitness(Witness, asyncio.BufferedProtocol):
    def get_buffer(self, sizehint):
        self.note("get")
        return bytearray(100)

    def buffer_updated(self, nbytes):
        self.note("data")


async def as_somebody_else(call, *args):
    async def task():
        who.set("somebody else")
        call(*args)

    await asyncio.create_task(task())


def test_the_callbacks_of_a_connection_run_in_its_makers_context(run_real, pair):
    async def main():
        who.set("maker")
        ours, theirs = pair
        _, witness = await asyncio.get_running_loop().create_connection(Witness, sock=ours)
        who.set("maker, later")
        theirs.send(b"x")
        await until(lambda: witness.heard("data"))
        theirs.close()
        await until(lambda: witness.heard("lost"))
        assert witness.seen == [(what, "maker") for what in ("factory", "made", "data", "eof", "lost")]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("factory", [Witness, BufferedWitness])
def test_another_task_that_pauses_resumes_or_writes_leaves_no_trace(run_real, pair, factory):
    async def main():
        who.set("maker")
        ours, theirs = pair
        transport, witness = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        await as_somebody_else(transport.pause_reading)
        await as_somebody_else(transport.resume_reading)
        theirs.send(b"x")
        await until(lambda: witness.heard("data"))
        transport.set_write_buffer_limits(high=1 << 24)
        await as_somebody_else(transport.write, bytes(5_000_000))
        transport.set_write_buffer_limits(high=100)
        asyncio.get_running_loop().add_reader(theirs, theirs.recv, 1 << 20)
        await until(lambda: witness.heard("resume"))
        asyncio.get_running_loop().remove_reader(theirs)
        await as_somebody_else(transport.close)
        await until(lambda: witness.heard("lost"))
        assert {name for _, name in witness.seen} == {"maker"}

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_another_task_that_resumes_a_pipe_leaves_no_trace(run_real):
    async def main():
        who.set("maker")
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        reading, reader = await loop.connect_read_pipe(Witness, os.fdopen(read, "rb", 0))
        writing, writer = await loop.connect_write_pipe(Witness, os.fdopen(write, "wb", 0))
        await as_somebody_else(reading.pause_reading)
        await as_somebody_else(writing.write, bytes(500_000))
        await as_somebody_else(reading.resume_reading)
        await until(lambda: reader.heard("data") and writer.heard("resume"))
        await as_somebody_else(writing.close)
        await until(lambda: reader.heard("lost") and writer.heard("lost"))
        assert {name for _, name in reader.seen} == {"maker"}
        # pause_writing answers write(), in the context of whoever called that.
        assert {seen for seen in writer.seen if seen[1] != "maker"} <= {("pause", "somebody else")}

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_a_callback_sets_is_there_in_the_next_one_and_nowhere_else(run_real, pair):
    """asyncio makes a context for each of them."""

    class Remembers(Witness):
        def connection_made(self, transport):
            super().connection_made(transport)
            who.set("set in connection_made")

    async def main():
        who.set("maker")
        ours, theirs = pair
        _, witness = await asyncio.get_running_loop().create_connection(Remembers, sock=ours)
        theirs.close()
        await until(lambda: witness.heard("lost"))
        assert witness.seen[1:] == [
            ("made", "maker"),
            ("eof", "set in connection_made"),
            ("lost", "set in connection_made"),
        ]
        assert who.get() == "maker"

    run_real(main())


def test_the_connections_of_a_server_do_not_share_a_context(run_real):
    class Sets(Witness):
        def connection_made(self, transport):
            super().connection_made(transport)
            who.set("one connection")

    async def main():
        who.set("server")
        loop = asyncio.get_running_loop()
        witnesses = []

        def factory():
            witnesses.append(Sets())
            return witnesses[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        for _ in range(2):
            transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
            await until(lambda: witnesses and not witnesses[-1].heard("lost") and witnesses[-1].heard("made"))
            transport.close()
            await until(lambda: witnesses[-1].heard("lost"))
        assert [witness.seen[:2] for witness in witnesses] == [[("factory", "server"), ("made", "server")]] * 2
        server.close()
        await server.wait_closed()

    run_real(main())
