"""Records go to OpenSSL directly or by Python's ``ssl``: a program cannot tell which."""

from __future__ import annotations

import asyncio
import gc
import ssl

import pytest

from .conftest import ROTA
from .recorder import Recorder, abort, troubles, turns, until

NOT_OURS = b"\x17\x03\x03\x00\x40" + bytes(64)  # the form of a record, and nobody's cipher


class Known(ssl.SSLObject):
    """A program's own: what it does to records is its business."""


@pytest.fixture(params=["directly", "by ssl"])
def way(request: pytest.FixtureRequest, client_context: ssl.SSLContext) -> str:
    if request.param == "by ssl":
        client_context.sslobject_class = Known
    found: str = request.param
    return found


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def version(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> None:
    server_context.maximum_version = request.param


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("size", [1, 1000, 16_384, 16_385, 300_000])
@pytest.mark.parametrize("step", [7, 1448, 70_000])
def test_a_message_comes_whole_however_it_is_cut(run_real, meet, way, version, size, step):
    if size // step > 1000:
        step = size // 1000
    message = bytes(index % 251 for index in range(size))

    async def main():
        transport, protocol, peer = await meet()
        peer.ssl.write(message)
        peer.send(0)
        while peer.unsent():
            peer.send(step)
            await turns(2)
        await until(lambda: len(protocol.data) >= size)
        assert protocol.data == message
        transport.write(message)
        assert await peer.read_exactly(size) == message
        await abort(transport, protocol)

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("buffered", [False, True], ids=["bytes", "memory of its own"])
def test_a_record_that_was_changed_is_told_with_its_reason(run_real, meet, way, version, buffered):
    class Buffered(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint):
            self.memory = bytearray(100)
            return self.memory

        def buffer_updated(self, size):
            self.data += self.memory[:size]

    async def main():
        told = troubles()
        _, protocol, peer = await meet(Buffered if buffered else Recorder)
        peer.ssl.write(b"before")
        peer.outgoing.write(NOT_OURS)
        peer.send()
        error = await protocol.lost
        assert isinstance(error, ssl.SSLError)
        assert error.reason == "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
        assert protocol.data == b"before"
        peer.receive()
        with pytest.raises(ssl.SSLError) as alert:
            peer.ssl.read(1)
        assert alert.value.reason == "SSLV3_ALERT_BAD_RECORD_MAC"
        assert told == []

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_alert_of_a_peer_is_told_with_its_reason(run_real, meet, way, version):
    async def main():
        _, protocol, peer = await meet()
        peer.incoming.write(NOT_OURS)
        with pytest.raises(ssl.SSLError):
            peer.ssl.read(1)
        peer.send()
        error = await protocol.lost
        assert isinstance(error, ssl.SSLError)
        assert error.reason == "SSLV3_ALERT_BAD_RECORD_MAC"

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_an_ssl_object_that_outlives_its_connection_harms_nobody(run_real, meet, way, version):
    async def main():
        transport, protocol, peer = await meet()
        secured = transport.get_extra_info("ssl_object")
        peer.write(b"hello")
        await until(lambda: protocol.data == b"hello")
        await abort(transport, protocol)
        transport = protocol = None
        gc.collect()
        with pytest.raises(ssl.SSLError):
            secured.read(1)
        assert secured.cipher() is not None
        assert secured.pending() == 0

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_connections_do_not_mix_their_records(run_real, server_context, client_context, way):
    """They share the memory into which a socket is read."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def converse(port, number):
        transport, protocol = await asyncio.get_running_loop().create_connection(
            Recorder, "127.0.0.1", port, ssl=client_context, server_hostname="server.test"
        )
        sent = b""
        for turn in range(20):
            message = bytes([number]) * (1 + number * 997 * turn % 70_000)
            transport.write(message)
            sent += message
            if turn % 3 == number % 3:
                transport.pause_reading()
                await asyncio.sleep(0)
                transport.resume_reading()
        await until(lambda: len(protocol.data) >= len(sent))
        assert protocol.data == sent
        transport.close()
        await protocol.lost

    async def main():
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(*(converse(port, number) for number in range(8)))
        server.close()
        await server.wait_closed()

    run_real(main())
