"""Outbox: memory in which a worker leaves its results, and which outlives it.

A worker that is killed in the middle of a chunk must lose the one call that it was running, and no other: not those
that are done. To send each result by itself would cost a system call and a switch of processes; a result written to
memory that the parent maps as well costs neither, and is there when the worker is gone.

Layout: four words (how many bytes of records there are; what the worker is at, and since when by the monotonic clock,
which is one for all processes; the last part that it has begun with), then the records: item, kind, length, pickled
bytes. A word is stored by one instruction, so a worker that dies in the middle of anything leaves each old or new, and
a record counts once the first word says so.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator

#: Room for results between two answers of a worker: what does not fit is sent over the socket.
SIZE = 1024 * 1024

#: The places of the words, and what comes after them.
USED, AT, SINCE, BEGUN = range(4)
FIRST = 32

RECORD = struct.Struct("=IBI")
HEAD = RECORD.size

#: What a worker may be at besides an item: nothing, or making the function and the arguments of a chunk again.
NOTHING, OPENING = -2, -1

#: The kinds of records: a result (one of ``shipping.PLAIN`` marshalled, any other pickled), an exception, and why a
#: result could not be sent.
RESULT, ERROR, UNSENT, VALUE = range(4)


class Outbox:
    """One worker's. The parent makes it, and hands its ``fd`` on."""

    __slots__ = ("_clock", "_end", "_memory", "_words", "fd")

    def __init__(self, fd: int | None = None) -> None:
        self.fd = new_file() if fd is None else fd
        try:
            self._memory = mmap.mmap(self.fd, SIZE)
        except BaseException:
            os.close(self.fd)
            raise
        head = memoryview(self._memory)[:FIRST]
        self._words = head.cast("q")
        self._clock = head.cast("d")
        self._end = FIRST
        if fd is None:
            self.rest()

    # -- the worker's side ----------------------------------------------------------------------------------------

    def begin(self, item: int) -> None:
        """``item`` is run from now on, or OPENING. The time comes first: no item is taken to have that of the last."""
        self._clock[SINCE] = time.monotonic()
        self._words[AT] = item

    def rest(self) -> None:
        """Nothing is being run."""
        self._words[AT] = NOTHING

    def begin_part(self, part: int) -> None:
        """Coroutines of this part, and of those before it, run or have run."""
        self._words[BEGUN] = part

    def put(self, item: int, kind: int, data: bytes) -> bool:
        """Leave a record; False if there is no room for it."""
        size = len(data)
        start = self._end + HEAD
        end = start + size
        if end > SIZE:
            return False
        RECORD.pack_into(self._memory, self._end, item, kind, size)
        self._memory[start:end] = data
        self._end = end
        self._words[USED] = end - FIRST
        return True

    def clear(self) -> None:
        """Begin again: all records have been read. Either side may say so while the worker has nothing to do."""
        self._end = FIRST
        self._words[USED] = 0

    # -- the parent's side ----------------------------------------------------------------------------------------

    def running(self) -> tuple[int, float]:
        """What the worker is at, an item, OPENING or NOTHING, and since when by :func:`time.monotonic`."""
        return self._words[AT], self._clock[SINCE]

    @property
    def begun(self) -> int:
        """The last part whose coroutines were begun."""
        return self._words[BEGUN]

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """All that there are: the item, the kind, and a copy of the bytes."""
        records = self._memory[FIRST : FIRST + self._words[USED]]
        start, end = HEAD, len(records)
        while start <= end:
            item, kind, size = RECORD.unpack_from(records, start - HEAD)
            yield item, kind, records[start : start + size]
            start += size + HEAD

    def close(self) -> None:
        """Let go of the memory and of the file."""
        self._words.release()
        self._clock.release()
        self._memory.close()
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


def new_file() -> int:
    """A file of SIZE that has no name."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rota-outbox", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, SIZE)
    except BaseException:
        os.close(fd)
        raise
    return fd
