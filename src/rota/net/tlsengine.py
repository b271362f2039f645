"""OpenSSL between two pieces of memory: records go in and come out on one side, plain bytes on the other.

A :class:`TlsEngine` knows neither transports nor protocols, and waits for nothing. ``feed`` takes what the peer sent,
``records`` gives what is to be sent; both are methods of :class:`ssl.MemoryBIO`.

To ask for more than there is costs an exception in :mod:`ssl`, as much as a small record, so nothing here asks when the
memory is empty. One read gives one record at most, and with room for a whole one nothing of it stays behind.
"""

from __future__ import annotations

import ssl
from typing import Any

from .. import limits

SSLWantReadError = ssl.SSLWantReadError
SSLZeroReturnError = ssl.SSLZeroReturnError

RECORD = limits.TLS_RECORD
READ_SIZE = limits.READ_SIZE


class TlsEngine:
    """One end of a TLS connection, as bytes. ``ended`` is true once the peer's close_notify was read."""

    __slots__ = ("ended", "failure", "feed", "incoming", "more", "read", "records", "ssl", "write")

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        """Raises what ``context.wrap_bio`` raises, ValueError above all."""
        incoming = ssl.MemoryBIO()
        outgoing = ssl.MemoryBIO()
        secured = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_hostname)
        # SSLObject passes each call on to the C object behind it; unless somebody has changed that, go there directly.
        direct: Any = getattr(secured, "_sslobj", secured) if type(secured) is ssl.SSLObject else secured
        self.ssl: Any = secured
        self.read: Any = direct.read
        self.write: Any = direct.write
        self.incoming: Any = incoming
        self.feed: Any = incoming.write
        self.records: Any = outgoing.read
        self.ended = False
        self.more = False  # there may be more than the last call gave
        self.failure: BaseException | None = None  # what went wrong behind what the last call gave

    def decrypt(self) -> bytes | None:
        """The plain bytes of the records that are here, about ``limits.READ_SIZE`` at most; None if there are none."""
        data: bytes | None = None
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
