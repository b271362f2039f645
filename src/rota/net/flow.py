"""The flow of a stream between its transport and the program: what comes goes to the reader, and writers wait when the
transport has too much.

:class:`ProtocolCore` and :class:`WriterCore` are the compiled halves of ``net.streams.StreamReaderProtocol`` and
``StreamWriter``: what runs for every packet.
"""

from __future__ import annotations

from asyncio.log import logger
from collections import deque
from collections.abc import Iterable
from typing import Any

from .endpoint import Endpoint
from .reader import ReaderCore


class ProtocolCore:
    """What a transport tells a stream once it is open."""

    __slots__ = (
        "_closed",
        "_connection_lost",
        "_drain_waiters",
        "_loop",
        "_over_ssl",
        "_paused",
        "_stream_reader_wr",
    )

    def __init__(self, stream_reader_wr: Any, loop: Any) -> None:
        self._stream_reader_wr = stream_reader_wr  # a weak reference to the reader, or None
        self._loop = loop
        self._paused = False  # the transport has too much
        self._connection_lost = False
        self._over_ssl = False
        self._closed = loop.create_future()  # done when the connection is
        self._drain_waiters: deque[Any] = deque()

    def data_received(self, data: bytes) -> None:
        if self._stream_reader_wr is not None:
            reader = self._stream_reader_wr()
            if reader is not None:
                reader.feed_data(data)

    def eof_received(self) -> bool:
        """Keep our side open, which TLS can't."""
        if self._stream_reader_wr is not None:
            reader = self._stream_reader_wr()
            if reader is not None:
                reader.feed_eof()
        return not self._over_ssl

    def pause_writing(self) -> None:
        assert not self._paused
        self._paused = True
        if self._loop.get_debug():
            logger.debug("%r pauses writing", self)

    def resume_writing(self) -> None:
        assert self._paused
        self._paused = False
        if self._loop.get_debug():
            logger.debug("%r resumes writing", self)
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _end(self, error: BaseException | None) -> None:
        """The connection is over: tell the reader, who waits for the end, and who waits to write."""
        if self._stream_reader_wr is not None:
            reader = self._stream_reader_wr()
            if reader is not None:
                if error is None:
                    reader.feed_eof()
                else:
                    reader.set_exception(error)
            self._stream_reader_wr = None
        finish(self._closed, error)
        self._connection_lost = True
        if self._paused:
            for waiter in self._drain_waiters:
                finish(waiter, error)


class WriterCore:
    """The side of a stream that a program writes to."""

    __slots__ = ("_loop", "_protocol", "_reader", "_transport")

    def __init__(self, transport: Any, protocol: Any, reader: Any, loop: Any) -> None:
        self._transport = transport
        self._protocol = protocol
        self._reader = reader
        self._loop = loop

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data`` without waiting; follow it with ``drain``, so that not too much of it is kept."""
        self._transport.write(data)

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """``write`` each."""
        self._transport.writelines(data)

    def _flows(self) -> bool:
        """True when nothing holds ``drain`` back. Raises what broke the connection."""
        if isinstance(self._reader, ReaderCore):
            reader = self._reader
            error = reader._exception
        else:
            error = None if self._reader is None else self._reader.exception()
        if error is not None:
            raise error
        if isinstance(self._transport, Endpoint):
            transport = self._transport
            closing = transport._closing
        else:
            closing = self._transport.is_closing()
        if closing or not isinstance(self._protocol, ProtocolCore):
            return False
        protocol = self._protocol
        return not (protocol._paused or protocol._connection_lost)


def finish(future: Any, error: BaseException | None) -> None:
    """Let ``future`` be done, unless it is."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
