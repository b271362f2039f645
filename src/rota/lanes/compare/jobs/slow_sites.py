"""Download many sites, each of which takes its time: 30 to 300 ms until it answers."""

from __future__ import annotations

import os
import threading

import aiohttp
import requests

#: One by one they take about 18 seconds, which is as long as anybody wants to watch.
items = range(180)
concurrency = 100

mine = threading.local()
shared: list[aiohttp.ClientSession] = []


def url(site: int) -> str:
    return f"http://127.0.0.1:{os.environ['ROTA_COMPARE_SITES']}/{site}"


def job(site: int) -> int:
    """Download one site with this thread's own requests.Session; the number of bytes."""
    if not hasattr(mine, "session"):
        mine.session = requests.Session()
        mine.session.trust_env = False  # a proxy from the environment has no business on loopback
    with mine.session.get(url(site), timeout=60) as response:
        return len(response.content)


async def job_async(site: int) -> int:
    """The same download with one aiohttp session for all."""
    if not shared:
        shared.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    async with shared[0].get(url(site)) as response:
        return len(await response.read())


async def close() -> None:
    for session in shared:
        await session.close()
