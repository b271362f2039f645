"""An aiohttp server and its clients, unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib

import aiohttp
import pytest
from aiohttp import web

CHUNK = bytes(range(256)) * 64


async def hello(request):
    return web.json_response({"path": request.path, "number": int(request.query["number"])})


async def echo(request):
    """Sends every chunk back while more come."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for chunk in request.content.iter_chunked(len(CHUNK)):
        await response.write(chunk)
    await response.write_eof()
    return response


async def drip(request):
    """Sends for ever, and notes when the client is gone."""
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(CHUNK)
            await asyncio.sleep(0)
    finally:
        request.app[GONE].set_result(None)


async def file(request):
    return web.FileResponse(request.app[FILE])


async def slow(request):
    request.app[STARTED].set_result(None)
    await asyncio.sleep(0.05)
    return web.Response(text="done")


async def shout(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data.upper())
        else:
            await socket.send_bytes(message.data[::-1])
    return socket


GONE = web.AppKey("gone", asyncio.Future)
STARTED = web.AppKey("started", asyncio.Future)
FILE = web.AppKey("file", pathlib.Path)


@contextlib.asynccontextmanager
async def serving(context=None, path=None):
    """The running server's runner, application and address."""
    loop = asyncio.get_running_loop()
    app = web.Application()
    app[GONE] = loop.create_future()
    app[STARTED] = loop.create_future()
    app.router.add_get("/hello", hello)
    app.router.add_post("/echo", echo)
    app.router.add_get("/drip", drip)
    app.router.add_get("/slow", slow)
    if path is not None:
        app[FILE] = path
        app.router.add_get("/file", file)
    app.router.add_get("/shout", shout)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme = "http" if context is None else "https"
    try:
        yield runner, app, f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask_many(session, url, count, slots):
    numbers = iter(range(count))
    found = []

    async def ask():
        for number in numbers:
            async with session.get(f"{url}/hello", params={"number": number}) as response:
                assert response.status == 200
                found.append((await response.json())["number"])

    await asyncio.gather(*[ask() for _ in range(slots)])
    return found


def test_a_thousand_requests_over_fifty_connections(run_real):
    async def main():
        connector = aiohttp.TCPConnector(limit=50)
        async with serving() as (_, _, url), aiohttp.ClientSession(connector=connector) as session:
            assert sorted(await ask_many(session, url, 1000, 50)) == list(range(1000))

    run_real(main())


@pytest.mark.parametrize("secure", [False, True])
def test_bodies_stream_both_ways(run_real, server_context, client_context, secure):
    async def body():
        for _ in range(60):
            yield CHUNK

    async def main():
        connector = aiohttp.TCPConnector(ssl=client_context)
        async with (
            serving(server_context if secure else None) as (_, _, url),
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"{url}/echo", data=body()) as response,
        ):
            found = bytearray()
            async for chunk in response.content.iter_any():
                found += chunk
            assert found == CHUNK * 60

    run_real(main())


@pytest.mark.parametrize("secure", [False, True])
def test_files_are_sent(run_real, server_context, client_context, secure, tmp_path, monkeypatch):
    """By the kernel where nothing is encrypted."""
    path = tmp_path / "file"
    data = os.urandom(3_000_000)
    path.write_bytes(data)
    calls = []
    send = os.sendfile
    monkeypatch.setattr(os, "sendfile", lambda *args: calls.append(args) or send(*args))

    async def get(session, url, part=None):
        headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1]}"}
        async with session.get(f"{url}/file", headers=headers) as response:
            assert response.status == (200 if part is None else 206)
            return await response.read()

    async def main():
        connector = aiohttp.TCPConnector(ssl=client_context)
        async with (
            serving(server_context if secure else None, path) as (_, _, url),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            assert await get(session, url, (5, 104)) == data[5:105]
            assert await asyncio.gather(*[get(session, url) for _ in range(10)]) == [data] * 10
            assert await get(session, url, (2_000_000, 2_999_999)) == data[2_000_000:]

    run_real(main())
    assert bool(calls) is not secure


def test_requests_over_tls(run_real, server_context, client_context):
    async def main():
        connector = aiohttp.TCPConnector(limit=5, ssl=client_context)
        async with (
            serving(server_context) as (_, _, url),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            assert sorted(await ask_many(session, url, 50, 10)) == list(range(50))

    run_real(main())


def test_a_certificate_that_nobody_vouches_for_is_refused(run_real, server_context):
    async def main():
        async with serving(server_context) as (_, _, url), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"{url}/hello")

    run_real(main())


def test_a_websocket_shouts_back(run_real):
    async def main():
        async with serving() as (_, _, url), aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{url}/shout") as socket:
                for number in range(100):
                    await socket.send_str(f"message {number}")
                    assert await socket.receive_str() == f"MESSAGE {number}"
                await socket.send_bytes(CHUNK * 20)
                assert await socket.receive_bytes() == (CHUNK * 20)[::-1]
            assert socket.close_code == aiohttp.WSCloseCode.OK

    run_real(main())


def test_a_client_that_goes_in_the_middle_is_noticed(run_real):
    async def main():
        async with serving() as (_, app, url), aiohttp.ClientSession() as session:
            response = await session.get(f"{url}/drip")
            assert await response.content.readexactly(len(CHUNK)) == CHUNK
            response.close()
            async with asyncio.timeout(5):
                await app[GONE]

    run_real(main())


def test_a_shutdown_lets_a_request_finish(run_real):
    async def main():
        async with serving() as (runner, app, url), aiohttp.ClientSession() as session:
            asking = asyncio.ensure_future(session.get(f"{url}/slow"))
            await app[STARTED]
            await runner.cleanup()
            async with await asking as response:
                assert await response.text() == "done"
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"{url}/hello")

    run_real(main())


def test_a_file_is_served(run_real, tmp_path):
    (tmp_path / "file").write_bytes(CHUNK * 40)

    async def main():
        app = web.Application()
        app.router.add_static("/files", tmp_path)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/files/file"
            async with session.get(url) as response:
                assert await response.read() == CHUNK * 40
            async with session.get(url, headers={"Range": "bytes=10-19"}) as response:
                assert response.status == 206
                assert await response.read() == CHUNK[10:20]
        await runner.cleanup()

    run_real(main())
