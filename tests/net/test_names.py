"""Names to addresses and back."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading

import pytest

from rota.net import dns

STREAM = {"type": socket.SOCK_STREAM}


@pytest.mark.parametrize(
    ("host", "port", "how"),
    [
        ("127.0.0.1", 80, STREAM),
        ("127.0.0.1", 80, {}),
        (b"127.0.0.1", 80, STREAM),
        ("127.0.0.1", "80", STREAM),
        ("127.0.0.1", b"80", STREAM),
        ("127.0.0.1", "http", STREAM),
        ("127.0.0.1", None, STREAM),
        ("::1", 443, STREAM),
        ("fe80::1%lo", 443, STREAM),
        ("::ffff:127.0.0.1", 80, STREAM),
        (None, 80, STREAM | {"flags": socket.AI_PASSIVE}),
        (None, 80, STREAM),
        ("", 80, STREAM | {"flags": socket.AI_PASSIVE}),
        ("127.1", 80, STREAM),
        ("0x7f.1", 80, STREAM),
        ("127.0.0.1", 80, {"family": socket.AF_INET, "proto": socket.IPPROTO_UDP}),
        ("localhost", 80, STREAM | {"family": socket.AF_INET}),
        ("127.0.0.1", 80, STREAM | {"flags": socket.AI_CANONNAME}),
    ],
)
def test_an_address_is_what_the_standard_library_makes_of_it(run_real, host, port, how):
    async def main():
        return await asyncio.get_running_loop().getaddrinfo(host, port, **how)

    try:
        expected = socket.getaddrinfo(host, port, **how)
    except OSError as error:
        with pytest.raises(type(error)):
            run_real(main())
    else:
        assert run_real(main()) == expected


@pytest.mark.parametrize(
    ("host", "port", "how"),
    [
        ("::1", 80, {"family": socket.AF_INET}),
        ("127.0.0.1", 80, {"family": socket.AF_INET6}),
        ("127.0.0.1", "no-such-service", STREAM),
        ("127.0.0.1", 80, {"type": 77}),
        (None, None, {}),
    ],
)
def test_what_cannot_be_raises_gaierror(run_real, host, port, how):
    async def main():
        with pytest.raises(socket.gaierror) as raised:
            await asyncio.get_running_loop().getaddrinfo(host, port, **how)
        return raised.value.args

    with pytest.raises(socket.gaierror) as expected:
        socket.getaddrinfo(host, port, **how)
    assert run_real(main()) == expected.value.args


def test_a_name_is_looked_up_in_a_thread(run_real, monkeypatch):
    """While it is, the loop goes on."""
    may_answer = threading.Event()
    asked = []
    real = socket.getaddrinfo

    def getaddrinfo(host, port, family=0, kind=0, proto=0, flags=0):
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, family, kind, proto, flags)
        asked.append(threading.current_thread() is threading.main_thread())
        assert may_answer.wait(5)
        if host == "missing.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.7", port, family, kind, proto, flags)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main():
        loop = asyncio.get_running_loop()
        found = asyncio.ensure_future(loop.getaddrinfo("name.test", 80, type=socket.SOCK_STREAM))
        missing = asyncio.ensure_future(loop.getaddrinfo("missing.test", 80))
        while len(asked) < 2:
            await asyncio.sleep(0)
        may_answer.set()
        assert [info[4] for info in await found] == [("127.0.0.7", 80)]
        with pytest.raises(socket.gaierror) as raised:
            await missing
        assert raised.value.errno == socket.EAI_NONAME
        assert asked == [False, False]

    run_real(main())


@pytest.fixture
def resolver(monkeypatch):
    """In the place of the C library's: knows every name, and which threads asked it."""
    threads = []
    real = socket.getaddrinfo

    def getaddrinfo(host, port, family=0, kind=0, proto=0, flags=0):
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, family, kind, proto, flags)
        threads.append(threading.current_thread())
        return real("127.0.0.7", port, family, kind, proto, flags)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return threads


@pytest.mark.parametrize("kind", ["rota"])
def test_a_name_does_not_wait_for_the_blocking_calls_of_the_program(run_real, resolver):
    """asyncio's does: they have the same threads."""

    async def main():
        loop = asyncio.get_running_loop()
        go_on = threading.Event()
        busy = [loop.run_in_executor(None, go_on.wait, 10) for _ in range(100)]
        assert (await loop.getaddrinfo("name.test", 80, type=socket.SOCK_STREAM))[0][4] == ("127.0.0.7", 80)
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        assert await loop.getnameinfo(("127.0.0.1", 80), numeric) == ("127.0.0.1", "80")
        assert not any(call.done() for call in busy)
        go_on.set()
        await asyncio.gather(*busy)
        await loop.shutdown_default_executor()
        assert not resolver[0].is_alive()
        with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
            await loop.getaddrinfo("name.test", 80)

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_the_threads_that_ask_end_with_the_loop(new_loop, resolver):
    loop = new_loop()
    loop.run_until_complete(loop.getaddrinfo("name.test", 80))
    loop.close()
    resolver[0].join(10)
    assert not resolver[0].is_alive()


def test_the_programs_own_executor_is_asked_for_names_as_well(run_real, resolver):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="own"))
        await loop.getaddrinfo("name.test", 80)
        assert [thread.name for thread in resolver] == ["own_0"]

    run_real(main())


@pytest.mark.parametrize("where", ["loop", "class"])
def test_a_run_in_executor_of_the_programs_own_is_asked_for_names(run_real, resolver, monkeypatch, where):
    async def main():
        loop = asyncio.get_running_loop()
        real = loop.run_in_executor
        asked = []

        def on_the_loop(executor, func, *args):
            asked.append((executor, func))
            return real(executor, func, *args)

        def on_the_class(loop, *args):
            return on_the_loop(*args)

        if where == "loop":
            monkeypatch.setattr(loop, "run_in_executor", on_the_loop)
        else:
            monkeypatch.setattr(type(loop), "run_in_executor", on_the_class)
        await loop.getaddrinfo("name.test", 80)
        await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        assert asked == [(None, socket.getaddrinfo), (None, socket.getnameinfo)]

    run_real(main())


def test_addresses_to_names(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        assert await loop.getnameinfo(("127.0.0.1", 80), flags) == ("127.0.0.1", "80")
        assert await loop.getnameinfo(("::1", 80, 0, 0), flags) == ("::1", "80")
        with pytest.raises(socket.gaierror):
            await loop.getnameinfo(("no address", 80))

    run_real(main())


def test_a_name_that_does_not_exist_cannot_be_connected_to(run_real, monkeypatch):
    def getaddrinfo(*args):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main():
        with pytest.raises(socket.gaierror, match="Name or service not known"):
            await asyncio.open_connection("name.test", 80)

    run_real(main())


def test_an_address_is_not_asked_for(run_real, monkeypatch):
    """A function in the place of the C library's may answer anything, and take its time."""

    def getaddrinfo(*args):
        raise AssertionError(f"asked for {args}")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        transport.close()
        server.close()
        await server.wait_closed()

    run_real(main())


def test_a_resolver_that_finds_nothing_is_an_error(run_real, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [])

    async def main():
        with pytest.raises(OSError, match="returned empty list"):
            await asyncio.open_connection("name.test", 80)

    run_real(main())


def test_a_resolver_of_the_programs_own_is_asked_for_names_alone(run_real, monkeypatch):
    """What it answers with, and what the program has as an address, is not asked for again."""

    async def main():
        loop = asyncio.get_running_loop()
        asked = []

        async def getaddrinfo(host, port, **how):
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for host in ("name.test", "127.0.0.1"):
            transport, _ = await loop.create_connection(asyncio.Protocol, host, port, local_addr=("127.0.0.1", 0))
            transport.close()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        transport.close()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
        server.close()
        await server.wait_closed()
        return asked

    assert run_real(main()) == ["name.test"]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("family", [socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "::",
            "0:0::0:1",
            "FE80::1",
            "::ffff:1.2.3.4",
            "2001:db8::1",
        ),
        *("127.1", "1", "0x7f.0.0.1", "127.0.0.01", "1.2.3.4 ", "::g", "1::2::3", "fe80::1%lo", "", "[::1]"),
    ],
)
def test_what_is_known_of_an_address_is_what_getaddrinfo_says(host, family, kind):
    """Without a look-up, and so without the resolver, whatever the spelling."""
    try:
        said = socket.getaddrinfo(host, 80, family, kind, 0, dns.LITERAL)
    except OSError:
        said = None
    assert dns.look_nothing_up(host, 80, family, kind, 0, 0) == said


def test_a_protocol_that_does_not_go_with_the_kind_is_getaddrinfos_to_judge():
    assert dns.look_nothing_up("127.0.0.1", 80, 0, socket.SOCK_STREAM, socket.IPPROTO_UDP, 0) is None
    known = dns.look_nothing_up("127.0.0.1", 80, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP, 0)
    assert known == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))]
