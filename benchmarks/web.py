"""HTTP servers and a client: what a request costs the process that answers or asks, as CPU time per request.

    python benchmarks/web.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

A server has a core and a process to itself, and ``wrk`` asks on another, over 100 connections that are kept, for a
second: a figure is the server's CPU time (user + system) divided by the requests that ``wrk`` counted. The client is
measured the same way while a server in C (``echo.c``) answers it. The last column, ``C``, is that server asked by
``wrk``: nobody can be below it by much. Each answer is 13 bytes of text.

================  ======================================================================================
aiohttp           an ``aiohttp.web`` application with one handler
uvicorn           a bare ASGI application on uvicorn with httptools
asyncio streams   ``asyncio.start_server``: ``readuntil`` the end of the request, ``write``, ``drain``
own streams       the same of ``rota.start_server`` on rota; asyncio's on the others
aiohttp client    100 tasks of an ``aiohttp.ClientSession`` that get and read, one request after the other
================  ======================================================================================
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import sys
import time
from typing import Any

import peers
from server import CLIENTS_CORE, SERVERS_CORE, Server, in_c

SECONDS = 1
CONNECTIONS = 100
CLIENT = "aiohttp client"
CASES = ["aiohttp", "uvicorn", "asyncio streams", "own streams", CLIENT]
WORDS = b"Hello, world!"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n" + WORDS


async def answer(reader: Any, writer: Any) -> None:
    """A connection, until the client closes it."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The least that ASGI asks."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": WORDS})


async def serve(peer: str, case: str) -> None:
    """Answer until the process is ended; prints the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    if case == "aiohttp":
        from aiohttp import web

        async def handler(request: web.Request) -> web.Response:
            return web.Response(text=WORDS.decode())

        made = web.Application()
        made.router.add_get("/", handler)
        runner = web.AppRunner(made, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await peers.forever(runner)
    elif case == "uvicorn":
        import uvicorn

        config = uvicorn.Config(application, http="httptools", lifespan="off", log_level="critical", access_log=False)
        await uvicorn.Server(config).serve(sockets=[listener])
    else:
        streams = peers.streams(peer) if case == "own streams" else asyncio
        server = await streams.start_server(answer, sock=listener)
        await peers.forever(server)


def wrk(port: str, seconds: float) -> int:
    """How many requests were answered."""
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed: it asks the servers (apt-get install wrk)")
    words = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{max(round(seconds), 1)}s"]
    command = [*peers.on_core(CLIENTS_CORE), *words, f"http://127.0.0.1:{port}/"]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60).stdout
    for trouble in ("Non-2xx", "Socket errors"):
        if trouble in found:
            sys.exit(next(line.strip() for line in found.splitlines() if trouble in line))
    requests = re.search(r"(\d+) requests in", found)
    assert requests, found
    return int(requests[1])


async def ask(port: str, seconds: float) -> tuple[float, int]:
    """Seconds of CPU, and how many requests were answered in them."""
    import aiohttp

    async def one(session: aiohttp.ClientSession, end: float) -> int:
        count = 0
        while time.monotonic() < end:
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                assert await response.read() == WORDS
            count += 1
        return count

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        for share in (0.2, 1):  # the first to connect and to warm up
            began, end = time.process_time(), time.monotonic() + seconds * share
            counts = await asyncio.gather(*[one(session, end) for _ in range(CONNECTIONS)])
            taken = time.process_time() - began
    return taken, sum(counts)


def measure(peer: str, case: str) -> float:
    """Microseconds of CPU for a request."""
    if case == CLIENT:
        if peer == "C":
            sys.exit("there is no client in C that does what aiohttp does")
        command = [*peers.on_core(CLIENTS_CORE), in_c(), "server", "http"]
        with Server(command) as server:
            peers.stay_on(SERVERS_CORE)
            with asyncio.Runner(loop_factory=peers.maker(peer)) as runner:
                taken, requests = runner.run(ask(server.port, SECONDS * peers.SHARE))
            return taken / requests * 1e6
    command = [in_c(), "server", "http"] if peer == "C" else [sys.executable, __file__, "--serve", peer, case]
    with Server(command) as server:
        wrk(server.port, 1)
        before = server.cpu()
        requests = wrk(server.port, SECONDS * peers.SHARE)
        return (server.cpu() - before) / requests * 1e6


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        with asyncio.Runner(loop_factory=peers.maker(sys.argv[2])) as runner:
            runner.run(serve(sys.argv[2], sys.argv[3]))
        return 0
    assert __doc__
    return peers.run(__file__, __doc__, "CPU microseconds per request", CASES, measure, more=("C",))


if __name__ == "__main__":
    sys.exit(main())
