"""TLS over a transport: records to the transport beneath, plain bytes to the program.

:class:`TlsTransport` is a transport to the program's protocol and itself the protocol of the transport beneath. The
cipher is OpenSSL's (``tlsengine.py``). It keeps the contract of :class:`asyncio.Transport` and answers ``isinstance``
for it.

=========== ===================================================================================================
state       what happens, and what ends it
=========== ===================================================================================================
WAITING     nothing yet: ``connection_made`` brings the transport beneath
HANDSHAKING what comes goes to the handshake; it succeeds, fails, or takes too long
OPEN        the program's bytes go both ways; ``close``, or the end of what the peer has to say
CLOSING     what was written leaves, then our close_notify; what comes is dropped, up to the peer's close_notify
CLOSED      the transport beneath was told to close, or is lost: ``connection_lost`` comes or has come
=========== ===================================================================================================

Reading: what one read of the socket brought is decrypted and handed over at once, never more. While the program has
paused reading, the transport beneath reads no further either.

Writing: what is written in one turn becomes records together at its end, unless it is much (``limits.WRITE_NOW``).
Records are only made while the transport beneath can pass them on; until then ``bytes`` stay as they were given.
The write marks count both, the plain bytes and the records beneath; over a transport that is not rota's socket, only
the former.

Directly over a :class:`SocketTransport` the two call one another in C; any other transport is used through its
public methods, which is how TLS runs inside TLS.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import constants, sslproto
from asyncio.log import logger
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import limits
from ..core import native
from .endpoint import Endpoint, Flusher, Layer
from .tlsengine import TlsEngine
from .transport import SocketTransport

if TYPE_CHECKING:
    from ..core.turn import LoopCore

SSLWantReadError = ssl.SSLWantReadError

RECORD_SIZE = limits.TLS_RECORD
WRITE_NOW = limits.WRITE_NOW
WRITES_AFTER_LOSS = limits.WRITES_AFTER_LOSS
LINGER_SIZE = limits.TLS_LINGER_SIZE

WAITING = 0
HANDSHAKING = 1
OPEN = 2
CLOSING = 3
CLOSED = 4

NAMES = ("waiting", "handshaking", "open", "closing", "closed")


class TlsTransport(Layer):
    """One end of a TLS connection. Made by the loop's ``create_connection``, ``start_tls`` and their like."""

    __slots__ = (
        "_began",
        "_beneath",
        "_beneath_ends",
        "_beneath_full",
        "_delivering",
        "_dropped",
        "_engine",
        "_goodbye",
        "_handshake_timeout",
        "_left",
        "_lingering",
        "_made",
        "_offset",
        "_out",
        "_paused",
        "_peer_ended",
        "_plain",
        "_secured",
        "_shutdown_timeout",
        "_socket",
        "_state",
        "_timer",
        "_waiter",
    )

    # asyncio and libraries ask for these.
    _sendfile_compatible = constants._SendfileMode.FALLBACK
    _start_tls_compatible = True

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # That of asyncio's own: programs tell a connection with TLS by the class and its name.
        return sslproto._SSLProtocolTransport

    @property
    def _sslcontext(self) -> ssl.SSLContext:
        """``get_extra_info("sslcontext")``, under the name by which tools find it."""
        context: ssl.SSLContext = self._extra["sslcontext"]
        return context

    def __init__(
        self,
        loop: LoopCore,
        protocol: Any,
        context: ssl.SSLContext,
        waiter: Any,
        server_side: bool,
        server_hostname: str | None,
        handshake_timeout: float,
        shutdown_timeout: float | None,
        made: bool,
    ) -> None:
        """To be given to a transport as its protocol. ``waiter`` (a future or None) hears how the handshake ends.

        The timeouts are in seconds, that of the shutdown None if nobody asked for one. ``made`` says that
        ``protocol.connection_made`` was called long ago, as when TLS begins in the middle of a connection. Raises what
        ``context.wrap_bio`` raises, ValueError above all.
        """
        self._engine = TlsEngine(context, server_side, server_hostname)
        Layer.__init__(self, loop, {})
        self._high_water = limits.TLS_WRITE_HIGH_WATER
        self._low_water = limits.TLS_WRITE_HIGH_WATER // 4
        self._extra["sslcontext"] = context
        self._state = WAITING
        self._secured = False  # the handshake has succeeded
        self._made = made  # the program's connection_made was called
        self._waiter = waiter
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        self._timer: Any = None
        self._began = 0.0  # when the handshake did
        self._beneath: Any = None
        self._socket: SocketTransport | None = None  # the same, if it is rota's own
        self._beneath_ends = False  # it takes what we give it now, and nothing later
        self._beneath_full = False  # it has asked us to wait
        self._out: list[bytes] = []  # written, not yet encrypted
        self._offset = 0  # bytes of the first of _out that are
        self._plain = 0  # bytes of all of _out that are not
        self._flusher = Flusher(self)
        self._paused = False
        self._delivering = False
        self._peer_ended = False  # by close_notify, or because its transport did
        self._goodbye = False  # our close_notify was written, or there shall be none
        self._lingering = False  # all of ours has left, and the peer has a moment for its own
        self._dropped = 0  # bytes that came after ours
        self._left = 0  # bytes that had not left when the timer of the shutdown began
        self.set_protocol(protocol)

    @property
    def _ssl_protocol(self) -> TlsTransport:
        """What asyncio's TLS transport calls its other half: libraries and tests reach through it."""
        return self

    # -- the transport beneath tells ----------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Begin the handshake over ``transport``."""
        if self._state != WAITING:
            transport.abort()  # closed before it began
            return
        self._beneath = transport
        if type(transport) is SocketTransport:
            self._socket = transport
        # In the middle of a connection, the protocol may be waiting for it to drain.
        if getattr(transport, "_protocol_paused", False):
            self._protocol_paused = self._made
            if self._socket is None:
                self._beneath_full = True
            else:
                self._socket._protocol_paused = False
        if transport.is_closing():
            self._state = CLOSED
            self._closing = True
            self._tell_waiter(ConnectionAbortedError("The connection was closed before the SSL handshake"))
            return
        self._state = HANDSHAKING
        if self._loop._debug:
            logger.debug("%r starts SSL handshake", self)
        self._began = self._loop.time()
        self._timer = self._loop.call_later(self._handshake_timeout, self._handshake_takes_too_long)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        """Records have come."""
        self._engine.feed(data)
        self._received()

    def eof_received(self) -> bool:
        """No more records come. True if the transport beneath should wait for us to close it."""
        # TLS beneath ends with its peer and takes nothing after this.
        self._beneath_ends = self._beneath is None or not self._beneath.can_write_eof()
        try:
            if self._state == HANDSHAKING:
                self._handshake_failed(ConnectionResetError("The peer closed the connection during the SSL handshake"))
            elif self._state == OPEN:
                self._peer_ended = True
                # Who ends without a close_notify takes ours for data: there are such programs, and asyncio sends none.
                self._goodbye = True
                self._deliver()
            elif self._state == CLOSING:
                self._peer_ended = True
        finally:
            # After an interrupt, too: what is beneath ends now.
            if self._state == CLOSING or (self._state == OPEN and self._beneath_ends):
                self._flush(True)
        return not self._beneath_ends

    def pause_writing(self) -> None:
        """The transport beneath is full."""
        self._beneath_full = True

    def resume_writing(self) -> None:
        """... and takes records again. That may come out of our own write to it, so they go at the end of the turn."""
        if self._state == WAITING and not self._beneath_full:
            # It was the program's protocol that it had asked to wait, before TLS began.
            self._protocol_paused = self._made
        self._beneath_full = False
        self._flush_later()

    def connection_lost(self, error: BaseException | None) -> None:
        """It is over."""
        if self._peer_ended and not self._out and isinstance(error, ConnectionError):
            # The peer had ended and did not stay for our close_notify.
            error = None
        self._state = CLOSED
        self._closing = True
        self._stop_timer()
        self._tell_waiter(error or ConnectionAbortedError("The connection was closed during the SSL handshake"))
        made, self._made = self._made, False
        try:
            if made:
                native.call_method(self._context, self._protocol, "connection_lost", error)
        finally:
            self._release()

    def _receive(self, file: socket.socket, fd: int) -> int:
        return self._engine.receive(file, fd)

    def _received(self) -> None:
        """The engine was fed."""
        if self._state == OPEN:
            self._deliver()
        elif self._state == HANDSHAKING:
            self._shake_hands()
        elif self._state == CLOSING:
            self._drop_incoming()
        self._engine.settle()

    # -- handshake ----------------------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        try:
            self._engine.ssl.do_handshake()
        except SSLWantReadError:
            self._send_records()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._send_alert()
            self._handshake_failed(error)
        else:
            self._handshake_done()

    def _handshake_done(self) -> None:
        """From HANDSHAKING to OPEN."""
        self._stop_timer()
        self._state = OPEN
        self._secured = True
        if self._loop._debug:
            logger.debug("%r: SSL handshake took %.1f ms", self, (self._loop.time() - self._began) * 1e3)
        # Our last words of the handshake leave with the first of the program's.
        self._flush_later()
        if not self._made:
            self._made = True
            try:
                native.call_method(self._context, self._protocol, "connection_made", self)
            except (SystemExit, KeyboardInterrupt):
                # The loop may be run again.
                self._tell_waiter(None)
                self._deliver_later()
                raise
            except BaseException as error:
                self._protocol_failed(error, "Fatal error: protocol.connection_made() call failed.")
                return
        self._tell_waiter(None)
        if self._engine.waiting():
            self._received()

    def _handshake_failed(self, error: BaseException) -> None:
        """From HANDSHAKING to CLOSED."""
        if isinstance(error, ssl.CertificateError):
            message = "SSL handshake failed on verifying the certificate"
        else:
            message = "SSL handshake failed"
        self._fatal_error(error, message)
        self._tell_waiter(error)

    def _handshake_takes_too_long(self) -> None:
        self._timer = None
        self._handshake_failed(
            ConnectionAbortedError(
                f"SSL handshake is taking longer than {self._handshake_timeout} seconds: aborting the connection"
            )
        )

    def _tell_waiter(self, error: BaseException | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    # -- reading ------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return not (self._closing or self._paused)

    def pause_reading(self) -> None:
        """Give the protocol no more data until ``resume_reading``."""
        if not (self._closing or self._paused):
            self._paused = True
            if self._beneath is not None:
                self._beneath.pause_reading()

    def resume_reading(self) -> None:
        """Give it what has come meanwhile, in the next turn, and go on."""
        if self._paused and not self._closing:
            self._paused = False
            self._deliver_later()

    def _deliver_later(self) -> None:
        if not self._queued:
            self._loop._ready.push(self)

    def _run(self) -> None:
        """Reading was resumed: what came before that needs no word from the socket.

        It is read further only then. TLS beneath that had read its end, too, would close while some is left here.
        """
        self._received()
        if not (self._paused or self._closing) and self._beneath is not None:
            self._beneath.resume_reading()

    def _deliver(self) -> None:
        """Give the protocol what has come, until it pauses us, closes us, or there is no more."""
        if self._delivering:
            # A transport beneath that hands over what it gets while we write to it.
            self._deliver_later()
            return
        self._delivering = True
        try:
            more = True
            while more and self._state == OPEN and not self._paused:
                more = self._deliver_into_buffer() if self._buffered else self._deliver_bytes()
        except (SystemExit, KeyboardInterrupt):
            self._deliver_later()
            raise
        finally:
            self._delivering = False
        if self._state == OPEN and not self._paused:
            if self._peer_ended:
                self._tell_end()
            else:
                # An answer of the TLS layer's own, such as to a change of keys.
                self._send_records()

    def _deliver_bytes(self) -> bool:
        """Decrypt once and call ``data_received``. False when there is no more."""
        data = self._engine.decrypt()
        if data:
            try:
                native.call_method(self._context, self._protocol, "data_received", data)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._protocol_failed(error, "Fatal error: protocol.data_received() call failed.")
                return False
        return self._is_there_more()

    def _deliver_into_buffer(self) -> bool:
        """The same for a BufferedProtocol: decrypt into the memory that it gives."""
        buffer = self._get_buffer(self._engine.waiting())
        if buffer is None:
            return False
        size = self._engine.decrypt_into(buffer)
        if size and not self._buffer_updated(size):
            return False
        return self._is_there_more()

    def _is_there_more(self) -> bool:
        """After what was decrypted was handed over."""
        if self._engine.failure is not None:
            self._decrypting_failed()
            return False
        if self._engine.ended:
            self._peer_ended = True
        return self._engine.more

    def _decrypting_failed(self) -> None:
        """What came is no TLS, was changed on its way, or the peer reports an error."""
        error, self._engine.failure = self._engine.failure, None
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            # A signal broke in, and what OpenSSL had read is gone: better no connection than a hole in it.
            self._force_close(error)
            raise error
        if error is not None:
            self._break_off(error)

    def _tell_end(self) -> None:
        """The peer has nothing more to say: tell the protocol, and close."""
        try:
            if native.call(self._context, self._protocol.eof_received, ()):
                logger.warning("returning true from eof_received() has no effect when using ssl")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._protocol_failed(error, "Error calling eof_received()")
        finally:
            # After an interrupt, too: the loop may be run again, and nobody would come back to this.
            self.close()

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, all of it, after what was written before. Returns at once.

        Raises TypeError for anything but bytes-like data.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data: expecting a bytes-like instance, got {type(data).__name__}")
            data = bytes(data)
        if len(data) == 0:
            return
        if self._closing:
            self._write_lost()
            return
        self._out.append(data)
        self._plain += len(data)
        self._size += len(data)
        if self._plain >= WRITE_NOW or self._loop._thread_id is None:
            self._flush(False)
        else:
            self._flush_later()
        self._check_full()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """``write`` each; they become records together."""
        for data in list_of_data:
            self.write(data)

    def write_eof(self) -> None:
        """Raises NotImplementedError: with TLS, asyncio's transports end both sides at once."""
        raise NotImplementedError

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set both; one that is not given follows from the other (a quarter, four times), or is the default."""
        if high is None and low is None:
            high = limits.TLS_WRITE_HIGH_WATER
        Endpoint.set_write_buffer_limits(self, high, low)

    def _write_lost(self) -> None:
        if self._lost == WRITES_AFTER_LOSS:
            logger.warning("SSL connection is closed")
        self._lost += 1

    def _flush(self, outside: bool) -> None:
        """Move on whatever can leave: what was written, then, when closing, our close_notify."""
        if self._out and (self._state == OPEN or self._state == CLOSING):
            self._encrypt()
        if self._state == CLOSING and not self._out and not self._goodbye:
            self._say_goodbye()
        if self._state == CLOSED:
            return
        self._send_records()
        self._size = self._plain
        if self._socket is not None:
            self._size += self._socket._size
        try:
            self._check_drained(outside)
        finally:
            # After an interrupt, too: the loop may be run again, and nobody would come back to this.
            if self._state == CLOSING and self._goodbye and not self._out:
                self._all_said()

    def _encrypt(self) -> None:
        """Make records of what was written, as long as the transport beneath can pass them on; the last of them are
        left to be sent.
        """
        count = 0  # how many of _out are done
        more = False
        try:
            while count < len(self._out):
                if more:
                    self._send_records()
                if self._is_beneath_full():
                    break
                more = True
                data = self._out[count]
                size = len(data) - self._offset
                if size > RECORD_SIZE:
                    # Much at once: in parts, so that the records don't stand beside the whole in memory.
                    size = self._engine.write(data, self._offset, min(size, WRITE_NOW))
                else:
                    if self._offset:
                        data = data[self._offset :]
                    data = self._join_from(count, data)
                    size = self._engine.write(data, 0, len(data))
                self._offset += size
                self._plain -= size
                while count < len(self._out) and self._offset >= len(self._out[count]):
                    self._offset -= len(self._out[count])
                    count += 1
        except SSLWantReadError:
            # The peer has begun another handshake; its answer brings us back here.
            pass
        except (SystemExit, KeyboardInterrupt) as error:
            # A signal broke in, and OpenSSL may or may not have written: better no connection than bytes twice.
            self._force_close(error)
            raise
        except BaseException as error:
            self._break_off(error)
        finally:
            del self._out[:count]

    def _join_from(self, index: int, data: bytes) -> bytes:
        """``data``, which is the rest of ``_out[index]``, with those behind it that fit into the same record."""
        size = len(data)
        last = index + 1
        while last < len(self._out) and size + len(self._out[last]) <= RECORD_SIZE:
            size += len(self._out[last])
            last += 1
        if last == index + 1:
            return data
        return b"".join([data, *self._out[index + 1 : last]])

    def _is_beneath_full(self) -> bool:
        if self._socket is not None and self._socket._size >= WRITE_NOW:
            return True
        # What it does not take before it ends would be lost: better all at once.
        return self._beneath_full and not self._beneath_ends

    def _send_records(self) -> None:
        """Give the transport beneath what OpenSSL has made."""
        if self._socket is not None and self._socket._is_clear() and self._engine.send(self._socket._fd):
            return
        data = self._engine.records()
        if data:
            if self._socket is not None:
                self._socket._send_records(data)
            elif self._beneath is not None:
                self._beneath.write(data)

    def _drop_out(self) -> None:
        self._out.clear()
        self._offset = 0
        self._plain = 0
        self._size = 0

    # -- ending -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more, send what was written and a close_notify, and when the peer's has come, call
        ``connection_lost(None)``. A peer that takes nothing any more is waited for as long as the shutdown timeout, and
        so is one that does not answer, if a timeout was asked for. Without, and if it sends data instead, it is soon
        cut off.
        """
        if self._closing:
            return
        if self._state != OPEN:
            # There is nothing to end in order.
            self._force_close(None)
            return
        self._state = CLOSING
        self._closing = True
        if not self._peer_ended:
            self._beneath.resume_reading()
        self._await_progress()
        if self._loop._thread_id is None:
            self._flush(False)
        else:
            self._flush_later()

    def abort(self) -> None:
        """Drop what does not leave at once and call ``connection_lost(None)``."""
        try:
            self._send_kept()
        finally:
            self._force_close(None)

    def _send_kept(self) -> None:
        if self._leaving and (self._state == OPEN or self._state == CLOSING):
            self._flush(False)

    def _force_close(self, error: BaseException | None) -> None:
        self._state = CLOSED
        self._closing = True
        self._drop_out()
        if self._beneath is None:
            return  # connection_made will find it closed
        if hasattr(self._beneath, "_force_close"):
            self._beneath._force_close(error)
        else:
            self._beneath.abort()

    def _fatal_error(self, error: BaseException, message: str = "Fatal error on transport") -> None:
        """The connection can't go on. Nor is it news that a handshake was given up."""
        if isinstance(error, asyncio.CancelledError):
            self._force_close(error)
        else:
            Endpoint._fatal_error(self, error, message)

    def _break_off(self, error: BaseException) -> None:
        """TLS can't go on."""
        self._send_alert()
        self._fatal_error(error, "Fatal error on SSL protocol")

    def _send_alert(self) -> None:
        """Send what tells the peer why TLS can't go on: through all TLS beneath, too, which is closed next."""
        self._send_records()
        beneath = self._beneath
        while type(beneath) is TlsTransport:
            layer: TlsTransport = beneath
            layer._flush(False)
            beneath = layer._beneath

    def _say_goodbye(self) -> None:
        """Write our close_notify: nothing of ours comes after it."""
        # With data of the peer's in its way, OpenSSL would fail, and for good.
        if self._drop() < 0:
            return
        self._goodbye = True
        try:
            self._engine.ssl.unwrap()
        except SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._break_off(error)
        else:
            self._peer_ended = True

    def _all_said(self) -> None:
        """Our close_notify was written, or there shall be none."""
        if self._peer_ended:
            # Both have said goodbye. What is still beneath leaves first; the timer goes on.
            self._state = CLOSED
            self._beneath.close()
        elif self._shutdown_timeout is None and not self._beneath.get_write_buffer_size():
            # Nobody asked to wait for an answer, and RFC 8446 (6.1) does not.
            self._linger(0)

    def _drop_incoming(self) -> None:
        """We are closing: what still comes is nobody's, but the peer's close_notify may be behind it."""
        size = self._drop()
        if size < 0:
            return
        if size and self._goodbye and not self._peer_ended and not self._beneath.get_write_buffer_size():
            self._linger(size)
        self._flush(True)

    def _drop(self) -> int:
        """Forget what has come. How many bytes that was, or -1 if it was no TLS: then all is over."""
        try:
            size = self._engine.drop()
        except ssl.SSLError as error:
            self._break_off(error)
            return -1
        if self._engine.ended:
            self._peer_ended = True
        return size

    def _linger(self, size: int) -> None:
        """All of ours has left, and ``size`` bytes have come in place of a close_notify: they may have been on their
        way, or the peer does not care for ours. To close at once would take from it what it has not yet read.
        """
        if not self._lingering:
            self._lingering = True
            self._stop_timer()
            self._timer = self._loop.call_later(limits.TLS_LINGER, self._force_close, None)
        self._dropped += size
        if self._dropped > LINGER_SIZE:
            self._force_close(None)

    def _await_progress(self) -> None:
        self._left = self._size
        patience = limits.TLS_SHUTDOWN_TIMEOUT if self._shutdown_timeout is None else self._shutdown_timeout
        self._timer = self._loop.call_later(patience, self._shutdown_takes_too_long)

    def _shutdown_takes_too_long(self) -> None:
        self._timer = None
        if self._socket is not None:
            self._size = self._plain + self._socket._size
        if self._size < self._left:
            # Slow, but it goes on.
            self._await_progress()
        else:
            self._force_close(TimeoutError("SSL shutdown timed out"))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _release(self) -> None:
        # What is known of the connection stays known, so _beneath and _engine stay.
        self._drop_out()
        self._socket = None
        Endpoint._release(self)

    # -- who it is ----------------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection under ``name``, by TLS or the transport beneath, or ``default``."""
        if name in self._extra:
            return self._extra[name]
        if self._secured:
            if name == "ssl_object":
                return self._engine.ssl
            if name == "cipher":
                return self._engine.ssl.cipher()
            if name == "compression":
                return self._engine.ssl.compression()
            if name == "peercert":
                # A client may show its certificate long after the handshake; what was shown stays.
                certificate = self._engine.ssl.getpeercert()
                if certificate is not None:
                    self._extra["peercert"] = certificate
                return certificate
        if self._beneath is None:
            return default
        return self._beneath.get_extra_info(name, default)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {NAMES[self._state]} over {self._beneath!r}>"
