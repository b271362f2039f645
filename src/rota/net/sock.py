"""``sock_recv`` and its like: a program's own non-blocking socket, awaited call by call.

Each tries at once and waits for the socket only if it would block, or if others wait for it already: calls for one side
of a socket stand in line (``net.line``), and reading and writing go on side by side. A call that is cancelled has taken
nothing from the socket.

A socket that is closed while a call waits says so to nobody: shut it down first, or cancel the call. Otherwise the call
ends with EBADF when the number of the socket is used again. Nor does anybody tell that ``dup2`` has put another file
under that number: a call that then waits, waits for the old one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

from .. import limits
from .descriptors import Descriptors
from .dns import Names
from .line import READ, WRITE, Lines, Turn
from .tls import check_plain

WOULD_BLOCK = (BlockingIOError, InterruptedError)
AF_UNIX = getattr(socket, "AF_UNIX", None)
INTERNET = (socket.AF_INET, socket.AF_INET6)


class SocketCalls(Descriptors, Names):
    """Socket calls that wait on the loop. A TLS socket raises TypeError, in debug mode a blocking one ValueError, and
    the socket of a transport RuntimeError.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lines = Lines(self._transports)

    def _begin_anew(self, fd: int) -> None:
        self._lines.end_stale(fd)
        super()._begin_anew(fd)

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """At most ``n`` bytes; empty at the end of the stream."""
        found = self._lines.recv(self, sock, n)
        if not isinstance(found, Turn):
            return found
        try:
            while True:
                await found.usable()
                data = found.recv(n)
                if data is not None:
                    return data
        finally:
            found.end()

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """Read into ``buf``; how many bytes."""
        if self._may_try(sock, READ):
            try:
                return sock.recv_into(buf)
            except WOULD_BLOCK:
                pass
        size: int = await self._call_in_turn(sock, READ, "recv_into", buf)
        return size

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        """One datagram and its sender."""
        if self._may_try(sock, READ):
            try:
                return sock.recvfrom(bufsize)
            except WOULD_BLOCK:
                pass
        datagram: tuple[bytes, Any] = await self._call_in_turn(sock, READ, "recvfrom", bufsize)
        return datagram

    async def sock_recvfrom_into(self, sock: socket.socket, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        """One datagram into ``buf``; how many bytes, and its sender."""
        nbytes = nbytes or len(buf)
        if self._may_try(sock, READ):
            try:
                return sock.recvfrom_into(buf, nbytes)
            except WOULD_BLOCK:
                pass
        datagram: tuple[int, Any] = await self._call_in_turn(sock, READ, "recvfrom_into", buf, nbytes)
        return datagram

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """Send all of ``data``. When this raises, nobody knows how much has left."""
        rest = self._lines.send(self, sock, data)
        if rest is None:
            return
        turn = self._lines.turn(self, sock, WRITE)
        try:
            while rest:
                await turn.usable()
                try:
                    rest = rest[sock.send(rest) :]
                except WOULD_BLOCK:
                    pass
        finally:
            turn.end()

    async def sock_sendto(self, sock: socket.socket, data: Any, address: Any) -> int:
        """Send one datagram; how many bytes."""
        if self._may_try(sock, WRITE):
            try:
                return sock.sendto(data, address)
            except WOULD_BLOCK:
                pass
        sent: int = await self._call_in_turn(sock, WRITE, "sendto", data, address)
        return sent

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect; a host name is looked up first."""
        alone = self._may_try(sock, WRITE)
        if sock.family in INTERNET:
            found = await self._resolve(address, family=sock.family, kind=sock.type, proto=sock.proto)
            address = found[0][4]
            alone = sock.fileno() not in self._lines.first(WRITE)
        if alone and begin_connect(sock, address):
            return
        turn = self._lines.turn(self, sock, WRITE)
        try:
            if not alone:
                await turn.usable()
                if begin_connect(sock, address):
                    return
            await turn.usable()
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code != 0:
                raise OSError(code, f"Connect call failed {address}")
        finally:
            turn.end()

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """A connection, non-blocking, and its peer's address."""
        accepted: tuple[socket.socket, Any] | None = None
        if self._may_try(sock, READ):
            try:
                accepted = sock.accept()
            except WOULD_BLOCK:
                pass
        if accepted is None:
            accepted = await self._call_in_turn(sock, READ, "accept")
        accepted[0].setblocking(False)
        return accepted

    async def _call_in_turn(self, sock: socket.socket, side: int, method: str, *args: Any) -> Any:
        """``sock.method(*args)``, which would block, once it does not and those who came before are done."""
        turn = self._lines.turn(self, sock, side)
        try:
            await turn.usable()
            while True:
                try:
                    return getattr(sock, method)(*args)
                except WOULD_BLOCK:
                    if side == WRITE and sock.family == AF_UNIX:
                        # Full is the queue of one receiver, and the kernel tells of our own.
                        turn.look_away()
                        await asyncio.sleep(limits.DATAGRAM_RETRY_DELAY)
                    else:
                        await turn.usable()
        finally:
            turn.end()

    def _may_try(self, sock: socket.socket, side: int) -> bool:
        """Does nobody wait for this side of ``sock``? Raises what the class says."""
        check_plain(sock)
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        fd = sock.fileno()
        self._check_free(fd)
        return fd not in self._lines.first(side)


def begin_connect(sock: socket.socket, address: Any) -> bool:
    """Begin to connect. True if that was all. Raises OSError."""
    try:
        sock.connect(address)
    except WOULD_BLOCK as error:
        if sock.family == AF_UNIX and error.errno == errno.EAGAIN:
            # Not under way, as it would be for TCP: the server's queue is full.
            raise
        return False
    return True
