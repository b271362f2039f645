"""add_reader and add_writer: the program's own file descriptors."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import pytest

from .conftest import ROTA
from .recorder import Recorder, turns, until


class File:
    def __init__(self, sock):
        self.fileno = sock.fileno


@pytest.mark.parametrize("wrap", [socket.socket.fileno, File, lambda sock: sock])
def test_a_number_or_an_object_with_fileno(run_real, pair, wrap):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        fd = wrap(ours)
        calls = []

        def read(*args):
            calls.append((args, ours.recv(10)))

        assert loop.add_reader(fd, read, 1, "two") is None
        theirs.send(b"x")
        await until(lambda: calls)
        assert calls == [((1, "two"), b"x")]
        assert loop.remove_reader(fd) is True
        assert loop.remove_reader(fd) is False
        theirs.send(b"y")
        await turns()
        assert len(calls) == 1

    run_real(main())


def test_a_callback_comes_as_long_as_there_is_something(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        found = []
        theirs.send(b"123")
        loop.add_reader(ours, lambda: found.append(ours.recv(1)))
        await until(lambda: len(found) == 3)
        await turns()
        assert found == [b"1", b"2", b"3"]
        loop.remove_reader(ours)

    run_real(main())


def test_reader_and_writer_of_one_file_do_not_disturb_each_other(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        calls = []
        loop.add_reader(ours, lambda: calls.append(ours.recv(10)))
        loop.add_writer(ours, calls.append, "write")
        await until(lambda: len(calls) >= 2)
        assert set(calls) == {"write"}
        assert loop.remove_writer(ours) is True
        assert loop.remove_writer(ours) is False
        calls.clear()
        theirs.send(b"read")
        await until(lambda: calls)
        await turns()
        assert calls == [b"read"]
        loop.add_writer(ours, calls.append, "write")
        assert loop.remove_reader(ours) is True
        theirs.send(b"nobody reads")
        await until(lambda: len(calls) >= 3)
        assert set(calls) == {b"read", "write"}
        loop.remove_writer(ours)

    run_real(main())


def test_the_last_callback_replaces_the_one_before(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        calls = []
        for side in ("reader", "writer"):
            add, remove = getattr(loop, f"add_{side}"), getattr(loop, f"remove_{side}")
            add(ours, calls.append, "first")
            add(ours, lambda remove=remove: (calls.append("second"), remove(ours)))
            theirs.send(b"x")
            await until(lambda: calls)
            await turns()
            assert calls == ["second"]
            calls.clear()

    run_real(main())


def test_a_callback_removed_in_the_turn_it_was_due_is_not_called(run_real, pair):
    """Both files can be read; whoever comes first removes the other."""

    async def main():
        loop = asyncio.get_running_loop()
        calls = []

        def read(mine, other):
            calls.append(mine)
            loop.remove_reader(mine)
            loop.remove_reader(other)

        loop.add_reader(pair[0], read, pair[0], pair[1])
        loop.add_reader(pair[1], read, pair[1], pair[0])
        pair[0].send(b"x")
        pair[1].send(b"x")
        await until(lambda: calls)
        await turns()
        assert len(calls) == 1

    run_real(main())


def test_a_callback_that_raises_is_reported_and_called_again(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        told = []
        loop.set_exception_handler(lambda loop, context: told.append(context))
        ours, theirs = pair
        theirs.send(b"x")
        loop.add_reader(ours, lambda: 1 / 0)
        await until(lambda: len(told) >= 2)
        loop.remove_reader(ours)
        assert {type(context["exception"]) for context in told} == {ZeroDivisionError}
        assert told[0]["message"].startswith("Exception in callback ")

    run_real(main())


def test_the_end_of_the_other_side_is_told_to_reader_and_writer(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        try:
            while True:
                ours.send(bytes(1 << 16))
        except BlockingIOError:
            pass
        calls = set()
        loop.add_reader(ours, calls.add, "reader")
        loop.add_writer(ours, calls.add, "writer")
        await turns()
        assert calls == set()
        theirs.close()
        await until(lambda: calls == {"reader", "writer"})
        loop.remove_reader(ours)
        loop.remove_writer(ours)

    run_real(main())


@pytest.mark.parametrize("side", ["reader", "writer"])
def test_what_is_no_file_is_refused(run_real, tmp_path, side):
    async def main():
        loop = asyncio.get_running_loop()
        add, remove = getattr(loop, f"add_{side}"), getattr(loop, f"remove_{side}")
        with pytest.raises(ValueError) as raised:
            add("no file", print)
        assert str(raised.value) == "Invalid file object: 'no file'"
        with pytest.raises(ValueError) as raised:
            add(-1, print)
        assert str(raised.value) == "Invalid file descriptor: -1"
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            getattr(loop, f"remove_{side}")(-1)
        closed, other = os.pipe()
        os.close(closed)
        with pytest.raises(OSError, match=r"^\[Errno 9\] Bad file descriptor$"):
            add(closed, print)
        assert remove(closed) is False
        assert remove(10_000) is False
        os.close(other)
        with open(tmp_path / "file", "wb") as file, pytest.raises(PermissionError):
            add(file, print)

    run_real(main())


@pytest.mark.parametrize("number", [2**30, 2**31 - 1])
def test_a_number_that_is_far_from_any_file_is_refused_at_once(run_real, number):
    async def main():
        with pytest.raises(OSError, match="Bad file descriptor"):
            asyncio.get_running_loop().add_reader(number, print)

    run_real(main())


def test_the_file_of_a_transport_is_refused(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, _ = pair
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        fd = ours.fileno()
        for method, arguments in (
            (loop.add_reader, (print,)),
            (loop.add_writer, (print,)),
            (loop.remove_reader, ()),
            (loop.remove_writer, ()),
        ):
            with pytest.raises(RuntimeError, match=f"^File descriptor {fd} is used by transport <"):
                method(fd, *arguments)
        assert transport.is_reading()
        transport.close()
        await protocol.lost
        await turns(3)
        assert loop.remove_reader(fd) is False

    run_real(main())


def test_the_file_of_a_transport_that_does_not_read_is_refused(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        transport.pause_reading()
        for call in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match=f"^File descriptor {pair[0].fileno()} is used by transport <"):
                call(pair[0].fileno(), print)
        for call in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match=f"^File descriptor {pair[0].fileno()} is used by transport <"):
                call(pair[0].fileno())
        fd = pair[0].fileno()
        transport.close()
        await protocol.lost
        await turns(3)
        assert loop.remove_reader(fd) is False

    run_real(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio makes two transports of one socket before Python 3.12")
def test_the_socket_of_a_transport_gets_no_second_one(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        with pytest.raises(RuntimeError, match="is used by transport <"):
            await loop.create_connection(Recorder, sock=pair[0])
        pair[1].send(b"x")
        await until(lambda: protocol.data == b"x")
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_number_that_was_closed_and_is_another_file_now_is_watched_again(run_real):
    """Nobody told the loop that the first file was closed. asyncio does not tell the kernel of the second then."""

    async def main():
        loop = asyncio.get_running_loop()
        calls = []
        read, write = os.pipe()
        loop.add_reader(read, calls.append, "old")
        await turns()
        os.close(read)
        os.close(write)
        new_read, new_write = os.pipe()
        assert (new_read, new_write) == (read, write)
        loop.add_reader(new_read, calls.append, "new")
        os.write(new_write, b"x")
        await until(lambda: calls)
        assert set(calls) == {"new"}
        assert loop.remove_reader(new_read) is True
        os.close(new_read)
        os.close(new_write)

    run_real(main())


def test_a_file_that_is_closed_before_it_is_removed_can_still_be(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        loop.add_reader(read, print)
        loop.add_writer(write, print)
        os.close(read)
        os.close(write)
        assert loop.remove_reader(read) is True
        assert loop.remove_writer(write) is True
        await turns()

    run_real(main())


@pytest.mark.parametrize("side", ["reader", "writer"])
@pytest.mark.parametrize("is_file", [False, True])
def test_an_object_that_is_closed_before_it_is_removed_can_still_be(run_real, kind, pair, is_file, side):
    """It does not know its number any more."""
    if is_file and kind == "asyncio":
        pytest.skip("asyncio knows closed sockets, and refuses closed files")

    async def main():
        loop = asyncio.get_running_loop()
        add, remove = getattr(loop, f"add_{side}"), getattr(loop, f"remove_{side}")
        watched = pair[0].makefile("rwb", buffering=0) if is_file else pair[0]
        add(watched, print)
        watched.close()
        pair[0].close()
        assert remove(watched) is True
        with pytest.raises(ValueError, match="Invalid file"):
            remove(watched)
        pair[1].close()
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            remove(pair[1])

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_duplicate_that_outlives_its_file_does_not_keep_the_loop_busy(new_loop):
    """The kernel goes on telling of a file whose number is closed; asyncio and the selectors spin then."""
    loop = new_loop()

    async def main():
        read, write = os.pipe()
        os.write(write, b"x")
        duplicate = os.dup(read)
        loop.add_reader(read, print)
        os.close(read)
        loop.remove_reader(read)
        before = loop._polls
        await asyncio.sleep(0.01)
        polls = loop._polls - before
        os.close(duplicate)
        os.close(write)
        return polls

    try:
        assert loop.run_until_complete(main()) < 10
    finally:
        loop.close()


def test_a_closed_loop_takes_no_more_files(new_loop, pair):
    loop = new_loop()
    loop.add_reader(pair[0], print)
    loop.close()
    for method in (loop.add_reader, loop.add_writer):
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            method(pair[0], print)
