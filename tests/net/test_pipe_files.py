"""What a pipe transport can be made of, what it does with the file, and how writes leave."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import pty
import socket
import tty
import warnings

import pytest

from .conftest import ROTA
from .recorder import Recorder, troubles, turns, until


async def reader_of(file, factory=Recorder):
    return await asyncio.get_running_loop().connect_read_pipe(factory, file)


async def writer_of(file, factory=Recorder):
    return await asyncio.get_running_loop().connect_write_pipe(factory, file)


def opened(path, mode):
    return open(path, mode, 0)


def pipe():
    read, write = os.pipe()
    return os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)


# -- which files ------------------------------------------------------------------------------------------------------


def test_a_fifo_with_a_name(run_real, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        read = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        _, reader = await reader_of(read)
        writing, writer = await writer_of(opened(path, "wb"))
        writing.write(b"through the file system")
        writing.close()
        assert await reader.lost is None
        await writer.lost
        assert reader.data == b"through the file system"

    run_real(main())


def test_sockets_may_be_pipes(run_real):
    async def main():
        ours, theirs = socket.socketpair()
        reading, reader = await reader_of(ours)
        writing, writer = await writer_of(theirs)
        writing.write(b"data")
        await until(lambda: reader.data)
        reading.close()
        # The peer of a socket has gone: an idle writer hears of it.
        assert await writer.lost is None
        await reader.lost
        assert reader.data == b"data"
        assert ours.fileno() == theirs.fileno() == -1

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_one_socket_both_ways(run_real):
    """asyncio's writer takes what comes for the end of the connection."""

    async def main():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        reading, reader = await reader_of(ours)
        writing, writer = await writer_of(ours)
        theirs.send(b"in")
        await until(lambda: reader.data == b"in")
        writing.write(b"out")
        await turns()
        assert theirs.recv(10) == b"out"
        assert writer.events == ["made"]
        writing.close()
        await writer.lost
        theirs.send(b", still open")
        await until(lambda: reader.data == b"in, still open")
        reading.close()
        await reader.lost
        assert ours.fileno() == -1
        theirs.close()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("first", ["reader", "writer"])
def test_one_terminal_read_and_written_by_one_file(run_real, first):
    """With asyncio the end of one of them closes the file of both."""

    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        file = os.fdopen(master, "rb+", 0)
        reading, reader = await reader_of(file)
        writing, writer = await writer_of(file)
        for number in range(3):
            os.write(slave, b"in %d " % number)
            writing.write(b"out %d" % number)
            await until(lambda end=b"in %d " % number: reader.data.endswith(end))
            await turns()
            assert os.read(slave, 100) == b"out %d" % number
        if first == "reader":
            reading.close()
            await reader.lost
            writing.write(b"alone")
            await turns()
            assert os.read(slave, 100) == b"alone"
            writing.close()
            await writer.lost
        else:
            writing.close()
            await writer.lost
            os.write(slave, b"alone")
            await until(lambda: reader.data.endswith(b"alone"))
            reading.close()
            await reader.lost
        assert file.closed
        os.close(slave)

    run_real(main())


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_what_is_no_pipe_is_refused_with_asyncios_words(run_real, tmp_path, method):
    words = {
        "connect_read_pipe": "Pipe transport is for pipes/sockets only.",
        "connect_write_pipe": "Pipe transport is only for pipes, sockets and character devices",
    }

    async def main():
        with open(tmp_path / "file", "wb+", 0) as file:
            with pytest.raises(ValueError) as raised:
                await getattr(asyncio.get_running_loop(), method)(Recorder, file)
            assert str(raised.value) == words[method]
            assert os.get_blocking(file.fileno())

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_the_kernel_cannot_watch_never_makes_anybody_wait(run_real):
    """epoll refuses /dev/null and its like. asyncio reports that, and nothing is ever read."""

    async def main():
        told = troubles()
        _, reader = await reader_of(opened("/dev/null", "rb"))
        assert await reader.lost is None
        assert reader.events == ["made", "eof", "lost"]

        zeros, reader = await reader_of(opened("/dev/zero", "rb"))
        await until(lambda: len(reader.data) > 10_000)
        zeros.pause_reading()
        await turns(2)
        size = len(reader.data)
        await turns()
        assert len(reader.data) == size
        zeros.resume_reading()
        await until(lambda: len(reader.data) > size)
        zeros.close()
        await reader.lost
        assert told == []

    run_real(main())


def test_devnull_can_be_written(run_real):
    async def main():
        writing, writer = await writer_of(opened("/dev/null", "wb"))
        writing.write(bytes(1_000_000))
        await turns()
        assert writing.get_write_buffer_size() == 0
        writing.close()
        assert await writer.lost is None

    run_real(main())


def test_a_full_device_is_an_error_like_any_other(run_real):
    async def main():
        writing, writer = await writer_of(opened("/dev/full", "wb"))
        writing.write(b"x")
        assert isinstance(await writer.lost, OSError)
        assert writing.is_closing()

    run_real(main())


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
def test_a_buffered_protocol_gives_the_memory(run_real):
    """asyncio's pipes call data_received, which such a protocol doesn't have."""

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.memory = bytearray(5)
            self.found = []
            self.lost = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint):
            return memoryview(self.memory)

        def buffer_updated(self, size):
            self.found.append(bytes(self.memory[:size]))

        def eof_received(self):
            self.found.append("eof")

        def connection_lost(self, error):
            self.lost.set_result(error)

    async def main():
        read, write = pipe()
        _, protocol = await reader_of(read, Buffered)
        write.write(b"12345678")
        write.close()
        assert await protocol.lost is None
        assert protocol.found == [b"12345", b"678", "eof"]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("broken", ["get_buffer", "an empty buffer", "buffer_updated"])
def test_a_buffered_protocol_that_fails_ends_the_connection(run_real, broken):
    class Broken(asyncio.BufferedProtocol):
        def __init__(self):
            self.lost = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint):
            if broken == "get_buffer":
                raise ZeroDivisionError
            return bytearray(broken != "an empty buffer")

        def buffer_updated(self, size):
            raise ZeroDivisionError

        def connection_lost(self, error):
            self.lost.set_result(error)

    async def main():
        told = troubles()
        read, write = pipe()
        _, protocol = await reader_of(read, Broken)
        write.write(b"x")
        error = await protocol.lost
        assert isinstance(error, RuntimeError if broken == "an empty buffer" else ZeroDivisionError)
        assert [context["exception"] for context in told] == [error]
        write.close()

    run_real(main())


def test_another_protocol_reads_the_rest(run_real):
    async def main():
        read, write = pipe()
        reading, first = await reader_of(read)
        write.write(b"1")
        await until(lambda: first.data == b"1")
        second = Recorder()
        second.events.append("set")
        reading.set_protocol(second)
        assert reading.get_protocol() is second
        write.write(b"2")
        write.close()
        assert await second.lost is None
        assert second.data == b"2"
        assert first.events == ["made", "data"]
        first.lost.cancel()

    run_real(main())


def test_what_eof_received_raises_is_reported_and_the_connection_ends(run_real):
    class Broken(Recorder):
        def eof_received(self):
            raise ZeroDivisionError

    async def main():
        told = troubles()
        read, write = pipe()
        _, reader = await reader_of(read, Broken)
        write.close()
        assert await reader.lost is None
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError]

    run_real(main())


def test_a_reset_is_reported_but_not_what_a_terminal_says_at_its_end(run_real):
    async def main():
        told = troubles()
        # A connection with data unread that is closed resets its peer.
        server = socket.create_server(("127.0.0.1", 0))
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        server.close()
        _, reader = await reader_of(ours)
        ours.send(b"unread")
        theirs.close()
        error = await reader.lost
        assert isinstance(error, ConnectionResetError)
        assert [context["exception"] for context in told] == [error]

        master, slave = pty.openpty()
        _, reader = await reader_of(os.fdopen(master, "rb", 0))
        os.close(slave)
        assert isinstance(await reader.lost, OSError)
        assert len(told) == 1

    run_real(main())


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
def test_what_one_turn_writes_leaves_together(run_real):
    """The reading side is in packet mode and shows each write by itself. asyncio makes one system call a write."""

    async def main():
        read, write = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
        writing, writer = await writer_of(os.fdopen(write, "wb", 0))
        writing.write(b"head ")
        writing.writelines([b"and ", bytearray(b"body "), memoryview(b"together")])
        assert writing.get_write_buffer_size() == 22
        await turns()
        assert os.read(read, 100) == b"head and body together"
        writing.close()
        await writer.lost
        os.close(read)

    run_real(main())


def test_while_the_loop_does_not_run_a_write_leaves_at_once(new_loop):
    loop = new_loop()
    read, write = pipe()

    async def start():
        return await writer_of(write)

    writing, writer = loop.run_until_complete(start())
    writing.write(b"now")
    assert read.read(10) == b"now"
    writing.close()
    loop.run_until_complete(writer.lost)
    loop.close()
    read.close()


def test_what_was_written_before_close_or_abort_in_the_same_turn_leaves(run_real):
    async def main():
        for end in ("close", "abort", "write_eof"):
            read, write = pipe()
            writing, writer = await writer_of(write)
            assert writing.can_write_eof()
            writing.write(b"last words")
            getattr(writing, end)()
            assert await writer.lost is None
            assert read.read(100) == b"last words"
            read.close()

    run_real(main())


def test_nothing_is_nothing(run_real):
    async def main():
        read, write = pipe()
        writing, writer = await writer_of(write)
        for data in (b"", bytearray(), memoryview(b"")):
            writing.write(data)
        assert writing.get_write_buffer_size() == 0
        writing.close()
        writing.write(b"")
        await writer.lost
        read.close()

    run_real(main())


def test_limits_of_the_buffer(run_real):
    async def main():
        read, write = pipe()
        os.set_blocking(read.fileno(), False)
        writing, writer = await writer_of(write)
        assert writing.get_write_buffer_limits() == (16384, 65536)
        writing.set_write_buffer_limits(high=10, low=5)
        writing.write(bytes(65536 + 8))
        await turns()
        assert writer.events == ["made"]
        writing.write(b"abc")
        assert writer.events == ["made", "pause"]
        read.read(65536)
        await until(lambda: "resume" in writer.events)
        assert writing.get_write_buffer_size() == 0
        writing.close()
        await writer.lost
        read.close()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_callbacks_run_in_the_context_of_the_connection(run_real):
    """asyncio's run in the context of whoever resumed reading last."""
    variable = contextvars.ContextVar("variable", default="unset")

    class Noting(Recorder):
        def __init__(self):
            super().__init__()
            self.seen = set()

        def note(name):  # noqa: N805
            def noted(self, *args):
                self.seen.add((name, variable.get()))
                getattr(Recorder, name)(self, *args)

            return noted

        connection_made = note("connection_made")
        data_received = note("data_received")
        eof_received = note("eof_received")
        resume_writing = note("resume_writing")
        connection_lost = note("connection_lost")

    async def main():
        read, write = pipe()
        variable.set("connection")
        reading, reader = await reader_of(read, Noting)
        writing, writer = await writer_of(write, Noting)
        variable.set("later")
        reading.pause_reading()
        writing.write(bytes(300_000))
        reading.resume_reading()
        await until(lambda: "resume" in writer.events)
        writing.close()
        await reader.lost
        await writer.lost
        assert reader.seen | writer.seen == {
            (name, "connection")
            for name in ("connection_made", "data_received", "eof_received", "resume_writing", "connection_lost")
        }

    run_real(main())


# -- ending -----------------------------------------------------------------------------------------------------------


def test_what_they_look_like(run_real):
    async def main():
        read, write = pipe()
        reading, reader = await reader_of(read)
        writing, writer = await writer_of(write)
        await turns(2)
        assert repr(reading).endswith(f" fd={read.fileno()} polling>")
        assert repr(writing).endswith(f" fd={write.fileno()} idle bufsize=0>")
        reading.pause_reading()
        assert repr(reading).endswith(" idle>")
        writing.write(bytes(65536 + 100))
        await turns()
        assert repr(writing).endswith(" polling bufsize=100>")
        reading.close()
        writing.abort()
        assert " closing fd=" in repr(reading)
        assert " closing fd=" in repr(writing)
        await reader.lost
        await writer.lost
        await turns(2)
        assert " closed fd=" in repr(reading)
        assert " closed fd=" in repr(writing)

    run_real(main())


def test_the_file_stays_non_blocking_as_asyncio_leaves_it(run_real):
    async def main():
        read, write = pipe()
        kept = os.dup(read.fileno())
        assert os.get_blocking(kept)
        reading, reader = await reader_of(read)
        reading.close()
        await reader.lost
        assert not os.get_blocking(kept)
        os.close(kept)
        write.close()

    run_real(main())


@pytest.mark.parametrize("way", ["read", "write"])
def test_one_that_is_dropped_says_so(new_loop, way):
    loop = new_loop()
    read, write = pipe()

    async def start():
        return await (reader_of(read) if way == "read" else writer_of(write))

    transport, protocol = loop.run_until_complete(start())
    loop.close()
    file = read if way == "read" else write
    protocol.lost.cancel()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport, protocol
        gc.collect()
    (warning,) = caught
    assert str(warning.message).startswith("unclosed transport <")
    assert file.closed
    read.close()
    write.close()


def test_a_connection_that_is_cancelled_closes_the_file(run_real):
    async def main():
        for connect in (reader_of, writer_of):
            read, write = pipe()
            file, other = (read, write) if connect is reader_of else (write, read)
            connecting = asyncio.ensure_future(connect(file))
            await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await turns(3)
            assert file.closed
            other.close()

    run_real(main())


def test_a_pipe_that_is_used_can_be_given_a_callback_of_its_own(run_real):
    """add_reader() on the descriptor of a terminal that a transport writes."""

    async def main():
        loop = asyncio.get_running_loop()
        master, slave = pty.openpty()
        tty.setraw(slave)
        writing, writer = await writer_of(os.fdopen(master, "rb+", 0))
        found = []
        loop.add_reader(master, lambda: found.append(os.read(master, 100)))
        os.write(slave, b"in")
        writing.write(b"out")
        await until(lambda: found)
        assert found == [b"in"]
        assert os.read(slave, 100) == b"out"
        loop.remove_reader(master)
        writing.close()
        await writer.lost
        os.close(slave)

    run_real(main())
