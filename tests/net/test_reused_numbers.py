"""A file that is closed behind its transport's back, and its number, which the kernel gives to the next file.

The loop goes on, the new file is its owner's alone, and the old transport is told that its connection is lost. asyncio
lets the old transport go on with the number: it takes the new owner out of the selector, sends its bytes to him, and in
the end closes his file; a connection that the loop makes itself is refused with "File descriptor is used by transport".

What can't be told, on either: the new file is the program's own and the socket object still says that it is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys

import pytest

from .conftest import ROTA
from .recorder import Kept, Recorder, fill, read_all, troubles, turns, until


class Gone:
    """A transport whose file was closed behind its back, and the number, which is free."""

    def __init__(self, way="stream"):
        self.way = way

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_DGRAM if self.way == "datagrams" else socket.SOCK_STREAM
        self.sock, self.peer = socket.socketpair(type=kind)
        if self.way == "datagrams":
            self.transport, self.protocol = await loop.create_datagram_endpoint(Recorder, sock=self.sock)
        else:
            self.transport, self.protocol = await loop.create_connection(Recorder, sock=self.sock)
        if self.way == "waiting to write":
            self.peer.setblocking(False)
            await fill(self.transport)
        self.number = self.sock.fileno()
        self.close()
        return self

    def close(self):
        os.close(self.number)
        self.peer.close()

    async def __aexit__(self, *_):
        error = await self.protocol.lost
        assert isinstance(error, OSError)
        assert error.errno == errno.EBADF
        assert self.protocol.events[-1] == "lost"


async def works(protocol, peer):
    """Bytes come and go."""
    before = len(protocol.data)
    peer.send(b"ping")
    await until(lambda: len(protocol.data) == before + 4)
    protocol.transport.write(b"pong")
    return await asyncio.get_running_loop().sock_recv(peer, 100) == b"pong"


WAYS = ["stream", "waiting to write", "datagrams"]


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["close", "abort", "write", "none"])
def test_the_number_is_an_accepted_connections(run_real, way, end):
    async def main():
        told = troubles()
        kept = Kept()
        server = await asyncio.get_running_loop().create_server(kept, "127.0.0.1", 0)
        with socket.socket() as peer:
            async with Gone(way) as gone:
                keep = os.dup(0)  # the number, until the server accepts
                assert keep == gone.number
                peer.connect(server.sockets[0].getsockname())
                os.close(keep)
                await until(kept.made)
                (protocol,) = kept.protocols
                assert protocol.transport.get_extra_info("socket").fileno() == gone.number
                peer.setblocking(False)
                assert await works(protocol, peer)
                if end == "write" and way != "datagrams":
                    gone.transport.write(b"to a stranger")
                elif end == "abort":
                    gone.transport.abort()
                else:
                    gone.transport.close()
                assert await works(protocol, peer)
            assert await works(protocol, peer)
            protocol.transport.close()
            await protocol.lost
            assert read_all(peer) == b""
        server.close()
        await server.wait_closed()
        assert told == []

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("new", ["tcp", "unix"])
def test_the_number_is_that_of_a_connection_that_the_loop_makes(run_real, way, new, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        family = socket.AF_UNIX if new == "unix" else socket.AF_INET
        with socket.socket(family) as listening:
            listening.bind(str(tmp_path / "socket") if new == "unix" else ("127.0.0.1", 0))
            listening.listen()
            address = listening.getsockname()
            async with Gone(way) as gone:
                if new == "unix":
                    transport, protocol = await loop.create_unix_connection(Recorder, address)
                else:
                    transport, protocol = await loop.create_connection(Recorder, *address)
                assert transport.get_extra_info("socket").fileno() == gone.number
                peer, _ = listening.accept()
                with peer:
                    peer.setblocking(False)
                    assert await works(protocol, peer)
                    await gone.protocol.lost
                    gone.transport.abort()
                    assert await works(protocol, peer)
                    transport.close()
                    await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_number_is_that_of_a_datagram_endpoint_that_the_loop_makes(run_real):
    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            got.append(data)

    got = []

    async def main():
        async with Gone() as gone:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
            assert transport.get_extra_info("socket").fileno() == gone.number
        transport.sendto(b"to myself", transport.get_extra_info("sockname"))
        await until(lambda: got)
        transport.close()
        await turns()

    run_real(main())
    assert got == [b"to myself"]


@pytest.mark.parametrize("kind", ROTA)
def test_the_number_is_a_pipe_to_a_child(run_real):
    async def main():
        async with Gone() as gone:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-S",
                "-c",
                "print(input())",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            gone.transport.abort()
        assert await process.communicate(b"hello\n") == (b"hello\n", None)
        assert process.returncode == 0

    run_real(main())


def test_the_program_has_closed_the_socket_and_uses_the_number_itself(run_real, kind):
    """The socket object says that it is closed. asyncio refuses the number."""

    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        gone = Gone()
        gone.close = lambda: (gone.sock.close(), gone.peer.close())
        async with gone if kind != "asyncio" else contextlib.AsyncExitStack() as stack:
            if kind == "asyncio":
                await gone.__aenter__()
                stack.callback(gone.transport.abort)
            ours, theirs = socket.socketpair()
            with ours, theirs:
                assert ours.fileno() == gone.number
                if kind == "asyncio":
                    with pytest.raises(RuntimeError, match="is used by transport"):
                        loop.add_reader(ours, print)
                    return
                loop.add_reader(ours, lambda: heard.append(ours.recv(10)))
                await gone.protocol.lost
                theirs.send(b"x")
                await until(lambda: heard)
                assert loop.remove_reader(ours)

    run_real(main())


def test_a_number_that_the_program_uses_itself_is_refused_while_its_transport_lives(run_real, kind):
    """Nobody can tell that it is another file now."""

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        gone = Gone()
        await gone.__aenter__()
        ours, theirs = socket.socketpair()
        assert ours.fileno() == gone.number
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(ours, print)
        gone.transport.abort()  # and this closes the number
        await gone.protocol.lost
        with pytest.raises(OSError, match="Bad file descriptor"):
            ours.close()
        theirs.close()
        await asyncio.sleep(0)
        assert told == []

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("serving", [True, False])
def test_a_listening_socket_was_closed_behind_its_servers_back(run_real, serving):
    """The others are closed all the same, and who waits for the server is told. asyncio's close() raises, leaves the
    others listening, and wait_closed() never ends.
    """

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        server = await loop.create_server(Recorder, ["127.0.0.1", "127.0.0.2"], 0, start_serving=serving)
        waiting = asyncio.ensure_future(server.wait_closed())
        first, second = server.sockets
        address = second.getsockname()
        os.close(first.fileno())
        server.close()
        async with asyncio.timeout(5):
            await server.wait_closed()
            await waiting
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        assert not server.is_serving()
        assert [(trouble["exception"].errno, trouble["server"]) for trouble in told] == [(errno.EBADF, server)]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", ["by number", "as a socket"])
def test_the_number_of_a_listening_socket_is_a_connections(run_real, way):
    """asyncio's server closes the connection, unless the socket object says that it is closed itself."""

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        listening = socket.create_server(("127.0.0.1", 0))
        server = await loop.create_server(Recorder, sock=listening)
        number = listening.fileno()
        kept = Kept()
        other = await loop.create_server(kept, "127.0.0.1", 0)
        peer = socket.socket()
        if way == "by number":
            os.close(number)
        else:
            listening.close()
        keep = os.dup(0)
        assert keep == number
        with peer:
            peer.connect(other.sockets[0].getsockname())
            os.close(keep)
            await until(kept.made)
            (protocol,) = kept.protocols
            assert protocol.transport.get_extra_info("socket").fileno() == number
            peer.setblocking(False)
            assert await works(protocol, peer)
            server.close()
            await server.wait_closed()
            assert await works(protocol, peer)
            protocol.transport.close()
            await protocol.lost
        other.close()
        await other.wait_closed()
        assert [trouble["exception"].errno for trouble in told] == ([errno.EBADF] if way == "by number" else [])

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_callbacks_that_were_not_taken_away_are_not_the_next_files(run_real):
    """The program closes a file and leaves its callbacks: with asyncio the connection that gets the number hears
    nothing.
    """

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        heard = []
        loop.add_reader(number, heard.append, "read")
        loop.add_writer(number, heard.append, "written")
        ours.close()
        theirs.close()
        ours, theirs = socket.socketpair()
        assert ours.fileno() == number
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        heard.clear()
        theirs.setblocking(False)
        assert await works(protocol, theirs)
        await turns()
        assert heard == []
        transport.close()
        await protocol.lost
        theirs.close()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("new", ["server", "child"])
def test_callbacks_are_taken_away_when_the_number_is_the_loops_own(run_real, new):
    """The program has closed a socket and takes its callback away late, by the object: that must not be the callback of
    the file that has the number by now. asyncio's server hears of nobody then.
    """

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        loop.add_reader(ours, print)
        ours.close()
        theirs.close()
        if new == "server":
            kept = Kept()
            server = await loop.create_server(kept, "127.0.0.1", 0)
            (listening,) = server.sockets
            assert listening.fileno() == number
        else:
            process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "")
            assert os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[pidfd]"
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            loop.remove_reader(ours)
        if new == "server":
            with socket.socket() as peer:
                peer.connect(listening.getsockname())
                await until(kept.made)
            await kept.protocols[0].lost
            server.close()
            await server.wait_closed()
        else:
            async with asyncio.timeout(5):
                assert await process.wait() == 0

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_the_number_is_a_servers(run_real, family, tmp_path):
    """asyncio's old transport closes the server's socket."""

    async def main():
        loop = asyncio.get_running_loop()
        kept = Kept()
        async with Gone() as gone:
            if family == "tcp":
                server = await loop.create_server(kept, "127.0.0.1", 0)
            else:
                server = await loop.create_unix_server(kept, str(tmp_path / "socket"))
            (listening,) = server.sockets
            assert listening.fileno() == gone.number
            await gone.protocol.lost
            gone.transport.abort()
        with socket.socket(listening.family) as peer:
            peer.connect(listening.getsockname())
            await until(kept.made)
            (protocol,) = kept.protocols
        await protocol.lost
        server.close()
        await server.wait_closed()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_socket_that_a_transport_uses_is_no_servers(run_real, pair, family):
    """asyncio takes it and then fails to listen."""

    async def main():
        loop = asyncio.get_running_loop()
        if family == "tcp":
            make = loop.create_server
            with socket.create_server(("127.0.0.1", 0)) as listening:
                sock = socket.create_connection(listening.getsockname())
        else:
            sock, make = pair[0], loop.create_unix_server
        transport, protocol = await loop.create_connection(Recorder, sock=sock)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await make(Recorder, sock=sock)
        transport.abort()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_program_has_closed_the_socket_and_the_number_is_its_pipes(run_real):
    """asyncio's old transport takes the pipe out of the selector."""

    async def main():
        loop = asyncio.get_running_loop()
        gone = Gone()
        gone.close = lambda: (gone.sock.close(), gone.peer.close())
        async with gone:
            read, write = os.pipe()
            assert read == gone.number
            _transport, protocol = await loop.connect_read_pipe(Recorder, os.fdopen(read, "rb", 0))
            gone.transport.close()
            await gone.protocol.lost
            os.write(write, b"x")
            await until(lambda: protocol.data == b"x")
            os.close(write)
            await protocol.lost

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", ["reading", "paused", "writing"])
def test_the_number_of_a_pipe_is_a_connections(run_real, pair, way):
    """asyncio's pipe hears nothing more, takes the connection's events when it resumes reading, and writes to it."""

    async def main():
        loop = asyncio.get_running_loop()
        ends = os.pipe()
        number = ends[way == "writing"]
        if way == "writing":
            pipe, protocol = await loop.connect_write_pipe(Recorder, os.fdopen(number, "wb", 0))
        else:
            pipe, protocol = await loop.connect_read_pipe(Recorder, os.fdopen(number, "rb", 0))
        if way == "paused":
            pipe.pause_reading()
        pipe.get_extra_info("pipe").close()
        ours = socket.socket(fileno=os.dup(pair[0].fileno()))
        assert ours.fileno() == number
        transport, connected = await loop.create_connection(Recorder, sock=ours)
        pair[1].setblocking(False)
        if way == "writing":
            pipe.write(b"to a stranger")
        elif way == "paused":
            pipe.resume_reading()
        assert await works(connected, pair[1])
        await until(protocol.lost.done)
        error = protocol.lost.result()
        assert isinstance(error, OSError)
        assert error.errno == errno.EBADF
        assert await works(connected, pair[1])
        transport.close()
        await connected.lost
        os.close(ends[way != "writing"])

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_call_waits_for_a_socket_whose_number_is_a_childs(run_real):
    """asyncio's call waits for ever."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        call = asyncio.ensure_future(loop.sock_recv(ours, 1))
        await turns()
        number = ours.fileno()
        ours.close()
        transport, _protocol = await loop.subprocess_exec(asyncio.SubprocessProtocol, "cat", stdout=None, stderr=None)
        assert transport.get_pipe_transport(0).get_extra_info("pipe").fileno() >= number
        async with asyncio.timeout(5):
            with pytest.raises(OSError, match="closed while a call waited"):
                await call
        transport.get_pipe_transport(0).close()
        assert await transport._wait() == 0
        await turns()
        theirs.close()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_number_is_that_of_what_a_child_reports(run_real):
    """A ``preexec_fn`` runs in the child, which says by a pipe how that went."""

    async def main():
        loop = asyncio.get_running_loop()
        async with Gone() as gone, asyncio.timeout(5):
            loop.call_soon(loop.call_soon, gone.transport.abort)
            process = await asyncio.create_subprocess_exec(
                "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, preexec_fn=print
            )
        assert await process.communicate(b"hello\n") == (b"hello\n", None)

    run_real(main())
