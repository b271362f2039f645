"""Those who wait for one side of a socket, reading or writing: a line, first come first served.

Whoever is first has that side to itself until its call is done: bytes that arrive go to whoever asked first, and what
two calls send does not get mixed. asyncio keeps the last caller only, and the others wait for ever.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import Any

from ..core.handle import Handle
from .descriptors import Descriptors, replace

READ = 0
WRITE = 1


class Lines(Descriptors):
    """The lines of a loop's sockets."""

    def __init__(self, *args: Any) -> None:
        #: by file descriptor, for reading and for writing; only those in which somebody waits
        self._lines: tuple[dict[int, deque[Turn]], dict[int, deque[Turn]]] = ({}, {})
        super().__init__(*args)

    def _begin_anew(self, fd: int) -> None:
        self._end_stale(fd)
        super()._begin_anew(fd)

    def _end_stale(self, fd: int) -> None:
        """``fd`` is used anew. If a socket was closed while calls waited for it, they end here: the kernel says nothing
        of a descriptor that is closed.
        """
        for lines in self._lines:
            if fd in lines and lines[fd][0].sock.fileno() != fd:
                for turn in lines.pop(fd):
                    turn.fail(OSError(errno.EBADF, "the socket was closed while a call waited for it"))


class Turn:
    """A call's place in the line for one side of ``sock``. Raises RuntimeError for the socket of a transport."""

    __slots__ = ("_fd", "_handle", "_line", "_loop", "_side", "_waiting", "sock")

    def __init__(self, loop: Lines, sock: socket.socket, side: int) -> None:
        fd = sock.fileno()
        loop._check_free(fd)
        loop._end_stale(fd)
        self._loop = loop
        self.sock = sock
        self._fd = fd
        self._side = side
        self._handle: Handle | None = None  # what the poller has
        self._waiting: Any = None  # the future of who waits
        self._line = loop._lines[side].setdefault(fd, deque())
        self._line.append(self)

    def usable(self) -> Any:
        """A future that is done when those who came before are, and then the socket can be read or written."""
        self._waiting = self._loop.create_future()
        if self._line[0] is self:
            self._watch()
        return self._waiting

    def _watch(self) -> None:
        poller = self._loop._poller
        self._handle = Handle(finish, (self._waiting,), self._loop)
        try:
            replace((poller.add_writer if self._side else poller.add_reader)(self._fd, self._handle))
        except (OSError, ValueError) as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Whoever waits gets ``error``."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def look_away(self) -> None:
        """Leave nothing with the poller: it would tell at every turn of a socket that can be used and isn't."""
        poller = self._loop._poller
        # Unless somebody else has taken over meanwhile.
        if self._handle is not None and poller.who_waits(self._fd)[self._side] is self._handle:
            (poller.remove_writer if self._side else poller.remove_reader)(self._fd)

    def end(self) -> None:
        """The call is done or given up: the next one's turn."""
        self.look_away()
        line, lines = self._line, self._loop._lines[self._side]
        first = line[0] is self
        line.remove(self)
        if lines.get(self._fd) is not line or self._loop.is_closed():
            return  # the socket was closed, or nobody will have a turn again
        if not line:
            del lines[self._fd]
        elif first and line[0]._waiting is not None:
            line[0]._watch()


def finish(waiting: Any) -> None:
    if not waiting.done():
        waiting.set_result(None)
