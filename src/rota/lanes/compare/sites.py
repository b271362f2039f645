"""Sites: the far end of the built-in jobs, a server in a process of its own on loopback.

    python -m rota.lanes.compare.sites

It answers HTTP as many web sites would, each after its own latency, and keeps short records as a database
nearby would. It prints its two ports on stdout, and ends when its stdin does, so it never outlives who
started it.

It runs on asyncio's own loop and does next to nothing for each request: the figures are about the clients.
"""

from __future__ import annotations

import asyncio
import os
import sys

#: Connections that may wait to be accepted: every client of a run opens its own at the same moment.
BACKLOG = 1024

#: Seconds of latency of the quickest and the slowest site: a server in the same country, a busy one far away.
QUICKEST, SLOWEST = 0.030, 0.300

#: Seconds until a record comes: a database or a cache in the same data centre.
RECORD_LATENCY = 0.001

#: Bytes of a site's page and of a record: an article's text, a row.
PAGE_SIZE, RECORD_SIZE = 16 * 1024, 512

#: Multiples of it, modulo 1, fill the range evenly: any run of sites is a fair sample.
GOLDEN = 0.618_033_988_75

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
PAGE = HEADERS % PAGE_SIZE + b"." * PAGE_SIZE
RECORD = b"." * (RECORD_SIZE - 1) + b"\n"


def latency(site: int) -> float:
    """Seconds until this site answers, always the same for one site: most are quick and a few are slow."""
    return QUICKEST + (SLOWEST - QUICKEST) * (site * GOLDEN % 1.0) ** 3


class Answering(asyncio.Protocol):
    """One connection whose requests are answered one after the other, each after a time."""

    end_of_request = b"\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        *requests, self.received = (self.received + data).split(self.end_of_request)
        for request in requests:
            delay, answer = self.answer(request)
            asyncio.get_running_loop().call_later(delay, self.send, answer)

    def send(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)

    def answer(self, request: bytes) -> tuple[float, bytes]:
        raise NotImplementedError


class Site(Answering):
    """HTTP/1.1 with keep-alive: ``GET /N`` is site number N."""

    end_of_request = b"\r\n\r\n"

    def answer(self, request: bytes) -> tuple[float, bytes]:
        return latency(int(request.split(b" ", 2)[1][1:])), PAGE


class Records(Answering):
    """A line asks, a line answers."""

    def answer(self, request: bytes) -> tuple[float, bytes]:
        return RECORD_LATENCY, RECORD


async def serve() -> None:
    loop = asyncio.get_running_loop()
    parent_gone = loop.create_future()
    sites = await loop.create_server(Site, "127.0.0.1", 0, backlog=BACKLOG)
    records = await loop.create_server(Records, "127.0.0.1", 0, backlog=BACKLOG)

    def stdin_readable() -> None:
        if not os.read(0, 4096) and not parent_gone.done():
            parent_gone.set_result(None)

    loop.add_reader(0, stdin_readable)
    ports = [server.sockets[0].getsockname()[1] for server in (sites, records)]
    sys.stdout.write("{} {}\n".format(*ports))
    sys.stdout.flush()
    await parent_gone


if __name__ == "__main__":
    asyncio.run(serve())
