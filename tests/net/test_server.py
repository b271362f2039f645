"""Listening servers: whom they serve, and how they end."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from .conftest import ROTA
from .recorder import Kept, Recorder, troubles, turns, until

WAITS_FOR_CONNECTIONS = sys.version_info >= (3, 12)  # Server.wait_closed


def test_a_server_listens_on_every_address_it_was_given(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        kept = Kept()
        server = await loop.create_server(kept, ["127.0.0.1", "127.0.0.2"], 0)
        addresses = [sock.getsockname() for sock in server.sockets]
        assert sorted(address[0] for address in addresses) == ["127.0.0.1", "127.0.0.2"]
        assert isinstance(server.sockets, tuple)
        assert server.is_serving()
        assert server.get_loop() is loop
        peers = [socket.create_connection(address) for address in addresses]
        await until(lambda: kept.made(2))
        for peer in peers:
            peer.close()
        for protocol in kept.protocols:
            await protocol.lost
        server.close()
        assert server.sockets == ()
        assert not server.is_serving()
        await server.wait_closed()
        for address in addresses:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)

    run_real(main())


def test_a_server_that_does_not_serve_yet_refuses(run_real):
    async def main():
        kept = Kept()
        server = await asyncio.get_running_loop().create_server(kept, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        address = server.sockets[0].getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        peer = socket.create_connection(address)
        await until(kept.made)
        peer.close()
        await kept.protocols[0].lost
        server.close()
        await server.wait_closed()

    run_real(main())


def test_serve_forever_ends_when_it_is_cancelled_and_closes(run_real):
    async def main():
        server = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", 0, start_serving=False)
        forever = asyncio.ensure_future(server.serve_forever())
        await turns(3)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match=r"^server <.*> is already being awaited on serve_forever\(\)$"):
            await server.serve_forever()
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert not server.is_serving()
        assert server.sockets == ()
        with pytest.raises(RuntimeError, match=r"^server <.*> is closed$"):
            await server.serve_forever()

    run_real(main())


def test_close_ends_serve_forever(run_real):
    async def main():
        server = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", 0)
        forever = asyncio.ensure_future(server.serve_forever())
        await turns(3)
        server.close()
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await forever
        await server.wait_closed()

    run_real(main())


def test_async_with_closes(run_real):
    async def main():
        async with await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", 0) as server:
            assert server.is_serving()
        assert server.sockets == ()

    run_real(main())


def test_connections_go_on_after_close_and_wait_closed_knows_them(run_real, kind):
    """wait_closed() waits for the connections since Python 3.12; before, it does not."""

    async def main():
        kept = Kept()
        server = await asyncio.get_running_loop().create_server(kept, "127.0.0.1", 0)
        peer = socket.create_connection(server.sockets[0].getsockname())
        await until(kept.made)
        server.close()
        closed = asyncio.ensure_future(server.wait_closed())
        await turns()
        assert closed.done() is not WAITS_FOR_CONNECTIONS
        peer.send(b"still open")
        await until(lambda: kept.protocols[0].data == b"still open")
        peer.close()
        await kept.protocols[0].lost
        await closed

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_connection_that_cannot_be_closed_is_over_for_its_server(run_real):
    """Its descriptor was closed behind its back, and to close it again fails: asyncio's wait_closed() never ends."""

    async def main():
        kept = Kept()
        told = troubles()
        server = await asyncio.get_running_loop().create_server(kept, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await until(kept.made)
            transport = kept.protocols[0].transport
            os.close(transport.get_extra_info("socket").fileno())
            transport.close()
            server.close()
            async with asyncio.timeout(5):
                await server.wait_closed()
            assert await kept.protocols[0].lost is None
            assert [trouble["exception"].errno for trouble in told] == [errno.EBADF]

    run_real(main())


def test_wait_closed_before_close_waits(run_real):
    async def main():
        server = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", 0)
        closed = asyncio.ensure_future(server.wait_closed())
        await turns()
        if sys.version_info >= (3, 12, 1) or sys.version_info < (3, 12):
            assert not closed.done()
        server.close()
        await closed

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("end", ["close_clients", "abort_clients"])
def test_the_clients_can_be_closed_together(run_real, end):
    """asyncio has these since Python 3.13."""

    async def main():
        kept = Kept()
        server = await asyncio.get_running_loop().create_server(kept, "127.0.0.1", 0)
        peers = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(3)]
        await until(lambda: kept.made(3))
        for protocol in kept.protocols:
            protocol.transport.write(b"bye")
        server.close()
        getattr(server, end)()
        await server.wait_closed()
        for peer, protocol in zip(peers, kept.protocols, strict=True):
            assert await protocol.lost is None
            peer.settimeout(5)
            assert peer.recv(10) == b"bye"
            peer.close()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("backlog", [0, 1, 3])
def test_a_small_backlog_only_makes_the_kernels_queue_short(run_real, backlog):
    """asyncio never accepts with a backlog of 0, and spins."""

    async def main():
        kept = Kept()
        server = await asyncio.get_running_loop().create_server(kept, "127.0.0.1", 0, backlog=backlog)
        peers = []
        for count in range(1, 6):
            peers.append(socket.create_connection(server.sockets[0].getsockname()))
            await until(lambda count=count: kept.made(count))
        for peer in peers:
            peer.close()
        for protocol in kept.protocols:
            await protocol.lost
        server.close()
        await server.wait_closed()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_protocol_factory_that_raises_costs_one_connection(run_real):
    """asyncio leaves its socket to the garbage collector, with a warning."""

    async def main():
        told = troubles()
        loop = asyncio.get_running_loop()
        kept = Kept()

        def factory():
            if not told:
                raise ZeroDivisionError
            return kept()

        server = await loop.create_server(factory, "127.0.0.1", 0)
        first = socket.create_connection(server.sockets[0].getsockname())
        await until(lambda: told)
        assert told[0]["message"] == "Error on transport creation for incoming connection"
        assert isinstance(told[0]["exception"], ZeroDivisionError)
        told[0].clear()
        second = socket.create_connection(server.sockets[0].getsockname())
        await until(kept.made)
        first.close()
        second.close()
        await kept.protocols[0].lost
        assert len(told) == 1
        server.close()
        await server.wait_closed()

    run_real(main())


OUT_OF_DESCRIPTORS = """
import asyncio, resource, socket, sys
import rota
from rota.net.poller.selector import Selector

class Hello(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()

async def main():
    loop = asyncio.get_running_loop()
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context))
    server = await loop.create_server(Hello, "127.0.0.1", 0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    peers = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (peers[-1].fileno() + 1, hard))
    while not told:
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    print(len(told))
    print(told[0]["message"], told[0]["exception"].errno, sorted(told[0]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for peer in peers:
        peer.setblocking(False)
        print(await asyncio.wait_for(loop.sock_recv(peer, 10), 10))
        peer.close()
    server.close()
    await server.wait_closed()

factories = {"rota": rota.Loop, "rota on selectors": lambda: rota.Loop(poller=Selector()),
             "asyncio": asyncio.SelectorEventLoop}
with asyncio.Runner(loop_factory=factories[sys.argv[1]]) as runner:
    runner.run(main())
"""


def test_a_server_without_file_descriptors_waits_and_goes_on(kind):
    """In a process of its own, for the limit on open files is the process's."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OUT_OF_DESCRIPTORS), kind],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    count, *lines = done.stdout.splitlines()
    # asyncio goes on trying as often as the backlog says.
    assert count == "1" or kind == "asyncio"
    assert lines == [
        f"socket.accept() out of system resource {errno.EMFILE} ['exception', 'message', 'socket']",
        *["b'hello'"] * 3,
    ]


def test_an_accept_of_the_programs_own_is_what_is_called(run_real, monkeypatch):
    """Tests and tools put one in the place of socket.socket's."""
    called = []
    own = socket.socket.accept

    def accept(sock):
        called.append(sock)
        return own(sock)

    async def main():
        monkeypatch.setattr(socket.socket, "accept", accept)
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.close()
            await writer.wait_closed()
            await until(lambda: called)

    run_real(main())
    assert called
