"""Pipes, FIFOs, terminals and sockets that are used one way: transports that only read or only write.

Plain Python: a pipe is used per process, not per packet of a server. The file belongs to the transport, which closes
it. Callbacks run in the context in which the transport was made, as those of a socket do.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import stat
import warnings
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from .. import limits
from ..core.handle import Handle
from ..core.lifecycle import Lifecycle


class Pipes(Lifecycle):
    """``connect_read_pipe`` and ``connect_write_pipe``."""

    async def connect_read_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Read from ``pipe``, a file object; returns ``(transport, protocol)``.

        Raises ValueError for what is no pipe, socket or terminal.
        """
        protocol = protocol_factory()
        opened = self.create_future()
        transport = ReadPipe(self, pipe, protocol, opened)
        return await self._opened(transport, protocol, opened)

    async def connect_write_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Write to ``pipe``, a file object; as ``connect_read_pipe``."""
        protocol = protocol_factory()
        opened = self.create_future()
        transport = WritePipe(self, pipe, protocol, opened)
        return await self._opened(transport, protocol, opened)

    async def _opened(self, transport: Any, protocol: Any, opened: Any) -> tuple[Any, Any]:
        try:
            await opened
        except BaseException:
            transport.close()
            raise
        return transport, protocol


class Pipe(asyncio.transports._FlowControlMixin):
    """What both directions share: the file, the protocol and the end."""

    _loop: Any

    def __init__(self, loop: Lifecycle, pipe: Any, protocol: Any) -> None:
        self._file = None  # until it is known to be usable: what is refused stays the caller's
        self._fd = pipe.fileno()
        mode = os.fstat(self._fd).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
            raise ValueError(f"Pipe transport is for pipes/sockets/character devices only, got {pipe!r}")
        event_loop: Any = loop
        super().__init__({"pipe": pipe}, event_loop)
        self._mode = mode
        self._file = pipe
        self._closing = False
        self._protocol = protocol
        self._context = contextvars.copy_context()
        os.set_blocking(self._fd, False)

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def _open(self, opened: Any, begin: Callable[[], None]) -> None:
        """In the next turn: tell the protocol, ``begin``, and finish ``opened``."""
        self._loop.call_soon(self._protocol.connection_made, self, context=self._context)
        self._loop.call_soon(begin)
        self._loop.call_soon(finish, opened)

    def _fatal_error(self, error: BaseException, message: str) -> None:
        if not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        raise NotImplementedError

    def _lose(self, error: BaseException | None) -> None:
        self._loop.call_soon(self._call_connection_lost, error, context=self._context)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            file, self._file = self._file, None
            self._protocol = None
            if file is not None:
                file.close()

    def __del__(self) -> None:
        if self._file is not None:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._file.close()

    def __repr__(self) -> str:
        state = "closed" if self._file is None else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} fd={self._fd}>"


class ReadPipe(Pipe, asyncio.ReadTransport):
    """Reads."""

    def __init__(self, loop: Lifecycle, pipe: Any, protocol: Any, opened: Any) -> None:
        super().__init__(loop, pipe, protocol)
        self._paused = False
        self._open(opened, self._start)

    def _start(self) -> None:
        if not (self._closing or self._paused):
            self._loop._poller.add_reader(self._fd, Handle(self._read, (), self._loop, self._context))

    def _stop(self) -> None:
        self._loop._poller.remove_reader(self._fd)

    def _read(self) -> None:
        if self._closing or self._paused:
            return
        try:
            data = os.read(self._fd, limits.READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fatal_error(error, "Fatal read error on pipe transport")
            return
        if data:
            self._protocol.data_received(data)
            return
        self._closing = True
        self._stop()
        self._loop.call_soon(self._protocol.eof_received, context=self._context)
        self._lose(None)

    def pause_reading(self) -> None:
        if not (self._closing or self._paused):
            self._paused = True
            self._stop()

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._start()

    def is_reading(self) -> bool:
        return not (self._closing or self._paused)

    def close(self) -> None:
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        if not self._closing:
            self._closing = True
            self._stop()
            self._lose(error)


class WritePipe(Pipe, asyncio.WriteTransport):
    """Writes at once what the pipe takes, and the rest when it takes more."""

    def __init__(self, loop: Lifecycle, pipe: Any, protocol: Any, opened: Any) -> None:
        super().__init__(loop, pipe, protocol)
        self._out = bytearray()
        self._ended = False  # connection_lost is on its way
        self._writes_lost = 0
        self._open(opened, self._start)

    def _start(self) -> None:
        # The end for writing becomes readable when nobody reads any more. A terminal is readable when somebody
        # types, which says nothing.
        if not (stat.S_ISCHR(self._mode) or self._closing):
            self._loop._poller.add_reader(self._fd, Handle(self._hung_up, (), self._loop, self._context))

    def _hung_up(self) -> None:
        if self._out:
            self._close(BrokenPipeError())
        else:
            self._close(None)

    def write(self, data: Any) -> None:
        """Send ``data`` after what was written before. Returns at once."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if not data:
            return
        if self._closing:
            self._writes_lost += 1
            if self._writes_lost == limits.WRITES_AFTER_LOSS:
                logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")
            return
        waiting = bool(self._out)
        self._out += data
        if not waiting:
            self._flush()
            if self._out:
                self._loop._poller.add_writer(self._fd, Handle(self._flush_more, (), self._loop, self._context))
        self._maybe_pause_protocol()  # type: ignore[attr-defined]

    def _flush(self) -> None:
        try:
            sent = os.write(self._fd, self._out)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._fatal_error(error, "Fatal write error on pipe transport")
            return
        del self._out[:sent]

    def _flush_more(self) -> None:
        if self._ended:
            return
        self._flush()
        if not (self._out or self._ended):
            self._loop._poller.remove_writer(self._fd)
            self._maybe_resume_protocol()  # type: ignore[attr-defined]
            if self._closing and not self._out:
                self._end(None)

    def get_write_buffer_size(self) -> int:
        return len(self._out)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The same as ``close``: a pipe has one direction."""
        self.close()

    def close(self) -> None:
        """End it once all that was written has left."""
        if not self._closing:
            self._closing = True
            if not self._out:
                self._end(None)

    def abort(self) -> None:
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        if not self._closing or self._out:
            self._closing = True
            if self._out:
                self._loop._poller.remove_writer(self._fd)
                self._out.clear()
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if not self._ended:
            self._ended = True
            self._loop._poller.remove_reader(self._fd)
            self._lose(error)


def finish(opened: Any) -> None:
    if not opened.done():
        opened.set_result(None)
