"""What comes from the peer reaches the protocol, when and as long as it wants it."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from typing import Any

import pytest

from .conftest import ROTA
from .recorder import HalfOpen, Recorder, troubles, turns, until


class Buffered(asyncio.BufferedProtocol):
    """Gives the same eight bytes of memory every time."""

    def __init__(self) -> None:
        self.memory = bytearray(8)
        self.asked: list[int] = []
        self.pieces: list[bytes] = []
        self.ended = False
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> Any:
        self.asked.append(sizehint)
        return self.memory

    def buffer_updated(self, nbytes: int) -> None:
        self.pieces.append(bytes(self.memory[:nbytes]))

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, error: BaseException | None) -> None:
        self.lost.set_result(error)


def test_the_callbacks_come_in_order_and_the_end_closes(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        assert protocol.events == ["made"]
        theirs.send(b"one")
        await until(lambda: protocol.data)
        theirs.send(b"two")
        theirs.close()
        assert await protocol.lost is None
        assert protocol.events == ["made", "data", "eof", "lost"]
        assert protocol.data == b"onetwo"
        assert transport.is_closing()

    run_real(main())


def test_data_is_bytes(run_real, pair):
    async def main():
        kinds = []
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        protocol.data_received = None
        second = Recorder()
        second.data_received = lambda data: kinds.append(type(data))
        transport.set_protocol(second)
        theirs.send(b"x")
        await until(lambda: kinds)
        assert kinds == [bytes]
        second.events.append("made")
        transport.close()
        await second.lost

    run_real(main())


def test_a_protocol_that_keeps_its_side_open_can_still_write(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(HalfOpen, sock=ours)
        theirs.shutdown(1)
        await until(lambda: "eof" in protocol.events)
        await turns()
        assert protocol.events == ["made", "eof"]
        assert not transport.is_closing()
        transport.write(b"still here")
        await turns()
        assert theirs.recv(100) == b"still here"
        transport.close()
        assert await protocol.lost is None
        assert theirs.recv(100) == b""

    run_real(main())


def test_paused_reading_leaves_the_data_in_the_kernel(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        theirs.send(b"wait")
        await turns()
        assert protocol.events == ["made"]
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await until(lambda: protocol.data)
        assert protocol.data == b"wait"
        transport.close()
        assert not transport.is_reading()
        transport.pause_reading()
        transport.resume_reading()
        await protocol.lost
        assert not transport.is_reading()

    run_real(main())


def test_a_protocol_can_pause_out_of_connection_made_and_data_received(run_real, pair):
    class Careful(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        ours, theirs = pair
        theirs.send(b"1")
        transport, protocol = await asyncio.get_running_loop().create_connection(Careful, sock=ours)
        await turns()
        assert protocol.data == b""
        transport.resume_reading()
        await until(lambda: protocol.data)
        theirs.send(b"2")
        await turns()
        assert protocol.data == b"1"
        transport.resume_reading()
        await until(lambda: protocol.data == b"12")
        transport.abort()
        await protocol.lost

    run_real(main())


def test_nothing_comes_after_close_though_it_was_there(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        theirs.send(b"too late")
        transport.close()
        await protocol.lost
        await turns()
        assert protocol.events == ["made", "lost"]

    run_real(main())


def test_a_buffered_protocol_is_read_into_its_own_memory(run_real, pair):
    async def main():
        ours, theirs = pair
        _, protocol = await asyncio.get_running_loop().create_connection(Buffered, sock=ours)
        theirs.send(b"0123456789")
        await until(lambda: len(protocol.pieces) == 2)
        assert protocol.pieces == [b"01234567", b"89"]
        assert set(protocol.asked) == {-1}
        theirs.close()
        assert await protocol.lost is None
        assert protocol.ended

    run_real(main())


def test_a_buffered_protocol_may_give_any_writable_buffer(run_real, pair):
    async def main():
        memory = memoryview(bytearray(100))[10:14]

        class Slice(Buffered):
            def get_buffer(self, sizehint):
                self.memory = memory
                return memory

        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Slice, sock=ours)
        theirs.send(b"abcdef")
        await until(lambda: len(protocol.pieces) == 2)
        assert protocol.pieces == [b"abcd", b"ef"]
        transport.close()
        await protocol.lost

    run_real(main())


def broken(name: str, result: Any = None) -> type[asyncio.BaseProtocol]:
    """A protocol whose ``name`` raises, or gives ``result``."""

    def fail(self: Any, *args: Any) -> Any:
        if result is not None:
            return result
        raise ZeroDivisionError(name)

    base = Buffered if name in ("get_buffer", "buffer_updated") else Recorder
    return type("Broken", (base,), {name: fail})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data_received", "Fatal error: protocol.data_received() call failed."),
        ("get_buffer", "Fatal error: protocol.get_buffer() call failed."),
        ("buffer_updated", "Fatal error: protocol.buffer_updated() call failed."),
    ],
)
def test_a_reading_callback_that_raises_ends_the_connection(run_real, pair, name, message):
    async def main():
        told = troubles()
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(broken(name), sock=ours)
        theirs.send(b"x")
        error = await protocol.lost
        assert isinstance(error, ZeroDivisionError)
        assert [trouble["message"] for trouble in told] == [message]
        assert told[0]["exception"] is error
        assert told[0]["transport"] is transport
        assert told[0]["protocol"] is protocol
        assert ours.fileno() == -1

    run_real(main())


def test_an_eof_received_that_raises_ends_the_connection(run_real, pair):
    async def main():
        told = troubles()
        ours, theirs = pair
        _, protocol = await asyncio.get_running_loop().create_connection(broken("eof_received"), sock=ours)
        theirs.close()
        assert isinstance(await protocol.lost, ZeroDivisionError)
        assert [trouble["message"] for trouble in told] == ["Fatal error: protocol.eof_received() call failed."]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_memory_with_a_length_and_no_bytes_is_empty(run_real, pair):
    """asyncio reads nothing into it, and calls that the end of the stream."""

    async def main():
        told = troubles()
        ours, theirs = pair
        factory = broken("get_buffer", (ctypes.c_char * 0 * 3)())
        _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        theirs.send(b"x")
        error = await protocol.lost
        assert str(error) == "get_buffer() returned an empty buffer"
        assert [trouble["exception"] for trouble in told] == [error]
        assert not protocol.ended

    run_real(main())


def test_an_empty_buffer_ends_the_connection(run_real, pair):
    async def main():
        told = troubles()
        ours, theirs = pair
        factory = broken("get_buffer", bytearray())
        _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        theirs.send(b"x")
        error = await protocol.lost
        assert isinstance(error, RuntimeError)
        assert str(error) == "get_buffer() returned an empty buffer"
        assert [trouble["message"] for trouble in told] == ["Fatal error: protocol.get_buffer() call failed."]

    run_real(main())


def test_a_buffer_that_cannot_be_written_ends_the_connection_and_not_the_loop(run_real, pair):
    async def main():
        told = troubles()
        ours, theirs = pair
        factory = broken("get_buffer", b"read only")
        _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        theirs.send(b"x")
        error = await protocol.lost
        assert isinstance(error, (TypeError, BufferError))
        assert [trouble["message"] for trouble in told] == ["Fatal read error on socket transport"]
        assert told[0]["exception"] is error

    run_real(main())


def test_a_connection_made_that_raises_is_reported_and_the_connection_goes_on(run_real, pair):
    async def main():
        told = troubles()
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(broken("connection_made"), sock=ours)
        assert [type(trouble["exception"]) for trouble in told] == [ZeroDivisionError]
        protocol.events.append("made")
        theirs.send(b"x")
        await until(lambda: protocol.data)
        transport.close()
        assert await protocol.lost is None

    run_real(main())


def test_a_connection_lost_that_raises_is_reported_and_the_socket_closed(run_real, pair):
    async def main():
        told = troubles()
        ours, theirs = pair
        transport, _ = await asyncio.get_running_loop().create_connection(broken("connection_lost"), sock=ours)
        transport.close()
        await until(lambda: told)
        assert [type(trouble["exception"]) for trouble in told] == [ZeroDivisionError]
        assert ours.fileno() == -1
        assert theirs.recv(10) == b""

    run_real(main())


def test_another_protocol_gets_what_comes_from_then_on(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, first = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        theirs.send(b"first")
        await until(lambda: first.data)
        second = Buffered()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        theirs.send(b"second")
        await until(lambda: second.pieces)
        third = Recorder()
        third.connection_made(transport)
        transport.set_protocol(third)
        theirs.send(b"third")
        await until(lambda: third.data)
        theirs.close()
        assert await third.lost is None
        assert first.events == ["made", "data"]
        assert first.data == b"first"
        assert second.pieces == [b"second"]
        assert not second.lost.done()
        assert third.data == b"third"

    run_real(main())


def test_a_reset_by_the_peer_is_the_argument_of_connection_lost(run_real):
    """And nobody else is told: what the network does is no news."""

    async def main():
        told = troubles()
        loop = asyncio.get_running_loop()
        protocols = []

        def factory():
            protocols.append(Recorder())
            return protocols[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        peer = reset_socket(server.sockets[0].getsockname())
        await until(lambda: protocols and protocols[0].events)
        peer.close()
        assert isinstance(await protocols[0].lost, ConnectionResetError)
        assert protocols[0].events == ["made", "lost"]
        assert told == []
        server.close()
        await server.wait_closed()

    run_real(main())


def reset_socket(address: Any) -> Any:
    """A connected socket whose ``close`` resets the connection."""
    peer = socket.create_connection(address)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return peer


def test_what_a_protocol_keeps_stays_as_it_came(run_real, pair):
    """The memory of what it does not keep is used again."""

    class Keeping(Recorder):
        def data_received(self, data):
            if data[0] % 3:
                kept.append(data)
                hash(data)
            self.count = data[0]

    kept = []

    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Keeping, sock=pair[0])
        for number in range(1, 200):
            pair[1].send(bytes([number]) * (2000 + number % 2))
            await until(lambda: getattr(protocol, "count", 0) == number)  # noqa: B023 - called at once
        transport.close()
        await protocol.lost

    run_real(main())
    wanted = [bytes([number]) * (2000 + number % 2) for number in range(1, 200) if number % 3]
    assert kept == wanted
    assert set(kept) == set(wanted)


def test_long_and_short_messages_come_whole(run_real):
    sizes = [100_000, 3, 40_000, 250_000, 1, 33_000, 500_000, 20_000]
    parts = [bytes([65 + number]) * size for number, size in enumerate(sizes)]

    async def main():
        loop = asyncio.get_running_loop()
        protocols = []
        server = await loop.create_server(lambda: protocols.append(Recorder()) or protocols[-1], "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        await until(lambda: protocols)
        sent = 0
        for part in parts:
            transport.write(part)
            sent += len(part)
            await until(lambda: len(protocols[0].data) == sent)  # noqa: B023 - called at once
        assert protocols[0].data == b"".join(parts)
        transport.close()
        await protocol.lost
        await protocols[0].lost
        server.close()
        await server.wait_closed()

    run_real(main())
