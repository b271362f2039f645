"""OpenSSL between two pieces of memory: records go in and come out on one side, plain bytes on the other.

A :class:`TlsEngine` knows neither transports nor protocols, and waits for nothing. ``feed`` takes what the peer sent,
``records`` gives what is to be sent.

The SSL object is :mod:`ssl`'s, which shakes hands and ends the connection. Records go through it, too, from and to its
memory BIOs, unless compiled rota has found OpenSSL behind it: then they don't (``libssl.py``), and all of the
rest is as it was.

To ask for more than there is costs an exception in :mod:`ssl`, as much as a small record, so nothing here asks when the
memory is empty. One read gives one record at most, and with room for a whole one nothing of it stays behind.
"""

from __future__ import annotations

import os
import ssl
import sys
from typing import Any

from .. import limits
from . import libssl, syscalls

SSLWantReadError = ssl.SSLWantReadError
SSLZeroReturnError = ssl.SSLZeroReturnError

RECORD = limits.TLS_RECORD
READ_SIZE = limits.READ_SIZE
#: The file of Python's _ssl. It has none if it is a part of Python.
LIBRARY = os.fsencode(getattr(sys.modules["_ssl"], "__file__", None) or "")
#: What is behind an SSLObject; another object's memory is not what it seems.
BEHIND = getattr(sys.modules["_ssl"], "_SSLSocket", None)


class TlsEngine:
    """One end of a TLS connection, as bytes. ``ended`` is true once the peer's close_notify was read."""

    __slots__ = ("ended", "failure", "incoming", "memory", "more", "outgoing", "put", "read", "ssl")

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        """Raises what ``context.wrap_bio`` raises, ValueError above all."""
        incoming = ssl.MemoryBIO()
        outgoing = ssl.MemoryBIO()
        secured = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_hostname)
        # SSLObject passes each call on to the C object behind it; unless somebody has changed that, go there directly.
        direct: Any = getattr(secured, "_sslobj", secured) if type(secured) is ssl.SSLObject else secured
        self.ssl: Any = secured
        self.read: Any = direct.read
        self.put: Any = direct.write
        self.incoming: Any = incoming
        self.outgoing: Any = outgoing
        self.ended = False
        self.more = False  # there may be more than the last call gave
        self.failure: BaseException | None = None  # what went wrong behind what the last call gave
        # What a callback for messages raises is told by the next call of ssl's; there would be none.
        direct_too = type(direct) is BEHIND and context._msg_callback is None  # type: ignore[attr-defined]
        self.memory: Any = libssl.attach(direct, context, LIBRARY if direct_too else b"")

    def __dealloc__(self) -> None:
        libssl.detach(self.memory)

    def feed(self, data: Any) -> None:
        """Take what the peer sent."""
        if self.memory:
            libssl.feed(self.memory, data)
        else:
            self.incoming.write(data)

    def receive(self, file: Any, fd: int) -> int:
        """The same from a socket; how many bytes, 0 at the end of the stream, -1 if there are none yet."""
        if self.memory:
            return libssl.receive(self.memory, fd)
        return syscalls.recv_to(file, fd, self.incoming.write)

    def settle(self) -> None:
        """Give back the memory that is not needed until more comes."""
        if self.memory:
            libssl.settle(self.memory)

    def waiting(self) -> int:
        """How many bytes of what was fed OpenSSL has not yet taken."""
        if self.memory:
            return libssl.waiting(self.memory)
        size: int = self.incoming.pending
        return size

    def decrypt(self) -> bytes | None:
        """The plain bytes of the records that are here, about ``limits.READ_SIZE`` at most; None if there are none."""
        if self.memory:
            data: bytes | None = libssl.decrypt(self.memory)
            self._note()
            return data
        data = None
        rest: list[bytes] | None = None
        size = 0
        self.more = False
        try:
            while size < READ_SIZE:
                found = self.read(RECORD)
                if not found:
                    self.ended = True
                    break
                if data is None:
                    data = found
                elif rest is None:
                    rest = [data, found]
                else:
                    rest.append(found)
                size += len(found)
                if not self.incoming.pending:
                    break
            else:
                self.more = True
        except SSLWantReadError:
            pass
        except BaseException as error:
            self.failure = error
        return data if rest is None else b"".join(rest)

    def decrypt_into(self, buffer: Any) -> int:
        """The same into ``buffer``, memory of any kind; how many bytes there were."""
        size = 0
        if self.memory:
            try:
                size = libssl.decrypt_into(self.memory, buffer)
            except BaseException as error:
                self.more = False
                self.failure = error
            else:
                self._note()
            return size
        self.more = False
        try:
            # A memoryview, whatever was given: a slice of a bytearray is a copy. It is let go of before the protocol
            # is told, which may then do with its memory what it likes.
            view = memoryview(buffer).cast("B")
            room = len(view)
            while size < room:
                count = self.read(room - size, view[size:] if size else view)
                if not count:
                    self.ended = True
                    break
                size += count
                if size < room and not self.incoming.pending:
                    break
            else:
                # Full: part of a record may stay behind, which no one can see from here.
                self.more = True
        except SSLWantReadError:
            pass
        except BaseException as error:
            self.failure = error
        return size

    def _note(self) -> None:
        """Take over how the reading ended."""
        how = libssl.how(self.memory)
        self.more = how == libssl.MORE
        if how == libssl.ENDED:
            self.ended = True
        elif how == libssl.FAILED:
            # OpenSSL fails in the same way again, and ssl says how.
            try:
                self.ended = not self.read(RECORD)
            except BaseException as error:
                self.failure = error

    def drop(self) -> int:
        """Decrypt what is here and forget it; how many bytes that was. Raises SSLError for what is no TLS."""
        size = 0
        try:
            while not self.ended:
                found = self.read(RECORD)
                size += len(found)
                self.ended = not found
        except SSLWantReadError:
            pass
        except SSLZeroReturnError:
            self.ended = True
        return size

    def write(self, data: bytes, begin: int, size: int) -> int:
        """Make records of ``size`` bytes of ``data``; how many of them. Raises SSLError."""
        if self.memory:
            done = libssl.encrypt(self.memory, data, begin, size)
            if done > 0:
                return done
        # If OpenSSL has failed, it fails again, and ssl says how.
        count: int = self.put(data if size == len(data) else memoryview(data)[begin : begin + size])
        return count

    def records(self) -> bytes:
        """What is to be sent, if anything."""
        if self.memory:
            return libssl.records(self.memory)
        data: bytes = self.outgoing.read()
        return data

    def send(self, fd: int) -> bool:
        """Send it through a socket on which nothing waits. False if there is some left, for ``records``."""
        if self.memory:
            return libssl.send(self.memory, fd)
        return False
