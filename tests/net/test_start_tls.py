"""TLS that begins in the middle of a connection."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from .recorder import Recorder, turns, until

NAME = "server.test"


async def two_ends(loop, pair):
    return [await loop.create_connection(Recorder, sock=sock) for sock in pair]


async def secure(loop, ends, server_context, client_context):
    """Begin TLS at both ends."""
    (client, client_protocol), (server, server_protocol) = ends
    return await asyncio.gather(
        loop.start_tls(client, client_protocol, client_context, server_hostname=NAME),
        loop.start_tls(server, server_protocol, server_context, server_side=True),
    )


async def close(protocols):
    for protocol in protocols:
        await protocol.lost


def test_both_ends_go_on_in_secret(run_real, pair, server_context, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        ends = await two_ends(loop, pair)
        protocols = [protocol for _, protocol in ends]
        ends[0][0].write(b"in the clear")
        await until(lambda: protocols[1].data == b"in the clear")
        secured = await secure(loop, ends, server_context, client_context)
        for transport in secured:
            assert transport.get_extra_info("cipher") is not None
            assert isinstance(transport, asyncio.Transport)
        for protocol in protocols:
            assert protocol.events.count("made") == 1
            protocol.data.clear()
        secured[0].write(b"from the client" * 10_000)
        secured[1].write(b"from the server")
        await until(lambda: len(protocols[1].data) == 150_000 and protocols[0].data == b"from the server")
        secured[0].close()
        await close(protocols)
        assert [protocol.events.count("lost") for protocol in protocols] == [1, 1]

    run_real(main())


def test_streams_begin_tls(run_real, server_context, client_context):
    async def main():
        served = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"GO\n")
            await writer.drain()
            await writer.start_tls(server_context)
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()
            served.set_result(None)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"GO\n"
        await writer.start_tls(client_context, server_hostname=NAME)
        assert writer.get_extra_info("sslcontext") is client_context
        writer.write(b"secret\n")
        assert await reader.read() == b"SECRET\n"
        writer.close()
        await writer.wait_closed()
        await served
        server.close()
        await server.wait_closed()

    run_real(main())


def test_tls_inside_tls(run_real, pair, server_context, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        ends = await two_ends(loop, pair)
        protocols = [protocol for _, protocol in ends]
        outer = await secure(loop, ends, server_context, client_context)
        inner = await secure(loop, list(zip(outer, protocols, strict=True)), server_context, client_context)
        inner[0].write(b"twice in secret" * 1000)
        await until(lambda: protocols[1].data == b"twice in secret" * 1000)
        inner[0].close()
        await close(protocols)

    run_real(main())


def test_a_handshake_that_fails_closes_the_connection(run_real, pair, server_context):
    async def main():
        loop = asyncio.get_running_loop()
        ends = await two_ends(loop, pair)
        stranger = ssl.create_default_context()
        results = await asyncio.gather(
            loop.start_tls(*ends[0], stranger, server_hostname=NAME),
            loop.start_tls(*ends[1], server_context, server_side=True),
            return_exceptions=True,
        )
        assert isinstance(results[0], ssl.SSLCertVerificationError)
        # With TLS 1.3 the server's handshake can be over before the client refuses.
        if not isinstance(results[1], BaseException):
            results[1].close()
        await until(lambda: pair[0].fileno() == pair[1].fileno() == -1)

    run_real(main())


def test_a_peer_that_does_not_answer_is_given_up(run, pair, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        began = loop.time()
        with pytest.raises(ConnectionAbortedError, match=r"^SSL handshake is taking longer than 3 seconds"):
            await loop.start_tls(transport, protocol, client_context, server_hostname=NAME, ssl_handshake_timeout=3)
        assert loop.time() - began == 3
        await until(lambda: pair[0].fileno() == -1)

    run(main())


def test_what_cannot_begin_tls_is_refused(run_real, pair, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        with pytest.raises(TypeError, match=r"^sslcontext is expected to be an instance of ssl.SSLContext, got None"):
            await loop.start_tls(transport, protocol, None)
        with pytest.raises(TypeError, match=r"^transport <.*> is not supported by start_tls\(\)$"):
            await loop.start_tls(asyncio.Transport(), protocol, client_context)
        transport.close()
        await protocol.lost

    run_real(main())


def test_data_written_before_the_change_arrives_before_it(run_real, pair, server_context, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        ends = await two_ends(loop, pair)
        protocols = [protocol for _, protocol in ends]
        ends[0][0].write(bytes(1_000_000))
        await turns()
        await until(lambda: len(protocols[1].data) == 1_000_000)
        secured = await secure(loop, ends, server_context, client_context)
        secured[0].write(b"secret")
        await until(lambda: protocols[1].data.endswith(b"secret"))
        secured[0].close()
        await close(protocols)

    run_real(main())
