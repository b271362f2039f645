"""requests, which blocks, through rota.call and rota.map: two hundred at once without a word of configuration."""

from __future__ import annotations

import asyncio
import threading

import pytest
import requests

import rota

MANY = 200


@pytest.fixture
def patient_server():
    """Answers nobody until so many have asked; in a thread of its own, with its own loop. The address."""
    waiting: list[asyncio.StreamWriter] = []
    ready = threading.Event()
    address: list[str] = []
    stop: list[object] = []

    async def answer(reader, writer):
        while (await reader.readline()).strip():
            pass
        waiting.append(writer)
        if len(waiting) == MANY:
            for each in waiting:
                each.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                each.close()
            waiting.clear()

    async def serve():
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=MANY)
        async with server:
            address.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            stop.extend((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await stop[1].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield address[0]
    stop[0].call_soon_threadsafe(stop[1].set)
    thread.join()


def get(url):
    return requests.get(url, timeout=50, proxies={"http": ""}).text


@pytest.mark.parametrize("way", ["call", "map"])
def test_two_hundred_wait_together(run_real, patient_server, way):
    async def main():
        urls = [patient_server] * MANY
        if way == "map":
            return await rota.map(get, urls)
        return await asyncio.gather(*[rota.call(get, url) for url in urls])

    assert run_real(main()) == ["ok"] * MANY
