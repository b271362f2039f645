"""Several calls on one socket at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
import sys

import pytest

from .conftest import ROTA
from .recorder import read_all, turns, until

pytestmark = pytest.mark.parametrize("kind", ROTA)  # asyncio keeps the last call only; the others wait for ever


async def ended(*tasks):
    async with asyncio.timeout(5):
        return await asyncio.gather(*tasks)


def begun(*calls):
    return [asyncio.ensure_future(call) for call in calls]


def test_readers_are_served_in_the_order_in_which_they_came(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        memory = bytearray(1)
        readers = begun(loop.sock_recv(pair[0], 1), loop.sock_recv_into(pair[0], memory), loop.sock_recv(pair[0], 100))
        await turns()
        pair[1].send(b"1")
        assert await ended(readers[0]) == [b"1"]
        await turns()
        assert not readers[1].done()
        pair[1].send(b"23")
        assert await ended(*readers[1:]) == [1, b"3"]
        assert memory == b"2"
        assert loop.remove_reader(pair[0]) is False

    run_real(main())


def test_who_comes_later_does_not_overtake(run_real, pair):
    """There is something to read, and the one who waited for it has not had its turn yet."""

    async def main():
        loop = asyncio.get_running_loop()
        (first,) = begun(loop.sock_recv(pair[0], 1))
        await turns()
        pair[1].send(b"12")
        assert await loop.sock_recv(pair[0], 1) == b"2"
        assert first.done()
        assert first.result() == b"1"

    run_real(main())


def test_what_two_calls_send_is_not_mixed(run_real, pair):
    data = [b"a" * 3_000_000, b"b" * 100, b"c" * 3_000_000]

    async def main():
        loop = asyncio.get_running_loop()
        senders = begun(*[loop.sock_sendall(pair[0], part) for part in data])
        found = bytearray()
        async with asyncio.timeout(20):
            while len(found) < sum(map(len, data)):
                found += await loop.sock_recv(pair[1], 1 << 20)
        await ended(*senders)
        assert found == b"".join(data)

    run_real(main())


def test_readers_and_writers_do_not_wait_for_each_other(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        data = bytes(3_000_000)
        readers = begun(loop.sock_recv(pair[0], 1), loop.sock_recv(pair[0], 1))
        (sender,) = begun(loop.sock_sendall(pair[0], data))
        await turns()
        pair[1].send(b"12")
        assert await ended(*readers) == [b"1", b"2"]
        assert not sender.done()
        found = 0
        async with asyncio.timeout(5):
            while found < len(data):
                found += len(await loop.sock_recv(pair[1], 1 << 20))
        await ended(sender)

    run_real(main())


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_one_who_gives_up_lets_the_others_go_on(run_real, pair, cancelled):
    async def main():
        loop = asyncio.get_running_loop()
        readers = begun(*[loop.sock_recv(pair[0], 1) for _ in range(3)])
        await turns()
        readers.pop(cancelled).cancel()
        await turns()
        pair[1].send(b"12")
        assert await ended(*readers) == [b"1", b"2"]

    run_real(main())


def test_one_who_is_cancelled_when_its_bytes_are_there_leaves_them(run_real, pair):
    """asyncio has read them by then, and they are lost."""

    async def main():
        loop = asyncio.get_running_loop()
        first, second = begun(loop.sock_recv(pair[0], 10), loop.sock_recv(pair[0], 10))
        await turns()
        pair[1].send(b"data")
        woken = loop.create_future()

        def cancel():
            first.cancel()
            woken.set_result(None)

        # Due in the turn in which the poll has told of the bytes.
        loop.call_soon(cancel)
        await woken
        assert await ended(second) == [b"data"]
        assert first.cancelled()

    run_real(main())


def test_the_end_of_the_stream_reaches_all(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        readers = begun(*[loop.sock_recv(pair[0], 1) for _ in range(3)])
        await turns()
        pair[1].close()
        assert await ended(*readers) == [b"", b"", b""]

    run_real(main())


def test_a_peer_that_goes_is_told_to_all(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        senders = begun(*[loop.sock_sendall(pair[0], bytes(3_000_000)) for _ in range(2)])
        await turns()
        pair[1].close()
        for sender in senders:
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await ended(sender)

    run_real(main())


def test_two_who_accept(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            accepting = begun(loop.sock_accept(listening), loop.sock_accept(listening))
            await turns()
            peers = [socket.create_connection(listening.getsockname()) for _ in range(2)]
            for (connection, address), peer in zip(await ended(*accepting), peers, strict=True):
                assert address == peer.getsockname()
                connection.close()
                peer.close()

    run_real(main())


def test_one_who_sends_before_the_connection_is_there(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as sock:
            sock.setblocking(False)
            connecting = asyncio.ensure_future(loop.sock_connect(sock, listening.getsockname()))
            while sock.fileno() not in loop._lines.first(1) and not connecting.done():
                await asyncio.sleep(0)
            sending = asyncio.ensure_future(loop.sock_sendall(sock, b"early"))
            await ended(connecting, sending)
            connection, _ = listening.accept()
            with connection:
                assert connection.recv(10) == b"early"

    run_real(main())


def test_datagrams_for_several(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
            memory = bytearray(1)
            readers = begun(loop.sock_recvfrom(one, 10), loop.sock_recvfrom_into(one, memory), loop.sock_recv(one, 10))
            await turns()
            for number in range(3):
                other.sendto(b"%d" % number, one.getsockname())
            sender = other.getsockname()
            sender = ("127.0.0.1", sender[1])
            assert await ended(*readers) == [(b"0", sender), (1, sender), b"2"]
            assert memory == b"1"

    run_real(main())


def test_a_socket_that_was_shut_down_wakes_who_waits(run_real, pair):
    """Which is what a program should do before it closes one."""

    async def main():
        loop = asyncio.get_running_loop()
        readers = begun(loop.sock_recv(pair[0], 1), loop.sock_recv(pair[0], 1))
        await turns()
        pair[0].shutdown(socket.SHUT_RDWR)
        assert await ended(*readers) == [b"", b""]

    run_real(main())


@pytest.mark.parametrize("by", ["call", "transport"])
def test_a_socket_that_was_closed_ends_who_waits_when_its_number_is_used_again(run_real, by):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        fd = ours.fileno()
        readers = begun(loop.sock_recv(ours, 1), loop.sock_recv(ours, 1))
        await turns()
        ours.close()
        again, peer = socket.socketpair()
        with theirs, again, peer:
            assert again.fileno() == fd
            again.setblocking(False)
            if by == "call":
                (reader,) = begun(loop.sock_recv(again, 10))
                await turns(3)
            else:
                transport, _ = await loop.create_connection(asyncio.Protocol, sock=again)
            for waiting in readers:
                with pytest.raises(OSError) as raised:
                    await ended(waiting)
                assert raised.value.errno == errno.EBADF
                assert raised.value.strerror == "the socket was closed while a call waited for it"
            if by == "call":
                peer.send(b"new")
                assert await ended(reader) == [b"new"]
            else:
                transport.close()
                await turns(3)

    run_real(main())


def test_cancelling_everybody_leaves_nothing(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        calls = begun(*[loop.sock_recv(pair[0], 1) for _ in range(3)])
        calls += begun(*[loop.sock_sendall(pair[0], bytes(3_000_000)) for _ in range(3)])
        await turns()
        for call in calls:
            call.cancel()
        await turns()
        assert all(call.cancelled() for call in calls)
        assert len(loop._lines) == 0
        assert loop.remove_reader(pair[0]) is False
        assert loop.remove_writer(pair[0]) is False
        read_all(pair[1])
        pair[1].send(b"x")
        assert await loop.sock_recv(pair[0], 1) == b"x"

    run_real(main())


def test_those_in_line_when_the_loop_is_closed_go_quietly(new_loop, pair, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    loop = new_loop()
    loop.set_exception_handler(lambda loop, context: None)  # tasks that were pending
    readers = [loop.create_task(loop.sock_recv(pair[0], 1)) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del loop, readers
    gc.collect()
    assert told == []


def test_a_file_and_bytes_in_line(run_real, pair, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"f" * 3_000_000)

    async def main():
        loop = asyncio.get_running_loop()
        with open(path, "rb") as file:
            calls = begun(
                loop.sock_sendall(pair[0], b"1" * 1_000_000),
                loop.sock_sendfile(pair[0], file),
                loop.sock_sendall(pair[0], b"2"),
            )
            found = bytearray()
            async with asyncio.timeout(20):
                while len(found) < 4_000_001:
                    found += await loop.sock_recv(pair[1], 1 << 20)
            await ended(*calls)
        assert found == b"1" * 1_000_000 + b"f" * 3_000_000 + b"2"

    run_real(main())


def test_a_transports_socket_is_refused_though_there_is_something_to_read(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        transport.pause_reading()
        pair[1].send(b"the transport's")
        for call in (
            loop.sock_recv(pair[0], 10),
            loop.sock_recv_into(pair[0], bytearray(10)),
            loop.sock_sendall(pair[0], b"x"),
            loop.sock_accept(pair[0]),
        ):
            with pytest.raises(RuntimeError, match=r"^File descriptor \d+ is used by transport <"):
                await call
        transport.close()
        await until(lambda: pair[0].fileno() == -1)

    run_real(main())


def test_a_full_receiver_does_not_keep_the_loop_awake(run_real, tmp_path):
    """The kernel tells a Unix socket that is not connected of its own room, not of the receiver's."""
    path = str(tmp_path / "socket")

    async def main():
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        ):
            receiver.bind(path)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while sock.sendto(b"x", path):
                    pass
            (sending,) = begun(loop.sock_sendto(sock, b"last", path))
            before = loop._polls
            await asyncio.sleep(0.2)
            # Once a millisecond; a loop that is told of the socket all the time polls thousands of times.
            assert loop._polls - before < 500
            assert not sending.done()
            receiver.recv(1)
            assert await sending == 4

    run_real(main())
