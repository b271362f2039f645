"""What the program writes reaches the peer, whole and in order."""

from __future__ import annotations

import array
import asyncio
import logging
import socket
import struct

import pytest

from .conftest import ROTA
from .recorder import Recorder, fill, read_all, troubles, turns, until

DATA_SEGMENTS_OUT = 156  # where Linux's struct tcp_info has tcpi_data_segs_out


def test_writes_arrive_in_order(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, _ = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        transport.write(b"one ")
        transport.write(bytearray(b"two "))
        transport.write(memoryview(b"-three -")[1:-1])
        transport.write(b"")
        transport.writelines([b"four ", bytearray(b"five "), memoryview(b"six")])
        transport.close()
        await transport.get_protocol().lost
        assert read_all(theirs) == b"one two three four five six"

    run_real(main())


@pytest.mark.parametrize("data", [1, None, "text", [b"list"]])
def test_only_bytes_can_be_written(run_real, pair, data):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        with pytest.raises(TypeError) as raised:
            transport.write(data)
        assert str(raised.value) == f"data argument must be a bytes-like object, not {type(data).__name__!r}"
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_buffer_that_changes_after_write_is_sent_as_it_was(run_real, pair):
    """asyncio sends whatever is there when the kernel takes it."""

    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        small = bytearray(b"small")
        transport.write(small)
        small[:] = b"SMALL"
        await turns()
        assert read_all(theirs) == b"small"
        left = await fill(transport)
        late = bytearray(b"late")
        transport.write(late)
        transport.write(memoryview(late)[1:3])
        late[:] = b"LATE"
        assert transport.get_write_buffer_size() == left + 6
        transport.close()
        found = b""
        while not protocol.lost.done():
            found += read_all(theirs)
            await asyncio.sleep(0)
        found += read_all(theirs)
        assert found[-6:] == b"lateat"

    run_real(main())


def test_a_long_list_of_small_writes_arrives_whole(run_real, pair):
    """More buffers than one system call takes, more bytes than the kernel does."""

    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        pieces = [b"%d," % number * (number % 7 + 1) for number in range(3000)] + [bytes(70_000)]
        transport.writelines(pieces)
        transport.writelines(pieces)
        transport.close()
        found = bytearray()
        while not protocol.lost.done():
            found += read_all(theirs, 1000)
            await asyncio.sleep(0)
        found += read_all(theirs)
        assert found == b"".join(pieces) * 2

    run_real(main())


def segments(transport: asyncio.Transport) -> int:
    info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    found: int = struct.unpack_from("I", info, DATA_SEGMENTS_OUT)[0]
    return found


def test_a_list_of_any_buffers_is_written_whole_or_not_at_all(run_real, pair):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        transport.writelines([])
        transport.writelines(iter([b"a", bytearray(b"b"), memoryview(b"c"), array.array("B", b"d")]))
        for wrong in (["e", b"f"], [b"g", "h"], [b"i", None]):
            with pytest.raises(TypeError):
                transport.writelines(wrong)
        transport.write_eof()
        for late in ([], [b"j"]):
            with pytest.raises(RuntimeError, match="after write_eof"):
                transport.writelines(late)
        transport.close()
        await protocol.lost
        assert read_all(pair[1]) == b"abcd"

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_writes_of_one_turn_leave_together(run_real):
    """As one TCP segment, so in one system call; asyncio sends each at once."""

    async def main():
        loop = asyncio.get_running_loop()
        protocols = []
        server = await loop.create_server(lambda: protocols.append(Recorder()) or protocols[-1], "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        before = segments(transport)
        for number in range(10):
            transport.write(b"%d" % number)
        loop.call_soon(transport.write, b"next turn")
        assert segments(transport) == before
        await until(lambda: protocols and len(protocols[0].data) == 19)
        assert protocols[0].data == b"0123456789next turn"
        assert segments(transport) == before + 2
        transport.close()
        assert await protocol.lost is None
        await protocols[0].lost
        server.close()
        await server.wait_closed()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_an_answer_leaves_when_the_protocol_returns(run_real):
    """In one segment, before the next protocol has what came for it in the same turn."""

    class Answering(Recorder):
        def data_received(self, data):
            seen.append([read_all(peer) for peer in peers])
            self.transport.write(data)
            self.transport.write(b"!")

    seen, peers = [], []

    async def main():
        loop = asyncio.get_running_loop()
        transports = []
        for _ in range(2):
            ours, theirs = socket.socketpair()
            theirs.setblocking(False)
            peers.append(theirs)
            transports.append((await loop.create_connection(Answering, sock=ours))[0])
        for peer in peers:
            peer.send(b"x")
        await until(lambda: len(seen) == 2)
        assert [read_all(peer) for peer in peers].count(b"x!") == 1
        assert seen[0] == [b"", b""]
        assert sorted(seen[1]) == [b"", b"x!"]
        for transport, peer in zip(transports, peers, strict=True):
            transport.close()
            await transport.get_protocol().lost
            peer.close()

    run_real(main())


def test_what_is_written_outside_a_running_loop_leaves_when_it_runs(new_loop, pair):
    ours, theirs = pair
    loop = new_loop()

    async def connect():
        return await loop.create_connection(Recorder, sock=ours)

    transport, protocol = loop.run_until_complete(connect())
    transport.write(b"between")
    loop.run_until_complete(asyncio.sleep(0))
    assert read_all(theirs) == b"between"

    async def last_words():
        transport.write(b"last words")

    loop.run_until_complete(last_words())
    assert read_all(theirs) == b"last words"
    transport.close()
    loop.run_until_complete(protocol.lost)
    loop.close()


def test_write_eof_ends_our_side_after_what_was_written(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        assert transport.can_write_eof()
        transport.write(b"x" * 1_000_000)
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError) as raised:
            transport.write(b"more")
        assert str(raised.value) == "Cannot call write() after write_eof()"
        found = b""
        async with asyncio.timeout(5):
            while len(found) < 1_000_000:
                found += read_all(theirs)
                await asyncio.sleep(0)
        await turns()
        assert theirs.recv(10) == b""
        assert not transport.is_closing()
        theirs.send(b"answer")
        await until(lambda: protocol.data)
        assert protocol.data == b"answer"
        transport.close()
        assert await protocol.lost is None

    run_real(main())


def test_writes_after_the_end_are_counted_and_logged_once_in_a_row(run_real, pair, caplog):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        transport.close()
        await protocol.lost
        for _ in range(4):
            transport.write(b"nobody reads this")
        assert caplog.messages == []
        transport.write(b"nobody reads this")
        assert caplog.messages == ["socket.send() raised exception."]
        assert transport.get_write_buffer_size() == 0

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_real(main())


def test_write_eof_after_close_does_nothing(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        transport.write(b"all of it")
        transport.close()
        transport.write_eof()
        await protocol.lost
        transport.write_eof()
        assert read_all(theirs) == b"all of it"
        assert protocol.events == ["made", "lost"]

    run_real(main())


class Refusing(Recorder):
    def data_received(self, data):
        self.transport.write(b"bad request")
        raise ZeroDivisionError

    def eof_received(self):
        self.transport.write(b"bad end")
        raise ZeroDivisionError


class RefusingIntoMemory(Refusing, asyncio.BufferedProtocol):
    def get_buffer(self, sizehint):
        return bytearray(100)

    def buffer_updated(self, size):
        self.data_received(b"")


@pytest.mark.parametrize("factory", [Refusing, RefusingIntoMemory])
@pytest.mark.parametrize("end", [False, True], ids=["data", "end"])
def test_what_a_protocol_writes_before_it_fails_leaves(run_real, pair, factory, end):
    async def main():
        ours, theirs = pair
        troubles()
        _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        if end:
            theirs.shutdown(socket.SHUT_WR)
        else:
            theirs.send(b"x")
        assert isinstance(await protocol.lost, ZeroDivisionError)
        assert read_all(theirs) == (b"bad end" if end else b"bad request")

    run_real(main())
