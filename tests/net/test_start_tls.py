"""TLS that begins in the middle of a connection."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl

import pytest

import rota

from .conftest import ROTA
from .recorder import Recorder, fill, troubles, turns, until, write_until_paused
from .tls_peer import NAME, Inner, Peer


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


def test_both_ends_go_on_in_secret(run_real, kind, pair, server_context, client_context):
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
            assert "SSL" in transport.__class__.__name__  # programs look
            if kind != "asyncio":
                assert transport._sslcontext is transport.get_extra_info("sslcontext")
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


@pytest.mark.parametrize("waits", [0, 1])
def test_a_connection_that_closes_cannot_begin_tls(run_real, pair, client_context, kind, waits):
    """None is how asyncio says so; it waits for ever once the connection is closed."""
    if waits and kind == "asyncio":
        pytest.skip("asyncio waits for ever")

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        transport.close()
        for _ in range(waits):
            await asyncio.sleep(0)
        assert await loop.start_tls(transport, protocol, client_context, server_hostname=NAME) is None
        await until(lambda: pair[0].fileno() == -1)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_stream_that_closes_cannot_begin_tls(run_real, pair, client_context):
    async def main():
        _reader, writer = await rota.open_connection(sock=pair[0])
        writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await writer.start_tls(client_context, server_hostname=NAME)
        assert writer.is_closing()

    run_real(main())


def test_much_comes_with_the_last_words_of_the_handshake(run_real, streams, server_context, client_context):
    """More than a stream keeps unread, before it has its new transport."""

    async def main():
        served = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            await writer.start_tls(server_context)
            async with asyncio.timeout(5):
                served.set_result(await reader.readexactly(20_000) + await reader.readexactly(5))
            writer.transport.abort()

        server = await streams.start_server(serve, "127.0.0.1", 0, limit=100)
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            sock.setblocking(False)
            peer = Peer(sock, client_context, server_side=False)
            await peer.shake(bytes(20_000))
            await turns()
            peer.write(b"later")
            assert await served == bytes(20_000) + b"later"
        server.close()
        await turns()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_connection_lost_in_the_handshake_is_told_to_the_protocol(run_real, pair, client_context):
    """It has had a connection, so it hears of its end; asyncio tells only who waits."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        starting = asyncio.ensure_future(loop.start_tls(transport, protocol, client_context, server_hostname=NAME))
        await turns()
        pair[1].close()
        with pytest.raises(ConnectionResetError):
            await starting
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert protocol.events == ["made", "lost"]

    run_real(main())


def test_a_cancelled_start_closes_the_connection(run_real, pair, client_context):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=pair[0])
        starting = asyncio.ensure_future(loop.start_tls(transport, protocol, client_context, server_hostname=NAME))
        await turns()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await until(lambda: pair[0].fileno() == -1)

    run_real(main())


@pytest.mark.parametrize("size", [100, 300_000])
def test_three_layers_deep(run_real, pair, server_context, client_context, size):
    async def main():
        told = troubles()
        loop = asyncio.get_running_loop()
        ends = await two_ends(loop, pair)
        protocols = [protocol for _, protocol in ends]
        for _ in range(3):
            secured = await secure(loop, ends, server_context, client_context)
            ends = list(zip(secured, protocols, strict=True))
        data = bytes(range(250)) * (size // 250) + b"end"
        for transport in secured:
            transport.write(data)
        await until(lambda: all(len(protocol.data) == len(data) for protocol in protocols))
        assert all(protocol.data == data for protocol in protocols)
        assert secured[0].get_extra_info("socket").fileno() == pair[0].fileno()
        secured[0].close()
        await close(protocols)
        assert told == []

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_closing_deep_down_loses_nothing(run_real, pair, server_context, client_context):
    """Much is written through two layers, and the connection closed at once. asyncio gives its outer layer no time."""

    async def main():
        loop = asyncio.get_running_loop()
        ends = await two_ends(loop, pair)
        protocols = [protocol for _, protocol in ends]
        for _ in range(2):
            secured = await secure(loop, ends, server_context, client_context)
            ends = list(zip(secured, protocols, strict=True))
        secured[0].write(bytes(3_000_000))
        secured[0].close()
        await close(protocols)
        assert len(protocols[1].data) == 3_000_000
        assert [protocol.lost.result() for protocol in protocols] == [None, None]

    run_real(main())


def test_an_answer_arrives_though_the_layer_beneath_ends(run_real, meet, server_context, client_context):
    """A question and the end of the outer layer come in one packet."""

    class Answering(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.secured.write(b"answer")

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, outer = await meet(Answering)
        inner = Inner(outer, server_context)
        protocol.secured, _ = await asyncio.gather(
            loop.start_tls(transport, protocol, client_context, server_hostname=NAME), inner.shake()
        )
        inner.ssl.write(b"question")
        outer.ssl.write(inner.outgoing.read())
        outer.say_goodbye()
        await protocol.lost
        assert protocol.events == ["made", "data", "eof", "lost"]
        assert inner.read() == b"answer"

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_is_unread_outlives_the_layer_beneath(run_real, meet, server_context, client_context):
    """Ten bytes are read at a time, and reading is paused and resumed again and again, while the outer layer knows its
    end from the first packet on. asyncio drops what is unread.
    """

    class Hesitant(Recorder, asyncio.BufferedProtocol):
        secured = None

        def get_buffer(self, sizehint):
            self.buffer = bytearray(10)
            return self.buffer

        def buffer_updated(self, size):
            self.data_received(self.buffer[:size])
            loop = asyncio.get_running_loop()
            loop.call_soon(self.secured.resume_reading)
            self.secured.pause_reading()
            self.secured.resume_reading()
            loop.call_soon(self.secured.resume_reading)
            self.secured.pause_reading()

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, outer = await meet(Hesitant)
        inner = Inner(outer, server_context)
        protocol.secured, _ = await asyncio.gather(
            loop.start_tls(transport, protocol, client_context, server_hostname=NAME), inner.shake()
        )
        inner.ssl.write(bytes(1000))
        outer.ssl.write(inner.outgoing.read())
        outer.say_goodbye()
        await protocol.lost
        assert len(protocol.data) == 1000
        assert protocol.events == ["made", "data", "eof", "lost"]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_an_alert_leaves_through_the_layer_beneath(run_real, meet, server_context, client_context):
    """asyncio's does not leave."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, outer = await meet()
        inner = Inner(outer, server_context)
        await asyncio.gather(loop.start_tls(transport, protocol, client_context, server_hostname=NAME), inner.shake())
        outer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert isinstance(await protocol.lost, ssl.SSLError)
        with pytest.raises(ssl.SSLError, match="ALERT"):
            inner.read()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("size", [100, 100_000])
def test_what_was_written_arrives_though_a_full_layer_ends(run_real, meet, server_context, client_context, size):
    """The outer layer is full, and takes nothing once its peer has ended it. asyncio comes to a standstill."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, outer = await meet()
        inner = Inner(outer, server_context)
        secured, _ = await asyncio.gather(
            loop.start_tls(transport, protocol, client_context, server_hostname=NAME), inner.shake()
        )
        written = await write_until_paused(secured, protocol)
        secured.write(bytes(size))
        written += size
        outer.say_goodbye()
        await until(lambda: "eof" in protocol.events)
        found = 0

        def over():
            nonlocal found
            found += len(inner.read(100_000))
            return outer.goodbye or outer.eof

        await until(over)
        assert found == written
        assert await protocol.lost is None

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("callback", ["data_received", "resume_writing"])
def test_a_callback_takes_tls_away(run_real, pair, server_context, client_context, callback):
    """The protocol of the transport beneath is replaced while TLS hands something over, and nobody else has TLS.

    asyncio's TLS warns that it was not closed. Compiled, what was freed under its own feet crashed, or was only found
    by the sanitizers.
    """

    class Leaving(Recorder):
        def take_away(self):
            self.events.append(callback)
            self.transport.set_protocol(asyncio.Protocol())
            gc.collect()

        def data_received(self, data):
            self.take_away()

        def resume_writing(self):
            self.take_away()

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Leaving, sock=pair[0])
        peer = Peer(pair[1], server_context)
        starting = loop.start_tls(transport, protocol, client_context, server_hostname=NAME)
        secured = (await asyncio.gather(starting, peer.shake()))[0]
        if callback == "data_received":
            peer.write(b"x")
        else:
            await fill(secured)
            secured.set_write_buffer_limits(high=0)
        del secured, starting
        await until(lambda: peer.read() is not None and callback in protocol.events)
        await turns()
        transport.abort()
        await turns()

    run_real(main())


class Wire(asyncio.Transport):
    """A transport of somebody else's: what is written at one end is received at the other, at once."""

    _start_tls_compatible = True

    def __init__(self, protocol):
        super().__init__()
        self.protocol = protocol
        self.other = None
        self.paused = False
        self.kept = []
        self.closing = False

    def set_protocol(self, protocol):
        self.protocol = protocol

    def get_protocol(self):
        return self.protocol

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False
        while self.kept and not self.paused:
            self.protocol.data_received(self.kept.pop(0))

    def write(self, data):
        assert isinstance(data, bytes)
        if self.other.paused or self.other.kept:
            self.other.kept.append(data)
        elif not self.other.closing:
            self.other.protocol.data_received(data)

    def can_write_eof(self):
        return False

    def is_closing(self):
        return self.closing

    def get_write_buffer_size(self):
        return 0

    def close(self):
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
            asyncio.get_running_loop().call_soon(self.other.end)

    abort = close

    def end(self):
        if not self.closing:
            self.protocol.eof_received()
            self.close()


@pytest.mark.parametrize("kind", ROTA)
def test_tls_over_somebody_elses_transport(run_real, server_context, client_context):
    """One that hands over what is written while it is being written, which asyncio's TLS does not survive."""

    class Echo(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if len(self.data) < 1_000_000:
                self.transport.write(data)
                self.transport.write(bytes(70_000))

    async def main():
        told = troubles()
        loop = asyncio.get_running_loop()
        protocols = [Echo(), Echo()]
        wires = [Wire(protocol) for protocol in protocols]
        wires[0].other, wires[1].other = wires[1], wires[0]
        for protocol in protocols:
            protocol.connection_made(None)
        ends = list(zip(wires, protocols, strict=True))
        secured = await secure(loop, ends, server_context, client_context)
        for protocol, transport in zip(protocols, secured, strict=True):
            protocol.transport = transport
        secured[0].write(b"begin")
        await until(lambda: all(len(protocol.data) >= 1_000_000 for protocol in protocols))
        secured[0].close()
        await close(protocols)
        assert [protocol.events.count("lost") for protocol in protocols] == [1, 1]
        assert told == []

    run_real(main())
