"""One URL, from the first try to the file: what ``rota fetch`` does with each address.

A try asks, streams the answer's body into ``NAME.part`` as it was sent, checks that it is whole and gives the
file its name. Tries that fail in passing are repeated after a wait, which the slot spends here, with its
place at the host: a host in trouble gets fewer requests, not more. Time spent waiting for a slot or a place
is not counted in anything.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from ..version import VERSION
from .address import Address
from .failure import TryError, of_error, of_status
from .folder import Folder
from .result import Result, Tally
from .retry import asked_wait, pause

#: As in RFC 9110's time and browsers since: ten hops are a chain, more a loop.
REDIRECTS = 10

#: A body slower than this over a whole ``timeout`` is given up, in bytes a second: a modem of 1980 was
#: faster, so it is a server that keeps the slot and sends nothing of use.
SLOWEST = 30

#: Seconds that a connection not in use is kept: the URL that it is kept for takes it over at once.
KEEP_ALIVE = 2.0

#: Asks the server to hang up after its answer. Else a list of many hosts would leave a connection open at each.
HANG_UP = {"Connection": "close"}


def session(per_host: int, timeout: float) -> aiohttp.ClientSession:
    """The HTTP session for one run, on the running loop.

    Slots bound the connections; the connector's limit is for hosts that redirects lead to. ``timeout`` bounds
    connecting to one of a host's addresses, and each silence after; aiohttp's ``total`` is not used, since it
    would count waiting in line. Bodies are kept as they were sent: asked for unpacked, and never unpacked
    here. Cookies are forgotten: a list of a million hosts would collect theirs.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=per_host, keepalive_timeout=KEEP_ALIVE),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout),
        headers={"User-Agent": f"rota/{VERSION}", "Accept": "*/*", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


@dataclass(slots=True)
class Downloader:
    """Saves addresses into ``folder``, counting in ``tally``; the other fields are those of ``rota.fetch.fetch``."""

    session: aiohttp.ClientSession
    folder: Folder
    tally: Tally
    timeout: float
    retries: int
    skip_existing: bool
    sleep: Callable[[float], Awaitable[object]]

    async def save(self, address: Address, followed: bool) -> Result:
        """Fetch one address, with its retries. What the network does is in the result; ``DiskError`` is raised.

        ``followed`` says that the host's next URL waits to take over the connection.
        """
        if self.skip_existing and self.folder.had(address.name):
            return Result(address.shown, path=self.folder.path_of(address.name))
        started = time.monotonic()
        tries = 1
        while True:
            try:
                status, path, size = await self._try(address, followed)
            except TryError as failure:
                if not failure.again or tries > self.retries:
                    seconds = time.monotonic() - started
                    return Result(
                        address.shown,
                        status=failure.status,
                        seconds=seconds,
                        tries=tries,
                        error=str(failure),
                        kind=failure.kind,
                    )
                asked = asked_wait(failure.retry_after, time.time())
                await self.sleep(pause(tries, asked, random.random()))
                tries += 1
            else:
                return Result(address.shown, status, path, size, time.monotonic() - started, tries)

    async def _try(self, address: Address, followed: bool) -> tuple[int, str, int]:
        """The status, path and size of the file; ``TryError`` if it did not arrive whole."""
        headers = None if followed else HANG_UP
        try:
            get = self.session.get(address.url, headers=headers, max_redirects=REDIRECTS + 1)
            async with get as response:
                if not 200 <= response.status < 300:
                    raise of_status(response.status, response.reason, response.headers.get("Retry-After"))
                path, size = await self._receive(response, address.name)
                return response.status, path, size
        except UnicodeError as error:
            # From encoding the host for the name server: an empty label, or one of more than 63 characters.
            raise TryError("bad URL", "the host is not a possible name") from error
        except (aiohttp.ClientError, OSError) as error:
            raise of_error(error) from error

    async def _receive(self, response: aiohttp.ClientResponse, name: str) -> tuple[str, int]:
        clock = asyncio.get_running_loop().time
        with self.folder.part(name) as part:
            window_ends, window_starts_at = clock() + self.timeout, 0
            async for data in response.content.iter_any():
                part.write(data)
                self.tally.received += len(data)
                if clock() > window_ends:
                    if part.size - window_starts_at < SLOWEST * self.timeout:
                        raise TryError("timeout", f"slower than {SLOWEST} bytes a second", again=True)
                    window_ends, window_starts_at = clock() + self.timeout, part.size
            # aiohttp has raised if the body fell short of what its length or its chunks promised.
            return part.keep(), part.size
