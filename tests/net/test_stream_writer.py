"""A stream's writer and its protocol: when drain waits, how a connection ends, and who serves it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import socket
import ssl
import sys

import pytest

import rota

from .conftest import ROTA
from .recorder import fill, read_all, troubles, turns, until


async def finish(writer):
    writer.close()
    await writer.wait_closed()


async def write_for_ever(writer):
    while True:
        writer.write(b"x" * 1000)
        await writer.drain()


# -- writing -------------------------------------------------------------------------------------------------------


def test_what_is_written_arrives_in_its_order(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        _, writer = await streams.open_connection(sock=ours)
        writer.write(b"one ")
        writer.writelines([b"two ", bytearray(b"three "), memoryview(b"four")])
        await writer.drain()
        assert writer.can_write_eof()
        writer.write_eof()
        await turns()
        assert read_all(theirs) == b"one two three four"
        assert not writer.is_closing()
        await finish(writer)
        assert writer.is_closing()

    run_real(main())


def test_drain_does_not_wait_when_there_is_nothing_to_wait_for(run_real, streams, pair):
    async def main():
        _, writer = await streams.open_connection(sock=pair[0])
        writer.write(b"little")
        draining = writer.drain()
        assert inspect.iscoroutine(draining)
        with pytest.raises(StopIteration) as stop:
            draining.send(None)
        assert stop.value.value is None
        await finish(writer)

    run_real(main())


def test_everybody_drains_when_the_transport_has_less(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        _, writer = await streams.open_connection(sock=ours)
        await fill(writer.transport)
        writer.transport.set_write_buffer_limits(high=0)
        draining = [asyncio.create_task(writer.drain()) for _ in range(3)]
        await turns()
        assert not any(task.done() for task in draining)
        draining[0].cancel()
        await turns()
        while writer.transport.get_write_buffer_size():
            read_all(theirs)
            await asyncio.sleep(0)
        results = await asyncio.gather(*draining, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError, type(None), type(None)]
        await finish(writer)

    run_real(main())


def test_drain_raises_that_the_connection_is_closed(run_real, streams, pair):
    """And lets the loop run first: a program that only writes and drains would never hear of it."""

    async def main():
        _, writer = await streams.open_connection(sock=pair[0])
        writer.close()
        with pytest.raises(ConnectionResetError, match=r"^Connection lost$"):
            await write_for_ever(writer)
        await writer.wait_closed()

    run_real(main())


def test_a_stubborn_writer_hears_that_the_peer_has_gone(run_real, streams):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            _, writer = await streams.open_connection(*listener.getsockname())
            listener.accept()[0].close()
            with pytest.raises(ConnectionError):
                await write_for_ever(writer)
            with pytest.raises(ConnectionError):
                await finish(writer)

    run_real(main())


def test_drain_raises_what_the_reader_was_told(run_real, streams, pair):
    async def main():
        reader, writer = await streams.open_connection(sock=pair[0])
        reader.set_exception(ZeroDivisionError("from the reader"))
        with pytest.raises(ZeroDivisionError, match="from the reader"):
            await writer.drain()
        await finish(writer)

    run_real(main())


def test_a_protocol_of_ones_own_says_when_drain_waits(run_real, streams, pair):
    class Mine(asyncio.streams.FlowControlMixin):
        async def _drain_helper(self):
            self.asked = True

        def _get_close_waiter(self, stream):
            return closed

    async def main():
        nonlocal closed
        closed = asyncio.get_running_loop().create_future()
        transport, protocol = await asyncio.get_running_loop().create_connection(Mine, sock=pair[0])
        writer = streams.StreamWriter(transport, protocol, None, asyncio.get_running_loop())
        await writer.drain()
        assert protocol.asked
        writer.close()
        closed.set_exception(ZeroDivisionError("from the protocol"))
        with pytest.raises(ZeroDivisionError, match="from the protocol"):
            await writer.wait_closed()
        await turns()

    closed = None
    run_real(main())


# -- the end -------------------------------------------------------------------------------------------------------


def test_what_ends_the_connection_ends_reads_and_waits(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        reader, writer = await streams.open_connection(sock=ours)
        reading = asyncio.create_task(reader.readline())
        closing = asyncio.create_task(writer.wait_closed())
        await turns(3)
        writer.close()
        assert await reading == b""
        await closing
        assert reader.at_eof()
        theirs.setblocking(True)
        assert theirs.recv(1) == b""

    run_real(main())


@pytest.mark.parametrize("error", [None, ConnectionResetError("gone")])
def test_a_wait_for_the_end_that_is_given_up_leaves_the_others(run_real, pair, error):
    """asyncio's cancels the one future of all: who waits beside it, or again, is cancelled by nobody."""

    async def main():
        told = troubles()
        _, writer = await rota.open_connection(sock=pair[0])
        waits = [asyncio.ensure_future(writer.wait_closed()) for _ in range(2)]
        await turns(2)
        waits[0].cancel()
        await turns(2)
        assert waits[0].cancelled()
        assert not waits[1].done()
        writer.transport._force_close(error)
        for wait in (waits[1], writer.wait_closed()):
            assert (await asyncio.gather(wait, return_exceptions=True))[0] is error
        assert told == []

    run_real(main())


def test_a_reset_is_told_to_reader_and_writer(run_real, streams):
    async def main():
        told = troubles()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            reader, writer = await streams.open_connection(*listener.getsockname())
            peer, _ = listener.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionResetError):
                await writer.drain()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()
        assert told == []

    run_real(main())


def test_an_end_that_nobody_asked_about_is_no_news(run_real, streams):
    async def main():
        told = troubles()
        reader = streams.StreamReader()
        protocol = streams.StreamReaderProtocol(reader)
        protocol.connection_lost(ConnectionResetError("gone"))
        del protocol
        gc.collect()
        assert told == []
        assert isinstance(reader.exception(), ConnectionResetError)

    run_real(main())


def test_a_writer_that_is_forgotten_closes_and_says_so(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        reader, writer = await streams.open_connection(sock=ours)
        with pytest.warns(ResourceWarning, match=r"^unclosed <StreamWriter transport=.* reader=<StreamReader"):
            del writer
        assert await reader.read() == b""
        await turns()
        theirs.setblocking(True)
        assert theirs.recv(1) == b""

    run_real(main())


def test_a_writer_that_outlives_its_loop_says_so(new_loop, streams, pair):
    loop = new_loop()
    _, writer = loop.run_until_complete(streams.open_connection(sock=pair[0]))
    transport = writer.transport
    loop.close()
    with pytest.warns(ResourceWarning, match=r"^loop is closed$"):
        del writer
    # Nobody else can close its socket now.
    del transport, _
    with pytest.warns(ResourceWarning, match=r"^unclosed transport"):
        gc.collect()


def test_what_comes_for_a_reader_that_is_forgotten_is_dropped(run_real, streams):
    async def main():
        reader = streams.StreamReader()
        protocol = streams.StreamReaderProtocol(reader)
        protocol.data_received(b"x")
        assert await reader.read(5) == b"x"
        del reader
        gc.collect()
        assert protocol._stream_reader is None
        protocol.data_received(b"x")
        assert protocol.eof_received()
        protocol.connection_lost(None)

    run_real(main())


# -- serving -------------------------------------------------------------------------------------------------------


async def connect_once(streams, serve, **kwargs):
    """What a client of ``serve`` reads, once its connection is over."""
    server = await streams.start_server(serve, "127.0.0.1", 0, **kwargs)
    reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
    try:
        return await reader.read()
    finally:
        await finish(writer)
        server.close()
        await server.wait_closed()


def test_a_plain_function_may_serve(run_real, streams):
    def serve(reader, writer):
        assert type(reader) is streams.StreamReader
        assert type(writer) is streams.StreamWriter
        assert reader._limit == 77
        writer.write(b"served")
        writer.close()

    assert run_real(connect_once(streams, serve, limit=77)) == b"served"


def test_a_handler_that_fails_is_told_and_its_connection_closed(run_real, streams):
    async def serve(reader, writer):
        writer.write(b"before")
        raise ZeroDivisionError("in the handler")

    async def main():
        told = troubles()
        assert await connect_once(streams, serve) == b"before"
        assert [trouble["message"] for trouble in told] == ["Unhandled exception in client_connected_cb"]
        assert str(told[0]["exception"]) == "in the handler"
        assert isinstance(told[0]["transport"], asyncio.Transport)

    run_real(main())


def test_a_handler_that_is_cancelled_closes_its_connection(run_real):
    """asyncio's leaves it open before Python 3.13, and raises in a callback."""

    async def serve(reader, writer):
        writer.write(b"before")
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    async def main():
        told = troubles()
        assert await connect_once(rota, serve) == b"before"
        assert told == []

    run_real(main())


def test_unix_streams(run_real, streams, tmp_path):
    async def main():
        async def serve(reader, writer):
            writer.write((await reader.readline()).upper())
            await finish(writer)

        path = str(tmp_path / "socket")
        server = await streams.start_unix_server(serve, path)
        reader, writer = await streams.open_unix_connection(path, limit=99)
        assert reader._limit == 99
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        await finish(writer)
        server.close()
        await server.wait_closed()

    run_real(main())


# -- TLS -----------------------------------------------------------------------------------------------------------


def test_streams_over_tls(run_real, streams, server_context, client_context):
    async def main():
        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            await finish(writer)

        server = await streams.start_server(serve, "127.0.0.1", 0, ssl=server_context)
        address = server.sockets[0].getsockname()
        reader, writer = await streams.open_connection(*address, ssl=client_context, server_hostname="server.test")
        assert writer.get_extra_info("sslcontext") is client_context
        assert not writer.can_write_eof()
        for size in (1, 60_000):
            writer.write(b"x" * size + b"\n")
            assert await reader.readexactly(size + 1) == b"X" * size + b"\n"
        await finish(writer)
        server.close()
        await server.wait_closed()

    run_real(main())


def test_tls_may_begin_in_the_middle(run_real, streams, server_context, client_context):
    async def main():
        async def serve(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"GO\n")
            await writer.start_tls(server_context)
            writer.write((await reader.readline()).upper())
            await finish(writer)

        server = await streams.start_server(serve, "127.0.0.1", 0)
        reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
        in_the_clear = writer.transport
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"GO\n"
        await writer.start_tls(client_context, server_hostname="server.test")
        assert writer.transport is not in_the_clear
        assert writer.get_extra_info("sslcontext") is client_context
        writer.write(b"secret\n")
        assert await reader.read() == b"SECRET\n"
        await finish(writer)
        server.close()
        await server.wait_closed()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_came_early_belongs_to_tls(run_real, streams, pair, server_context, client_context):
    """The first record of the handshake comes together with the line that asks for TLS. asyncio's loses it (before the
    last versions of 3.13), and waits until the handshake takes too long.
    """

    async def main():
        ours, theirs = pair
        reader, writer = await streams.open_connection(sock=ours)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context.wrap_bio(incoming, outgoing, server_hostname="server.test")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        theirs.send(b"STARTTLS\n" + outgoing.read())
        assert await reader.readline() == b"STARTTLS\n"
        await until(lambda: reader._buffer)
        writer._protocol._client_connected_cb = True  # this is the server's side
        securing = asyncio.create_task(writer.start_tls(server_context))
        while not securing.done():
            incoming.write(read_all(theirs))
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            if outgoing.pending:
                theirs.send(outgoing.read())
            await turns(3)
        await securing
        client.write(b"secret\n")
        theirs.send(outgoing.read())
        assert await reader.readline() == b"secret\n"
        writer.transport.abort()
        await turns()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_words_in_the_clear_are_not_read_after_tls_has_begun(run_real, streams, pair, client_context):
    """asyncio's reader gives them as if the peer had said them in secret (before the last versions of 3.13)."""

    async def main():
        ours, theirs = pair
        reader, writer = await streams.open_connection(sock=ours)
        theirs.send(b"GO\nfrom a stranger\n")
        assert await reader.readline() == b"GO\n"
        with pytest.raises(ssl.SSLError):
            await writer.start_tls(client_context, server_hostname="server.test")
        assert reader._buffer == b""
        await turns()

    run_real(main())


def test_a_reader_that_is_full_pauses_tls(run_real, server_context, client_context):
    """asyncio's goes on pausing the transport underneath."""

    async def main():
        async def serve(reader, writer):
            await writer.start_tls(server_context, ssl_shutdown_timeout=5)
            writer.write(bytes(1_000_000))
            await reader.read()
            await finish(writer)

        server = await rota.start_server(serve, "127.0.0.1", 0)
        reader, writer = await rota.open_connection(*server.sockets[0].getsockname(), limit=1000)
        await writer.start_tls(client_context, server_hostname="server.test", ssl_handshake_timeout=5)
        await until(lambda: not writer.transport.is_reading())
        assert len(await reader.readexactly(1_000_000)) == 1_000_000
        assert writer.transport.is_reading()
        await finish(writer)
        server.close()
        await server.wait_closed()

    run_real(main())


def test_start_tls_takes_the_keywords_of_every_python():
    assert set(inspect.signature(rota.StreamWriter.start_tls).parameters) >= set(
        inspect.signature(asyncio.StreamWriter.start_tls).parameters
    )


# -- who it is -----------------------------------------------------------------------------------------------------


def test_a_writer_looks_like_what_it_writes_to(run_real, streams, pair):
    async def main():
        reader, writer = await streams.open_connection(sock=pair[0])
        assert repr(writer) == f"<StreamWriter transport={writer.transport!r} reader={reader!r}>"
        assert writer.transport.get_protocol()._stream_reader is reader
        assert writer.get_extra_info("nothing", 5) == 5
        await finish(writer)

    run_real(main())


def test_a_writer_wants_a_reader(run_real):
    """asyncio's does, too, and then fails a second time when it is collected."""

    async def main():
        with pytest.raises(AssertionError):
            rota.StreamWriter(None, None, "no reader", asyncio.get_running_loop())

    run_real(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio warns by itself before Python 3.12")
def test_streams_outside_a_loop_are_refused(streams):
    asyncio.set_event_loop(None)
    with pytest.raises(RuntimeError, match="no current event loop"):
        streams.StreamReader()
    with pytest.raises(RuntimeError, match="no current event loop"):
        streams.StreamReaderProtocol(None)
