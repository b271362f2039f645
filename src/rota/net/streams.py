"""Streams: connections that a program reads and writes, in place of callbacks.

The classes and functions are asyncio's, name by name and rule by rule, and real subclasses of them; the bytes, the
limits and the waiting are rota's own (``net.reader``, ``net.flow``, compiled). They run on any loop, at full speed on
rota's. A coroutine of a compiled class would cost more than it saves, so what is awaited stands here: it asks the
compiled half, and awaits only when that has nothing.

Where asyncio's versions differ, these do what the newest does: ``readuntil`` takes several separators, and a handler
that was cancelled closes its connection.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import warnings
import weakref
from asyncio import format_helpers
from collections.abc import Awaitable, Callable
from typing import Any

from .. import limits
from .flow import ProtocolCore, WriterCore
from .reader import ReaderCore

ClientConnected = Callable[["StreamReader", "StreamWriter"], Awaitable[None] | None]


class StreamReader(ReaderCore, asyncio.StreamReader):
    """What comes on a connection, as something to read. Made by :func:`open_connection` and :func:`start_server`.

    At most ``limit`` bytes, a line's end or separator not counted, are given by ``readline`` and ``readuntil``, and not
    much more than twice as many are kept.
    """

    def __init__(self, limit: int = limits.STREAM_LIMIT, loop: asyncio.AbstractEventLoop | None = None) -> None:
        ReaderCore.__init__(self, limit, asyncio.get_event_loop() if loop is None else loop)
        if self._loop.get_debug():
            self._source_traceback = format_helpers.extract_stack(sys._getframe(1))

    async def read(self, n: int = -1) -> bytes:
        """At most ``n`` bytes, as soon as there are any; none only at the end. All up to the end when ``n`` is -1."""
        if self._exception is not None:
            raise self._exception
        if n < 0:
            blocks = []
            while block := await self.read(self._limit):
                blocks.append(block)
            return b"".join(blocks)
        while (data := self._take_some(n)) is None:
            await self._arrival("read")
        return data

    async def readexactly(self, n: int) -> bytes:
        """``n`` bytes. Raises IncompleteReadError, which has what there was, when the end comes before."""
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        if self._exception is not None:
            raise self._exception
        while (data := self._take_exactly(n)) is None:
            await self._arrival("readexactly")
        return data

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        """All up to and with ``separator``, or with the one of several that comes first.

        Raises IncompleteReadError, which has what there was, when the end comes before, and LimitOverrunError when
        there is more than the limit before it: nothing is read then.
        """
        separators: Any = sorted(separator, key=len) if isinstance(separator, tuple) else (separator,)
        if not separators:
            raise ValueError("Separator should contain at least one element")
        if len(separators[0]) == 0:
            raise ValueError("Separator should be at least one-byte string")
        if self._exception is not None:
            raise self._exception
        searched = 0
        while (data := self._take_until(separators, searched)) is None:
            searched = self._searched
            await self._arrival("readuntil")
        return data

    async def readline(self) -> bytes:
        r"""A line with its ``b"\n"``; at the end, what there is without one, or nothing.

        Raises ValueError for a line longer than the limit, and drops it: all of it if it has ended, or what has come.
        """
        if self._exception is not None:
            raise self._exception
        searched = 0
        while (line := self._take_line(searched)) is None:
            searched = self._searched
            await self._arrival("readuntil")
        return line

    async def __anext__(self) -> bytes:
        if self._exception is not None:
            raise self._exception
        searched = 0
        while (line := self._take_line(searched)) is None:
            searched = self._searched
            await self._arrival("readuntil")
        if not line:
            raise StopAsyncIteration
        return line

    @property
    def _buffer(self) -> bytes:
        """What is unread: a copy, since it is kept in another way than asyncio's."""
        return self._peek(0)

    def __repr__(self) -> str:
        words = ["StreamReader"]
        if self._unread:
            words.append(f"{self._unread} bytes")
        if self._eof:
            words.append("eof")
        if self._limit != limits.STREAM_LIMIT:
            words.append(f"limit={self._limit}")
        if self._waiter:
            words.append(f"waiter={self._waiter!r}")
        if self._exception:
            words.append(f"exception={self._exception!r}")
        if self._transport:
            words.append(f"transport={self._transport!r}")
        if self._paused:
            words.append("paused")
        return f"<{' '.join(words)}>"


class StreamWriter(WriterCore, asyncio.StreamWriter):
    """What a program writes to a connection. Made by :func:`open_connection` and :func:`start_server`."""

    def __init__(self, transport: Any, protocol: Any, reader: Any, loop: asyncio.AbstractEventLoop) -> None:
        assert reader is None or isinstance(reader, asyncio.StreamReader)
        WriterCore.__init__(self, transport, protocol, reader, loop)

    @property
    def transport(self) -> Any:
        return self._transport

    async def drain(self) -> None:
        """Wait until the transport has not too much to send. Raises what broke the connection."""
        if self._flows():
            return
        if self._transport.is_closing():
            # Without this, a program that only writes and drains would never let connection_lost() be called.
            await asyncio.sleep(0)
        await self._protocol._drain_helper()

    def write_eof(self) -> None:
        """End our side once all that was written has left; the peer may go on."""
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Read no more, and end the connection once all that was written has left."""
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()  # type: ignore[no-any-return]

    async def wait_closed(self) -> None:
        """Wait until the connection is over. Raises what broke it."""
        closed = self._protocol._get_close_waiter(self)
        if not closed.done():
            # Not awaited itself: who gives up would cancel it for all who ever wait, as asyncio's does.
            await asyncio.wait([closed])
        try:
            await closed
        finally:
            # The exception holds this frame, and these held the exception.
            del self, closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    async def start_tls(
        self,
        sslcontext: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        """Begin TLS on this connection, on the side that it has. Raises ConnectionResetError if it is closing."""
        protocol = self._protocol
        server_side = protocol._client_connected_cb is not None
        await self.drain()
        beneath = self._transport
        transport = await self._loop.start_tls(
            beneath,
            protocol,
            sslcontext,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        if transport is None:
            raise ConnectionResetError("The connection is closing: TLS can't begin")
        self._transport = transport
        protocol._replace_transport(transport)
        if self._reader is not None:
            # asyncio's goes on pausing the transport underneath, behind the back of TLS.
            self._reader._transport = transport
            if self._reader._paused:
                # Much came with the last words of the handshake.
                beneath.resume_reading()
                transport.pause_reading()

    def __repr__(self) -> str:
        words = [type(self).__name__, f"transport={self._transport!r}"]
        if self._reader is not None:
            words.append(f"reader={self._reader!r}")
        return f"<{' '.join(words)}>"

    def __del__(self, warnings: Any = warnings) -> None:
        # Not there, or None, when __init__ refused its arguments.
        if getattr(self, "_transport", None) is None or self._transport.is_closing():
            return
        if self._loop.is_closed():
            warnings.warn("loop is closed", ResourceWarning)
        else:
            self.close()
            warnings.warn(f"unclosed {self!r}", ResourceWarning)


class StreamReaderProtocol(ProtocolCore, asyncio.StreamReaderProtocol):
    """The protocol between a transport and a stream.

    ``client_connected_cb(reader, writer)``, a function or a coroutine function, is called when the connection is open.
    It refers to the reader weakly: what comes for a reader that nobody holds any more is dropped.
    """

    _source_traceback: Any = None

    def __init__(
        self,
        stream_reader: Any,
        client_connected_cb: ClientConnected | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        reference = None
        if stream_reader is not None:
            reference = weakref.ref(stream_reader)
            self._source_traceback = stream_reader._source_traceback
        ProtocolCore.__init__(self, reference, asyncio.get_event_loop() if loop is None else loop)
        # Until the connection is open, nobody else knows the reader of a server's connection.
        self._strong_reader = None if client_connected_cb is None else stream_reader
        self._client_connected_cb: Any = client_connected_cb
        self._task: Any = None
        self._transport: Any = None

    @property
    def _stream_reader(self) -> Any:
        return None if self._stream_reader_wr is None else self._stream_reader_wr()

    def connection_made(self, transport: Any) -> None:
        self._replace_transport(transport)
        reader = self._stream_reader
        if reader is not None:
            reader.set_transport(transport)
        if self._client_connected_cb is not None:
            handled = self._client_connected_cb(reader, StreamWriter(transport, self, reader, self._loop))
            if asyncio.iscoroutine(handled):
                self._task = self._loop.create_task(handled)
                self._task.add_done_callback(lambda task: self._handled(task, transport))
            self._strong_reader = None

    def _replace_transport(self, transport: Any) -> None:
        self._transport = transport
        self._over_ssl = transport.get_extra_info("sslcontext") is not None

    def _handled(self, task: Any, transport: Any) -> None:
        """A coroutine of ``client_connected_cb`` has ended: on its own, or its connection ends with it."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._loop.call_exception_handler(
                {
                    "message": "Unhandled exception in client_connected_cb",
                    "exception": error,
                    "transport": transport,
                }
            )
        if error is not None or task.cancelled():
            transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end(exc)
        self._task = None
        self._transport = None

    async def _drain_helper(self) -> None:
        """Wait until the transport has less to send."""
        if self._connection_lost:
            raise ConnectionResetError("Connection lost")
        if not self._paused:
            return
        waiter = self._loop.create_future()
        self._drain_waiters.append(waiter)
        try:
            await waiter
        finally:
            self._drain_waiters.remove(waiter)

    def _get_close_waiter(self, stream: Any) -> Any:
        return self._closed

    def __del__(self) -> None:
        # What broke the connection is told to readers and writers; that nobody awaited wait_closed() is no news.
        closed = getattr(self, "_closed", None)
        if closed is not None and closed.done() and not closed.cancelled():
            closed.exception()


async def open_connection(
    host: Any = None, port: Any = None, *, limit: int = limits.STREAM_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Connect to ``host:port``; ``kwds`` are those of ``loop.create_connection``. Returns ``(reader, writer)``."""
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, host, port, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: ClientConnected,
    host: Any = None,
    port: Any = None,
    *,
    limit: int = limits.STREAM_LIMIT,
    **kwds: Any,
) -> Any:
    """Listen on ``host:port`` and call ``client_connected_cb(reader, writer)`` for each connection.

    A coroutine that it returns runs as a task. ``kwds`` are those of ``loop.create_server``. Returns the server.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(acceptor(client_connected_cb, limit, loop), host, port, **kwds)


async def open_unix_connection(
    path: Any = None, *, limit: int = limits.STREAM_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Connect to the Unix socket at ``path``; ``kwds`` are those of ``loop.create_unix_connection``."""
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_unix_connection(lambda: protocol, path, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_unix_server(
    client_connected_cb: ClientConnected, path: Any = None, *, limit: int = limits.STREAM_LIMIT, **kwds: Any
) -> Any:
    """:func:`start_server` on the Unix socket at ``path``; ``kwds`` are those of ``loop.create_unix_server``."""
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(acceptor(client_connected_cb, limit, loop), path, **kwds)


def acceptor(
    client_connected_cb: ClientConnected, limit: int, loop: asyncio.AbstractEventLoop
) -> Callable[[], StreamReaderProtocol]:
    """Makes the protocol of each connection that a server accepts."""

    def accept() -> StreamReaderProtocol:
        return StreamReaderProtocol(StreamReader(limit=limit, loop=loop), client_connected_cb, loop=loop)

    return accept
