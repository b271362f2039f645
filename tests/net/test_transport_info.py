"""What a transport says about itself."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from .conftest import ROTA
from .recorder import Recorder


async def accepted(loop):
    """A client's transport and a server's, and what to close."""
    protocols = []

    def factory():
        protocols.append(Recorder())
        return protocols[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0)
    transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    transport.write(b"hello")
    async with asyncio.timeout(5):
        while not (protocols and protocols[0].data):
            await asyncio.sleep(0)
    return server, protocol, protocols[0]


async def done(server, *protocols):
    for protocol in protocols:
        protocol.transport.close()
    for protocol in protocols:
        await protocol.lost
    server.close()
    await server.wait_closed()


def test_both_ends_know_their_addresses(run_real):
    async def main():
        server, ours, theirs = await accepted(asyncio.get_running_loop())
        client, served = ours.transport, theirs.transport
        assert client.get_extra_info("peername") == server.sockets[0].getsockname()
        assert client.get_extra_info("sockname") == served.get_extra_info("peername")
        assert served.get_extra_info("sockname") == client.get_extra_info("peername")
        assert client.get_extra_info("nothing") is None
        assert client.get_extra_info("nothing", 7) == 7
        assert client.get_extra_info("sslcontext") is None
        name = client.get_extra_info("sockname")
        await done(server, ours, theirs)
        assert client.get_extra_info("sockname") == name

    run_real(main())


def test_the_sockets_of_both_ends_do_not_block(run_real):
    """The files themselves, and not only what Python knows of them: the kernel would wait in a write."""

    async def main():
        server, client, peer = await accepted(asyncio.get_running_loop())
        for protocol in (client, peer):
            sock = protocol.transport.get_extra_info("socket")
            assert os.get_blocking(sock.fileno()) is False
            assert sock.gettimeout() == 0
        await done(server, client, peer)

    run_real(main())


def test_the_socket_can_be_asked_and_set_but_not_read(run_real):
    async def main():
        server, ours, theirs = await accepted(asyncio.get_running_loop())
        sock = ours.transport.get_extra_info("socket")
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock.fileno() > 0
        assert sock.gettimeout() == 0
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        for protocol in (ours, theirs):
            option = protocol.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert option == 1
        assert not hasattr(sock, "recv")
        assert not hasattr(sock, "close")
        await done(server, ours, theirs)
        assert sock.fileno() == -1

    run_real(main())


def test_a_transport_is_what_libraries_ask_for(run_real, pair):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        for kind in (asyncio.Transport, asyncio.ReadTransport, asyncio.WriteTransport, asyncio.BaseTransport):
            assert isinstance(transport, kind)
        assert not isinstance(transport, asyncio.DatagramTransport)
        assert transport.get_protocol() is protocol
        assert transport.can_write_eof() is True
        assert transport.is_closing() is False
        assert transport._start_tls_compatible is True
        assert transport._protocol_paused is False
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_repr_tells_the_state(run_real, pair):
    """rota's own words."""

    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        number = pair[0].fileno()
        assert repr(transport) == f"<SocketTransport fd={number} read=polling write=<idle, bufsize=0>>"
        transport.pause_reading()
        transport.write(b"12345")
        assert repr(transport) == f"<SocketTransport fd={number} read=idle write=<idle, bufsize=5>>"
        transport.close()
        assert repr(transport) == f"<SocketTransport closing fd={number} read=idle write=<idle, bufsize=0>>"
        await protocol.lost
        await asyncio.sleep(0)
        assert repr(transport) == "<SocketTransport closed fd=-1>"

    run_real(main())


def test_an_instance_may_have_methods_of_its_own(run_real, pair):
    """Libraries and tests put a ``write`` of their own on one transport."""

    async def main():
        ours, _ = pair
        protocol = Recorder()
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
        written = []
        transport.write = written.append
        transport.write(b"seen")
        transport.close()
        await protocol.lost
        return written

    assert run_real(main()) == [b"seen"]


def test_a_protocol_may_exchange_its_methods_on_the_way(run_real, pair):
    """A protocol that changes what it speaks sets another ``data_received`` on itself."""

    async def main():
        ours, theirs = pair
        protocol = Recorder()
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
        theirs.send(b"one")
        while not protocol.data:
            await asyncio.sleep(0)
        upgraded = asyncio.get_running_loop().create_future()
        protocol.data_received = upgraded.set_result
        theirs.send(b"two")
        seen = await upgraded
        transport.close()
        await protocol.lost
        return bytes(protocol.data), seen

    assert run_real(main()) == (b"one", b"two")
