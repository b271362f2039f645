"""Pipes, terminals and the like as transports."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import logging
import os
import pty
import tty

import pytest

import rota

from .conftest import ROTA
from .full import Full
from .recorder import Recorder, troubles, turns, until


@pytest.fixture
def ends():
    """Both ends of a pipe, as files."""
    read, write = os.pipe()
    reading, writing = os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)
    os.set_blocking(read, False)
    yield reading, writing
    reading.close()
    writing.close()


async def reader_of(file, factory=Recorder):
    return await asyncio.get_running_loop().connect_read_pipe(factory, file)


async def writer_of(file, factory=Recorder):
    return await asyncio.get_running_loop().connect_write_pipe(factory, file)


def test_a_megabyte_goes_through_with_back_pressure(run_real, ends):
    data = bytes(range(256)) * 4096

    async def main():
        reading, reader = await reader_of(ends[0])
        writing, writer = await writer_of(ends[1])
        assert isinstance(reading, asyncio.ReadTransport)
        assert isinstance(writing, asyncio.WriteTransport)
        writing.write(data)
        assert writer.events == ["made", "pause"]
        assert writing.get_write_buffer_size() == len(data) - 65536
        writing.write_eof()
        assert await reader.lost is None
        assert await writer.lost is None
        assert reader.data == data
        assert reader.events == ["made", "data", "eof", "lost"]
        assert writer.events == ["made", "pause", "resume", "lost"]
        assert ends[0].closed
        assert ends[1].closed

    run_real(main())


def test_streams_over_a_pipe(run_real, ends):
    async def main():
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), ends[0])
        writing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, ends[1])
        writer = asyncio.StreamWriter(writing, protocol, None, loop)
        for number in range(20):
            writer.write(b"%d" % number * 10_000 + b"\n")
            drained = asyncio.ensure_future(writer.drain())
            assert len(await reader.readline()) == len(str(number)) * 10_000 + 1
            await drained
        writing.close()
        assert await reader.read() == b""
        reading.close()
        await turns(3)

    run_real(main())


def test_reading_can_be_paused(run_real, ends):
    async def main():
        reading, reader = await reader_of(ends[0])
        assert reading.is_reading()
        reading.pause_reading()
        reading.pause_reading()
        assert not reading.is_reading()
        ends[1].write(b"x")
        await turns()
        assert reader.data == b""
        reading.resume_reading()
        reading.resume_reading()
        await until(lambda: reader.data)
        assert reading.get_extra_info("pipe") is ends[0]
        assert not reading.is_closing()
        reading.close()
        assert reading.is_closing()
        assert await reader.lost is None
        assert reader.events == ["made", "data", "lost"]

    run_real(main())


def test_the_reader_goes_away_while_the_writer_is_idle(run_real, ends):
    async def main():
        _, writer = await writer_of(ends[1])
        ends[0].close()
        assert await writer.lost is None
        assert writer.events == ["made", "lost"]

    run_real(main())


@pytest.mark.parametrize("closing", [False, True])
def test_the_reader_goes_away_while_data_waits(run_real, ends, closing):
    """Closing or not, the protocol hears of it once."""

    async def main():
        told = troubles()
        writing, writer = await writer_of(ends[1])
        writing.write(bytes(200_000))
        if closing:
            writing.close()
        await turns()
        assert not writer.lost.done()
        ends[0].close()
        assert isinstance(await writer.lost, BrokenPipeError)
        await turns()
        assert writer.events == ["made", "pause", "lost"]
        assert writing.get_write_buffer_size() == 0
        assert told == []
        assert ends[1].closed

    run_real(main())


def test_a_write_that_finds_nobody_ends_the_connection(run_real, ends, caplog):
    async def main():
        writing, writer = await writer_of(ends[1])
        ends[0].close()
        writing.write(b"x")
        assert isinstance(await writer.lost, BrokenPipeError)
        for _ in range(4):
            writing.write(b"x")
        logged = len(caplog.messages)
        for _ in range(4):
            writing.write(b"x")
        assert set(caplog.messages) == {"pipe closed by peer or os.write(pipe, data) raised exception."}
        assert logged <= 1

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_real(main())


def test_abort_drops_what_waits(run_real, ends):
    async def main():
        writing, writer = await writer_of(ends[1])
        writing.write(bytes(200_000))
        writing.abort()
        writing.abort()
        writing.close()
        assert await writer.lost is None
        await turns()
        assert writer.events == ["made", "pause", "lost"]
        assert len(ends[0].read(1 << 20)) == 65536
        assert ends[0].read(1) == b""

    run_real(main())


def test_abort_ends_a_close_that_waits_for_the_reader(run_real, ends):
    async def main():
        writing, writer = await writer_of(ends[1])
        writing.write(bytes(200_000))
        writing.close()
        await turns()
        assert not writer.lost.done()
        writing.abort()
        assert await writer.lost is None
        await turns()
        assert writer.events == ["made", "pause", "lost"]

    run_real(main())


def test_a_buffer_that_changes_after_write_is_sent_as_it_was(run_real, ends):
    async def main():
        writing, writer = await writer_of(ends[1])
        filling = bytes(65536)
        writing.write(filling)
        data = bytearray(b"before")
        writing.write(data)
        data[:] = b"AFTER!"
        assert writing.get_write_buffer_size() == 6
        _, reader = await reader_of(ends[0])
        writing.close()
        await reader.lost
        assert bytes(reader.data[65536:]) == b"before"
        await writer.lost

    run_real(main())


def test_both_sides_of_a_terminal(run_real):
    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        _, reader = await reader_of(os.fdopen(os.dup(master), "rb", 0))
        writing, writer = await writer_of(os.fdopen(master, "wb", 0))
        os.write(slave, b"from the program")
        await until(lambda: reader.data == b"from the program")
        writing.write(b"to the program")
        await until(lambda: writing.get_write_buffer_size() == 0)
        assert os.read(slave, 100) == b"to the program"
        assert not writer.lost.done()
        os.close(slave)
        # What a terminal says when its other side is gone.
        assert isinstance(await reader.lost, OSError)
        writing.close()
        assert await writer.lost is None

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("closing", [False, True])
def test_a_terminal_that_goes_away_while_data_waits_is_told_once(run_real, closing):
    """Closing, asyncio never says that the connection is lost."""

    async def main():
        told = troubles()
        master, slave = pty.openpty()
        tty.setraw(slave)
        writing, writer = await writer_of(os.fdopen(slave, "wb", 0))
        writing.write(bytes(200_000))
        await turns()
        assert writing.get_write_buffer_size() > 0
        if closing:
            writing.close()
        os.close(master)
        async with asyncio.timeout(5):
            assert isinstance(await writer.lost, OSError)
        await turns()
        assert writer.events.count("lost") == 1
        assert told == []

    run_real(main())


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_a_regular_file_is_refused_and_stays_the_callers(run_real, tmp_path, method):
    async def main():
        with open(tmp_path / "file", "wb+", 0) as file:
            with pytest.raises(ValueError, match=r"^Pipe transport is "):
                await getattr(asyncio.get_running_loop(), method)(Recorder, file)
            assert not file.closed

    run_real(main())


def test_only_bytes_can_be_written(run_real, ends):
    async def main():
        writing, writer = await writer_of(ends[1])
        with pytest.raises((TypeError, AssertionError)):
            writing.write("text")
        writing.close()
        await writer.lost

    run_real(main())


def test_a_data_received_that_raises_is_reported(run_real, ends):
    class Broken(Recorder):
        def data_received(self, data):
            super().data_received(data)
            raise ZeroDivisionError

    async def main():
        told = troubles()
        reading, reader = await reader_of(ends[0], Broken)
        ends[1].write(b"1")
        await until(lambda: told)
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
        reading.close()
        await reader.lost

    run_real(main())


def test_what_a_pipe_can_not_do_it_refuses_as_asyncio_does(run_real, ends):
    async def main():
        reading, writing = ends
        transport, _ = await writer_of(writing)
        for refused in (transport.pause_reading, transport.resume_reading):
            with pytest.raises(NotImplementedError):
                refused()
        transport.abort()
        reading.close()

    run_real(main())


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_a_pipe_that_outlives_its_loop_is_open(new_loop, ends):
    reading, _writing = ends
    loop = new_loop()
    transport, _ = loop.run_until_complete(reader_of(reading))
    loop.close()
    assert "open" in repr(transport)
    del transport, _
    gc.collect()


@pytest.mark.parametrize("size", [1 << 17, 1 << 15])
def test_what_cannot_be_watched_for_room_is_lost(ends, size):
    """Whether the write leaves at once or at the end of the turn. It is lost as a socket is: asyncio's hangs."""
    poller = Full()

    async def main():
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
        transport, protocol = await writer_of(ends[1])
        poller.full = True
        transport.write(bytes(size))
        assert (await protocol.lost).errno == errno.ENOSPC

    with asyncio.Runner(loop_factory=lambda: rota.Loop(poller=poller)) as runner:
        runner.run(main())


def test_what_cannot_be_watched_again_is_lost(ends):
    poller = Full()

    async def main():
        transport, protocol = await reader_of(ends[0])
        transport.pause_reading()
        poller.full = True
        transport.resume_reading()
        assert transport.is_closing()
        assert (await protocol.lost).errno == errno.ENOSPC
        assert protocol.events == ["made", "lost"]

    with asyncio.Runner(loop_factory=lambda: rota.Loop(poller=poller)) as runner:
        runner.run(main())
