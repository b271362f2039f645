"""What all transports share: a protocol, the context of its callbacks, the marks of a full buffer, and the end.

An :class:`Endpoint` is one end of a connection, a pipe or a datagram socket. A subclass moves the bytes: ``_run`` is
its turn to read; ``_flush``, called by its :class:`Flusher`, its turn to send. It keeps ``_size``, the bytes that have
not left, and calls ``_check_full`` when there are more and ``_check_drained`` when there are fewer. It ends by
``_lose``, which calls ``connection_lost`` in the next turn and then ``_release``.

The context is the one in which the endpoint was made. Every callback runs in it, except those that answer a call of
the protocol's own (``pause_writing`` out of ``write``), which run in the caller's.

Attributes may be set on an endpoint: libraries and tests put a ``write`` of their own on an instance.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio import trsock
from asyncio.log import logger
from contextvars import Context
from typing import TYPE_CHECKING, Any

from .. import limits
from ..core import native
from ..core.runnable import Runnable

if TYPE_CHECKING:
    from ..core.turn import LoopCore

WRITES_AFTER_LOSS = limits.WRITES_AFTER_LOSS


class Endpoint(Runnable):
    """The common part of every transport; see :class:`asyncio.BaseTransport` and :class:`asyncio.WriteTransport`."""

    __slots__ = (
        "__dict__",
        "_buffered",
        "_closing",
        "_context",
        "_extra",
        "_flusher",
        "_high_water",
        "_leaving",
        "_loop",
        "_lost",
        "_low_water",
        "_protocol",
        "_protocol_paused",
        "_size",
    )

    def __init__(self, loop: LoopCore, extra: dict[str, Any] | None) -> None:
        self._loop = loop
        self._context: Context = native.copy_context()
        native.leave_dictionary(self)
        self._extra: Any = extra
        self._protocol: Any = None
        self._buffered = False  # the protocol has memory of its own to read into
        self._protocol_paused = False
        self._flusher: Flusher | None = None  # once something has to wait to be sent
        self._leaving = False  # the turn will call _flush when it ends
        self._size = 0  # bytes written that have not left
        self._high_water = limits.WRITE_HIGH_WATER
        self._low_water = limits.WRITE_LOW_WATER
        self._closing = False  # close() or abort() was called, or the connection is lost
        self._lost = 0  # not 0 when connection_lost is on its way; counts the writes after it
        self._is_task = False
        self._queued = False

    # -- who it is ----------------------------------------------------------------------------------------------

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """Give what comes from now on to ``protocol``."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection under ``name``, or ``default``."""
        return self._extra.get(name, default)

    def _note_socket(self, sock: socket.socket) -> None:
        """What ``get_extra_info`` answers for every socket; a peer that is known already stays."""
        self._extra["socket"] = trsock.TransportSocket(sock)
        try:
            self._extra["sockname"] = sock.getsockname()
        except OSError:
            self._extra["sockname"] = None
        if "peername" not in self._extra:
            try:
                self._extra["peername"] = sock.getpeername()
            except OSError:
                self._extra["peername"] = None

    # -- the beginning ------------------------------------------------------------------------------------------

    def _open(self, waiter: Any) -> None:
        """In the next turn call ``connection_made``, begin to read and finish ``waiter``, a future or None."""
        self._loop._ready.push(Opening(self, waiter))

    def _start_reading(self) -> None:
        """Let the poller tell of what comes. Raises OSError if it can't."""
        raise NotImplementedError

    # -- a protocol with memory of its own ----------------------------------------------------------------------

    def _get_buffer(self, hint: int) -> Any:
        """The memory that a BufferedProtocol gives to read into. None if it gives none: then the connection is over."""
        try:
            buffer = native.call_method(self._context, self._protocol, "get_buffer", hint)
            if not native.nbytes(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._protocol_failed(error, "Fatal error: protocol.get_buffer() call failed.")
            return None
        return buffer

    def _buffer_updated(self, size: int) -> bool:
        """Say that ``size`` bytes stand in it. False if that failed: then the connection is over."""
        try:
            native.call_method(self._context, self._protocol, "buffer_updated", size)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._protocol_failed(error, "Fatal error: protocol.buffer_updated() call failed.")
            return False
        return True

    # -- sending ------------------------------------------------------------------------------------------------

    def _flush_later(self) -> None:
        """Let the turn call ``_flush`` when it ends."""
        if not self._leaving:
            self._leaving = True
            if self._flusher is None:
                self._flusher = Flusher(self)
            self._loop._at_turn_end(self._flusher)

    def _flush(self, outside: bool) -> None:
        """Send what can leave.

        ``outside`` says that the loop calls, not the protocol: its callbacks then need their context.
        """
        raise NotImplementedError

    def _send_kept(self) -> None:
        """The connection is about to end: send what would have left but for a wait, such as for the turn's end."""

    # -- how full the buffer is ---------------------------------------------------------------------------------

    def get_write_buffer_size(self) -> int:
        """How many bytes have not left."""
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """``(low, high)``: the protocol is paused above ``high`` bytes unsent and resumed at ``low``."""
        return (self._low_water, self._high_water)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set both; one that is not given follows from the other (a quarter, four times), or is the default."""
        if high is None:
            high = limits.WRITE_HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        # Infinity is the usual way to say never.
        self._high_water = int(min(high, sys.maxsize))
        self._low_water = int(min(low, sys.maxsize))
        self._check_full()

    def _check_full(self) -> None:
        """More was written: above the mark, ask the protocol to wait."""
        if self._size > self._high_water and not self._protocol_paused:
            self._protocol_paused = True
            self._tell_protocol("pause_writing", False)

    def _check_drained(self, outside: bool) -> None:
        """Something has left: at the lower mark, let the protocol go on. ``outside`` is that of ``_flush``."""
        if self._protocol_paused and self._size <= self._low_water:
            self._protocol_paused = False
            self._tell_protocol("resume_writing", outside)

    def _tell_protocol(self, method: str, outside: bool) -> None:
        try:
            callback = getattr(self._protocol, method)
            if outside:
                native.call(self._context, callback, ())
            else:
                callback()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report(error, f"protocol.{method}() failed")

    def _write_lost(self) -> None:
        """Written after the connection was lost: say so when it goes on."""
        if self._lost == WRITES_AFTER_LOSS:
            logger.warning("socket.send() raised exception.")
        self._lost += 1

    # -- the end ------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        """Drop what has not left and call ``connection_lost(None)``."""
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        """Drop what has not left and call ``connection_lost(error)``. asyncio's TLS calls this, too."""
        raise NotImplementedError

    def _fatal_error(self, error: BaseException, message: str = "Fatal error on transport") -> None:
        """The connection can't go on. What the network did is no news but in debug mode; what a protocol raised is."""
        if not isinstance(error, OSError):
            self._report(error, message)
        elif self._loop._debug:
            logger.debug("%r: %s", self, message, exc_info=error)
        self._force_close(error)

    def _protocol_failed(self, error: BaseException, message: str) -> None:
        """The protocol has raised ``error``. What it wrote before that leaves first: it may tell the peer why."""
        try:
            self._send_kept()
        finally:
            self._fatal_error(error, message)

    def _report(self, error: BaseException, message: str) -> None:
        self._loop.call_exception_handler(
            {
                "message": message,
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )

    def _lose(self, error: BaseException | None) -> None:
        """Call ``connection_lost(error)`` in the next turn; once."""
        if not self._lost:
            self._lost = 1
            self._loop.call_soon(self._call_connection_lost, error, context=self._context)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._release()

    def _release(self) -> None:
        """Give back what the system lent and let go of everybody."""
        self._protocol = None
        if self._flusher is not None:
            self._flusher._transport = None


class Opening(Runnable):
    """The first turn of an endpoint: tell the protocol, begin to read, finish the waiter."""

    __slots__ = ("_transport", "_waiter")

    def __init__(self, transport: Endpoint, waiter: Any) -> None:
        self._transport = transport
        self._waiter = waiter
        self._is_task = False
        self._queued = False

    def _run(self) -> None:
        transport = self._transport
        try:
            native.call_method(transport._context, transport._protocol, "connection_made", transport)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            transport._report(error, "protocol.connection_made() failed")
        finally:
            # After an interrupt, too: the loop may be run again.
            self._begin()

    def _begin(self) -> None:
        transport = self._transport
        try:
            transport._start_reading()
        except OSError as error:
            # Closed behind our back, or the kernel has no room for one more to watch.
            transport._force_close(error)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Flusher(Runnable):
    """The turn of an endpoint to send: when a turn ends, and when the kernel takes more."""

    __slots__ = ("_transport",)

    def __init__(self, transport: Endpoint) -> None:
        # None once all is over, though the turn or the poller may still hold this.
        self._transport: Endpoint | None = transport
        self._is_task = False
        self._queued = False

    def _run(self) -> None:
        transport = self._transport
        if transport is not None:
            transport._leaving = False
            transport._flush(True)


class Layer(Endpoint):
    """An endpoint that is the protocol of another, as TLS is.

    rota's own socket beneath calls it in C: ``_receive`` when there is something to read, and then ``_received``;
    ``_flush`` each time that it has sent.
    """

    __slots__ = ()

    def _receive(self, file: socket.socket, fd: int) -> int:
        """Read once from the socket; how many bytes, 0 at the end of the stream, -1 if there are none yet."""
        raise NotImplementedError

    def _received(self) -> None:
        """``_receive`` has read something."""
        raise NotImplementedError
