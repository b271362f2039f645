"""Read many short records, each from a server that answers in a millisecond and from a small file."""

from __future__ import annotations

import asyncio
import os
import socket
import threading

#: Enough that every model runs long enough to measure.
items = range(3000)
concurrency = 16

mine = threading.local()
idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []


def port() -> int:
    return int(os.environ["ROTA_COMPARE_RECORDS"])


def read_file() -> int:
    """A small file that is surely there: this one. It is in the page cache, so reading it never blocks."""
    with open(__file__, "rb") as file:
        return len(file.read())


def job(record: int) -> int:
    """Read a record over this thread's own connection, then the file; the number of bytes."""
    if not hasattr(mine, "stream"):
        with socket.create_connection(("127.0.0.1", port()), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            mine.stream = connection.makefile("rwb")  # keeps the connection open until the thread ends
    mine.stream.write(b"%d\n" % record)
    mine.stream.flush()
    return len(mine.stream.readline()) + read_file()


async def job_async(record: int) -> int:
    """The same over an idle connection or a new one.

    The file is read in place, on the loop: from the page cache that is shorter than the way to a thread.
    """
    reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port())
    writer.write(b"%d\n" % record)
    line = await reader.readline()
    idle.append((reader, writer))
    return len(line) + read_file()


async def close() -> None:
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
