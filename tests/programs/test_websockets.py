"""A websockets server and its clients, unchanged."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK


async def echo(socket):
    async for message in socket:
        if message == "go away":
            await socket.close(4001, "as you wish")
        elif message == "fail":
            raise ZeroDivisionError
        else:
            await socket.send(message)


@contextlib.asynccontextmanager
async def echoing(**options):
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        scheme = "wss" if "ssl" in options else "ws"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_two_hundred_messages_come_back(run_real):
    async def main():
        async with echoing() as url, connect(url) as socket:
            for number in range(200):
                message = f"message {number}" if number % 2 else b"%d" % number
                await socket.send(message)
                assert await socket.recv() == message

    run_real(main())


def test_messages_are_sent_and_received_at_once(run_real):
    async def main():
        async with echoing() as url, connect(url) as socket:

            async def send():
                for number in range(200):
                    await socket.send(str(number))

            async def receive():
                return [await socket.recv() for _ in range(200)]

            found, _ = await asyncio.gather(receive(), send())
            assert found == [str(number) for number in range(200)]

    run_real(main())


def test_a_big_message_comes_back_over_tls(run_real, server_context, client_context):
    message = bytes(range(256)) * 12_000

    async def main():
        async with (
            echoing(max_size=1 << 22, ssl=server_context) as url,
            connect(url, max_size=1 << 22, ssl=client_context) as socket,
        ):
            await socket.send(message)
            assert await socket.recv() == message

    run_real(main())


def test_a_ping_is_answered(run_real):
    async def main():
        async with echoing() as url, connect(url) as socket:
            async with asyncio.timeout(5):
                assert await (await socket.ping()) >= 0

    run_real(main())


def test_the_close_codes_reach_the_other_side(run_real):
    async def main():
        async with echoing() as url:
            async with connect(url) as socket:
                await socket.send("go away")
                with pytest.raises(ConnectionClosedError) as closed:
                    await socket.recv()
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")
            async with connect(url) as socket:
                await socket.send("fail")
                with pytest.raises(ConnectionClosedError) as closed:
                    await socket.recv()
                assert closed.value.rcvd.code == 1011
            async with connect(url) as socket:
                await socket.close()
                with pytest.raises(ConnectionClosedOK):
                    await socket.recv()
                assert socket.close_code == 1000

    run_real(main())


def test_a_server_that_closes_says_goodbye(run_real):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with connect(url) as socket:
                await socket.send("hello")
                assert await socket.recv() == "hello"
                server.close()
                with pytest.raises(ConnectionClosedOK) as closed:
                    await socket.recv()
                assert closed.value.rcvd.code == 1001
                await server.wait_closed()

    run_real(main())


def test_fifty_clients_at_once(run_real):
    async def client(url, number):
        async with connect(url) as socket:
            await socket.send(str(number))
            return int(await socket.recv())

    async def main():
        async with echoing() as url:
            found = await asyncio.gather(*[client(url, number) for number in range(50)])
        assert found == list(range(50))

    run_real(main())
