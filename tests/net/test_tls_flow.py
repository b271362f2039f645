"""Reading and writing over TLS: pauses, marks, memory of the protocol's own, and what shares a record."""

from __future__ import annotations

import array
import asyncio

import pytest

from .conftest import ROTA
from .recorder import Recorder, abort, fill, troubles, turns, until, write_until_paused
from .tls_peer import NAME, Peer


class Reader(Recorder, asyncio.BufferedProtocol):
    """Reads into memory of its own, ``size`` bytes at most; each piece is kept."""

    size = 100

    def __init__(self):
        super().__init__()
        self.pieces = []

    def memory(self):
        return memoryview(bytearray(self.size))

    def get_buffer(self, sizehint):
        self.buffer = self.memory()
        return self.buffer

    def buffer_updated(self, size):
        self.pieces.append(bytes(memoryview(self.buffer).cast("B")[:size]))


# -- reading ----------------------------------------------------------------------------------------------------


def test_nothing_comes_while_reading_is_paused(run_real, meet):
    async def main():
        transport, protocol, peer = await meet()
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        peer.write(b"one")
        await turns()
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        assert protocol.data == b""  # not out of the call
        await until(lambda: protocol.data == b"one")
        peer.write(b"two")
        await until(lambda: protocol.data == b"onetwo")
        await abort(transport, protocol)

    run_real(main())


def test_what_is_decrypted_needs_no_word_from_the_socket(run_real, meet):
    """A record is larger than the protocol's memory, and it pauses after each piece."""

    class Stepwise(Reader):
        inside = False

        def buffer_updated(self, size):
            assert not self.inside
            self.inside = True
            super().buffer_updated(size)
            self.transport.pause_reading()
            self.inside = False

    async def main():
        transport, protocol, peer = await meet(Stepwise)
        peer.ssl.write(b"a" * 250)
        peer.ssl.write(b"b" * 50)
        peer.send()
        for count, expected in enumerate([b"a" * 100, b"a" * 100, b"a" * 50, b"b" * 50], 1):
            await until(lambda count=count: sum(map(len, protocol.pieces)) >= min(count * 100, 300))
            if len(protocol.pieces) >= count:
                assert protocol.pieces[count - 1][:50] == expected[:50]
            transport.resume_reading()
        assert b"".join(protocol.pieces) == b"a" * 250 + b"b" * 50
        await abort(transport, protocol)

    run_real(main())


def test_resuming_inside_a_callback_does_not_call_it_again(run_real, meet):
    class Restless(Reader):
        inside = False

        def buffer_updated(self, size):
            assert not self.inside
            self.inside = True
            super().buffer_updated(size)
            self.transport.pause_reading()
            self.transport.resume_reading()
            self.inside = False

    async def main():
        told = troubles()
        transport, protocol, peer = await meet(Restless)
        peer.write(bytes(20_000))
        await until(lambda: sum(map(len, protocol.pieces)) == 20_000)
        await abort(transport, protocol)
        assert told == []

    run_real(main())


def test_the_end_waits_while_reading_is_paused(run_real, meet):
    async def main():
        transport, protocol, peer = await meet()
        transport.pause_reading()
        peer.write(b"that is all")
        peer.say_goodbye()
        await turns()
        assert protocol.events == ["made"]
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"that is all"
        assert protocol.events == ["made", "data", "eof", "lost"]

    run_real(main())


@pytest.mark.parametrize("size", [1, 7, 333])
def test_records_that_come_in_pieces(run_real, meet, size):
    async def main():
        transport, protocol, peer = await meet()
        data = bytes(range(256)) * 3
        for begin in range(0, len(data), 100):
            peer.ssl.write(data[begin : begin + 100])
        peer.send(0)
        while peer.unsent():
            peer.send(size)
            await turns(2)
        await until(lambda: len(protocol.data) == len(data))
        assert protocol.data == data
        await abort(transport, protocol)

    run_real(main())


# -- memory of the protocol's own -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize(
    "memory",
    [
        lambda size: bytearray(size),
        lambda size: memoryview(bytearray(size)),
        lambda size: array.array("i", bytes(size)),
    ],
    ids=["bytearray", "memoryview", "integers"],
)
def test_whatever_memory_a_protocol_gives(run_real, meet, memory):
    """asyncio slices what it is given: of a bytearray that is a copy, and what is read into it is lost."""

    class Own(Reader):
        def memory(self):
            return memory(1000)

    async def main():
        transport, protocol, peer = await meet(Own)
        data = bytes(range(256)) * 20
        for begin in range(0, len(data), 300):
            peer.ssl.write(data[begin : begin + 300])
        peer.send()
        await until(lambda: sum(map(len, protocol.pieces)) == len(data))
        assert b"".join(protocol.pieces) == data
        await abort(transport, protocol)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_protocol_may_resize_its_memory_once_it_is_told(run_real, meet):
    class Resizing(Reader):
        def get_buffer(self, sizehint):
            self.buffer = bytearray(50)
            return self.buffer

        def buffer_updated(self, size):
            del self.buffer[size:]
            self.pieces.append(bytes(self.buffer))

    async def main():
        told = troubles()
        transport, protocol, peer = await meet(Resizing)
        peer.ssl.write(b"x" * 30)
        peer.ssl.write(b"y" * 70)
        peer.send()
        await until(lambda: sum(map(len, protocol.pieces)) == 100)
        assert b"".join(protocol.pieces) == b"x" * 30 + b"y" * 70
        await abort(transport, protocol)
        assert told == []

    run_real(main())


def test_protocols_take_turns(run_real, meet):
    async def main():
        transport, first, peer = await meet()
        peer.write(b"first")
        await until(lambda: first.data == b"first")
        second = Reader()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        peer.write(b"second")
        await until(lambda: second.pieces == [b"second"])
        third = Recorder()
        third.events.append("made")
        transport.set_protocol(third)
        peer.write(b"third")
        await until(lambda: third.data == b"third")
        await abort(transport, third)
        assert first.data == b"first"

    run_real(main())


# -- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
def test_the_writes_of_a_turn_share_a_record(run_real, meet):
    """asyncio makes a record and a packet of each."""

    async def main():
        transport, protocol, peer = await meet()
        peer.read()
        del peer.records[:]
        transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
        transport.writelines([b"a body", bytearray(b" in"), memoryview(b" parts")])
        await until(lambda: peer.read() == b"HTTP/1.1 200 OK\r\n\r\na body in parts")
        assert len(peer.records) == 1
        transport.write(bytes(10_000))
        transport.write(bytes(10_000))
        transport.write(bytes(6_384))
        assert len(await peer.read_exactly(26_384)) == 26_384
        assert len(peer.records) == 3
        await abort(transport, protocol)

    run_real(main())


@pytest.mark.parametrize("sizes", [[1], [16_384], [16_385], [65_536], [1, 16_383], [70_000, 5, 70_000], [0, 3, 0]])
def test_all_that_is_written_arrives_in_order(run_real, meet, sizes):
    async def main():
        transport, protocol, peer = await meet()
        expected = bytearray()
        for number, size in enumerate(sizes):
            data = bytes([number + 1]) * size
            transport.write(data)
            expected += data
        assert await peer.read_exactly(len(expected)) == expected
        await abort(transport, protocol)

    run_real(main())


def test_a_buffer_that_changes_after_write(run_real, meet):
    async def main():
        transport, protocol, peer = await meet()
        buffer = bytearray(b"before")
        transport.write(buffer)
        buffer[:] = b"after!"
        await until(lambda: peer.read() == b"before")
        await abort(transport, protocol)

    run_real(main())


def test_the_protocol_is_paused_and_resumed(run_real, meet):
    async def main():
        transport, protocol, peer = await meet()
        assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
        written = await write_until_paused(transport, protocol)
        assert transport.get_write_buffer_size() >= 512 * 1024
        found = 0
        while "resume" not in protocol.events:
            found += len(peer.read(50_000))
            await turns(3)
        assert transport.get_write_buffer_size() <= 128 * 1024
        while found < written:
            found += len(peer.read())
            await turns(3)
        assert found == written
        assert protocol.events == ["made", "pause", "resume"]
        await abort(transport, protocol)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_with_marks_of_nothing_all_must_have_left(run_real, meet):
    """asyncio forgets what the transport beneath keeps."""

    async def main():
        transport, protocol, peer = await meet()
        await fill(transport)
        transport.set_write_buffer_limits(0)
        assert transport.get_write_buffer_limits() == (0, 0)
        assert protocol.events == ["made", "pause"]
        before = len(peer.read())
        while "resume" not in protocol.events:
            assert transport.get_write_buffer_size()
            before += len(peer.read(20_000))
            await turns(3)
        assert transport.get_write_buffer_size() == 0
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_write_buffer_limits(1, 2)
        await abort(transport, protocol)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_writing_out_of_the_callbacks_of_writing(run_real, meet):
    """Each pause and resume writes: the order holds, and nothing breaks. asyncio comes to a standstill here."""

    class Talker(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.write(b"p" * 100_000)

        def resume_writing(self):
            super().resume_writing()
            if self.events.count("resume") < 4:
                self.transport.write(b"r" * 600_000)

    async def main():
        told = troubles()
        transport, protocol, peer = await meet(Talker)
        transport.write(b"w" * 1_000_000)
        expected = b"w" * 1_000_000 + b"p" * 100_000 + (b"r" * 600_000 + b"p" * 100_000) * 3
        assert await peer.read_exactly(len(expected), 100_000) == expected
        assert protocol.events == ["made", *["pause", "resume"] * 4]
        await abort(transport, protocol)
        assert told == []

    run_real(main())


# -- TLS that begins while much is unsent -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
def test_tls_begins_while_writing_is_paused(run_real, pair, server_context, client_context):
    """asyncio's TLS fails on an assertion, or never resumes the protocol."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        transport.set_write_buffer_limits(high=1000)
        clear = 0
        while "pause" not in protocol.events:
            transport.write(bytes(1_000_000))
            clear += 1_000_000
            await turns(3)
        starting = asyncio.ensure_future(loop.start_tls(transport, protocol, client_context, server_hostname=NAME))
        await turns()
        assert "resume" not in protocol.events

        def rest():
            nonlocal clear
            try:
                clear -= len(pair[1].recv(min(clear, 100_000)))
            except BlockingIOError:
                pass
            return clear == 0

        await until(rest)
        peer = Peer(pair[1], server_context)
        secured, _ = await asyncio.gather(starting, peer.shake())
        await until(lambda: "resume" in protocol.events)
        secured.write(b"secret")
        await until(lambda: peer.read() == b"secret")
        assert protocol.events == ["made", "pause", "resume"]
        await abort(secured, protocol)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_tls_begins_in_the_turn_of_the_last_clear_words(run_real, pair, server_context, client_context):
    """They leave at its end, and it is the protocol that waits for that, not TLS. asyncio sends them at once."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        transport.set_write_buffer_limits(high=0)
        transport.write(b"now in secret\n")
        assert protocol.events == ["made", "pause"]

        async def answer():
            await until(lambda: pair[1].recv(14) == b"now in secret\n")
            peer = Peer(pair[1], server_context)
            await peer.shake()
            return peer

        answering = asyncio.ensure_future(answer())
        secured = await loop.start_tls(transport, protocol, client_context, server_hostname=NAME)
        assert protocol.events == ["made", "pause", "resume"]
        await answering
        await abort(secured, protocol)

    run_real(main())
