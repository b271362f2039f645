"""A connected stream socket, TCP or Unix: bytes between the kernel and a protocol.

:class:`SocketTransport` keeps the contract of :class:`asyncio.Transport` and answers ``isinstance`` for it.

Reading: one ``recv`` each time the kernel says that something is there, never a second one, so that whoever was woken
by the first runs before more comes.

Writing: what a protocol writes while it is given what came leaves when it returns, in one call; ``write`` from anywhere
else keeps the bytes until the end of the turn, and they leave together. More than ``limits.SOCKET_WRITE_NOW``, and what
is written while the loop does not run, leaves at once. What the kernel doesn't take waits for it. ``bytes`` are kept as
they are; a buffer that can change is copied when it is given.

A protocol that is a :class:`Layer` is called in C; this module knows nothing else of TLS.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import constants
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import limits
from ..core import native
from . import syscalls
from .endpoint import Endpoint, Layer
from .watched import Watched

if TYPE_CHECKING:
    from ..core.turn import LoopCore

DATA_REFUSED = "Fatal error: protocol.data_received() call failed."
#: What ``get_extra_info`` answers of a socket.
OF_SOCKET = frozenset(("peername", "sockname", "socket"))
LARGE_READ = limits.LARGE_READ
WRITE_NOW = limits.SOCKET_WRITE_NOW
WRITE_BUFFERS = limits.WRITE_BUFFERS

syscalls.keep_memory()  # a message's may be given back to the system, and taken again, with each one otherwise


class SocketTransport(Watched):
    """A stream between a socket and a protocol. Made by the loop's ``create_connection`` and its like."""

    __slots__ = (
        "_ended",
        "_eof",
        "_large",
        "_layer",
        "_offset",
        "_only",
        "_out",
        "_paused",
        "_peer",
        "_receiving",
        "_room",
        "_sending_file",
        "_server",
    )

    # asyncio and libraries ask for these.
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE
    _start_tls_compatible = True

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.Transport

    def __init__(
        self,
        loop: LoopCore,
        sock: socket.socket,
        protocol: Any,
        waiter: Any = None,
        peer: Any = None,
        server: Any = None,
    ) -> None:
        """Take over ``sock``, connected and non-blocking. In the next turn ``protocol.connection_made`` is called,
        reading begins, and ``waiter`` (a future or None) is finished; ``server`` is told when all is over. ``peer`` is
        the address at the other end, if it is known.
        """
        Watched.__init__(self, loop, None)
        self._fd = int(sock.fileno())
        self._server = server
        self._only: bytes | None = None  # what was written, while it is one piece: most messages are, and need no list
        self._out: Any = None  # ... and while it is more than one
        self._offset = 0  # bytes of the first of _out that have left
        self._paused = False
        self._large = False
        self._receiving = False  # the protocol is being given what came: what it writes leaves when it returns
        self._ended = False  # the peer has ended its side
        self._eof = False  # we have ended ours
        self._sending_file = False
        self._room: Any = None  # the future of a file's sender who waits for the kernel to take more
        self._layer: Layer | None = None  # the protocol, if it is one
        self._file = sock
        # At once: a peer that has gone has no name any more.
        self._peer = name_of_peer(sock) if peer is None else peer
        self.set_protocol(protocol)
        if server is not None:
            server._attach()
        loop._take_descriptor(self._fd, self)  # type: ignore[attr-defined]
        self._open(waiter)

    # -- reading ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """The socket can be read."""
        if self._closing or self._paused:
            return
        if self._layer is not None:
            self._feed_layer()
            return
        if self._buffered:
            self._read_into_buffer()
            return
        data = None
        given = False
        try:
            data = syscalls.recv(self._file, self._fd, self._large)
            if data:
                given = True
                self._large = len(data) >= LARGE_READ
                self._receiving = True
                native.call_method(self._context, self._protocol, "data_received", data)
        except (SystemExit, KeyboardInterrupt):
            self._answer()
            raise
        except BaseException as error:
            if given:
                self._protocol_failed(error, DATA_REFUSED)
            else:
                self._fatal_error(error, "Fatal read error on socket transport")
        if given:
            self._answer()
            syscalls.keep_spare(data)  # type: ignore[arg-type]
        elif data is not None:
            self._read_end()

    def _answer(self) -> None:
        """The protocol has had what came: send what it has written, while that is in the processor's cache."""
        self._receiving = False
        if self._size and not (self._writing or self._leaving):
            self._flush(True)

    def _read_into_buffer(self) -> None:
        """For a BufferedProtocol: read into the memory that it gives."""
        buffer = self._get_buffer(-1)
        if buffer is None:
            return
        try:
            size = syscalls.recv_into(self._file, self._fd, buffer)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if size < 0:
            return
        if size == 0:
            self._read_end()
            return
        self._receiving = True
        try:
            self._buffer_updated(size)
        finally:
            self._answer()

    def _feed_layer(self) -> None:
        """For TLS: from the kernel to its memory, with no object in between."""
        # Held here, as C does not: the protocol of a connection that is changed meanwhile may be nobody else's.
        layer: Layer = self._layer  # type: ignore[assignment]
        try:
            size = layer._receive(self._file, self._fd)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if size < 0:
            return
        if size == 0:
            self._read_end()
            return
        layer._received()

    def _read_end(self) -> None:
        """The peer has ended its side: the protocol says whether ours stays open."""
        self._ended = True
        # After an interrupt, too, this is over: the loop may be run again. TLS closes us when its last words have left.
        keep_open = self._layer is not None
        try:
            keep_open = native.call(self._context, self._protocol.eof_received, ())
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._protocol_failed(error, "Fatal error: protocol.eof_received() call failed.")
        finally:
            if keep_open:
                # The kernel would go on telling of the end at every turn.
                self._stop_reading()
            else:
                self.close()

    def _start_reading(self) -> None:
        if not (self._reading or self._closing or self._paused or self._ended):
            try:
                self._loop._poller.add_reader(self._fd, self)
            except OSError as error:
                # Closed behind our back, or the kernel has no room for one more to watch.
                self._fatal_error(error, "Fatal read error on socket transport")
                return
            self._reading = True

    def is_reading(self) -> bool:
        return not (self._closing or self._paused)

    def pause_reading(self) -> None:
        """Give the protocol no more data until ``resume_reading``."""
        if not (self._closing or self._paused):
            self._paused = True
            self._stop_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._start_reading()

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, all of it, after what was written before. Returns at once.

        Raises TypeError for anything but bytes-like data, RuntimeError after ``write_eof``.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            data = syscalls.copy(data)
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._sending_file:
            raise RuntimeError("unable to write; sendfile is in progress")
        if len(data) == 0:
            return
        if self._lost:
            self._write_lost()
            return
        self._keep(data)
        self._send_later()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """``write`` each, or none if one can't be; they leave in as few calls as the kernel allows."""
        if self._eof:
            raise RuntimeError("Cannot call writelines() after write_eof()")
        parts = [part if type(part) is bytes else bytes(memoryview(part)) for part in list_of_data]
        if self._sending_file:
            raise RuntimeError("unable to write; sendfile is in progress")
        for data in parts:
            if self._lost:
                self._write_lost()
            elif data:
                self._keep(data)
        if self._size and not self._lost:
            self._send_later()

    def write_eof(self) -> None:
        """End our side once all that was written has left; the peer may go on."""
        if self._closing or self._eof:
            return
        self._eof = True
        if not (self._size or self._sending_file):
            self._shut_writing()

    def can_write_eof(self) -> bool:
        return True

    def _send_records(self, data: bytes) -> None:
        """For a layer, which keeps what was written itself and asks for ``_size``: send now."""
        if not self._lost:
            self._keep(data)
            if not self._writing:
                self._flush(False)

    def _keep(self, data: bytes) -> None:
        if self._size == 0:
            self._only = data
        else:
            if self._out is None:
                self._out = []
            if self._only is not None:
                self._out.append(self._only)
                self._only = None
            self._out.append(data)
        self._size += len(data)

    def _is_clear(self) -> bool:
        """For a layer: whether nothing stands between it and the kernel."""
        return not (self._size or self._lost or self._loop._inherited)

    def _send_later(self) -> None:
        if not self._writing:
            if self._size >= WRITE_NOW or self._loop._thread_id is None:
                self._flush(False)
            elif not self._receiving:
                self._flush_later()
        self._check_full()

    def _flush(self, outside: bool) -> None:
        """Give the kernel what it takes, and wait for it with the rest."""
        if self._loop._inherited:
            # In a forked child: the parent sends what was written before, and would send it a second time.
            self._loop._refuse()
        try:
            self._send_all()
        except OSError as error:
            self._stop_writing()
            self._drop_out()
            self._fatal_error(error, "Fatal write error on socket transport")
            return
        if self._lost:
            return
        if self._size:
            if not self._start_writing():
                return
        else:
            self._stop_writing()
        try:
            self._check_drained(outside)
        finally:
            # After an interrupt, too: the loop may be run again, and nobody would come back to this.
            if not self._size:
                self._all_left()
        # Held here, as in _feed_layer.
        layer = self._layer
        if outside and layer is not None and not self._lost:
            layer._flush(True)

    def _send_all(self) -> None:
        """Offer the kernel all that there is, until it takes less than that. Raises OSError."""
        while self._size and not self._lost:
            if self._only is not None:
                sent = syscalls.send_one(self._file, self._fd, self._only)
            else:
                sent = syscalls.send(self._file, self._fd, self._out, self._offset)
            if sent < 0 or not self._take_out(sent):
                break

    def _all_left(self) -> None:
        """Go on with what waited for that."""
        if self._closing:
            self._drop_room(None)
            self._lose(None)
        elif self._room is not None and not self._room.done():
            self._room.set_result(None)
        elif self._eof and not self._sending_file:
            self._shut_writing()

    def _take_out(self, sent: int) -> bool:
        """Forget the first ``sent`` bytes. False when the kernel took less than it was offered."""
        self._size -= sent
        if self._only is not None:
            data = self._only
            self._only = None
            if self._size:
                self._out = [data]
                self._offset = sent
                return False
            syscalls.keep_spare(data)
            return True
        sent += self._offset
        count = 0
        for data in self._out:
            if sent < len(data):
                break
            sent -= len(data)
            count += 1
        self._offset = sent
        if count == len(self._out):
            self._out = None
            return True
        del self._out[:count]
        return count == WRITE_BUFFERS and sent == 0

    def _drop_out(self) -> None:
        self._only = None
        self._out = None
        self._offset = 0
        self._size = 0

    def _shut_writing(self) -> None:
        try:
            self._file.shutdown(socket.SHUT_WR)
        except OSError:
            # The peer was faster: reading will tell.
            pass

    # -- sending a file (net.sendfile) ---------------------------------------------------------------------------

    def _begin_file(self) -> socket.socket:
        """Let nobody write until ``_end_file``; returns the socket. Raises RuntimeError if a file is being sent, or
        none can be.
        """
        if self._sending_file:
            raise RuntimeError("unable to send a file; sendfile is in progress")
        if self._eof:
            raise RuntimeError("Cannot call sendfile() after write_eof()")
        self._sending_file = True
        if self._size:
            self._flush(False)
        sock: socket.socket = self._file
        return sock

    def _room_for_file(self) -> Any:
        """A future that is done when all that was written has left and the kernel takes more, or with an exception if
        the connection ends first.
        """
        self._room = self._loop.create_future()
        if self._closing:
            self._drop_room(None)
        else:
            self._start_writing()
        return self._room

    def _drop_room(self, error: BaseException | None) -> None:
        """The connection has ended: so has whoever sends a file through it."""
        room = self._room
        if room is not None and not room.done():
            if not isinstance(error, ConnectionError):
                error = ConnectionError("the connection was closed while a file was being sent")
            room.set_exception(error)

    def _end_file(self) -> None:
        """Writing goes on."""
        self._sending_file = False
        self._room = None
        if not self._size and not self._closing:
            self._stop_writing()
            if self._eof:
                self._shut_writing()

    # -- ending -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more, send what was written, then call ``connection_lost(None)``."""
        if self._closing:
            return
        self._closing = True
        self._stop_reading()
        self._send_kept()
        if not self._size:
            self._stop_writing()
            self._drop_room(None)
            self._lose(None)

    def abort(self) -> None:
        """Drop what the kernel does not take at once and call ``connection_lost(None)``."""
        try:
            self._send_kept()
        finally:
            self._force_close(None)

    def _send_kept(self) -> None:
        """What was written in this turn would have left but for the wait for its end, and the connection would be over
        before whatever is asked for after ``close``.
        """
        if self._size and not self._writing:
            self._flush(False)

    def _force_close(self, error: BaseException | None) -> None:
        if self._lost:
            return
        self._drop_out()
        self._stop_writing()
        self._drop_room(error)
        self._closing = True
        self._stop_reading()
        self._lose(error)

    def _release(self) -> None:
        sock, self._file = self._file, None
        server, self._server = self._server, None
        fd, self._fd = self._fd, -1
        self._layer = None
        if self._extra is None and sock is not None:
            # Who asks later gets an answer, too.
            self._look_at(sock)
        Endpoint._release(self)
        if server is not None:
            server._detach()
        if sock is not None:
            self._loop._free_descriptor(fd, self)  # type: ignore[attr-defined]
            sock.close()

    # -- who it is ----------------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if self._extra is None:
            if name not in OF_SOCKET:
                return default  # streams ask each connection for its sslcontext
            self._look_at(self._file)
        return self._extra.get(name, default)

    def _look_at(self, sock: socket.socket) -> None:
        """What ``get_extra_info`` answers. Few connections are asked, and it is a quarter of what an idle one takes."""
        self._extra = {}
        self._extra["peername"] = self._peer
        self._note_socket(sock)

    @property
    def _sock(self) -> socket.socket | None:
        """The socket, under the name that asyncio's transports have for it."""
        sock: socket.socket | None = self._file
        return sock

    def set_protocol(self, protocol: Any) -> None:
        """Give what comes from now on to ``protocol``."""
        Endpoint.set_protocol(self, protocol)
        self._layer = protocol if isinstance(protocol, Layer) else None


def name_of_peer(sock: socket.socket) -> Any:
    """The address at the other end, or None."""
    try:
        return sock.getpeername()
    except OSError:
        return None
