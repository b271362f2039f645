# cython: boundscheck=False, wraparound=False
# Every number is looked at before it is an index, and what is dropped was found.
"""Who waits for which file descriptor: a table by number.

File descriptors are small numbers, handed out from below, so an index costs less than a look-up.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from typing import Any

from ...core.ready import Ready
from ...core.runnable import Runnable

READ = 1  # EPOLLIN
WRITE = 4  # EPOLLOUT
ABSENT = -1  # the mask of what the kernel was never told of

if hasattr(select, "epoll") and (select.EPOLLIN, select.EPOLLOUT) != (READ, WRITE):
    raise ImportError(f"EPOLLIN and EPOLLOUT are {select.EPOLLIN} and {select.EPOLLOUT} here, not {READ} and {WRITE}")


class Watch:
    """Who waits for one file descriptor, and what the kernel was last asked for.

    ``file`` refers weakly to the object that is read with pauses, if the kernel was asked so for that; ``drained`` is
    the number of the last poll before it was found to have nothing more to read, or 0, and ``ending`` that it may have
    its end to read, of which the kernel tells but once.
    """

    __slots__ = ("drained", "ending", "file", "mask", "reader", "writer")

    def __init__(self) -> None:
        self.file: Callable[[], Any] | None = None
        self.drained = 0
        self.ending = False
        self.reader: Runnable | None = None
        self.writer: Runnable | None = None
        self.mask = ABSENT

    def wanted(self) -> int:
        """What to ask of the kernel for those who wait."""
        return (READ if self.reader is not None else 0) | (WRITE if self.writer is not None else 0)


class Watches:
    """The table. A row is a :class:`Watch`, or the reader alone where there is nothing else to say: an idle connection
    takes 96 bytes less.
    """

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: list[Watch | Runnable | None] = []

    def __iter__(self) -> Iterator[tuple[int, Runnable | None, Runnable | None]]:
        """``(fd, reader, writer)`` of all that wait."""
        found: list[tuple[int, Runnable | None, Runnable | None]] = []
        for fd, row in enumerate(self._rows):
            if row is None:
                continue
            if type(row) is not Watch:
                found.append((fd, row, None))  # type: ignore[arg-type]
                continue
            watch = row
            if watch.reader is not None or watch.writer is not None:
                found.append((fd, watch.reader, watch.writer))
        return iter(found)

    def find(self, fd: int) -> Watch | None:
        """Who waits for ``fd``, or None. What is found may be changed, and then given to :meth:`pack`."""
        if fd < 0 or fd >= len(self._rows):
            return None
        row = self._rows[fd]
        if row is None or type(row) is Watch:
            return row
        watch = Watch()
        watch.reader = row  # type: ignore[assignment]
        watch.mask = READ
        self._rows[fd] = watch
        return watch

    def pack(self, fd: int, watch: Watch) -> None:
        """``watch``, which was found for ``fd``, is as it will be for a while."""
        if watch.mask == READ and watch.reader is not None and watch.writer is None:
            self._rows[fd] = watch.reader

    def make(self, fd: int) -> Watch:
        """Who waits for ``fd``, made if nobody did. Raises ValueError or OSError for what is no file descriptor."""
        if fd < 0:
            raise ValueError(f"Invalid file descriptor: {fd}")
        if fd >= len(self._rows):
            os.fstat(fd)  # a wild number would make a table of its size
        while fd >= len(self._rows):
            self._rows.append(None)
        watch = self.find(fd)
        if watch is None:
            watch = self._rows[fd] = Watch()
        return watch

    def drop(self, fd: int) -> None:
        """Nobody waits for ``fd`` any more."""
        self._rows[fd] = None

    def level(self) -> None:
        """The kernel was asked anew, for those who wait and nobody else, and to tell them again and again."""
        for fd, row in enumerate(self._rows):
            if row is None or type(row) is not Watch:
                continue
            watch = row
            watch.mask = watch.wanted()
            if not watch.mask:
                self._rows[fd] = None
            else:
                self.pack(fd, watch)

    def clear(self) -> None:
        self._rows = []

    def fired(self, fd: int, events: int, ready: Ready) -> bool:
        """``fd`` can be used: whoever waits for it is ready. False if nobody here knows it.

        What is neither reading nor writing, an error or a hang-up, is for both.
        """
        if fd < 0 or fd >= len(self._rows):
            return False
        row = self._rows[fd]
        if row is None:
            return False
        if type(row) is not Watch:
            reader: Runnable = row  # type: ignore[assignment]
            if events & ~WRITE and not reader._queued:
                ready.push(reader)
            return True
        watch = row
        if events & ~WRITE:
            if events & ~(READ | WRITE):
                watch.ending = True
            runnable = watch.reader
            if runnable is not None and not runnable._queued:
                ready.push(runnable)
        if events & ~READ:
            runnable = watch.writer
            if runnable is not None and not runnable._queued:
                ready.push(runnable)
        return True
