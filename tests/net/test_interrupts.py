"""KeyboardInterrupt out of a protocol leaves the loop, which may be run again: nothing is forgotten meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket

import pytest

from .conftest import ROTA
from .recorder import Recorder, fill, until
from .tls_peer import NAME, Inner


class Interrupted(Recorder):
    """Ctrl-C comes while it is told that it may go on writing."""

    def error_received(self, error):
        self.events.append("error")

    def resume_writing(self):
        super().resume_writing()
        raise KeyboardInterrupt


@pytest.fixture
def over_socket(pair):
    async def connect():
        transport, protocol = await asyncio.get_running_loop().create_connection(Interrupted, sock=pair[0])
        await fill(transport)
        return transport, protocol, lambda: pair[1].recv(1 << 20)

    return connect


@pytest.fixture
def over_tls(meet):
    async def connect():
        transport, protocol, peer = await meet(Interrupted)
        await fill(transport)
        return transport, protocol, peer.read

    return connect


@pytest.fixture
def over_pipe():
    read, write = os.pipe()
    os.set_blocking(read, False)

    async def connect():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(Interrupted, io.FileIO(write, "wb"))
        await fill(transport)
        return transport, protocol, lambda: os.read(read, 1 << 20)

    yield connect
    os.close(read)


@pytest.fixture
def over_datagrams():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)

    async def connect():
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Interrupted, sock=ours)
        while not transport.get_write_buffer_size():
            transport.sendto(b"x")
        return transport, protocol, lambda: theirs.recv(1 << 20)

    yield connect
    ours.close()
    theirs.close()


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", ["over_socket", "over_tls", "over_pipe", "over_datagrams"])
def test_a_connection_that_closes_ends_after_an_interrupt(new_virtual_loop, request, way):
    """Once the last bytes have left. asyncio forgets that it was about to close."""
    connect = request.getfixturevalue(way)

    async def read_until(lost, read):
        while not lost.done():
            with contextlib.suppress(BlockingIOError):
                read()
            await asyncio.sleep(0.01)

    loop = new_virtual_loop()
    try:
        transport, protocol, read = loop.run_until_complete(connect())
        transport.set_write_buffer_limits(high=0)
        transport.close()
        began = loop.time()
        reading = loop.create_task(read_until(protocol.lost, read))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(reading)
        loop.run_until_complete(asyncio.wait_for(reading, 20))
        assert protocol.lost.result() is None
        assert protocol.events == ["made", "pause", "resume", "lost"]
        assert loop.time() - began < 20
    finally:
        loop.close()


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", ["close", "abort"])
def test_an_interrupt_out_of_the_last_words(new_virtual_loop, pair, way):
    """What the turn has written leaves when the connection is closed, and that may be what lets the protocol go on.
    asyncio has sent it before.
    """
    loop = new_virtual_loop()

    async def connect():
        return await loop.create_connection(Interrupted, sock=pair[0])

    async def leave(transport):
        transport.set_write_buffer_limits(high=0)
        transport.write(b"last words")
        getattr(transport, way)()

    try:
        transport, protocol = loop.run_until_complete(connect())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(leave(transport))
        assert loop.run_until_complete(asyncio.wait_for(protocol.lost, 5)) is None
        assert pair[1].recv(100) == b"last words"
    finally:
        loop.close()


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", ["socket", "tls", "tls without goodbye", "tls in tls"])
def test_an_interrupt_out_of_the_end(new_loop, meet, pair, server_context, client_context, way):
    """The end is told once, and the connection closes: nobody has said that it shall stay open. What was written
    leaves. asyncio tells the end again, each time that the loop is run.
    """

    class Interrupted(Recorder):
        def eof_received(self):
            super().eof_received()
            self.transport.write(b"last words")
            if self.events.count("eof") == 1:
                raise KeyboardInterrupt

    def end_side():
        pair[1].shutdown(socket.SHUT_WR)

    async def connect():
        loop = asyncio.get_running_loop()
        if way == "socket":
            _, protocol = await loop.create_connection(Interrupted, sock=pair[0])
            return protocol, lambda: pair[1].recv(100), end_side
        transport, protocol, peer = await meet(Interrupted)
        if way == "tls without goodbye":
            return protocol, peer.read, end_side
        if way == "tls":
            return protocol, peer.read, peer.say_goodbye
        inner = Inner(peer, server_context)
        protocol.transport, _ = await asyncio.gather(
            loop.start_tls(transport, protocol, client_context, server_hostname=NAME), inner.shake()
        )
        return protocol, inner.read, peer.say_goodbye

    loop = new_loop()
    try:
        protocol, read, end = loop.run_until_complete(connect())
        end()
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.wait_for(protocol.lost, 5))
        assert loop.run_until_complete(asyncio.wait_for(protocol.lost, 5)) is None
        assert protocol.events == ["made", "eof", "lost"]
        assert read() == b"last words"
    finally:
        loop.close()


def end_after_interrupt(loop, main):
    """What ``main`` returns, when the loop is run again after the interrupt that leaves it."""

    async def rest():
        async with asyncio.timeout(5):
            return await task

    try:
        task = loop.create_task(main)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        return loop.run_until_complete(rest())
    finally:
        loop.close()


@pytest.mark.parametrize("kind", ROTA)
def test_a_file_that_cannot_be_watched_is_read_on_after_an_interrupt(new_loop):
    """asyncio reads nothing of it at all."""

    class InterruptedReader(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if len(self.data) == len(data):
                raise KeyboardInterrupt

    async def main():
        zeros = open("/dev/zero", "rb", 0)  # noqa: SIM115
        pipe, protocol = await asyncio.get_running_loop().connect_read_pipe(InterruptedReader, zeros)
        size = len(protocol.data)
        await until(lambda: len(protocol.data) > size)
        pipe.close()
        return await protocol.lost

    assert end_after_interrupt(new_loop(), main()) is None


class TlsInterrupted(Recorder):
    """Ctrl-C comes while it is told of ``what``; a greeting comes with the end of the handshake."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def connection_made(self, transport):
        super().connection_made(transport)
        self.break_in("made")

    def eof_received(self):
        super().eof_received()
        self.break_in("eof")

    def break_in(self, what):
        if what == self.what:
            raise KeyboardInterrupt


class Greeter(Recorder):
    def connection_made(self, transport):
        super().connection_made(transport)
        transport.write(b"hello")


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("what", ["made", "eof"])
def test_an_interrupt_out_of_a_tls_callback(new_loop, pair, server_context, client_context, what):
    """The connection goes on where it was. asyncio's never finishes ``create_connection``, and after the peer's
    close_notify it stays open.
    """

    async def connect():
        loop = asyncio.get_running_loop()
        made_here = loop.create_connection(
            lambda: TlsInterrupted(what), sock=pair[0], ssl=client_context, server_hostname="server.test"
        )
        made_there = loop.connect_accepted_socket(Greeter, pair[1], ssl=server_context, ssl_shutdown_timeout=60)
        (_, ours), (_, theirs) = await asyncio.gather(made_here, made_there)
        await until(lambda: ours.data == b"hello")
        theirs.transport.close()
        return await ours.lost, await theirs.lost

    assert end_after_interrupt(new_loop(), connect()) == (None, None)
