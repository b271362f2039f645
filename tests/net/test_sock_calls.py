"""The program's own sockets, awaited call by call."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import threading

import pytest

from .conftest import ROTA
from .recorder import Recorder, turns


def test_recv_waits_for_data_and_sees_the_end(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        theirs.send(b"there")
        assert await loop.sock_recv(ours, 3) == b"the"
        assert await loop.sock_recv(ours, 100) == b"re"
        waiting = asyncio.ensure_future(loop.sock_recv(ours, 100))
        await turns()
        assert not waiting.done()
        theirs.send(b"later")
        assert await waiting == b"later"
        theirs.close()
        assert await loop.sock_recv(ours, 100) == b""

    run_real(main())


@contextlib.contextmanager
def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as theirs:
        ours, _ = listener.accept()
        with ours:
            ours.setblocking(False)
            yield ours, theirs


async def waits_for(sock, send):
    """What a call gets that waits while ``send()`` is called."""
    waiting = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(sock, 100))
    await turns()
    assert not waiting.done()
    send()
    return await waiting


def test_a_read_that_drained_the_socket_hides_nothing_that_comes_after(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with tcp_pair() as (ours, theirs):
            for _ in range(3):
                assert await waits_for(ours, lambda: theirs.send(b"ab")) == b"ab"
                theirs.send(b"cd")  # nobody has waited again yet
                assert await loop.sock_recv(ours, 100) == b"cd"
                assert await waits_for(ours, lambda: theirs.send(b"ef")) == b"ef"
                theirs.send(b"gh")
                await turns()  # a poll sees it, while nobody waits
                assert await loop.sock_recv(ours, 1) == b"g"
                assert ours.recv(100) == b"h"  # past the loop
                assert await waits_for(ours, lambda: theirs.send(b"ij")) == b"ij"
                waiting = asyncio.ensure_future(loop.sock_recv(ours, 100))
                await turns()
                waiting.cancel()
                theirs.send(b"kl")
                await asyncio.wait([waiting])
                assert await loop.sock_recv(ours, 100) == b"kl"

    run_real(main())


def test_the_end_that_comes_with_the_last_bytes_is_seen(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        for end in (lambda theirs: theirs.shutdown(socket.SHUT_WR), lambda theirs: theirs.close()):
            with tcp_pair() as (ours, theirs):

                def last(theirs=theirs, end=end):
                    theirs.send(b"last")
                    end(theirs)

                assert await waits_for(ours, last) == b"last"
                assert await loop.sock_recv(ours, 100) == b""
        with tcp_pair() as (ours, theirs):
            assert await waits_for(ours, lambda: theirs.send(b"x")) == b"x"
            waiting = asyncio.ensure_future(loop.sock_recv(ours, 100))
            await turns()
            ours.shutdown(socket.SHUT_RD)
            assert await waiting == b""

    run_real(main())


def test_what_cuts_a_read_short_hides_nothing_that_is_there(run_real):
    """Urgent data does it on TCP, descriptors that are sent along on a Unix socket, and each datagram."""

    async def main():
        loop = asyncio.get_running_loop()

        async def all_of(ours, send, size):
            found = await waits_for(ours, send)
            while len(found) < size:
                found += await loop.sock_recv(ours, 100)
            return found

        with tcp_pair() as (ours, theirs):

            def urgently():
                theirs.send(b"ab")
                theirs.send(b"!", socket.MSG_OOB)
                theirs.send(b"cd")

            for _ in range(3):
                assert await all_of(ours, urgently, 4) == b"abcd"
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)

            def with_descriptor():
                theirs.send(b"ab")
                socket.send_fds(theirs, [b"cd"], [theirs.fileno()])
                theirs.send(b"ef")

            for _ in range(3):
                assert await all_of(ours, with_descriptor, 6) == b"abcdef"
        ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
        with ours, theirs:
            ours.setblocking(False)
            for _ in range(3):
                assert await all_of(ours, lambda: [theirs.send(b"ab"), theirs.send(b"cd")], 4) == b"abcd"

    run_real(main())


def test_recv_into_fills_the_programs_memory(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        memory = bytearray(8)
        waiting = asyncio.ensure_future(loop.sock_recv_into(ours, memoryview(memory)[2:6]))
        await turns()
        theirs.send(b"abcdef")
        assert await waiting == 4
        assert await loop.sock_recv_into(ours, memory) == 2
        assert memory == b"efabcd\0\0"

    run_real(main())


def test_datagrams_come_with_their_sender(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
            for sock in (one, other):
                sock.bind(("127.0.0.1", 0))
                sock.setblocking(False)
            waiting = asyncio.ensure_future(loop.sock_recvfrom(one, 100))
            await turns()
            assert await loop.sock_sendto(other, b"datagram", one.getsockname()) == 8
            assert await waiting == (b"datagram", other.getsockname())
            memory = bytearray(10)
            waiting = asyncio.ensure_future(loop.sock_recvfrom_into(one, memory))
            await turns()
            await loop.sock_sendto(other, b"12345", one.getsockname())
            assert await waiting == (5, other.getsockname())
            assert memory == b"12345\0\0\0\0\0"
            await loop.sock_sendto(other, b"abcdef", one.getsockname())
            assert await loop.sock_recvfrom_into(one, memory, 3) == (3, other.getsockname())
            assert memory == b"abc45\0\0\0\0\0"

    run_real(main())


def test_sendall_sends_more_than_the_kernel_takes(run_real, pair):
    data = bytes(range(256)) * 20_000

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        sending = asyncio.ensure_future(loop.sock_sendall(ours, data))
        await turns()
        assert not sending.done()
        found = bytearray()
        while len(found) < len(data):
            found += await loop.sock_recv(theirs, 1 << 16)
        assert await sending is None
        assert found == data
        await loop.sock_sendall(ours, b"")
        await loop.sock_sendall(ours, bytearray(b"bytearray"))
        await loop.sock_sendall(ours, memoryview(b"-memoryview-")[1:-1])
        assert await loop.sock_recv(theirs, 100) == b"bytearraymemoryview"

    run_real(main())


def test_sendall_to_a_peer_that_is_gone(run_real, pair):
    async def main():
        ours, theirs = pair
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(ours, bytes(5_000_000)))
        await turns()
        theirs.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await sending

    run_real(main())


def test_connect_and_accept_meet(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
            listening.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.ensure_future(loop.sock_accept(listening))
            await turns()
            assert not accepting.done()
            assert await loop.sock_connect(client, listening.getsockname()) is None
            connection, address = await accepting
            with connection:
                assert address == client.getsockname()
                assert connection.gettimeout() == 0
                await loop.sock_sendall(client, b"hello")
                assert await loop.sock_recv(connection, 100) == b"hello"

    run_real(main())


def test_connect_to_nobody_is_refused(run_real):
    async def main():
        with socket.socket() as reserved, socket.socket() as client:
            reserved.bind(("127.0.0.1", 0))
            client.setblocking(False)
            address = reserved.getsockname()
            with pytest.raises(ConnectionRefusedError) as raised:
                await asyncio.get_running_loop().sock_connect(client, address)
            assert str(raised.value) == f"[Errno {errno.ECONNREFUSED}] Connect call failed {address}"

    run_real(main())


def test_connect_looks_a_name_up(run_real, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest: real("127.0.0.1" if host == "name.test" else host, *rest)
    )

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("name.test", listening.getsockname()[1]))
            assert client.getpeername() == listening.getsockname()

    run_real(main())


def test_unix_sockets_connect_without_a_look_up(run_real, tmp_path):
    async def main():
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
            listening.bind(path)
            listening.listen()
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, path)
            assert client.getpeername() == path

    run_real(main())


def test_a_cancelled_call_leaves_the_socket_free(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        for call in (
            loop.sock_recv(ours, 10),
            loop.sock_recv_into(ours, bytearray(10)),
            loop.sock_recvfrom(ours, 10),
        ):
            waiting = asyncio.ensure_future(call)
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert loop.remove_reader(ours) is False
        sending = asyncio.ensure_future(loop.sock_sendall(ours, bytes(5_000_000)))
        await turns()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert loop.remove_writer(ours) is False
        theirs.send(b"data")
        assert await loop.sock_recv(ours, 10) == b"data"

    run_real(main())


def test_cancelling_the_one_who_waited_first_does_not_disturb_the_second(run_real, pair):
    """The second took over the socket when it began to wait."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        first = asyncio.ensure_future(loop.sock_recv(ours, 10))
        await turns()
        second = asyncio.ensure_future(loop.sock_recv(ours, 10))
        await turns()
        first.cancel()
        await turns()
        theirs.send(b"data")
        async with asyncio.timeout(5):
            assert await second == b"data"
        assert first.cancelled()

    run_real(main())


def test_one_socket_is_read_and_written_at_once(run_real, pair):
    data = bytes(2_000_000)

    async def both(loop, sock):
        async def receive():
            found = 0
            while found < len(data):
                found += len(await loop.sock_recv(sock, 1 << 16))

        await asyncio.gather(receive(), loop.sock_sendall(sock, data))

    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            await asyncio.gather(both(loop, pair[0]), both(loop, pair[1]))

    run_real(main())


def test_a_blocking_socket_is_refused_in_debug_mode(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            for call in (
                loop.sock_recv(sock, 1),
                loop.sock_recv_into(sock, bytearray(1)),
                loop.sock_recvfrom(sock, 1),
                loop.sock_recvfrom_into(sock, bytearray(1)),
                loop.sock_sendall(sock, b"x"),
                loop.sock_sendto(sock, b"x", ("127.0.0.1", 1)),
                loop.sock_connect(sock, ("127.0.0.1", 1)),
                loop.sock_accept(sock),
            ):
                with pytest.raises(ValueError) as raised:
                    await call
                assert str(raised.value) == "the socket must be non-blocking"

    run_real(main(), debug=True)


def test_a_tls_socket_is_refused(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context()
        with context.wrap_socket(socket.socket(), server_hostname="x", do_handshake_on_connect=False) as sock:
            sock.setblocking(False)
            for call in (
                loop.sock_recv(sock, 1),
                loop.sock_sendall(sock, b"x"),
                loop.sock_connect(sock, ("127.0.0.1", 1)),
                loop.sock_accept(sock),
                loop.create_connection(Recorder, sock=sock),
                loop.create_server(Recorder, sock=sock),
            ):
                with pytest.raises(TypeError) as raised:
                    await call
                assert str(raised.value) == "Socket cannot be of type SSLSocket"

    run_real(main())


def test_the_socket_of_a_transport_is_refused(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, _ = pair
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        with pytest.raises(RuntimeError, match=f"^File descriptor {ours.fileno()} is used by transport <"):
            await loop.sock_recv(ours, 10)
        transport.close()
        await protocol.lost

    run_real(main())


def test_a_thread_on_the_other_side(run_real, pair):
    """Nobody else on the loop: it sleeps until the kernel wakes it."""

    def answer(sock):
        sock.setblocking(True)
        sock.settimeout(5)
        for _ in range(20):
            sock.sendall(sock.recv(100).upper())

    async def main():
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=answer, args=(pair[1],))
        thread.start()
        for number in range(20):
            await loop.sock_sendall(pair[0], b"ping %d" % number)
            assert await loop.sock_recv(pair[0], 100) == b"PING %d" % number
        thread.join()

    run_real(main())


def test_connect_to_ipv6_keeps_flow_and_scope(run_real):
    async def main():
        with socket.socket(socket.AF_INET6) as client:
            client.setblocking(False)
            try:
                client.bind(("::1", 0))
            except OSError:
                pytest.skip("this machine has no IPv6")
            with pytest.raises(ConnectionRefusedError) as raised:
                await asyncio.get_running_loop().sock_connect(client, ("::1", 1, 0, 1))
            assert "('::1', 1, 0, 1)" in str(raised.value)

    run_real(main())


@pytest.mark.parametrize("address", ["127.0.0.1", ("127.0.0.1",), 5, None])
def test_connect_to_what_is_no_address(run_real, address):
    async def main():
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises((TypeError, ValueError)):
                await asyncio.get_running_loop().sock_connect(client, address)

    run_real(main())


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_a_port_that_cannot_be(run_real, port):
    """The C library's resolver takes 70000 for 4464."""

    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(OverflowError, match="port must be 0-65535"):
                await loop.sock_connect(client, ("127.0.0.1", port))
        with pytest.raises(OverflowError, match="port must be 0-65535"):
            await loop.create_connection(Recorder, "127.0.0.1", port)
        with pytest.raises(OverflowError, match="port must be 0-65535"):
            await loop.create_server(Recorder, "127.0.0.1", port)

    run_real(main())


def test_a_host_with_a_null_character(run_real):
    """The C library would connect to what comes before it."""

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=r"^embedded null character$"):
            await loop.create_connection(Recorder, "127.0.0.1\0.evil", 80)
        with pytest.raises(ValueError, match=r"^embedded null character$"):
            await loop.create_server(Recorder, "127.0.0.1\0.evil", 0)

    run_real(main())


class Number:
    """An integer of another library."""

    def __index__(self):
        return 1

    __int__ = __index__


def test_a_port_of_another_library(run_real):
    async def main():
        with pytest.raises(ConnectionRefusedError, match=r"\('127.0.0.1', 1\)"):
            await asyncio.get_running_loop().create_connection(Recorder, "127.0.0.1", Number())

    run_real(main())


def test_another_socket_with_the_same_number_is_waited_for(run_real):
    """What the kernel was asked for the first one went with it."""

    async def main():
        loop = asyncio.get_running_loop()
        number = None
        for turn in range(3):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.setblocking(False)
                assert number in (None, ours.fileno())
                number = ours.fileno()
                waiting = asyncio.ensure_future(loop.sock_recv(ours, 100))
                await turns()
                theirs.send(b"%d" % turn)
                async with asyncio.timeout(5):
                    assert await waiting == b"%d" % turn

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_nobody_reads_does_not_wake_the_loop_again_and_again(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 1))
        await turns()
        pair[1].send(b"12")
        assert await waiting == b"1"
        before = loop._polls
        await asyncio.sleep(0.05)
        assert loop._polls - before < 10
        assert await loop.sock_recv(pair[0], 10) == b"2"

    run_real(main())


@pytest.mark.parametrize("size", [1, 100, 300_000, 1_000_000])
def test_recv_takes_at_most_what_it_is_asked_for(run_real, pair, size):
    data = bytes(range(256)) * 2_000

    async def main():
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(loop.sock_sendall(pair[1], data))
        found = b""
        while len(found) < (len(data) if size > 1 else 100):
            part = await loop.sock_recv(pair[0], size)
            assert 1 <= len(part) <= size
            found += part
        assert data.startswith(found)
        sending.cancel()
        with pytest.raises(ValueError, match="negative buffersize"):
            await loop.sock_recv(pair[0], -1)

    run_real(main())


def test_to_ask_for_nothing_is_answered_at_once_and_takes_nothing(run_real, pair):
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(pair[0], 0) == b""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.setblocking(False)
            ours.bind(("127.0.0.1", 0))
            ours.sendto(b"datagram", ours.getsockname())
            assert await loop.sock_recv(ours, 0) == b""
            assert await loop.sock_recv(ours, 100) == b"datagram"
        with tcp_pair() as (ours, theirs):
            assert await waits_for(ours, lambda: theirs.send(b"x")) == b"x"
            assert await loop.sock_recv(ours, 0) == b""
            waiting = asyncio.ensure_future(loop.sock_recv(ours, 100))
            await turns()
            behind = asyncio.ensure_future(loop.sock_recv(ours, 0))
            await turns()
            theirs.send(b"y")
            assert await asyncio.gather(waiting, behind) == [b"y", b""]

    run_real(main())


def test_bytes_of_which_the_kernel_does_not_tell_are_read(run_real):
    """Fewer than a program wants to be told of, or those of another connection that was put in the place of ours."""

    async def main():
        loop = asyncio.get_running_loop()
        with tcp_pair() as (ours, theirs):
            assert await waits_for(ours, lambda: theirs.send(b"ab")) == b"ab"
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
            theirs.send(b"few")
            await turns()
            async with asyncio.timeout(5):
                assert await loop.sock_recv(ours, 100) == b"few"
        with tcp_pair() as (ours, theirs), tcp_pair() as (other, others):
            assert await waits_for(ours, lambda: theirs.send(b"ab")) == b"ab"
            os.dup2(other.fileno(), ours.fileno())
            others.send(b"other")
            await turns()
            async with asyncio.timeout(5):
                assert await loop.sock_recv(ours, 100) == b"other"

    run_real(main())
