"""Files to sockets, by the kernel or read and written."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import socket
import threading

import pytest

import rota

from .conftest import ROTA
from .full import Full
from .recorder import HalfOpen, Recorder, fill, read_all, troubles, turns, until

DATA = os.urandom(1 << 16) * 64  # 4 MiB: more than the kernel takes at once


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with open(path, "rb") as opened:
        yield opened


async def connect(sock, factory=Recorder):
    return await asyncio.get_running_loop().create_connection(factory, sock=sock)


async def collect(sock, size):
    """``size`` bytes from the other end."""
    found = bytearray()
    async with asyncio.timeout(10):
        while len(found) < size:
            found += read_all(sock)
            await asyncio.sleep(0)
    return bytes(found)


def sending(transport, file, *args, **options):
    loop = asyncio.get_running_loop()
    return asyncio.ensure_future(loop.sendfile(transport, file, *args, **options))


# -- through a transport ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, None, DATA),
        (1000, None, DATA[1000:]),
        (0, 5000, DATA[:5000]),
        (3_000_000, 900_000, DATA[3_000_000:3_900_000]),
        (4_000_000, 10_000_000, DATA[4_000_000:]),
        (len(DATA), None, b""),
        (len(DATA) + 5, 10, b""),
    ],
)
def test_a_part_of_a_file(run_real, pair, file, offset, count, expected):
    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, file, offset, count)
        assert await collect(pair[1], len(expected)) == expected
        assert await task == len(expected)
        assert file.tell() == (offset + len(expected) if expected else 0)
        await turns()
        assert read_all(pair[1]) == b""
        transport.close()
        await protocol.lost

    run_real(main())


def test_over_tcp(run_real, file):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            transport, protocol = await loop.create_connection(Recorder, *listening.getsockname())
            theirs, _ = listening.accept()
        with theirs:
            theirs.setblocking(False)
            task = sending(transport, file, fallback=False)
            assert await collect(theirs, len(DATA)) == DATA
            assert await task == len(DATA)
            transport.close()
            await protocol.lost

    run_real(main())


def test_what_was_written_before_goes_first_and_what_is_written_after_last(run_real, pair, file):
    async def main():
        transport, protocol = await connect(pair[0])
        transport.write(b"before")
        task = sending(transport, file, 0, 100)
        await turns()
        assert await task == 100
        transport.write(b"after")
        expected = b"before" + DATA[:100] + b"after"
        assert await collect(pair[1], len(expected)) == expected
        transport.close()
        await protocol.lost

    run_real(main())


def test_a_full_buffer_goes_first(run_real, pair, file):
    async def main():
        transport, protocol = await connect(pair[0])
        waiting = await fill(transport)
        task = sending(transport, file)
        await turns()
        assert not task.done()
        assert waiting
        found = bytearray()
        async with asyncio.timeout(10):
            while not task.done():
                found += read_all(pair[1])
                await asyncio.sleep(0)
            await turns()
            found += read_all(pair[1])
        assert bytes(found[-len(DATA) :]) == DATA
        assert not any(found[: -len(DATA)])
        transport.close()
        await protocol.lost

    run_real(main())


def test_nobody_writes_meanwhile(run_real, pair, file):
    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, file)
        await turns()
        assert not task.done()
        with pytest.raises(RuntimeError) as raised:
            transport.write(b"x")
        assert str(raised.value) == "unable to write; sendfile is in progress"
        with pytest.raises(RuntimeError, match=r"^unable to write(lines)?; sendfile is in progress$"):
            transport.writelines([b"x"])
        assert await collect(pair[1], len(DATA)) == DATA
        assert await task == len(DATA)
        transport.write(b"x")
        assert await collect(pair[1], 1) == b"x"
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("count", [None, 1 << 30])
@pytest.mark.parametrize("way", ["transport", "socket"])
def test_a_peer_that_does_not_read_delays_no_file_that_has_left(run_real, pair, tmp_path, way, count):
    """asyncio waits for room before it looks for the end of the file. Here the file just fills the socket."""

    async def main():
        loop = asyncio.get_running_loop()
        (tmp_path / "part").write_bytes(DATA[: room(*pair)])
        with open(tmp_path / "part", "rb") as part:
            async with asyncio.timeout(5):
                if way == "socket":
                    return await loop.sock_sendfile(pair[0], part, 0, count)
                transport, protocol = await connect(pair[0])
                try:
                    return await loop.sendfile(transport, part, 0, count)
                finally:
                    transport.abort()
                    await protocol.lost

    def room(ours, theirs):
        """How much of a file the socket takes while nobody reads."""
        with open(tmp_path / "part", "w+b") as part:
            part.write(DATA)
            part.flush()
            size = os.sendfile(ours.fileno(), part.fileno(), 0, len(DATA))
        assert len(read_all(theirs)) == size
        return size

    assert run_real(main()) == (tmp_path / "part").stat().st_size


@pytest.mark.parametrize("kind", ROTA)
def test_one_file_at_a_time(run_real, pair, file):
    """asyncio says KeyError."""

    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, file)
        await turns()
        with pytest.raises(RuntimeError) as raised:
            await asyncio.get_running_loop().sendfile(transport, file)
        assert str(raised.value) == "unable to send a file; sendfile is in progress"
        assert await collect(pair[1], len(DATA)) == DATA
        assert await task == len(DATA)
        transport.close()
        await protocol.lost

    run_real(main())


def test_nothing_is_read_meanwhile(run_real, pair, file):
    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, file)
        await turns()
        pair[1].send(b"question")
        await turns()
        assert not protocol.data
        assert await collect(pair[1], len(DATA)) == DATA
        await task
        await until(lambda: protocol.data)
        assert protocol.data == b"question"
        transport.close()
        await protocol.lost

    run_real(main())


def test_a_transport_that_was_paused_stays_so(run_real, pair, file):
    async def main():
        transport, protocol = await connect(pair[0])
        transport.pause_reading()
        task = sending(transport, file, 0, 100)
        assert await task == 100
        assert not transport.is_reading()
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_our_end_of_the_stream_comes_after_the_file(run_real, pair, file):
    """asyncio ends the stream in the middle of the file."""

    async def main():
        transport, protocol = await connect(pair[0], HalfOpen)
        task = sending(transport, file)
        await turns()
        transport.write_eof()
        assert await collect(pair[1], len(DATA)) == DATA
        await task
        assert pair[1].recv(10) == b""
        with pytest.raises(RuntimeError):
            await asyncio.get_running_loop().sendfile(transport, file)
        transport.close()
        await protocol.lost

    run_real(main())


def test_the_peer_goes_in_the_middle(run_real, pair, file):
    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, file)
        await turns()
        assert not task.done()
        taken = len(pair[1].recv(1 << 16))
        pair[1].close()
        with pytest.raises(ConnectionError):
            await task
        assert taken <= file.tell() < len(DATA)
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("end", ["close", "abort"])
def test_we_go_in_the_middle(run_real, pair, file, end):
    """On asyncio the call never ends."""

    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, file)
        await turns()
        getattr(transport, end)()
        with pytest.raises(ConnectionError) as raised:
            await task
        assert str(raised.value) == "the connection was closed while a file was being sent"
        assert await protocol.lost is None
        assert 0 < file.tell() < len(DATA)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("end", ["close", "abort"])
def test_we_go_while_a_full_buffer_waits(run_real, pair, file, end):
    async def main():
        transport, protocol = await connect(pair[0])
        waiting = await fill(transport)
        task = sending(transport, file)
        await turns()
        getattr(transport, end)()
        async with asyncio.timeout(5):
            while not task.done():
                read_all(pair[1])
                await asyncio.sleep(0)
            with pytest.raises(ConnectionError):
                await task
            assert waiting
            assert await protocol.lost is None
        assert file.tell() == 0

    run_real(main())


@pytest.mark.parametrize("written", [b"", b"before"])
def test_what_cannot_be_watched_for_room_is_lost(pair, file, written):
    """On asyncio the caller gets the kernel's error, and the connection goes on."""
    poller = Full()

    async def main():
        transport, protocol = await connect(pair[0])
        with contextlib.suppress(BlockingIOError):
            while True:
                pair[0].send(bytes(1 << 16))
        poller.full = True
        transport.write(written)
        with pytest.raises(ConnectionError) as raised:
            await asyncio.get_running_loop().sendfile(transport, file)
        assert str(raised.value) == "the connection was closed while a file was being sent"
        assert transport.is_closing()
        assert (await protocol.lost).errno == errno.ENOSPC
        assert protocol.events == ["made", "lost"]

    with asyncio.Runner(loop_factory=lambda: rota.Loop(poller=poller)) as runner:
        runner.run(main())


def test_cancelled_in_the_middle(run_real, pair, file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = sending(transport, file)
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        found = read_all(pair[1])
        assert found == DATA[: len(found)]
        # The connection can be used further.
        transport.write(b"x")
        assert await collect(pair[1], 1) == b"x"
        pair[1].send(b"y")
        await until(lambda: protocol.data == b"y")
        assert await loop.sendfile(transport, file, 0, 10) == 10
        transport.close()
        await protocol.lost

    run_real(main())


def test_a_closing_transport_is_refused(run_real, pair, file):
    async def main():
        transport, protocol = await connect(pair[0])
        transport.close()
        with pytest.raises(RuntimeError) as raised:
            await asyncio.get_running_loop().sendfile(transport, file)
        assert str(raised.value) == "Transport is closing"
        await protocol.lost

    run_real(main())


class Plain(asyncio.Transport):
    def is_closing(self):
        return False


def test_a_transport_that_knows_nothing_of_files(run_real, file):
    async def main():
        transport = Plain()
        with pytest.raises(RuntimeError) as raised:
            await asyncio.get_running_loop().sendfile(transport, file)
        assert str(raised.value) == f"sendfile is not supported for transport {transport!r}"

    run_real(main())


@pytest.mark.parametrize(
    ("offset", "count", "kind_of_error", "text"),
    [
        (-1, None, ValueError, "offset must be a non-negative integer (got -1)"),
        ("1", None, TypeError, "offset must be a non-negative integer (got '1')"),
        (0, 0, ValueError, "count must be a positive integer (got 0)"),
        (0, -1, ValueError, "count must be a positive integer (got -1)"),
        (0, 1.5, TypeError, "count must be a positive integer (got 1.5)"),
    ],
)
def test_what_is_no_part(run_real, pair, file, offset, count, kind_of_error, text):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(kind_of_error) as raised:
            await loop.sock_sendfile(pair[0], file, offset, count)
        assert str(raised.value) == text
        transport, protocol = await connect(pair[0])
        with pytest.raises(kind_of_error) as raised:
            await loop.sendfile(transport, file, offset, count)
        assert str(raised.value) == text
        transport.close()
        await protocol.lost

    run_real(main())


def test_a_text_file_is_refused(run_real, pair, file):
    async def main():
        loop = asyncio.get_running_loop()
        with open(file.name) as text:
            with pytest.raises(ValueError) as raised:
                await loop.sock_sendfile(pair[0], text)
            assert str(raised.value) == "file should be opened in binary mode"
            transport, protocol = await connect(pair[0])
            with pytest.raises(ValueError):
                await loop.sendfile(transport, text)
            transport.close()
            await protocol.lost

    run_real(main())


# -- what the kernel can't send -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "count"), [(0, None), (5000, None), (5000, 100_000), (1, 100)])
def test_a_file_in_memory_is_read_and_written(run_real, pair, offset, count):
    async def main():
        file = io.BytesIO(DATA)
        transport, protocol = await connect(pair[0])
        expected = DATA[offset:] if count is None else DATA[offset : offset + count]
        task = sending(transport, file, offset, count)
        assert await collect(pair[1], len(expected)) == expected
        assert await task == len(expected)
        assert file.tell() == offset + len(expected)
        assert transport.get_protocol() is protocol
        transport.close()
        await protocol.lost

    run_real(main())


def test_a_file_in_memory_without_fallback(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(pair[0], io.BytesIO(DATA), fallback=False)
        transport, protocol = await connect(pair[0])
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sendfile(transport, io.BytesIO(DATA), fallback=False)
        transport.write(b"goes on")
        assert await collect(pair[1], 7) == b"goes on"
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_pipe_is_read_and_written(run_real, pair):
    """asyncio takes the size of a pipe, none, for that of an empty file."""

    async def main():
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        os.write(writing, b"through the pipe")
        os.close(writing)
        transport, protocol = await connect(pair[0])
        with open(reading, "rb", buffering=0) as file:
            assert await loop.sendfile(transport, file) == 16
        assert await collect(pair[1], 16) == b"through the pipe"
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_file_in_memory_that_was_read_before_begins_at_the_offset(run_real, pair):
    """asyncio begins where the file stands if the offset is 0, and says something else."""

    async def main():
        loop = asyncio.get_running_loop()
        file = io.BytesIO(b"0123456789")
        file.read(5)
        assert await loop.sock_sendfile(pair[0], file) == 10
        assert read_all(pair[1]) == b"0123456789"

    run_real(main())


def test_a_buffered_file_that_was_read_before_begins_at_the_offset(run_real, pair, file):
    async def main():
        loop = asyncio.get_running_loop()
        file.read(5)
        assert await loop.sock_sendfile(pair[0], file, 0, 10) == 10
        assert read_all(pair[1]) == DATA[:10]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_buffered_file_that_was_read_before_stands_behind_what_was_sent(run_real, pair, file):
    """asyncio moves the file under the buffer, which goes on with what it has read ahead."""

    async def main():
        loop = asyncio.get_running_loop()
        file.read(5)
        assert await loop.sock_sendfile(pair[0], file, 0, 1000) == 1000
        assert file.tell() == 1000
        assert file.read(10) == DATA[1000:1010]

    run_real(main())


def test_a_file_that_fails_gives_its_error(run_real, pair):
    class Failing(io.BytesIO):
        def readinto(self, buffer):
            if self.tell():
                raise ZeroDivisionError
            return super().readinto(buffer)

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        file = Failing(bytes(100_000))
        with pytest.raises(ZeroDivisionError):
            await loop.sendfile(transport, file)
        assert file.tell() == 16384
        assert await collect(pair[1], 16384) == bytes(16384)
        pair[1].send(b"x")
        await until(lambda: protocol.data)
        transport.close()
        await protocol.lost

    run_real(main())


def test_the_peer_goes_in_the_middle_of_a_fallback(run_real, pair):
    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, io.BytesIO(DATA))
        await until(lambda: transport.get_write_buffer_size() > 1 << 16)
        pair[1].close()
        with pytest.raises(ConnectionError):
            await task
        await protocol.lost
        assert protocol.events[-1] == "lost"

    run_real(main())


def test_we_go_in_the_middle_of_a_fallback(run_real, pair):
    async def main():
        transport, protocol = await connect(pair[0])
        task = sending(transport, io.BytesIO(DATA))
        await until(lambda: transport.get_write_buffer_size() > 1 << 16)
        transport.abort()
        with pytest.raises(ConnectionError):
            await task
        assert await protocol.lost is None

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_protocol_hears_of_a_buffer_that_a_fallback_has_filled(run_real, pair):
    """asyncio resumes it later without having paused it, which its own streams take for a bug."""

    async def main():
        with contextlib.suppress(BlockingIOError):
            while pair[0].send(bytes(1000)):
                pass
        transport, protocol = await connect(pair[0])
        transport.set_write_buffer_limits(high=0)
        assert await asyncio.get_running_loop().sendfile(transport, io.BytesIO(b"x" * 1000)) == 1000
        assert protocol.events == ["made", "pause"]
        await until(lambda: read_all(pair[1]).endswith(b"x" * 1000))
        await until(lambda: protocol.events == ["made", "pause", "resume"])
        transport.close()
        await protocol.lost

    run_real(main())


def test_through_tls(run_real, server_context, client_context, file):
    """The kernel can't encrypt; the file is read and written, or refused."""

    async def main():
        loop = asyncio.get_running_loop()
        made = loop.create_future()

        class Server(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                made.set_result(self)

        server = await loop.create_server(Server, "127.0.0.1", 0, ssl=server_context)
        transport, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=client_context, server_hostname="server.test"
        )
        receiver = await made
        with pytest.raises(RuntimeError, match=r"^fallback is disabled and native sendfile is not supported for trans"):
            await loop.sendfile(transport, file, fallback=False)
        assert await loop.sendfile(transport, file, 10) == len(DATA) - 10
        assert file.tell() == len(DATA)
        await until(lambda: len(receiver.data) == len(DATA) - 10)
        assert receiver.data == DATA[10:]
        receiver.transport.write(b"answer")
        await until(lambda: protocol.data == b"answer")
        transport.close()
        await protocol.lost
        await receiver.lost
        server.close()
        await server.wait_closed()

    run_real(main())


# -- through a socket ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [False, True])
def test_a_socket_of_the_programs_own(run_real, pair, file, memory):
    async def main():
        loop = asyncio.get_running_loop()
        source = io.BytesIO(DATA) if memory else file
        task = asyncio.ensure_future(loop.sock_sendfile(pair[0], source, 7, 3_000_000))
        assert await collect(pair[1], 3_000_000) == DATA[7:3_000_007]
        assert await task == 3_000_000
        assert source.tell() == 3_000_007

    run_real(main())


def test_a_socket_that_sends_datagrams_is_refused(run_real, file):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            with pytest.raises(ValueError) as raised:
                await asyncio.get_running_loop().sock_sendfile(sock, file)
            assert str(raised.value) == "only SOCK_STREAM type sockets are supported"

    run_real(main())


def test_a_socket_whose_peer_goes(run_real, pair, file):
    async def main():
        task = asyncio.ensure_future(asyncio.get_running_loop().sock_sendfile(pair[0], file))
        await turns()
        pair[1].close()
        with pytest.raises(ConnectionError):
            await task

    run_real(main())


def test_a_socket_that_is_not_connected(run_real, file):
    async def main():
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(OSError):
                await asyncio.get_running_loop().sock_sendfile(sock, file)

    run_real(main())


def test_cancelling_leaves_the_socket_free(run_real, pair, file):
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(loop.sock_sendfile(pair[0], file))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns(3)
        assert loop.remove_writer(pair[0]) is False
        found = read_all(pair[1])
        assert found == DATA[: len(found)]
        await loop.sock_sendall(pair[0], b"x")
        assert read_all(pair[1]) == b"x"

    run_real(main())


def test_a_thread_that_reads_as_fast_as_it_can(run_real, pair, file):
    """The others have their turn between the blocks."""

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        received = bytearray()
        pair[1].setblocking(True)

        def read():
            while len(received) < len(DATA):
                received.extend(pair[1].recv(1 << 20))

        thread = threading.Thread(target=read)
        thread.start()
        transport, protocol = await connect(pair[0])
        task = sending(transport, file)
        turned = 0
        while not task.done():
            turned += 1
            await asyncio.sleep(0)
        assert await task == len(DATA)
        await loop.run_in_executor(None, thread.join)
        assert received == DATA
        assert turned > 3
        assert not told
        transport.close()
        await protocol.lost

    run_real(main())
