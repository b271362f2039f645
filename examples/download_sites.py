"""Fifty slow sites, downloaded by coroutines and by a blocking function, through the same map.

python examples/download_sites.py

A coroutine waits on the loop; the blocking twin, urllib as it comes, waits in as many threads as that takes. Both are
as fast as the slowest site. The sites are a server in this program that answers after a second.
"""

import asyncio
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import rota

SITES = 50

#: The sites are on this machine: no proxy on the way.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one request, after a second."""
    while (await reader.readline()).strip():
        pass
    await rota.sleep(1)
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n")
    writer.close()
    await writer.wait_closed()


async def download(url: str) -> bytes:
    """The coroutine."""
    parts = urlsplit(url)
    reader, writer = await rota.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2]


def download_blocking(url: str) -> bytes:
    """Its blocking twin."""
    with opener.open(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body


async def show(function: Callable[[str], object], urls: list[str]) -> None:
    began = time.perf_counter()
    bodies = await rota.map(function, urls)
    print(f"{function.__name__}: {len(bodies)} sites in {time.perf_counter() - began:.1f} s")
    print(rota.explain(function))


async def main() -> None:
    server = await rota.start_server(site, "127.0.0.1", 0, backlog=SITES)
    port = server.sockets[0].getsockname()[1]
    urls = [f"http://127.0.0.1:{port}/{number}" for number in range(SITES)]
    await show(download, urls)
    await show(download_blocking, urls)
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    rota.run(main())
