"""create_connection: which address is taken, and what is said when none is."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys

import pytest

from .conftest import ROTA
from .recorder import Recorder, turns, until

DEAD = "192.0.2.1"  # TEST-NET-1: nobody is there


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def refusing():
    """An address where nobody listens, kept from others as long as the test runs."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def names(monkeypatch):
    """``names["host.test"] = [address, ...]``: what a name stands for."""
    known = {}
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *how):
        if host not in known:
            return real(host, port, *how)
        if how[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for address in known[host] for entry in real(address, port, *how)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def close(transport, protocol):
    transport.close()
    await protocol.lost


def test_a_connection_that_is_refused_says_to_whom(run_real, refusing):
    async def main():
        with pytest.raises(ConnectionRefusedError) as raised:
            await asyncio.get_running_loop().create_connection(Recorder, *refusing)
        assert raised.value.errno == errno.ECONNREFUSED
        assert str(raised.value).startswith(f"[Errno {errno.ECONNREFUSED}] Connect call failed {refusing}")

    run_real(main())


def test_a_name_with_several_addresses_takes_the_first_that_answers(run_real, listening, names):
    names["several.test"] = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]

    async def main():
        loop = asyncio.get_running_loop()
        port = listening.getsockname()[1]
        transport, protocol = await loop.create_connection(Recorder, "several.test", port)
        assert transport.get_extra_info("peername") == ("127.0.0.1", port)
        await close(transport, protocol)

    run_real(main())


def test_several_different_errors_are_told_in_one(run_real, refusing, names):
    names["several.test"] = ["127.0.0.1", "127.0.0.2"]

    async def main():
        loop = asyncio.get_running_loop()
        port = refusing[1]
        with pytest.raises(OSError) as raised:
            await loop.create_connection(Recorder, "several.test", port)
        text = str(raised.value)
        assert text.startswith("Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', ")
        assert ", [Errno 111] Connect call failed ('127.0.0.2', " in text

    run_real(main())


@pytest.mark.parametrize("delay", [None, 0.25])
def test_all_errors_come_as_a_group(run_real, refusing, names, kind, delay):
    if kind == "asyncio" and sys.version_info < (3, 12):
        pytest.skip("asyncio has all_errors since Python 3.12")
    names["several.test"] = ["127.0.0.1", "127.0.0.2"]

    async def main():
        with pytest.raises(ExceptionGroup) as raised:
            await asyncio.get_running_loop().create_connection(
                Recorder, "several.test", refusing[1], all_errors=True, happy_eyeballs_delay=delay
            )
        assert raised.value.message == "create_connection failed"
        assert [type(error) for error in raised.value.exceptions] == [ConnectionRefusedError] * 2

    run_real(main())


def test_a_dead_first_address_does_not_hold_up_the_second(run_real, listening, names, monkeypatch):
    """Happy eyeballs: the second is begun after the delay though the first never answers."""
    names["eyeballs.test"] = [DEAD, "127.0.0.1"]

    async def main():
        loop = asyncio.get_running_loop()
        tried = []
        connect = loop.sock_connect

        async def sock_connect(sock, address):
            tried.append(address[0])
            if address[0] == DEAD:
                await asyncio.Event().wait()
            await connect(sock, address)

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        async with asyncio.timeout(5):
            transport, protocol = await loop.create_connection(
                Recorder, "eyeballs.test", listening.getsockname()[1], happy_eyeballs_delay=0.001
            )
        assert tried == [DEAD, "127.0.0.1"]
        assert transport.get_extra_info("peername")[0] == "127.0.0.1"
        await close(transport, protocol)

    run_real(main())


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ({}, ["1", "2", "3", "::1", "::2"]),
        ({"interleave": 1}, ["1", "::1", "2", "::2", "3"]),
        ({"interleave": 2}, ["1", "2", "::1", "3", "::2"]),
        ({"happy_eyeballs_delay": 100}, ["1", "::1", "2", "::2", "3"]),
        ({"happy_eyeballs_delay": 100, "interleave": 0}, ["1", "2", "3", "::1", "::2"]),
    ],
)
def test_the_families_take_turns(run_real, names, monkeypatch, given, order):
    names["families.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "::2"]

    async def main():
        loop = asyncio.get_running_loop()
        tried = []

        async def sock_connect(sock, address):
            tried.append(address[0].removeprefix("127.0.0."))
            raise OSError(errno.EHOSTUNREACH, "no")

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        with pytest.raises(OSError, match="no"):
            await loop.create_connection(Recorder, "families.test", 80, **given)
        assert tried == order

    run_real(main())


def test_the_local_address_can_be_chosen(run_real, listening):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(
            Recorder, *listening.getsockname(), local_addr=("127.0.0.5", 0)
        )
        assert transport.get_extra_info("sockname")[0] == "127.0.0.5"
        await close(transport, protocol)

    run_real(main())


def test_a_local_address_in_use_is_named(run_real, listening):
    async def main():
        local = listening.getsockname()
        with pytest.raises(OSError) as raised:
            await asyncio.get_running_loop().create_connection(Recorder, *local, local_addr=local)
        assert raised.value.errno == errno.EADDRINUSE
        assert f"error while attempting to bind on address {local!r}: " in str(raised.value)
        assert str(raised.value).endswith("address already in use")

    run_real(main())


def test_a_local_address_of_another_family_is_refused(run_real, listening):
    async def main():
        with pytest.raises(OSError) as raised:
            await asyncio.get_running_loop().create_connection(
                Recorder, *listening.getsockname(), local_addr=("::1", 0)
            )
        assert str(raised.value) == "no matching local address with family=<AddressFamily.AF_INET: 2> found"

    run_real(main())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "host and port was not specified and no sock specified"),
        ({"host": "h", "port": 1, "sock": True}, "host/port and sock can not be specified at the same time"),
        ({"port": 1, "server_hostname": "h"}, "server_hostname is only meaningful with ssl"),
        ({"port": 1, "ssl": True}, "You must set server_hostname when using ssl without a host"),
        ({"port": 1, "ssl_handshake_timeout": 1}, "ssl_handshake_timeout is only meaningful with ssl"),
        ({"port": 1, "ssl_shutdown_timeout": 1}, "ssl_shutdown_timeout is only meaningful with ssl"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(run_real, arguments, text):
    async def main():
        with socket.socket() as sock:
            if "sock" in arguments:
                arguments["sock"] = sock
            with pytest.raises(ValueError) as raised:
                await asyncio.get_running_loop().create_connection(Recorder, **arguments)
            assert str(raised.value) == text

    run_real(main())


@pytest.mark.parametrize("method", ["create_connection", "connect_accepted_socket"])
def test_a_datagram_socket_is_refused(run_real, method):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ValueError) as raised:
                await getattr(asyncio.get_running_loop(), method)(Recorder, sock=sock)
            assert str(raised.value) == f"A Stream Socket was expected, got {sock!r}"

    run_real(main())


def test_a_connected_socket_is_used_and_made_non_blocking(run_real, listening):
    async def main():
        sock = socket.create_connection(listening.getsockname())
        assert sock.gettimeout() is None
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=sock)
        assert sock.gettimeout() == 0
        assert transport.get_extra_info("peername") == listening.getsockname()
        await close(transport, protocol)
        assert sock.fileno() == -1

    run_real(main())


def test_a_socket_accepted_elsewhere_is_served(run_real, listening):
    async def main():
        peer = socket.create_connection(listening.getsockname())
        sock, _ = listening.accept()
        transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(Recorder, sock)
        peer.send(b"hi")
        await until(lambda: protocol.data == b"hi")
        assert transport.get_extra_info("peername") == peer.getsockname()
        peer.close()
        assert await protocol.lost is None

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_cancelled_connect_leaves_nothing(run_real, listening, names):
    """The autouse fixture counts the file descriptors. asyncio can lose the winner of the race."""
    names["eyeballs.test"] = ["127.0.0.1", "127.0.0.2"]

    async def main():
        loop = asyncio.get_running_loop()
        port = listening.getsockname()[1]
        for delay in (None, 0.001):
            for count in range(8):
                connecting = asyncio.ensure_future(
                    loop.create_connection(Recorder, "eyeballs.test", port, happy_eyeballs_delay=delay)
                )
                await turns(count)
                connecting.cancel()
                try:
                    await close(*await connecting)
                except asyncio.CancelledError:
                    pass
                await turns(3)

    run_real(main())


def test_a_cancelled_wait_for_an_answer_leaves_nothing(run_real):
    """The queue of the listening socket is full, so the kernel does not answer."""

    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = [asyncio.ensure_future(loop.create_connection(Recorder, *full.getsockname())) for _ in range(4)]
            await turns(100)
            assert not all(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            for result in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(result, tuple):
                    await close(*result)

    run_real(main())


def test_a_protocol_factory_that_raises_is_the_callers_problem(run_real, pair):
    def factory():
        raise ZeroDivisionError

    async def main():
        with pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().create_connection(factory, sock=pair[0])

    run_real(main())
