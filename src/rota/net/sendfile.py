"""Files to sockets: ``sendfile`` through a transport, ``sock_sendfile`` through a program's own socket.

The kernel copies the file itself (``sendfile(2)``), a block at a time, so that a fast reader at the other end does not
keep the loop from everybody else. Where it can't, because the file is none of the disk's or the transport encrypts, the
file is read in a thread and written, unless the caller wants none of that.

Afterwards, and after an error, the file stands behind what was sent.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
import stat
from asyncio.constants import _SendfileMode
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .. import limits
from .line import WRITE
from .sock import SocketCalls

if TYPE_CHECKING:
    from .transport import SocketTransport

WOULD_BLOCK = (BlockingIOError, InterruptedError)


class Sendfile(SocketCalls):
    """``sendfile`` and ``sock_sendfile``."""

    async def sendfile(
        self, transport: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """Send ``count`` bytes of ``file`` from ``offset`` on, or all that follow; returns how many were sent.

        What was written before goes first; to write meanwhile raises RuntimeError, and nothing is read. Raises
        ConnectionError if the connection ends first, RuntimeError for a transport that can't (with ``fallback=False``
        for one that encrypts, too) and SendfileNotAvailableError for a file that the kernel can't send and
        ``fallback=False``.
        """
        self._check_closed()
        if transport.is_closing():
            raise RuntimeError("Transport is closing")
        mode = getattr(transport, "_sendfile_compatible", _SendfileMode.UNSUPPORTED)
        if mode is _SendfileMode.UNSUPPORTED:
            raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
        check_part(file, offset, count)
        if mode is _SendfileMode.TRY_NATIVE:
            try:
                return await self._sendfile_native(transport, file, offset, count)
            except asyncio.SendfileNotAvailableError:
                if not fallback:
                    raise
        if not fallback:
            raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
        sender = Sender(self, transport)
        try:
            return await self._read_and_send(sender.send, file, offset, count, limits.FILE_READ)
        finally:
            sender.end()

    async def sock_sendfile(
        self, sock: socket.socket, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """``sendfile`` through a connected stream socket of the program's own, which must be non-blocking."""
        alone = self._may_try(sock, WRITE)
        if sock.type != socket.SOCK_STREAM:
            check_mode(file)
            raise ValueError("only SOCK_STREAM type sockets are supported")
        check_part(file, offset, count)
        turn = self._lines.turn(self, sock, WRITE)
        try:
            if not alone:
                await turn.usable()
            return await send_blocks(sock, turn.usable, file, offset, count)
        except asyncio.SendfileNotAvailableError:
            if not fallback:
                raise
        finally:
            turn.end()

        async def send(data: memoryview) -> None:
            await self.sock_sendall(sock, data)

        return await self._read_and_send(send, file, offset, count, limits.SOCK_FILE_READ)

    async def _sendfile_native(self, transport: SocketTransport, file: Any, offset: int, count: int | None) -> int:
        """Let the kernel send, in step with a transport. asyncio's name: programs replace it to try the fallback."""

        async def room() -> None:
            await transport._room_for_file()
            if transport.is_closing():
                # In the same turn, and the descriptor may be another's by now.
                raise ConnectionError("the connection was closed while a file was being sent")

        sock = transport._begin_file()
        resume = transport.is_reading()
        transport.pause_reading()
        try:
            if transport.get_write_buffer_size() or transport.is_closing():
                await room()
            return await send_blocks(sock, room, file, offset, count)
        finally:
            transport._end_file()
            if resume:
                transport.resume_reading()

    async def _read_and_send(
        self,
        send: Callable[[memoryview], Awaitable[None]],
        file: Any,
        offset: int,
        count: int | None,
        size: int,
    ) -> int:
        """Read ``size`` bytes at a time in a thread and send them."""
        seekable = hasattr(file, "seek") and (not hasattr(file, "seekable") or file.seekable())
        if offset or seekable:
            file.seek(offset)
        buffer = memoryview(bytearray(size if count is None else min(size, count)))
        sent = 0
        try:
            while count is None or sent < count:
                part = buffer if count is None else buffer[: count - sent]
                read = await self.run_in_executor(None, file.readinto, part)
                if not read:
                    break
                await send(part[:read])
                sent += read
        finally:
            if sent and seekable:
                file.seek(offset + sent)
        return sent


async def send_blocks(
    sock: socket.socket, room: Callable[[], Awaitable[None]], file: Any, offset: int, count: int | None
) -> int:
    """Let the kernel send; ``room`` waits until it takes more. Raises SendfileNotAvailableError if it can't at all."""
    number = file_number(file)
    sent = 0
    try:
        while count is None or sent < count:
            block = limits.FILE_BLOCK if count is None else min(limits.FILE_BLOCK, count - sent)
            try:
                step = os.sendfile(sock.fileno(), number, offset + sent, block)
            except WOULD_BLOCK:
                step = None
            except OSError as error:
                if error.errno == errno.ENOTCONN:
                    raise ConnectionError(errno.ENOTCONN, "socket is not connected") from error
                if sent == 0 and not isinstance(error, ConnectionError):
                    raise asyncio.SendfileNotAvailableError("os.sendfile call failed") from error
                raise
            if step == 0:
                break
            sent += step or 0
            # At the end of the file a look finds it: the peer may never read, and all has been sent.
            if sent != count and (step is None or offset + sent != os.fstat(number).st_size):
                await room()
    finally:
        if sent:
            if hasattr(file, "seek"):
                file.seek(offset + sent)
            else:
                os.lseek(number, offset + sent, os.SEEK_SET)
    return sent


class Sender(asyncio.Protocol):
    """Stands in for a transport's protocol while a file is written, so that it is this one who is paused."""

    def __init__(self, loop: Any, transport: Any) -> None:
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._resume_reading = transport.is_reading()
        self._was_paused = self._paused = bool(transport._protocol_paused)
        self._room: Any = None
        transport.pause_reading()
        transport.set_protocol(self)

    async def send(self, data: memoryview) -> None:
        """Write once there is room. Raises ConnectionError if the connection has ended."""
        if self._transport.is_closing():
            raise ConnectionError("Connection closed by peer")
        if self._paused:
            self._room = self._loop.create_future()
            try:
                await self._room
            finally:
                self._room = None
        self._transport.write(data)

    def end(self) -> None:
        """Put the protocol back, and tell it what has changed meanwhile."""
        self._transport.set_protocol(self._protocol)
        if self._resume_reading:
            self._transport.resume_reading()
        if self._paused and not self._was_paused:
            self._protocol.pause_writing()
        elif self._was_paused and not self._paused:
            self._protocol.resume_writing()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def data_received(self, data: bytes) -> None:
        raise RuntimeError("Invalid state: reading should be paused")

    def eof_received(self) -> bool | None:
        raise RuntimeError("Invalid state: reading should be paused")

    def connection_lost(self, error: BaseException | None) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_exception(ConnectionError("Connection is closed by peer") if error is None else error)
        self._was_paused = self._paused
        self._protocol.connection_lost(error)


def file_number(file: Any) -> int:
    """The descriptor of a regular file. Raises SendfileNotAvailableError for what is none."""
    if not hasattr(os, "sendfile"):
        raise asyncio.SendfileNotAvailableError("os.sendfile() is not available")
    try:
        number: int = file.fileno()
        mode = os.fstat(number).st_mode
    except (AttributeError, OSError, io.UnsupportedOperation):
        mode = 0
    if not stat.S_ISREG(mode):
        raise asyncio.SendfileNotAvailableError("not a regular file")
    return number


def check_mode(file: Any) -> None:
    """Raise ValueError for a text file."""
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")


def check_part(file: Any, offset: Any, count: Any) -> None:
    """Raise ValueError or TypeError unless there can be such a part of ``file``. In asyncio's words."""
    check_mode(file)
    if count is not None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
    if not isinstance(offset, int):
        raise TypeError(f"offset must be a non-negative integer (got {offset!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")
