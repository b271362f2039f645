"""Unix sockets: by a path, by an abstract name, by a socket."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import sys

import pytest

from .recorder import Recorder, turns, until

#: Since Python 3.13 a server takes its file away when it closes.
CLEANS_UP = sys.version_info >= (3, 13)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


async def serve_once(path, **options):
    """A server that answers one connection in capitals, and a client of it."""
    loop = asyncio.get_running_loop()

    class Upper(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            names.append((transport.get_extra_info("sockname"), transport.get_extra_info("peername")))

        def data_received(self, data):
            self.transport.write(data.upper())
            self.transport.close()

    names = []
    server = await loop.create_unix_server(Upper, path, **options)
    transport, protocol = await loop.create_unix_connection(Recorder, path)
    names.append((transport.get_extra_info("sockname"), transport.get_extra_info("peername")))
    transport.write(b"hello")
    assert await protocol.lost is None
    assert protocol.data == b"HELLO"
    return server, names


async def close(server):
    server.close()
    await server.wait_closed()


def test_client_and_server_meet_at_a_path(run_real, path):
    async def main():
        server, names = await serve_once(path)
        assert sorted(names) == [("", path), (path, "")]
        assert server.sockets[0].getsockname() == path
        await close(server)
        assert os.path.exists(path) is not CLEANS_UP

    run_real(main())


def test_streams_meet_at_a_path(run_real, path):
    async def main():
        async def serve(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_unix_server(serve, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"line\n")
        assert await reader.read() == b"line\n"
        writer.close()
        await writer.wait_closed()
        await close(server)

    run_real(main())


def test_a_path_can_be_a_path_object_or_bytes(run_real, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(asyncio.Protocol, tmp_path / "s")
        for name in (tmp_path / "s", os.fsencode(tmp_path / "s")):
            transport, protocol = await loop.create_unix_connection(Recorder, name)
            transport.close()
            await protocol.lost
        await turns()
        await close(server)
        server = await loop.create_unix_server(asyncio.Protocol, os.fsencode(tmp_path / "t"))
        await close(server)

    run_real(main())


def test_an_abstract_name_has_no_file(run_real):
    async def main():
        name = "\0rota-" + secrets.token_hex(8)
        server, names = await serve_once(name)
        assert set(names) == {("", name.encode()), (name.encode(), "")}
        with pytest.raises(OSError) as raised:
            await asyncio.get_running_loop().create_unix_server(Recorder, name)
        assert raised.value.errno == errno.EADDRINUSE
        assert str(raised.value) == f"[Errno {errno.EADDRINUSE}] Address {name!r} is already in use"
        await close(server)

    run_real(main())


def test_a_socket_that_was_left_is_replaced(run_real, path):
    async def main():
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        server, _ = await serve_once(path)
        await close(server)

    run_real(main())


def test_a_file_in_the_way_is_left_alone(run_real, path):
    async def main():
        with open(path, "w") as file:
            file.write("precious")
        with pytest.raises(OSError) as raised:
            await asyncio.get_running_loop().create_unix_server(Recorder, path)
        assert raised.value.errno == errno.EADDRINUSE
        assert str(raised.value) == f"[Errno {errno.EADDRINUSE}] Address {path!r} is already in use"
        with open(path) as file:
            assert file.read() == "precious"

    run_real(main())


@pytest.mark.skipif(not CLEANS_UP, reason="cleanup_socket came with Python 3.13")
def test_a_server_takes_away_its_own_file_and_no_other(run_real, path):
    async def main():
        loop = asyncio.get_running_loop()
        await close(await loop.create_unix_server(Recorder, path))
        assert not os.path.exists(path)
        await close(await loop.create_unix_server(Recorder, path, cleanup_socket=False))
        assert os.path.exists(path)
        # Somebody else has taken the path over.
        server = await loop.create_unix_server(Recorder, path)
        os.rename(path, path + ".old")
        with open(path, "w"):
            pass
        await close(server)
        assert os.path.exists(path)
        # Somebody else was tidy.
        os.remove(path)
        server = await loop.create_unix_server(Recorder, path)
        os.remove(path)
        await close(server)
        # The program's own socket is bound to a path, too.
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        await close(await loop.create_unix_server(Recorder, sock=sock))
        assert not os.path.exists(path)

    run_real(main())


def test_a_directory_that_is_missing_is_an_error(run_real, tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.get_running_loop().create_unix_server(Recorder, str(tmp_path / "no" / "s"))
        with pytest.raises(FileNotFoundError):
            await asyncio.get_running_loop().create_unix_connection(Recorder, str(tmp_path / "no" / "s"))

    run_real(main())


def test_nobody_listens(run_real, path):
    async def main():
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.get_running_loop().create_unix_connection(Recorder, path)

    run_real(main())


def test_sockets_of_the_programs_own(run_real, path):
    async def main():
        loop = asyncio.get_running_loop()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        accepted = []

        def factory():
            accepted.append(Recorder())
            return accepted[-1]

        server = await loop.create_unix_server(factory, sock=listening)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        transport, protocol = await loop.create_unix_connection(Recorder, sock=sock)
        transport.write(b"x")
        await until(lambda: accepted and accepted[0].data)
        transport.close()
        await protocol.lost
        await accepted[0].lost
        await close(server)

    run_real(main())


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        ("create_unix_connection", {}, "no path and sock were specified"),
        (
            "create_unix_connection",
            {"path": "x", "sock": 1},
            "path and sock can not be specified at the same time",
        ),
        ("create_unix_connection", {"ssl": True}, "you have to pass server_hostname when using ssl"),
        ("create_unix_connection", {"server_hostname": "h"}, "server_hostname is only meaningful with ssl"),
        (
            "create_unix_connection",
            {"ssl_handshake_timeout": 1},
            "ssl_handshake_timeout is only meaningful with ssl",
        ),
        ("create_unix_server", {}, "path was not specified, and no sock specified"),
        (
            "create_unix_server",
            {"path": "x", "sock": 1},
            "path and sock can not be specified at the same time",
        ),
        (
            "create_unix_server",
            {"ssl_shutdown_timeout": 1},
            "ssl_shutdown_timeout is only meaningful with ssl",
        ),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(run_real, method, arguments, text):
    async def main():
        with pytest.raises(ValueError) as raised:
            await getattr(asyncio.get_running_loop(), method)(Recorder, **arguments)
        assert str(raised.value) == text

    run_real(main())


@pytest.mark.parametrize("method", ["create_unix_connection", "create_unix_server"])
def test_a_tcp_socket_is_refused(run_real, method):
    async def main():
        with socket.socket() as sock:
            with pytest.raises(ValueError) as raised:
                await getattr(asyncio.get_running_loop(), method)(Recorder, sock=sock)
            assert str(raised.value) == f"A UNIX Domain Stream Socket was expected, got {sock!r}"

    run_real(main())


def test_ssl_true_is_refused_for_a_server(run_real, path):
    async def main():
        with pytest.raises(TypeError) as raised:
            await asyncio.get_running_loop().create_unix_server(Recorder, path, ssl=True)
        assert str(raised.value) == "ssl argument must be an SSLContext or None"

    run_real(main())
