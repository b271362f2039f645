"""Unix datagrams: reliable and in order, so that a receiver that does not read is felt."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys

import pytest

import rota
from rota.net.poller.selector import Selector

from .conftest import ROTA
from .recorder import turns, until
from .test_datagrams import Answering, Datagrams, closed, endpoint

HEADER = 8 if sys.version_info >= (3, 13) else 0


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "socket")


@pytest.fixture
def unix_pair():
    """Two connected datagram sockets without names."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


async def unix(factory=Datagrams, **options):
    return await endpoint(factory, family=socket.AF_UNIX, **options)


def receiver_at(path):
    """A socket that reads when the test does."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    receiver.bind(path)
    return receiver


@pytest.fixture
def receiver(path):
    with receiver_at(path) as receiver:
        yield receiver


def fill(transport, data=b"%d", addr=None):
    """Send ``data``, with its number in it, until the kernel has no room for one; how many were sent, with that one."""
    sent = 0
    while not transport.get_write_buffer_size():
        transport.sendto(data % sent if b"%" in data else data, addr)
        sent += 1
    return sent


def read(sock):
    found = []
    while True:
        try:
            found.append(sock.recv(1 << 20))
        except BlockingIOError:
            return found


def test_a_server_and_a_client_at_paths(run_real, path):
    async def main():
        server, answering = await unix(Answering, local_addr=path)
        assert server.get_extra_info("sockname") == path
        client, hearing = await unix(local_addr=path + "2", remote_addr=path)
        assert client.get_extra_info("peername") == path
        client.sendto(b"one")
        client.sendto(b"two", path)
        await until(lambda: len(hearing.received) == 2)
        assert hearing.received == [(b"ONE", path), (b"TWO", path)]
        assert answering.received == [(b"one", path + "2"), (b"two", path + "2")]
        await closed(client, server)
        assert os.path.exists(path)

    run_real(main())


def test_a_sender_without_a_name(run_real, path):
    async def main():
        server, protocol = await unix(local_addr=path)
        client, _ = await unix()
        client.sendto(b"x", path)
        await until(lambda: protocol.received)
        assert protocol.received == [(b"x", None)]
        await closed(client, server)

    run_real(main())


def test_an_abstract_name(run_real):
    name = f"\0rota-{os.getpid()}"

    async def main():
        server, answering = await unix(Answering, local_addr=name)
        assert server.get_extra_info("sockname") == name.encode()
        client, hearing = await unix(local_addr=name + "2")
        client.sendto(b"x", name)
        client.sendto(b"y", name.encode())
        await until(lambda: len(hearing.received) == 2)
        assert hearing.received == [(b"X", name.encode()), (b"Y", name.encode())]
        assert answering.received[0] == (b"x", name.encode() + b"2")
        await closed(client, server)

    run_real(main())


def test_a_socket_that_was_left_is_replaced_and_a_file_is_not(run_real, path):
    async def main():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
            left.bind(path)
        server, _ = await unix(local_addr=path)
        await closed(server)
        os.unlink(path)
        with open(path, "w"):
            pass
        with pytest.raises(OSError):
            await unix(local_addr=path)
        assert os.path.isfile(path)

    run_real(main())


def test_what_is_no_path(run_real):
    async def main():
        for side in ("local_addr", "remote_addr"):
            with pytest.raises(TypeError) as raised:
                await unix(**{side: ("127.0.0.1", 1)})
            assert str(raised.value) == "string is expected"

    run_real(main())


def test_nobody_at_a_path(run_real, path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await unix(remote_addr=path)
        client, protocol = await unix()
        client.sendto(b"x", path)
        assert [type(error) for error in protocol.errors] == [FileNotFoundError]
        assert not client.is_closing()
        await closed(client)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_pair_of_sockets_without_names(run_real, unix_pair):
    """asyncio takes the empty name of the peer for no peer, and can't send."""

    async def main():
        transport, protocol = await endpoint(sock=unix_pair[0])
        transport.sendto(b"there")
        assert unix_pair[1].recv(100) == b"there"
        unix_pair[1].send(b"back")
        await until(lambda: protocol.received)
        assert protocol.received[0][0] == b"back"
        await closed(transport)

    run_real(main())


def test_what_the_kernel_has_no_room_for_waits_in_order(run_real, path, receiver):
    async def main():
        transport, protocol = await unix(remote_addr=path)
        sent = fill(transport, b"%06d")
        assert transport.get_write_buffer_size() == 6 + HEADER
        changing = bytearray(b"%06d" % sent)
        transport.sendto(changing)
        changing[:] = b"xxxxxx"
        sent += 1
        assert transport.get_write_buffer_size() == 2 * (6 + HEADER)
        found = []
        while len(found) < sent:
            found += read(receiver)
            await asyncio.sleep(0)
        assert found == [b"%06d" % number for number in range(sent)]
        await turns()
        assert protocol.events == ["made"]
        await closed(transport)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_buffer_is_empty_when_all_has_left(run_real, path, receiver):
    """asyncio of Python 3.13 counts the headers in and not out."""

    async def main():
        transport, _ = await unix(remote_addr=path)
        fill(transport, b"x")
        read(receiver)
        await until(lambda: transport.get_write_buffer_size() == 0)
        await closed(transport)

    run_real(main())


def test_the_protocol_is_paused_above_the_mark_and_resumed_below(run_real, path, kind, receiver):
    async def main():
        transport, protocol = await unix(remote_addr=path)
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=5000, low=1000)
        assert transport.get_write_buffer_limits() == (1000, 5000)
        fill(transport, bytes(1000))
        while transport.get_write_buffer_size() <= 5000:
            assert protocol.events == ["made"]
            transport.sendto(bytes(1000))
        assert protocol.events == ["made", "pause"]
        while "resume" not in protocol.events:
            read(receiver)
            await asyncio.sleep(0)
        assert protocol.events == ["made", "pause", "resume"]
        await closed(transport)

    run_real(main())


def test_close_sends_what_waits(run_real, path, receiver):
    async def main():
        transport, protocol = await unix(remote_addr=path)
        sent = fill(transport)
        transport.close()
        await turns()
        assert transport.is_closing()
        assert not protocol.lost.done()
        found = []
        while not protocol.lost.done():
            found += read(receiver)
            await asyncio.sleep(0)
        found += read(receiver)
        assert found == [b"%d" % number for number in range(sent)]

    run_real(main())


def test_abort_drops_what_waits(run_real, path, receiver):
    async def main():
        transport, protocol = await unix(remote_addr=path)
        sent = fill(transport, b"x")
        transport.abort()
        assert await protocol.lost is None
        assert len(read(receiver)) == sent - 1

    run_real(main())


def test_a_receiver_that_is_gone_costs_what_waits_for_it_only(run_real, path):
    """The error is told once for each datagram, and the others go."""

    async def main():
        with receiver_at(path) as first, receiver_at(path + "2") as second:
            transport, protocol = await unix()
            fill(transport, b"x", path)
            transport.sendto(b"second", path + "2")
            first.close()
            found = []
            while not found:
                await asyncio.sleep(0)
                found = read(second)
            assert found == [b"second"]
            assert [type(error) for error in protocol.errors] == [ConnectionRefusedError]
            assert not transport.is_closing()
            await closed(transport)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_full_receiver_does_not_keep_the_loop_awake(run_real, path, receiver):
    """The kernel tells a socket that is not connected of its own room, not of the receiver's: asyncio goes round and
    round until the receiver reads.
    """

    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await unix()
        sent = fill(transport, addr=path)
        before = loop._polls
        await asyncio.sleep(0.2)
        # Once a millisecond; a loop that is told of the socket all the time polls thousands of times.
        assert loop._polls - before < 500
        found = []
        while len(found) < sent:
            found += read(receiver)
            await asyncio.sleep(0.001)
        assert found == [b"%d" % number for number in range(sent)]
        transport.close()
        await turns()

    run_real(main())


def test_a_large_datagram(run_real, unix_pair, path):
    """Larger than any of UDP."""

    async def main():
        server, protocol = await unix(local_addr=path)
        data = os.urandom(200_000)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(data, path)
            await until(lambda: protocol.received)
        assert protocol.received[0][0] == data
        await closed(server)

    run_real(main())


class Raising(Datagrams):
    def error_received(self, error):
        super().error_received(error)
        raise ZeroDivisionError


def test_what_error_received_raises_while_the_loop_sends(run_real, path, receiver):
    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        transport, protocol = await unix(Raising)
        fill(transport, b"x", path)
        receiver.close()
        await until(lambda: told)
        assert isinstance(told[0]["exception"], ZeroDivisionError)
        assert len(protocol.errors) == 1
        await closed(transport)

    run_real(main())


def test_an_endpoint_is_lost_when_nobody_can_tell_it_of_room(unix_pair):
    """The kernel has no room for one more to watch; what waits would wait for ever."""

    class Full(Selector):
        def add_writer(self, fd, runnable):
            raise OSError(errno.ENOSPC, "no room")

    async def main():
        transport, protocol = await endpoint(sock=unix_pair[0])
        while not transport.is_closing():
            transport.sendto(bytes(1000))
        assert transport.get_write_buffer_size() == 0
        assert (await protocol.lost).errno == errno.ENOSPC
        assert protocol.events == ["made", "lost"]

    with asyncio.Runner(loop_factory=lambda: rota.Loop(poller=Full())) as runner:
        runner.run(main())
