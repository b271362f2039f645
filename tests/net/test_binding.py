"""Where a server can listen, and what is said when it cannot."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from .recorder import Kept, Recorder, until


@pytest.mark.parametrize("listening", [False, True])
def test_a_socket_of_the_programs_own(run_real, listening):
    async def main():
        kept = Kept()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        if listening:
            sock.listen()
        server = await asyncio.get_running_loop().create_server(kept, sock=sock)
        peer = socket.create_connection(sock.getsockname())
        await until(kept.made)
        peer.close()
        await kept.protocols[0].lost
        server.close()
        await server.wait_closed()
        assert sock.fileno() == -1

    run_real(main())


def test_a_port_in_use_is_named(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(OSError) as raised:
                await loop.create_server(Recorder, "127.0.0.1", port)
        assert raised.value.errno == errno.EADDRINUSE
        assert str(raised.value).startswith(
            f"[Errno {errno.EADDRINUSE}] error while attempting to bind on address ('127.0.0.1', {port}): "
        )
        assert str(raised.value).endswith("address already in use")

    run_real(main())


def test_an_address_that_is_not_ours_is_named(run_real):
    async def main():
        with pytest.raises(OSError) as raised:
            await asyncio.get_running_loop().create_server(Recorder, "192.0.2.1", 0)
        assert raised.value.errno in (None, errno.EADDRNOTAVAIL)
        assert "192.0.2.1" in str(raised.value)

    run_real(main())


def test_two_servers_share_a_port_that_both_ask_to_share(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        first = await loop.create_server(Recorder, "127.0.0.1", 0, reuse_port=True)
        port = first.sockets[0].getsockname()[1]
        second = await loop.create_server(Recorder, "127.0.0.1", port, reuse_port=True)
        with pytest.raises(OSError, match="address already in use"):
            await loop.create_server(Recorder, "127.0.0.1", port)
        for server in (first, second):
            server.close()
            await server.wait_closed()

    run_real(main())


def test_one_address_given_twice_is_bound_once(run_real):
    async def main():
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        server = await asyncio.get_running_loop().create_server(Recorder, ["127.0.0.1", "127.0.0.1"], port)
        assert [sock.getsockname() for sock in server.sockets] == [("127.0.0.1", port)]
        server.close()
        await server.wait_closed()

    run_real(main())


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, ValueError, "Neither host/port nor sock were specified"),
        ({"port": 0, "sock": True}, ValueError, "host/port and sock can not be specified at the same time"),
        ({"port": 0, "ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
        (
            {"port": 0, "ssl_handshake_timeout": 1},
            ValueError,
            "ssl_handshake_timeout is only meaningful with ssl",
        ),
        (
            {"port": 0, "ssl_shutdown_timeout": 1},
            ValueError,
            "ssl_shutdown_timeout is only meaningful with ssl",
        ),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(run_real, arguments, error, text):
    async def main():
        with socket.socket() as sock:
            if "sock" in arguments:
                arguments["sock"] = sock
            with pytest.raises(error) as raised:
                await asyncio.get_running_loop().create_server(Recorder, **arguments)
            assert str(raised.value) == text

    run_real(main())


def test_a_datagram_socket_is_refused(run_real):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ValueError) as raised:
                await asyncio.get_running_loop().create_server(Recorder, sock=sock)
            assert str(raised.value) == f"A Stream Socket was expected, got {sock!r}"

    run_real(main())
