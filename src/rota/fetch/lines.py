"""A list of URLs in a file or a pipe, read line by line as they are wanted.

Blank lines and lines that begin with ``#`` are passed over. A pipe or a terminal is read when it has
something, so the loop never stands still for whoever writes the list; a file on disk is read directly, a
block at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Self

from ..errors import UsageError

#: One read from the list: some thousand lines, a fraction of a millisecond.
BLOCK = 64 * 1024

#: A longer line is no URL: servers stop at 8 to 16 KiB. Without a bound, a wrong file might be one line of
#: gigabytes.
LONGEST_LINE = 64 * 1024

#: One step of counting: 0.1 ms at the speed of memory, so the loop hardly notices.
COUNT_BLOCK = 1024 * 1024


class Lines:
    """The lines of the list at ``path``, ``-`` for standard input; an async iterator, closed by ``close``.

    ``UsageError`` if it can't be opened or is a folder, and on the way if a line is longer than
    ``LONGEST_LINE``.
    """

    def __init__(self, path: str) -> None:
        self.name = "standard input" if path == "-" else path
        try:
            self._fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY)
        except OSError as error:
            raise UsageError(f"can't read the list {path!r}: {error.strerror}") from error
        if os.path.isdir(self._fd):
            os.close(self._fd)
            raise UsageError(f"can't read the list {path!r}: it is a folder, not a file of URLs")
        self._waits = not os.path.isfile(self._fd)
        # Standard input may be a file that someone has read the beginning of.
        self._begins = 0 if self._waits else os.lseek(self._fd, 0, os.SEEK_CUR)
        self._ready: deque[bytes] = deque()
        self._rest = b""
        self._number = 0
        self._passed_over = 0
        self._counted: int | None = None
        self._ended = False

    def close(self) -> None:
        os.close(self._fd)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            while self._ready:
                self._number += 1
                encoding = "utf-8-sig" if self._number == 1 else "utf-8"
                line = self._ready.popleft().decode(encoding, "replace").strip()
                if line and not line.startswith("#"):
                    return line
                self._passed_over += 1
            if self._ended:
                raise StopAsyncIteration
            self._split(await self._read())

    def _split(self, block: bytes) -> None:
        lines = (self._rest + block).split(b"\n")
        self._ended = not block
        self._rest = b"" if self._ended else lines.pop()
        if self._ended and not lines[-1]:
            lines.pop()
        if len(self._rest) > LONGEST_LINE or any(len(line) > LONGEST_LINE for line in lines):
            raise UsageError(
                f"the list {self.name!r} has a line of more than {LONGEST_LINE} bytes: is it a list of URLs?"
            )
        self._ready.extend(lines)

    async def _read(self) -> bytes:
        if self._waits:
            await self._readable()
        return os.read(self._fd, BLOCK)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        try:
            loop.add_reader(self._fd, _wake, ready)
        except PermissionError:
            # epoll takes no /dev/null and the like, for a good reason: they never block.
            self._waits = False
            return
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)

    @property
    def total(self) -> int | None:
        """How many URLs the list holds; ``None`` as long as ``count`` has not told, as for a pipe."""
        return None if self._counted is None else self._counted - self._passed_over

    async def count(self) -> None:
        """Count the lines of a file on disk, beside the run and without disturbing it; nothing for a pipe."""
        if self._waits:
            return
        counted, at, last = 0, self._begins, b"\n"
        while block := os.pread(self._fd, COUNT_BLOCK, at):
            counted += block.count(b"\n")
            at += len(block)
            last = block[-1:]
            await asyncio.sleep(0)
        self._counted = counted + (last != b"\n")


async def after(urls: Iterable[str], lines: Lines | None) -> AsyncIterator[str]:
    """The ``urls`` and then the ``lines``, if there are any."""
    for url in urls:
        yield url
    if lines is not None:
        async for line in lines:
            yield line


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
