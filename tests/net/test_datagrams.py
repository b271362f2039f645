"""UDP endpoints."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import itertools
import socket
import sys
import warnings

import pytest

from .conftest import ROTA
from .recorder import troubles, turns, until

SENDS_EMPTY = sys.version_info >= (3, 13)


class Datagrams(asyncio.DatagramProtocol):
    """Writes down what it is told; ``lost`` is done when the endpoint is closed."""

    def __init__(self):
        self.events = []
        self.received = []
        self.errors = []
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")

    def datagram_received(self, data, addr):
        self.received.append((data, addr))

    def error_received(self, error):
        self.errors.append(error)

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, error):
        self.events.append("lost")
        self.lost.set_result(error)


class Answering(Datagrams):
    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.transport.sendto(data.upper(), addr)


async def endpoint(factory=Datagrams, **options):
    return await asyncio.get_running_loop().create_datagram_endpoint(factory, **options)


async def closed(*transports):
    for transport in transports:
        transport.close()
    await turns(3)


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request):
    if ":" in request.param:
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind((request.param, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    return request.param


def test_a_server_and_a_client(run_real, host):
    async def main():
        server, answering = await endpoint(Answering, local_addr=(host, 0))
        assert answering.events == ["made"]
        address = server.get_extra_info("sockname")
        client, hearing = await endpoint(remote_addr=address[:2])
        client.sendto(b"one")
        client.sendto(b"two", address)
        await until(lambda: len(hearing.received) == 2)
        assert hearing.received == [(b"ONE", address), (b"TWO", address)]
        sender = client.get_extra_info("sockname")
        assert answering.received == [(b"one", sender), (b"two", sender)]
        client.close()
        server.close()
        assert await hearing.lost is None
        assert await answering.lost is None

    run_real(main())


def test_the_transport_is_a_datagram_transport_and_says_who_it_is(run_real, kind):
    async def main():
        server, _ = await endpoint(local_addr=("127.0.0.1", 0))
        address = server.get_extra_info("sockname")
        client, protocol = await endpoint(remote_addr=address)
        if kind != "asyncio" or sys.version_info >= (3, 12):
            assert isinstance(client, asyncio.DatagramTransport)  # asyncio's own is none on Python 3.11
        assert isinstance(client, asyncio.Transport)  # as asyncio's own is
        assert client.get_extra_info("peername") == address
        assert server.get_extra_info("peername") is None
        sock = client.get_extra_info("socket")
        assert sock.type == socket.SOCK_DGRAM
        assert sock.getsockname() == client.get_extra_info("sockname")
        assert client.get_extra_info("nothing", "default") == "default"
        assert client.get_protocol() is protocol
        assert not client.is_closing()
        assert "Datagram" in repr(client)
        await closed(client, server)
        assert client.is_closing()

    run_real(main())


def test_every_address_of_ipv4_is_told_as_it_is(run_real):
    """The sender's address is written by rota itself."""

    async def main():
        server, protocol = await endpoint(local_addr=("0.0.0.0", 0))
        port = server.get_extra_info("sockname")[1]
        hosts = ["127.0.0.1", "127.9.10.99", "127.100.101.255", "127.200.0.7"]
        socks = []
        try:
            for host in hosts:
                sock = socket.socket(type=socket.SOCK_DGRAM)
                socks.append(sock)
                sock.bind((host, 0))
                sock.sendto(host.encode(), ("127.0.0.1", port))
            await until(lambda: len(protocol.received) == len(hosts))
            assert protocol.received == [(sock.getsockname()[0].encode(), sock.getsockname()) for sock in socks]
        finally:
            for sock in socks:
                sock.close()
        await closed(server)

    run_real(main())


def test_a_burst_arrives_whole_and_in_order(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        for number in range(100):
            client.sendto(b"%d" % number)
        await until(lambda: len(protocol.received) == 100)
        assert [data for data, _ in protocol.received] == [b"%d" % number for number in range(100)]
        await closed(client, server)

    run_real(main())


def test_a_busy_socket_leaves_the_others_their_turn(run_real):
    """However much waits in one socket, the next turn comes after a few of its datagrams."""

    async def main():
        loop = asyncio.get_running_loop()
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(100):
                sock.sendto(b"x", server.get_extra_info("sockname"))
        seen = []

        def look():
            seen.append(len(protocol.received))
            if len(protocol.received) < 100:
                loop.call_soon(look)

        loop.call_soon(look)
        await until(lambda: len(protocol.received) == 100)
        steps = [after - before for before, after in itertools.pairwise(seen)]
        assert max(steps) <= 16
        await closed(server)

    run_real(main())


def test_the_largest_datagram_arrives_whole(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        client, sending = await endpoint(remote_addr=server.get_extra_info("sockname"))
        data = bytes(range(256)) * 255 + bytes(227)
        assert len(data) == 65507
        client.sendto(data)
        await until(lambda: protocol.received)
        assert protocol.received[0][0] == data
        client.sendto(data + b"x")
        assert [error.errno for error in sending.errors] == [errno.EMSGSIZE]
        client.sendto(b"goes on")
        await until(lambda: len(protocol.received) == 2)
        await closed(client, server)

    run_real(main())


def test_an_empty_datagram(run_real):
    """Since Python 3.13 it is sent; before, it is dropped. One that arrives is always told."""

    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        client.sendto(b"")
        client.sendto(b"x")
        await until(lambda: any(data for data, _ in protocol.received))
        assert [data for data, _ in protocol.received] == ([b"", b"x"] if SENDS_EMPTY else [b"x"])
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", server.get_extra_info("sockname"))
            await until(lambda: protocol.received[-1][0] == b"")
        await closed(client, server)

    run_real(main())


def test_what_can_be_sent(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        client.sendto(bytearray(b"bytearray"))
        client.sendto(memoryview(b"-memoryview-")[1:-1])
        await until(lambda: len(protocol.received) == 2)
        assert [data for data, _ in protocol.received] == [b"bytearray", b"memoryview"]
        for wrong in ("text", 5, None, [b"x"]):
            with pytest.raises(TypeError) as raised:
                client.sendto(wrong)
            assert str(raised.value) == (f"data argument must be a bytes-like object, not {type(wrong).__name__!r}")
        await closed(client, server)

    run_real(main())


def test_a_connected_endpoint_sends_to_its_own_address_only(run_real):
    async def main():
        server, _ = await endpoint(local_addr=("127.0.0.1", 0))
        address = server.get_extra_info("sockname")
        client, _ = await endpoint(remote_addr=address)
        with pytest.raises(ValueError) as raised:
            client.sendto(b"x", ("127.0.0.1", 1))
        assert str(raised.value) == f"Invalid address: must be None or {address}"
        assert not client.is_closing()
        await closed(client, server)

    run_real(main())


def test_a_connected_endpoint_hears_from_its_own_address_only(run_real):
    async def main():
        server, _ = await endpoint(local_addr=("127.0.0.1", 0))
        client, hearing = await endpoint(remote_addr=server.get_extra_info("sockname"))
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"stranger", client.get_extra_info("sockname"))
        server.sendto(b"server", client.get_extra_info("sockname"))
        await until(lambda: hearing.received)
        await turns()
        assert [data for data, _ in hearing.received] == [b"server"]
        await closed(client, server)

    run_real(main())


def test_both_addresses(run_real):
    async def main():
        server, answering = await endpoint(Answering, local_addr=("127.0.0.1", 0))
        client, hearing = await endpoint(local_addr=("127.0.0.1", 0), remote_addr=server.get_extra_info("sockname"))
        client.sendto(b"x")
        await until(lambda: hearing.received)
        assert answering.received == [(b"x", client.get_extra_info("sockname"))]
        await closed(client, server)

    run_real(main())


def test_a_name_is_looked_up(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("localhost", 0), family=socket.AF_INET)
        assert server.get_extra_info("sockname")[0] == "127.0.0.1"
        port = server.get_extra_info("sockname")[1]
        client, _ = await endpoint(remote_addr=("localhost", port), family=socket.AF_INET)
        client.sendto(b"x")
        await until(lambda: protocol.received)
        await closed(client, server)

    run_real(main())


def test_no_address_at_all(run_real):
    """With a family, an endpoint that sends, bound when it first does."""

    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        client, _ = await endpoint(family=socket.AF_INET)
        client.sendto(b"x", server.get_extra_info("sockname"))
        await until(lambda: protocol.received)
        await closed(client, server)
        with pytest.raises(ValueError) as raised:
            await endpoint()
        assert str(raised.value) == "unexpected address family"

    run_real(main())


def test_addresses_of_different_families_do_not_meet(run_real):
    async def main():
        with pytest.raises(ValueError) as raised:
            await endpoint(local_addr=("127.0.0.1", 0), remote_addr=("::1", 1))
        assert str(raised.value) == "can not get address information"

    run_real(main())


@pytest.mark.parametrize("wrong", ["localhost", ("localhost",), ("localhost", 1, 2, 3), ["localhost", 1]])
def test_what_is_no_address(run_real, wrong):
    async def main():
        for side in ("local_addr", "remote_addr"):
            with pytest.raises(TypeError) as raised:
                await endpoint(**{side: wrong})
            assert str(raised.value) == "2-tuple is expected"

    run_real(main())


def test_reuse_address_is_refused(run_real):
    """It let somebody else take a port's datagrams, and is gone since Python 3.11."""

    async def main():
        with pytest.raises(TypeError, match="unexpected keyword argument 'reuse_address'"):
            await endpoint(local_addr=("127.0.0.1", 0), reuse_address=True)

    run_real(main())


def test_a_port_is_shared_when_both_agree(run_real):
    async def main():
        first, _ = await endpoint(local_addr=("127.0.0.1", 0), reuse_port=True)
        address = first.get_extra_info("sockname")
        assert first.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        second, _ = await endpoint(local_addr=address, reuse_port=True)
        with pytest.raises(OSError) as raised:
            await endpoint(local_addr=address)
        assert raised.value.errno == errno.EADDRINUSE
        await closed(first, second)

    run_real(main())


def test_broadcast(run_real):
    """The socket may broadcast and is not connected: anybody may answer."""

    async def main():
        server, answering = await endpoint(Answering, local_addr=("127.0.0.1", 0))
        address = server.get_extra_info("sockname")
        client, hearing = await endpoint(local_addr=("127.0.0.1", 0), remote_addr=address, allow_broadcast=True)
        assert client.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        assert client.get_extra_info("peername") is None
        client.sendto(b"x")
        await until(lambda: hearing.received)
        with pytest.raises(ValueError, match="Invalid address: must be None or"):
            client.sendto(b"x", ("127.0.0.1", 1))
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"stranger", ("127.0.0.1", client.get_extra_info("sockname")[1]))
            await until(lambda: len(hearing.received) == 2)
        assert answering.received[0][0] == b"x"
        await closed(client, server)

    run_real(main())


def test_to_the_broadcast_address(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("0.0.0.0", 0), allow_broadcast=True)
        port = server.get_extra_info("sockname")[1]
        client, sending = await endpoint(local_addr=("0.0.0.0", 0), allow_broadcast=True)
        client.sendto(b"everybody", ("127.255.255.255", port))
        await until(lambda: protocol.received or sending.errors)
        assert [data for data, _ in protocol.received] == [b"everybody"]
        refused, protocol = await endpoint(local_addr=("0.0.0.0", 0))
        refused.sendto(b"x", ("127.255.255.255", port))
        assert [error.errno for error in protocol.errors] == [errno.EACCES]
        await closed(client, server, refused)

    run_real(main())


def test_a_socket_of_the_programs_own(run_real):
    async def main():
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        server, answering = await endpoint(Answering, sock=sock)
        assert sock.gettimeout() == 0
        other = socket.socket(type=socket.SOCK_DGRAM)
        other.connect(sock.getsockname())
        client, hearing = await endpoint(sock=other)
        assert client.get_extra_info("peername") == sock.getsockname()
        client.sendto(b"x")
        await until(lambda: hearing.received)
        assert answering.received[0][0] == b"x"
        await closed(client, server)
        assert sock.fileno() == other.fileno() == -1

    run_real(main())


def test_a_socket_allows_no_modifiers(run_real):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for name, value in {
                "local_addr": ("127.0.0.1", 0),
                "remote_addr": ("127.0.0.1", 1),
                "family": 1,
                "proto": 1,
                "flags": 1,
                "reuse_port": True,
                "allow_broadcast": True,
            }.items():
                with pytest.raises(ValueError) as raised:
                    await endpoint(sock=sock, **{name: value})
                assert str(raised.value) == (
                    f"socket modifier keyword arguments can not be used when sock is specified. ({name}={value})"
                )
        with (
            socket.socket() as stream,
            pytest.raises(ValueError, match=r"^A (UDP Socket|datagram socket) was expected, got <socket"),
        ):
            await endpoint(sock=stream)

    run_real(main())


def test_a_closed_port_is_told_and_the_endpoint_goes_on(run_real):
    """The kernel hears that nobody is there, and tells at the next call, whatever that is."""

    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as reserved:
            reserved.bind(("127.0.0.1", 0))
            address = reserved.getsockname()
        client, protocol = await endpoint(remote_addr=address)
        client.sendto(b"nobody")
        await until(lambda: protocol.errors)
        assert isinstance(protocol.errors[0], ConnectionRefusedError)
        assert not client.is_closing()
        server, answering = await endpoint(Answering, local_addr=address)
        await turns()
        client.sendto(b"somebody")
        await until(lambda: protocol.received)
        assert answering.received[0][0] == b"somebody"
        await closed(client, server)

    run_real(main())


def test_an_unreachable_network_costs_the_datagram_only(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        # A socket bound to the loopback can't reach any other network.
        server.sendto(b"x", ("192.0.2.1", 9))
        await until(lambda: protocol.errors)
        assert protocol.errors[0].errno in (errno.EINVAL, errno.ENETUNREACH, errno.EPERM, errno.EACCES)
        assert not server.is_closing()
        server.sendto(b"to myself", server.get_extra_info("sockname"))
        await until(lambda: protocol.received)
        await closed(server)

    run_real(main())


def test_an_address_that_is_none_ends_the_endpoint(run_real):
    """As on asyncio; the exception handler is told."""

    async def main():
        for wrong in (("127.0.0.1",), 5, ("127.0.0.1\0.org", 9), ("127.0.0.1", 65536), ("127.0.0.1", "x"), None):
            told = troubles()
            server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
            server.sendto(b"x", wrong)
            assert isinstance(told[0]["exception"], (TypeError, OverflowError))
            assert told[0]["message"] == "Fatal write error on datagram transport"
            assert told[0]["transport"] is server
            assert isinstance(await protocol.lost, (TypeError, OverflowError))

    run_real(main())


def test_a_name_in_sendto_is_looked_up(run_real):
    """By the system call's own wrapper, which may block: a program should not, and some do."""

    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        server.sendto(b"x", ("localhost", server.get_extra_info("sockname")[1]))
        await until(lambda: protocol.received)
        await closed(server)

    run_real(main())


def test_close(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        sock = server.get_extra_info("socket")
        server.close()
        assert server.is_closing()
        assert protocol.events == ["made"]
        server.close()
        server.abort()
        assert await protocol.lost is None
        await turns()
        assert protocol.events == ["made", "lost"]
        assert sock.fileno() == -1

    run_real(main())


def test_abort(run_real):
    async def main():
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        server.abort()
        assert server.is_closing()
        assert protocol.events == ["made"]
        assert await protocol.lost is None

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_sending_after_close_is_dropped(run_real, caplog):
    """asyncio's transport calls a method of None then, once its socket is gone, and reports that."""

    async def main():
        told = troubles()
        server, protocol = await endpoint(local_addr=("127.0.0.1", 0))
        hearing, heard = await endpoint(local_addr=("127.0.0.1", 0))
        address = hearing.get_extra_info("sockname")
        server.close()
        server.sendto(b"x", address)
        await protocol.lost
        for _ in range(10):
            server.sendto(b"x", address)
        await turns()
        assert not told
        assert not heard.received
        assert [record.message for record in caplog.records] == ["socket.send() raised exception."]
        await closed(hearing)

    run_real(main())


def test_a_callback_that_closes_hears_no_more(run_real):
    async def main():
        class Once(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                self.transport.close()

        server, protocol = await endpoint(Once, local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(3):
                sock.sendto(b"x", server.get_extra_info("sockname"))
        await protocol.lost
        assert len(protocol.received) == 1

    run_real(main())


def test_another_protocol_gets_what_comes_from_then_on(run_real):
    async def main():
        server, first = await endpoint(local_addr=("127.0.0.1", 0))
        second = Datagrams()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"1", server.get_extra_info("sockname"))
            await until(lambda: first.received)
            server.set_protocol(second)
            assert server.get_protocol() is second
            sock.sendto(b"2", server.get_extra_info("sockname"))
            await until(lambda: second.received)
        assert len(first.received) == 1
        server.close()
        await second.lost
        assert first.events == ["made"]

    run_real(main())


def test_what_a_callback_raises_is_reported_and_the_endpoint_goes_on(run_real):
    async def main():
        told = troubles()

        class Failing(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                raise ZeroDivisionError

        server, protocol = await endpoint(Failing, local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(3):
                sock.sendto(b"x", server.get_extra_info("sockname"))
        await until(lambda: len(protocol.received) == 3)
        await turns(3)
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError] * 3
        assert not server.is_closing()
        await closed(server)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_protocol_that_is_not_made_leaves_no_socket(run_real):
    """asyncio leaves the socket to the collector, with a ResourceWarning."""

    async def main():
        with pytest.raises(ZeroDivisionError):
            await endpoint(lambda: 1 / 0, local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ZeroDivisionError):
                await endpoint(lambda: 1 / 0, sock=sock)
            assert sock.fileno() != -1

    run_real(main())


def test_cancelled_while_it_opens(run_real):
    async def main():
        opening = asyncio.ensure_future(endpoint(local_addr=("127.0.0.1", 0)))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await turns()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_callbacks_run_in_the_context_of_the_endpoint(run_real):
    """asyncio calls connection_lost in the context of whoever closes."""
    where = contextvars.ContextVar("where", default="nowhere")

    async def main():
        seen = []

        class Seeing(Datagrams):
            def connection_made(self, transport):
                super().connection_made(transport)
                seen.append(("made", where.get()))

            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                seen.append(("received", where.get()))

            def error_received(self, error):
                super().error_received(error)
                seen.append(("error", where.get()))

            def connection_lost(self, error):
                super().connection_lost(error)
                seen.append(("lost", where.get()))

        where.set("endpoint")
        server, protocol = await endpoint(Seeing, local_addr=("127.0.0.1", 0))
        where.set("elsewhere")
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", server.get_extra_info("sockname"))
            await until(lambda: protocol.received)
        server.close()
        await protocol.lost
        assert seen == [("made", "endpoint"), ("received", "endpoint"), ("lost", "endpoint")]

    run_real(main())


def test_an_endpoint_that_nobody_closed_is_warned_about_and_closed(new_loop):
    loop = new_loop()
    opening = loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    transport, _ = loop.run_until_complete(opening)
    loop.close()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    assert [str(warning.message).startswith("unclosed transport <") for warning in warned] == [True]


def test_the_socket_of_an_endpoint_is_refused(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        server, _ = await endpoint(local_addr=("127.0.0.1", 0))
        fd = server.get_extra_info("socket").fileno()
        for call in (
            lambda: loop.add_reader(fd, print),
            lambda: loop.add_writer(fd, print),
            lambda: loop.remove_reader(fd),
            lambda: loop.remove_writer(fd),
        ):
            with pytest.raises(RuntimeError, match=f"^File descriptor {fd} is used by transport <"):
                call()
        await closed(server)

    run_real(main())


def test_libraries_may_put_a_sendto_of_their_own_on_an_endpoint(run_real):
    async def main():
        server, _ = await endpoint(local_addr=("127.0.0.1", 0))
        calls = []
        server.sendto = lambda *args: calls.append(args)
        server.sendto(b"x", None)
        assert calls == [(b"x", None)]
        await closed(server)

    run_real(main())


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_each_sender_has_its_own_address_and_answer(run_real, family, host):
    """Addresses are kept by their ports, of which several share a place."""

    class Answering(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.sendto(data.upper(), addr)

    def clients():
        made = []
        for port in range(20_000, 60_000, 256):
            client = socket.socket(family, socket.SOCK_DGRAM)
            try:
                client.bind((host, port))
            except OSError:
                client.close()
                continue
            made.append(client)
            if len(made) == 3:
                return made
        raise AssertionError("no ports free")

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(Answering, local_addr=(host, 0), family=family)
        address = transport.get_extra_info("sockname")
        senders = clients()
        for letter in (b"a", b"b"):
            for number, client in enumerate(senders):
                client.sendto(letter * (number + 1), address)
        await until(lambda: len(protocol.received) == 6)
        names = [client.getsockname() for client in senders]
        assert sorted(protocol.received) == sorted(
            (letter * (number + 1), name) for letter in (b"a", b"b") for number, name in enumerate(names)
        )
        for number, client in enumerate(senders):
            client.settimeout(5)
            assert sorted(client.recv(100) for _ in range(2)) == [b"A" * (number + 1), b"B" * (number + 1)]
            client.close()
        transport.close()
        await protocol.lost

    run_real(main())
