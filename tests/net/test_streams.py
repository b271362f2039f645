"""Streams over a wire: rota's and asyncio's, on every loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random

import pytest

from .recorder import turns


@contextlib.asynccontextmanager
async def serving(streams, client_connected):
    """An address where ``client_connected(reader, writer)`` serves; afterwards its connections are over."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await client_connected(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await streams.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def finish(writer):
    writer.close()
    await writer.wait_closed()


def test_what_is_sent_comes_back(run_real, streams):
    async def main():
        async with serving(streams, echo) as address:
            reader, writer = await streams.open_connection(*address)
            for size in (1, 100, 5000):
                writer.write(b"x" * size)
                await writer.drain()
                assert await reader.readexactly(size) == b"x" * size
            writer.write(b"line\nrest")
            assert await reader.readline() == b"line\n"
            writer.write_eof()
            assert await reader.read() == b"rest"
            assert reader.at_eof()
            await finish(writer)

    run_real(main())


def test_ten_megabytes_go_both_ways_at_once(run_real, streams):
    """With back pressure: neither side keeps much more than the high-water mark."""
    data = random.Random(1).randbytes(10 << 20)
    most = 0

    async def send(writer):
        nonlocal most
        for begin in range(0, len(data), 30_000):
            writer.write(data[begin : begin + 30_000])
            most = max(most, writer.transport.get_write_buffer_size())
            await writer.drain()
        writer.write_eof()

    async def receive(reader):
        digest = hashlib.blake2b()
        while piece := await reader.read(1 << 16):
            digest.update(piece)
        return digest.digest()

    async def both(reader, writer):
        digest, _ = await asyncio.gather(receive(reader), send(writer))
        assert digest == hashlib.blake2b(data).digest()

    async def main():
        async with serving(streams, both) as address:
            reader, writer = await streams.open_connection(*address)
            await both(reader, writer)
            await finish(writer)
        assert most <= 64 * 1024 + 30_000

    run_real(main())


def test_a_reader_that_does_not_read_stops_the_sender(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        reader, answer = await streams.open_connection(sock=ours, limit=1000)
        _, writer = await streams.open_connection(sock=theirs)
        writer.write(bytes(5_000_000))
        drained = asyncio.ensure_future(writer.drain())
        await turns(200)
        assert not drained.done()
        assert not reader._transport.is_reading()
        assert len(await reader.readexactly(5_000_000)) == 5_000_000
        await drained
        await finish(writer)
        assert await reader.read() == b""
        await finish(answer)

    run_real(main())


def test_one_side_ends_and_the_other_goes_on(run_real, streams):
    async def count(reader, writer):
        writer.write(b"%d" % len(await reader.read()))
        await writer.drain()

    async def main():
        async with serving(streams, count) as address:
            reader, writer = await streams.open_connection(*address)
            writer.write(bytes(123_456))
            writer.write_eof()
            assert await reader.read() == b"123456"
            await finish(writer)

    run_real(main())


def test_the_server_ends_its_side_first(run_real, streams):
    heard = []

    async def talk_then_listen(reader, writer):
        writer.write(b"talk")
        writer.write_eof()
        heard.append(await reader.read())

    async def main():
        async with serving(streams, talk_then_listen) as address:
            reader, writer = await streams.open_connection(*address)
            assert await reader.read() == b"talk"
            writer.write(b"answer")
            writer.write_eof()
            await finish(writer)
        assert heard == [b"answer"]

    run_real(main())


def test_readuntil_and_its_errors(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        reader, writer = await streams.open_connection(sock=ours, limit=16)
        theirs.send(b"one;two")
        assert await reader.readuntil(b";") == b"one;"
        theirs.send(b"x" * 40)
        with pytest.raises(asyncio.LimitOverrunError, match="Separator is not found, and chunk exceed the limit"):
            await reader.readuntil(b";")
        assert await reader.readexactly(43) == b"two" + b"x" * 40
        theirs.send(b"partial")
        theirs.close()
        with pytest.raises(asyncio.IncompleteReadError) as raised:
            await reader.readexactly(10)
        assert raised.value.partial == b"partial"
        assert raised.value.expected == 10
        await finish(writer)

    run_real(main())


def test_drain_raises_what_ended_the_connection(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        _, writer = await streams.open_connection(sock=ours)
        writer.write(bytes(5_000_000))
        draining = asyncio.ensure_future(writer.drain())
        await turns()
        theirs.close()
        with pytest.raises(ConnectionError):
            await draining
        with pytest.raises(ConnectionError):
            await writer.drain()
        writer.close()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()

    run_real(main())


def test_a_read_that_is_cancelled_loses_nothing(run_real, streams, pair):
    async def main():
        ours, theirs = pair
        reader, writer = await streams.open_connection(sock=ours)
        reading = asyncio.ensure_future(reader.readexactly(4))
        theirs.send(b"12")
        await turns()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        theirs.send(b"34")
        assert await reader.readexactly(4) == b"1234"
        await finish(writer)

    run_real(main())


def test_many_clients_at_once(run_real, streams):
    async def client(address, number):
        reader, writer = await streams.open_connection(*address)
        for step in range(5):
            writer.write(b"%d/%d\n" % (number, step))
            assert await reader.readline() == b"%d/%d\n" % (number, step)
        await finish(writer)
        return number

    async def main():
        async with serving(streams, echo) as address:
            found = await asyncio.gather(*[client(address, number) for number in range(50)])
        assert found == list(range(50))

    run_real(main())
