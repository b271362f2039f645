"""``sock_recv`` and its like: a program's own non-blocking socket, awaited call by call.

Each tries at once and waits for the socket only if it would block. A socket has one reader and one writer at a time.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from ..core.handle import Handle
from .descriptors import Descriptors, replace
from .dns import Names
from .tls import check_plain

WOULD_BLOCK = (BlockingIOError, InterruptedError)


class SocketCalls(Descriptors, Names):
    """Socket calls that wait on the loop. A TLS socket raises TypeError, in debug mode a blocking one ValueError."""

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """At most ``n`` bytes; empty at the end of the stream."""
        self._check_usable(sock)
        while True:
            try:
                return sock.recv(n)
            except WOULD_BLOCK:
                await self._readable(sock)

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """Read into ``buf``; how many bytes."""
        self._check_usable(sock)
        while True:
            try:
                return sock.recv_into(buf)
            except WOULD_BLOCK:
                await self._readable(sock)

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        """One datagram and its sender."""
        self._check_usable(sock)
        while True:
            try:
                return sock.recvfrom(bufsize)
            except WOULD_BLOCK:
                await self._readable(sock)

    async def sock_recvfrom_into(self, sock: socket.socket, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        """One datagram into ``buf``; how many bytes, and its sender."""
        self._check_usable(sock)
        while True:
            try:
                return sock.recvfrom_into(buf, nbytes or len(buf))
            except WOULD_BLOCK:
                await self._readable(sock)

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """Send all of ``data``. When this raises, nobody knows how much has left."""
        self._check_usable(sock)
        rest = memoryview(data).cast("B")
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except WOULD_BLOCK:
                await self._writable(sock)

    async def sock_sendto(self, sock: socket.socket, data: Any, address: Any) -> int:
        """Send one datagram; how many bytes."""
        self._check_usable(sock)
        while True:
            try:
                return sock.sendto(data, address)
            except WOULD_BLOCK:
                await self._writable(sock)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect; a host name is looked up first."""
        self._check_usable(sock)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            found = await self.getaddrinfo(*address[:2], family=sock.family, type=sock.type, proto=sock.proto)
            if not found:
                raise OSError(f"getaddrinfo({address[0]!r}) returned empty list")
            # Flow and scope are the caller's, where they were given; the resolver knows nothing of them.
            address = (*found[0][4][:2], *address[2:]) if len(address) > 2 else found[0][4]
        try:
            sock.connect(address)
            return
        except WOULD_BLOCK as error:
            if sock.family == getattr(socket, "AF_UNIX", None) and error.errno == errno.EAGAIN:
                # Not under way, as it would be for TCP: the server's queue is full.
                raise
        await self._writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code != 0:
            raise OSError(code, f"Connect call failed {address} ({os.strerror(code)})")

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """A connection, non-blocking, and its peer's address."""
        self._check_usable(sock)
        while True:
            try:
                connection, address = sock.accept()
            except WOULD_BLOCK:
                await self._readable(sock)
            else:
                connection.setblocking(False)
                return connection, address

    async def _readable(self, sock: socket.socket) -> None:
        await self._wait_for(sock.fileno(), 0, self._poller.add_reader, self._poller.remove_reader)

    async def _writable(self, sock: socket.socket) -> None:
        await self._wait_for(sock.fileno(), 1, self._poller.add_writer, self._poller.remove_writer)

    async def _wait_for(self, fd: int, side: int, add: Any, remove: Any) -> None:
        """Wait until ``fd`` can be used, and leave nothing with the poller, cancelled or not."""
        self._check_free(fd)
        usable = self.create_future()
        handle = Handle(finish, (usable,), self)
        replace(add(fd, handle))
        try:
            await usable
        finally:
            # Unless another call has taken over meanwhile.
            if self._poller.who_waits(fd)[side] is handle:
                remove(fd)

    def _check_usable(self, sock: socket.socket) -> None:
        check_plain(sock)
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")


def finish(future: Any) -> None:
    if not future.done():
        future.set_result(None)
