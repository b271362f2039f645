"""Those who wait for one side of a socket, reading or writing: a line, first come first served.

Whoever is first has that side to itself until its call is done: bytes that arrive go to whoever asked first, and what
two calls send does not get mixed. asyncio keeps the last caller only, and the others wait for ever.

A call that finds nobody waiting tries at once, and most are done by that: :class:`Lines` reads and writes for them,
with the GIL kept. One that has to wait takes a :class:`Turn`.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from ..core import native
from ..core.future import Future, new_future
from ..core.runnable import Runnable
from ..core.states import FINISHED, PENDING
from . import syscalls
from .descriptors import replace

if TYPE_CHECKING:
    from ..core.turn import LoopCore

READ = 0
WRITE = 1
WOULD_BLOCK = (BlockingIOError, InterruptedError)

#: The sockets whose calls can be made in C: a subclass, or what a test puts in the place of one, may have its own.
Socket = socket.socket


class Lines:
    """The lines of a loop's sockets, and the calls that need none."""

    __slots__ = ("_reading", "_transports", "_writing")

    def __init__(self, transports: list[Any]) -> None:
        """``transports`` are those of the loop, by file descriptor: their sockets are not for these calls."""
        self._transports = transports
        self._reading: dict[int, Turn] = {}
        self._writing: dict[int, Turn] = {}

    def __len__(self) -> int:
        return len(self._reading) + len(self._writing)

    def first(self, side: int) -> dict[int, Turn]:
        """Whoever is first, by file descriptor; only those for which somebody waits."""
        return self._writing if side else self._reading

    def end_stale(self, fd: int) -> None:
        """``fd`` is used anew. If a socket was closed while calls waited for it, they end here: the kernel says nothing
        of a descriptor that is closed.
        """
        for first in (self._reading, self._writing):
            turn = first.get(fd)
            if turn is not None and turn.sock.fileno() != fd:
                del first[fd]
                while turn is not None:
                    turn.fail(OSError(errno.EBADF, "the socket was closed while a call waited for it"))
                    turn = turn._next

    def turn(self, loop: Any, sock: Any, side: int) -> Turn:
        """A place in the line for one side of ``sock``. Raises RuntimeError for the socket of a transport."""
        fd = sock.fileno()
        if self._is_owned(fd):
            loop._check_free(fd)
        return self._join(loop, sock, fd, side)

    def recv(self, loop: Any, sock: Any, size: int) -> bytes | Turn:
        """What ``sock.recv(size)`` gives, or a place in the line if it would block or others wait. ``loop`` checks the
        socket.
        """
        # The kernel, asked for nothing, would wait or throw a datagram away: Python does not ask it.
        if type(sock) is not Socket or loop._debug or size <= 0:
            data = recv_or_none(sock, size) if loop._may_try(sock, READ) else None
            return self.turn(loop, sock, READ) if data is None else data
        fd = sock.fileno()
        if self._is_owned(fd):
            loop._check_free(fd)
        if fd not in self._reading and not loop._poller.is_drained(fd, sock):
            data = syscalls.recv_some(sock, fd, size)
            if data is not None:
                return data
        return self._join(loop, sock, fd, READ)

    def _is_owned(self, number: int) -> bool:
        """Does the file descriptor belong to a transport?"""
        return 0 <= number < len(self._transports) and self._transports[number] is not None

    def _join(self, loop: LoopCore, sock: Any, fd: int, side: int) -> Turn:
        """A place behind all who wait for that side of ``sock``, whose ``fileno()`` is ``fd``."""
        if fd in self._reading or fd in self._writing:
            self.end_stale(fd)
        turn: Turn = native.another(UNTOUCHED)
        turn.sock = sock
        turn._loop = loop
        turn._fd = fd
        turn._side = side
        turn._drained = False
        turn._future = None
        turn._next = None
        turn._first = self._writing if side else self._reading
        turn._is_task = False
        turn._queued = False
        before = turn._first.get(fd)
        if before is None:
            turn._first[fd] = turn
        else:
            while before._next is not None:
                before = before._next
            before._next = turn
        return turn

    def send(self, loop: Any, sock: Any, data: Any) -> Any:
        """Send ``data``: None when all has left, otherwise a view of the rest. ``loop`` checks the socket."""
        sent = 0
        if type(sock) is not Socket or loop._debug or type(data) is not bytes:
            if loop._may_try(sock, WRITE):
                try:
                    sent = sock.send(data)
                except WOULD_BLOCK:
                    pass
        else:
            fd = sock.fileno()
            if self._is_owned(fd):
                loop._check_free(fd)
            if fd not in self._writing:
                sent = max(syscalls.send_one(sock, fd, data), 0)
            if sent == len(data):
                return None
        rest = memoryview(data).cast("B")[sent:]
        return rest if len(rest) else None


class Turn(Runnable):
    """A call's place in the line for one side of ``sock``. Made by :class:`Lines`.

    ============  ================================================================
    ``_drained``  the last read brought less than was asked for
    ``_future``   of who waits, or None
    ``_next``     whose turn it is after this, or None
    ``_first``    those who are first on their sockets' side, by file descriptor
    ============  ================================================================
    """

    __slots__ = ("_drained", "_fd", "_first", "_future", "_loop", "_next", "_side", "sock")

    _drained: bool
    _fd: int
    _first: dict[int, Turn]
    _future: Future | None
    _loop: LoopCore
    _next: Turn | None
    _side: int
    sock: Any

    def usable(self) -> Future:
        """A future that is done when those who came before are, and then the socket may be read or written. Only for a
        call that has just found that it would block, or that others wait.
        """
        self._future = new_future(self._loop)
        if self._first.get(self._fd) is self:
            self._watch()
        return self._future

    def recv(self, size: int) -> bytes | None:
        """What ``sock.recv(size)`` gives, or None if it would block."""
        if type(self.sock) is not Socket or size <= 0:
            return recv_or_none(self.sock, size)
        data = syscalls.recv_some(self.sock, self.sock.fileno(), size)
        self._drained = data is not None and 0 < len(data) < size
        return data

    def _run(self) -> None:
        """The socket can be used."""
        future = self._future
        if future is not None and future._status == PENDING:
            future._finish(FINISHED)

    def _watch(self) -> None:
        poller = self._loop._poller
        try:
            if self._side:
                replaced = poller.add_writer(self._fd, self)
            elif type(self.sock) is Socket:
                replaced = poller.resume_reader(self._fd, self, self.sock)
            else:
                replaced = poller.add_reader(self._fd, self)
        except (OSError, ValueError) as error:
            self.fail(error)
            return
        if replaced is not None:
            replace(replaced)

    def fail(self, error: Exception) -> None:
        """Whoever waits gets ``error``."""
        future = self._future
        if future is not None and future._status == PENDING:
            future.set_exception(error)

    def look_away(self) -> None:
        """Leave nothing with the poller: it would tell at every turn of a socket that can be used and isn't."""
        poller = self._loop._poller
        if not self._side:
            poller.pause_reader(self._fd, self, self._drained)
        elif poller.who_waits(self._fd)[1] is self:  # and nobody else has taken over meanwhile
            poller.remove_writer(self._fd)

    def end(self) -> None:
        """The call is done or given up: the next one's turn."""
        self.look_away()
        turn = self._first.get(self._fd)
        if turn is self:
            turn = self._next
            if turn is None:
                del self._first[self._fd]
            else:
                self._first[self._fd] = turn
                if not self._loop._closed:
                    turn._come_first()
            return
        while turn is not None:
            if turn._next is self:
                turn._next = self._next
                return
            turn = turn._next
        # The socket was closed, and the line is no more.

    def _come_first(self) -> None:
        """Those who came before are done. What they have left is not told of again to a reader: it must try."""
        if self._side:
            if self._future is not None:
                self._watch()
        else:
            self._run()


UNTOUCHED = native.untouched(Turn)


def recv_or_none(sock: Any, size: int) -> bytes | None:
    """``sock.recv(size)``, or None if it would block."""
    try:
        data: bytes = sock.recv(size)
    except WOULD_BLOCK:
        return None
    return data
