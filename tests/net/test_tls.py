"""TLS from the first byte, clients and servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading

import pytest
import trustme

from .recorder import Recorder, troubles, turns, until

NAME = "server.test"


@contextlib.asynccontextmanager
async def serving(factory, context, **options):
    """The address of a server of ``factory()`` protocols and the list of them; at the end all must be over."""
    protocols = []

    def make():
        protocols.append(factory())
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=context, **options)
    try:
        yield server.sockets[0].getsockname(), protocols
        async with asyncio.timeout(5):
            for protocol in protocols:
                if protocol.events:
                    await protocol.lost
    finally:
        server.close()
        await server.wait_closed()


def connect(address, context, factory=Recorder, name=NAME, **options):
    return asyncio.get_running_loop().create_connection(factory, *address, ssl=context, server_hostname=name, **options)


def test_streams_echo_over_tls(run_real, server_context, client_context):
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context, server_hostname=NAME
        )
        for number in range(10):
            writer.write(b"line %d\n" % number)
            assert await reader.readline() == b"LINE %d\n" % number
        assert not writer.can_write_eof()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run_real(main())


def test_three_megabytes_go_both_ways_at_once(run_real, server_context, client_context):
    data = bytes(range(256)) * 12_000

    async def both(reader, writer):
        async def send():
            for begin in range(0, len(data), 50_000):
                writer.write(data[begin : begin + 50_000])
                await writer.drain()

        found, _ = await asyncio.gather(reader.readexactly(len(data)), send())
        assert found == data

    async def main():
        served = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            await both(reader, writer)
            await reader.read()
            writer.close()
            await writer.wait_closed()
            served.set_result(None)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context, server_hostname=NAME
        )
        await both(reader, writer)
        writer.close()
        await writer.wait_closed()
        await served
        server.close()
        await server.wait_closed()

    run_real(main())


def test_what_the_transports_say_of_the_connection(run_real, server_context, client_context):
    async def main():
        async with serving(Recorder, server_context) as (address, protocols):
            transport, protocol = await connect(address, client_context)
            await until(lambda: protocols and protocols[0].events)
            assert transport.get_extra_info("peername") == address
            assert transport.get_extra_info("sslcontext") is client_context
            assert transport.get_extra_info("cipher")[0]
            certificate = transport.get_extra_info("peercert")
            assert ("DNS", NAME) in certificate["subjectAltName"]
            assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert transport.get_extra_info("socket").fileno() > 0
            assert protocols[0].transport.get_extra_info("peercert") is None
            assert isinstance(transport, asyncio.Transport)
            assert transport.get_protocol() is protocol
            transport.close()
            assert transport.is_closing()
            assert await protocol.lost is None

    run_real(main())


@pytest.mark.parametrize(
    ("name", "believes", "reason"),
    [
        ("other.test", True, "Hostname mismatch"),
        (NAME, False, "unable to get local issuer certificate|self.signed certificate"),
    ],
)
def test_a_certificate_that_does_not_convince_ends_the_connection(
    run_real, server_context, client_context, name, believes, reason
):
    async def main():
        told = troubles()
        context = client_context if believes else ssl.create_default_context()
        async with serving(Recorder, server_context) as (address, protocols):
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                await connect(address, context, name=name)
            await turns()
            assert all("data" not in protocol.events for protocol in protocols)
        assert told == []

    run_real(main())


def test_a_protocol_is_agreed_on(run_real, authority):
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(NAME).configure_cert(server)
    server.set_alpn_protocols(["h2", "http/1.1"])
    client = ssl.create_default_context()
    authority.configure_trust(client)
    client.set_alpn_protocols(["http/1.1", "h2"])

    async def main():
        async with serving(Recorder, server) as (address, protocols):
            transport, protocol = await connect(address, client)
            await until(lambda: protocols and protocols[0].events)
            for end in (transport, protocols[0].transport):
                assert end.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            transport.close()
            await protocol.lost

    run_real(main())


def test_a_client_shows_its_certificate(run_real, authority):
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(NAME).configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context()
    authority.configure_trust(client)
    stranger = ssl.create_default_context()
    authority.configure_trust(stranger)
    trustme.CA().issue_cert("stranger@client.test").configure_cert(stranger)
    authority.issue_cert("known@client.test").configure_cert(client)

    async def main():
        async with serving(Recorder, server) as (address, protocols):
            transport, protocol = await connect(address, client)
            await until(lambda: protocols and protocols[0].events)
            certificate = protocols[0].transport.get_extra_info("peercert")
            assert ("email", "known@client.test") in certificate["subjectAltName"]
            transport.close()
            await protocol.lost
            # With TLS 1.3 a client hears that it was refused only after its own handshake.
            _, refused = await connect(address, stranger)
            await refused.lost
            assert protocols[1].events == []

    run_real(main())


def test_a_client_that_speaks_no_tls_costs_one_connection(run_real, server_context, client_context):
    async def main():
        told = troubles()
        async with serving(Recorder, server_context) as (address, protocols):
            with socket.create_connection(address) as peer:
                peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
                await until(lambda: protocols)
                await turns()
                assert protocols[0].events == []
                peer.settimeout(5)
                while peer.recv(1000):
                    pass
            transport, protocol = await connect(address, client_context)
            transport.close()
            await protocol.lost
            await until(lambda: protocols[1].events)
        assert told == []

    run_real(main())


def test_a_peer_that_does_not_answer_is_given_up(run, pair, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ConnectionAbortedError) as raised:
            await loop.create_connection(
                Recorder, sock=pair[0], ssl=client_context, server_hostname=NAME, ssl_handshake_timeout=7
            )
        assert loop.time() - began == 7
        assert str(raised.value) == "SSL handshake is taking longer than 7 seconds: aborting the connection"

    run(main())


def test_a_server_gives_a_silent_client_up(run, server_context):
    async def main():
        loop = asyncio.get_running_loop()
        async with serving(Recorder, server_context, ssl_handshake_timeout=7) as (address, protocols):
            with socket.create_connection(address) as peer:
                await until(lambda: protocols)
                await asyncio.sleep(6)
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(1)
                await asyncio.sleep(2)
                await turns()
                assert peer.recv(1) == b""
            assert protocols[0].events == []
        assert loop.time() >= 8

    run(main())


def test_a_peer_that_goes_without_a_word_is_the_end_of_the_stream(run_real, server_context, client_context):
    """No close_notify, as many clients do."""

    def speak(address):
        with client_context.wrap_socket(socket.create_connection(address), server_hostname=NAME) as peer:
            peer.sendall(b"that is all")
            with socket.socket(fileno=peer.detach()) as bare:
                bare.shutdown(socket.SHUT_WR)
                while bare.recv(1000):
                    pass

    async def main():
        async with serving(Recorder, server_context) as (address, protocols):
            thread = threading.Thread(target=speak, args=(address,))
            thread.start()
            await until(lambda: protocols and protocols[0].lost.done())
            thread.join()
            assert protocols[0].events == ["made", "data", "eof", "lost"]
            assert protocols[0].data == b"that is all"

    run_real(main())


def test_a_peer_that_says_goodbye_hears_it_back(run_real, server_context, client_context):
    heard = []

    def speak(address):
        with client_context.wrap_socket(socket.create_connection(address), server_hostname=NAME) as peer:
            peer.settimeout(5)
            peer.sendall(b"that is all")
            peer.unwrap().close()
            heard.append("goodbye")

    async def main():
        async with serving(Recorder, server_context) as (address, protocols):
            thread = threading.Thread(target=speak, args=(address,))
            thread.start()
            await until(lambda: protocols and protocols[0].lost.done())
            await until(lambda: not thread.is_alive())
            thread.join()
            assert protocols[0].events == ["made", "data", "eof", "lost"]
            assert protocols[0].lost.result() is None
        assert heard == ["goodbye"]

    run_real(main())


def test_abort_drops_the_connection_at_once(run_real, server_context, client_context):
    async def main():
        async with serving(Recorder, server_context) as (address, protocols):
            transport, protocol = await connect(address, client_context)
            await until(lambda: protocols and protocols[0].events)
            transport.write(bytes(5_000_000))
            transport.abort()
            assert await protocol.lost is None

    run_real(main())


def test_a_cancelled_handshake_leaves_nothing(run_real, pair, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(
            loop.create_connection(Recorder, sock=pair[0], ssl=client_context, server_hostname=NAME)
        )
        await turns()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await until(lambda: pair[0].fileno() == -1)

    run_real(main())


def test_unix_sockets_speak_tls_too(run_real, tmp_path, server_context, client_context):
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main():
        path = str(tmp_path / "s")
        server = await asyncio.start_unix_server(serve, path, ssl=server_context)
        reader, writer = await asyncio.open_unix_connection(path, ssl=client_context, server_hostname=NAME)
        writer.write(b"line\n")
        assert await reader.read() == b"line\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run_real(main())


def test_a_connection_accepted_elsewhere_is_made_secure(run_real, server_context, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = asyncio.ensure_future(connect(listening.getsockname(), client_context))
            await turns()
            sock, _ = listening.accept()
            _, served = await loop.connect_accepted_socket(Recorder, sock, ssl=server_context)
            transport, protocol = await client
            transport.write(b"hi")
            await until(lambda: served.data == b"hi")
            transport.close()
            await protocol.lost
            await served.lost

    run_real(main())
