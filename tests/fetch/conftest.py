"""A server on this machine and one call that fetches from it: what most tests of the downloader need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import rota
from rota.fetch import Result, Summary, fetch


@dataclass
class Outcome:
    """What a run came to: its results in the order they came, the waits between tries, the files it left."""

    summary: Summary
    results: list[Result]
    waits: list[float]
    files: dict[str, bytes]
    requests: list[str] = field(default_factory=list)

    @property
    def result(self) -> Result:
        (only,) = self.results
        return only


@asynccontextmanager
async def web_server(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def stream_server(answer: Answer) -> AsyncIterator[str]:
    """Calls ``answer`` for each connection once the request's headers are in, and is gone with all of them at
    the end."""
    running: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*(task for task in running if task is not None))
        await server.wait_closed()


def raw_server(answers: Sequence[bytes], reset: bool) -> AbstractAsyncContextManager[str]:
    """Sends the next of ``answers`` to each connection (the last one again and again), and hangs up."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()
        if reset:
            writer.transport.abort()

    return stream_server(answer)


@pytest.fixture
def serve_streams() -> Callable[[Answer], AbstractAsyncContextManager[str]]:
    return stream_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files go."""
    return tmp_path / "out"


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def fetched(folder: Path) -> Callable[..., Outcome]:
    """Serve ``handler`` (or, with ``raw``, those bytes) and fetch ``urls``; one that begins with / is
    there."""

    def run(
        handler: Any = None,
        urls: Sequence[str] = ("/a",),
        *,
        raw: Sequence[bytes] = (),
        reset: bool = False,
        **options: Any,
    ) -> Outcome:
        results: list[Result] = []
        waits: list[float] = []
        requests: list[str] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        async def noted(request: web.Request) -> web.StreamResponse:
            requests.append(request.path)
            response: web.StreamResponse = await handler(request)
            return response

        async def main() -> Summary:
            server = raw_server(raw, reset) if raw else web_server(noted)
            async with server as base:
                return await fetch(
                    [base + url if url.startswith("/") else url for url in urls],
                    str(folder),
                    on_result=results.append,
                    sleep=sleep,
                    **options,
                )

        summary = rota.run(main())
        return Outcome(summary, results, waits, files_in(folder), requests)

    return run
