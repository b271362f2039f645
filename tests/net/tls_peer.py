"""The other end of a TLS connection, moved by hand, so that a test decides what it says and when."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

NAME = "server.test"


class Peer:
    """TLS over a non-blocking socket. ``goodbye`` is true once the other end's close_notify has come, ``eof`` once
    its connection has ended; ``records`` are the sizes of the records that came.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool = True) -> None:
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=None if server_side else NAME,
        )
        self.goodbye = False
        self.eof = False
        self.records: list[int] = []
        self._unparsed = bytearray()
        self._unsent = b""

    async def shake(self, early: bytes = b"") -> None:
        """Shake hands; ``early`` leaves with our last words of that."""
        async with asyncio.timeout(5):
            while not self.eof:
                try:
                    self.ssl.do_handshake()
                    if early:
                        self.ssl.write(early)
                    self.send()
                    return
                except ssl.SSLWantReadError:
                    self.send()
                    self.receive()
                await asyncio.sleep(0)

    def send(self, limit: int | None = None) -> None:
        """Give the kernel what there is, or the first ``limit`` bytes of it."""
        self._unsent += self.outgoing.read()
        while self._unsent and limit != 0:
            try:
                sent = self.sock.send(self._unsent if limit is None else self._unsent[:limit])
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                self._unsent = b""
                return
            self._unsent = self._unsent[sent:]
            if limit is not None:
                limit -= sent

    def unsent(self) -> int:
        return len(self._unsent)

    def receive(self, limit: int = 1 << 20) -> None:
        """Take what is in the socket, ``limit`` bytes at most."""
        while limit and not self.eof:
            try:
                data = self.sock.recv(min(limit, 1 << 16))
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self.eof = not data
            limit -= len(data)
            self.incoming.write(data)
            self._unparsed += data
            while len(self._unparsed) >= 5:
                size = 5 + int.from_bytes(self._unparsed[3:5], "big")
                if len(self._unparsed) < size:
                    break
                self.records.append(size)
                del self._unparsed[:size]

    def read(self, limit: int = 1 << 20) -> bytes:
        """What the other end has said so far."""
        self.receive(limit)
        found = bytearray()
        try:
            while not self.goodbye:
                data = self.ssl.read(1 << 16)
                self.goodbye = not data
                found += data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.goodbye = True
        return bytes(found)

    async def read_to_end(self, step: int = 50_000) -> bytes:
        """All that the other end says until it says goodbye or ends, ``step`` bytes of the connection in a turn."""
        found = bytearray()
        async with asyncio.timeout(5):
            while not (self.goodbye or self.eof):
                found += self.read(step)
                await asyncio.sleep(0)
        return bytes(found)

    async def read_exactly(self, size: int, step: int = 1 << 20) -> bytes:
        """The next ``size`` bytes, or more if they have come."""
        found = bytearray()
        async with asyncio.timeout(5):
            while len(found) < size:
                found += self.read(step)
                await asyncio.sleep(0)
        return bytes(found)

    def write(self, data: bytes) -> None:
        self.ssl.write(data)
        self.send()

    def say_goodbye(self) -> None:
        """Send close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.ssl.unwrap()
        self.send()


class Inner(Peer):
    """TLS inside the TLS of ``outer``: what it says leaves with the next that ``outer`` says."""

    def __init__(self, outer: Peer, context: ssl.SSLContext) -> None:
        super().__init__(outer.sock, context)
        self.outer = outer

    def send(self, limit: int | None = None) -> None:
        self.outer.ssl.write(self.outgoing.read() or b"")
        self.outer.send()

    def receive(self, limit: int = 1 << 20) -> None:
        self.incoming.write(self.outer.read(limit))
