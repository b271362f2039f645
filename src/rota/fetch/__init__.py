"""Download many URLs into a folder, politely, with a memory that does not grow with the list.

    from rota.fetch import fetch
    summary = await fetch(urls, "out", concurrency=100)

The map, from the outside in: ``slots`` runs a fixed number of slots over ``waiting``, where URLs of busy
hosts stand aside; each takes an ``address`` and lets ``download`` save it: tries (``failure`` says what is
worth another, ``retry`` when) into a ``folder``, under a safe ``name``. ``result`` is what comes of it.
``lines``, ``progress`` and ``attend`` are for the command line: a list in a file, a bar, and stopping on a
signal.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

from ..errors import MissingExtra, UsageError
from .folder import DiskError, Folder
from .result import Result, Summary, Tally

__all__ = [
    "CONCURRENCY",
    "PER_HOST",
    "RETRIES",
    "TIMEOUT",
    "DiskError",
    "Result",
    "Summary",
    "Tally",
    "fetch",
]

#: Slots. Enough to fill a fast line with small files at 100 ms a round trip, and few for any one machine.
CONCURRENCY = 100

#: Downloads from one host at a time: what browsers do with HTTP/1.1, so what servers are built for.
PER_HOST = 6

#: Seconds without an answer or a byte. A server under load answers in some seconds; past thirty, people have
#: left.
TIMEOUT = 30.0

#: Tries after the first: with waits of 1, 2 and 4 seconds they outlast a server's restart.
RETRIES = 3


async def fetch(
    urls: Iterable[str] | AsyncIterable[str],
    into: str,
    *,
    concurrency: int = CONCURRENCY,
    per_host: int = PER_HOST,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    skip_existing: bool = False,
    on_result: Callable[[Result], None] | None = None,
    tally: Tally | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Summary:
    """Save each of ``urls`` as a file in the folder ``into``, which is made if need be.

    At most ``concurrency`` downloads run at a time, ``per_host`` of one host. ``timeout`` is in seconds: for
    connecting, for each silence of the server, and for the time over which a body may be slower than 30 bytes
    a second; it never counts waiting in line. A failure that may pass is tried again ``retries`` times.
    ``urls`` is read as slots become free; of an ordinary iterable the next item must come without blocking.

    Nothing is written over: equal names are numbered (``a.html``, ``a-2.html``), and with ``skip_existing`` a
    URL whose name was there before the call is left out. A file has its name only when it is whole.

    ``on_result`` is called with each ``Result`` as it comes, ``tally`` counts along, ``sleep`` does the
    waiting between tries. A URL that fails is a result, not an exception. Raised are ``UsageError`` for wrong
    arguments, ``DiskError`` if the disk takes no more, and what ``urls`` or ``on_result`` raise; then, as on
    cancellation, all downloads stop and their unfinished files are removed.
    """
    check(concurrency=concurrency, per_host=per_host, timeout=timeout, retries=retries)
    try:
        from . import address, download, failure, slots
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "yarl"):
            raise
        raise MissingExtra("rota fetch", "aiohttp", "fetch") from error
    counts = Tally() if tally is None else tally
    started = time.monotonic()

    def report(result: Result) -> None:
        counts.add(result)
        if on_result is not None:
            on_result(result)

    async def addresses() -> AsyncIterator[address.Address]:
        async for url in slots.each(urls):
            try:
                found = address.parse(url)
            except failure.TryError as bad:
                counts.started += 1
                report(Result(address.shown_bad(url), error=str(bad), kind=bad.kind))
            else:
                yield found

    with Folder(into) as folder:
        if skip_existing:
            await folder.settle()
        async with download.session(per_host, timeout) as session:
            downloader = download.Downloader(session, folder, counts, timeout, retries, skip_existing, sleep)

            async def work(found: address.Address, followed: bool) -> None:
                counts.started += 1
                report(await downloader.save(found, followed))

            await slots.fill(addresses(), work, concurrency=concurrency, per_host=per_host)
    return counts.summary(time.monotonic() - started)


def check(*, concurrency: int, per_host: int, timeout: float, retries: int) -> None:
    """``UsageError`` if one of the numbers makes no sense."""
    if concurrency < 1:
        raise UsageError(f"concurrency is {concurrency}: it must be at least 1")
    if per_host < 1:
        raise UsageError(f"per-host is {per_host}: it must be at least 1")
    if not 0 < timeout < math.inf:
        raise UsageError(f"timeout is {timeout:g}: it must be a number of seconds above 0")
    if retries < 0:
        raise UsageError(f"retries is {retries}: it must be 0 (try once) or more")
