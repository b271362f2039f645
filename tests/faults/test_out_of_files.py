"""A server in a process that is out of file descriptors: it says so once, waits, and takes everybody later."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import Iterator

import pytest
from tests.net.recorder import Kept, Recorder, troubles, until

import rota
from rota import limits
from rota.net.poller.selector import Selector


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """No file can be opened in here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", ["rota"])
def test_a_server_out_of_files_says_so_once_and_recovers(run_real, monkeypatch):
    """asyncio says so once a second, and in the same breath once for each connection that the backlog may hold."""
    monkeypatch.setattr(limits, "ACCEPT_RETRY_DELAY", 0.001)

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        kept = Kept(Recorder)
        server = await loop.create_server(kept, "127.0.0.1", 0)
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        for episode in (1, 2):
            clients = [socket.socket() for _ in range(5)]
            with no_more_files():
                for client in clients:
                    client.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        client.connect(server.sockets[0].getsockname())
                await asyncio.sleep(0.02)  # some twenty attempts
                assert len(kept.protocols) == 0
                theirs.send(b"others")
                assert await reader.readexactly(6) == b"others"
            await until(lambda: kept.made(5))
            assert [trouble["message"] for trouble in told] == ["socket.accept() out of system resource"] * episode
            for client, protocol in zip(clients, kept.protocols, strict=True):
                client.close()
                await protocol.lost
            kept.protocols.clear()
            await asyncio.sleep(0.01)  # the queue was seen to be empty
        writer.close()
        await writer.wait_closed()
        theirs.close()
        server.close()
        await server.wait_closed()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_listening_socket_that_cannot_accept_is_no_busy_loop(run_real, monkeypatch):
    """Shut down behind the server's back, it is readable for ever and every accept() fails. asyncio tells of each."""
    monkeypatch.setattr(limits, "ACCEPT_RETRY_DELAY", 3600.0)

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        with socket.socket(fileno=os.dup(server.sockets[0].fileno())) as listening:
            listening.shutdown(socket.SHUT_RDWR)
        await until(lambda: told)
        polls = loop._polls
        await asyncio.sleep(0.02)
        assert loop._polls - polls < 10
        assert [trouble["message"] for trouble in told] == ["Accept failed on a socket"]
        server.close()
        await server.wait_closed()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_loop_that_cannot_be_made_leaves_nothing(new_loop):
    free = []
    with pytest.raises(OSError, match="Too many open files"), no_more_files():
        free.append(new_loop())
    assert not free
    new_loop().close()


@pytest.mark.parametrize("kind", ["rota"])
def test_no_file_for_a_new_epoll_set_is_no_end_of_the_loop(run_real):
    """The kernel tells of a closed descriptor while a duplicate keeps its file open: rota then makes a new set."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        duplicate = ours.dup()
        heard = []
        number = ours.fileno()
        loop.add_reader(number, heard.append, "closed")
        ours.close()
        loop.remove_reader(number)  # too late for the kernel
        with duplicate, theirs:
            with no_more_files():
                theirs.send(b"x")
                await asyncio.sleep(0.002)
                loop.call_soon(heard.append, "goes on")
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.002)
            polls = loop._polls
            await asyncio.sleep(0.01)
            assert loop._polls - polls < 10
        return heard

    assert run_real(main()) == ["goes on"]


def test_a_server_that_cannot_be_watched_again_recovers(monkeypatch):
    """It was out of files and looked away; then the kernel has no room to watch it. asyncio's is deaf after that."""

    class Full(Selector):
        refusals = 0

        def add_reader(self, fd, runnable):
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().add_reader(fd, runnable)

    async def main():
        told = troubles()
        kept = Kept(Recorder)
        server = await asyncio.get_running_loop().create_server(kept, "127.0.0.1", 0)
        with no_more_files(), client:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(server.sockets[0].getsockname())
            await until(lambda: told)
            poller.refusals = 3
            await until(lambda: not poller.refusals)
            assert kept.protocols == []
        await until(kept.made)
        assert [trouble["message"] for trouble in told] == ["socket.accept() out of system resource"]
        await kept.protocols[0].lost
        server.close()
        await server.wait_closed()

    monkeypatch.setattr(limits, "ACCEPT_RETRY_DELAY", 0.001)
    poller = Full()
    client = socket.socket()
    with asyncio.Runner(loop_factory=lambda: rota.Loop(poller=poller)) as runner:
        runner.run(main())
