"""httpx (which stands on anyio) against a server of asyncio's streams, unchanged."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

PIECE = b"0123456789" * 1000


async def answer(reader, writer):
    """Enough HTTP for a client: paths /N, /stream, /silent, and bodies that come back."""
    try:
        while line := await reader.readline():
            path = line.split()[1]
            length = 0
            while header := (await reader.readline()).strip().lower():
                if header.startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            body = await reader.readexactly(length)
            if path == b"/silent":
                await reader.read()
                break
            if path == b"/stream":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(50):
                    writer.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            else:
                body = body or path
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(context=None):
    """A client that asks a server."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        await answer(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    scheme = "http" if context is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()


def test_a_hundred_requests_at_once(run_real):
    async def main():
        async with serving() as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
            responses = await asyncio.gather(*[client.get(f"/{number}") for number in range(100)])
            assert [response.content for response in responses] == [b"/%d" % number for number in range(100)]

    run_real(main())


def test_a_body_comes_back_over_tls(run_real, server_context, client_context):
    async def main():
        async with (
            serving(server_context) as url,
            httpx.AsyncClient(base_url=url, verify=client_context, timeout=10) as client,
        ):
            for size in (1, 1000, 1_000_000):
                response = await client.post("/", content=b"x" * size)
                assert response.content == b"x" * size

    run_real(main())


def test_a_response_is_read_while_it_comes(run_real):
    async def main():
        async with (
            serving() as url,
            httpx.AsyncClient(base_url=url, timeout=10) as client,
            client.stream("GET", "/stream") as response,
        ):
            found = bytearray()
            async for piece in response.aiter_bytes():
                found += piece
            assert found == PIECE * 50

    run_real(main())


def test_a_server_that_says_nothing_is_a_timeout(run_real):
    async def main():
        async with serving() as url, httpx.AsyncClient(base_url=url, timeout=0.05) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/silent")

    run_real(main())


def test_a_server_that_is_not_there(run_real):
    async def main():
        async with serving() as url:
            pass
        async with httpx.AsyncClient(timeout=10) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)

    run_real(main())


def test_a_cancelled_request_gives_its_connection_back(run_real):
    async def main():
        limits = httpx.Limits(max_connections=1)
        async with serving() as url, httpx.AsyncClient(base_url=url, limits=limits, timeout=10) as client:
            asking = asyncio.ensure_future(client.get("/silent"))
            await asyncio.sleep(0.02)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (await client.get("/1")).content == b"/1"

    run_real(main())
