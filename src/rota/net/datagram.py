"""A datagram socket, UDP or Unix: datagrams between the kernel and a protocol.

:class:`DatagramTransport` keeps the contract of :class:`asyncio.DatagramTransport` and answers ``isinstance`` for it.

Reading: each time the kernel says that something is there, as many datagrams as wait, up to
``limits.DATAGRAMS_PER_READ``: a poll for each would cost more than reading it, and the bound leaves the others their
turn. The last look, which finds nothing, costs a tenth of a poll.

Sending: at once, so that what goes wrong is told to ``error_received`` before ``sendto`` returns. What the kernel has
no room for waits in order. An error, of the network or of one address, costs the datagram concerned: the endpoint goes
on.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from .. import limits
from ..core import native
from . import syscalls
from .endpoint import Endpoint
from .watched import Watched

if TYPE_CHECKING:
    from ..core.turn import LoopCore

DATAGRAMS_PER_READ = limits.DATAGRAMS_PER_READ
DATAGRAM_RETRY_DELAY = limits.DATAGRAM_RETRY_DELAY
AF_UNIX = getattr(socket, "AF_UNIX", -1)

#: Since Python 3.13 an empty datagram is sent, and each that waits counts for its header, too; before, it is dropped.
SENDS_EMPTY = sys.version_info >= (3, 13)
HEADER = 8 if SENDS_EMPTY else 0


class Face(asyncio.DatagramTransport, asyncio.Transport):
    """What a datagram transport says that it is: asyncio's own is a Transport as well, and programs ask for either."""

    __slots__ = ()


class DatagramTransport(Watched):
    """Datagrams between a socket and a protocol. Made by the loop's ``create_datagram_endpoint``."""

    __slots__ = (
        "_address",
        "_connected",
        "_family",
        "_out",
    )

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Face

    def __init__(
        self,
        loop: LoopCore,
        sock: socket.socket,
        protocol: Any,
        address: Any = None,
        waiter: Any = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Take over ``sock``, non-blocking. In the next turn ``protocol.connection_made`` is called, reading begins,
        and ``waiter`` (a future or None) is finished. ``address`` is the only one that may be sent to; None for any.
        """
        Watched.__init__(self, loop, {} if extra is None else dict(extra))
        self._file = sock
        self._fd = sock.fileno()
        self._family = int(sock.family)
        self._address = address or None
        self._out: deque[tuple[bytes, Any]] = deque()
        self._note_socket(sock)
        # The peer of a socket pair has no name, and yet there is one.
        self._connected = self._extra["peername"] is not None
        self.set_protocol(protocol)
        loop._take_descriptor(self._fd, self)  # type: ignore[attr-defined]
        self._open(waiter)

    # -- reading ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """The socket can be read."""
        for _ in range(DATAGRAMS_PER_READ):
            if self._closing:
                return
            try:
                datagram = syscalls.recvfrom(self._file, self._fd, self._family)
            except OSError as error:
                self._tell_error(error)
                return
            if datagram is None:
                return
            try:
                native.call_method_two(self._context, self._protocol, "datagram_received", datagram)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._report(error, "protocol.datagram_received() failed")
            data = datagram[0]
            datagram = None
            syscalls.keep_spare(data)

    def _tell_error(self, error: OSError) -> None:
        """Something went wrong in the network, perhaps with a datagram that was sent before."""
        try:
            native.call_method(self._context, self._protocol, "error_received", error)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as raised:
            self._report(raised, "protocol.error_received() failed")

    def _start_reading(self) -> None:
        if not self._closing:
            self._loop._poller.add_reader(self._fd, self)
            self._reading = True

    # -- sending ------------------------------------------------------------------------------------------------

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send one datagram to ``addr``, or to the endpoint's own remote address. Returns at once.

        Raises TypeError for anything but bytes-like data, ValueError for another address than the endpoint's own.
        What the network refuses is told to ``protocol.error_received``.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            data = bytes(data)
        if not (SENDS_EMPTY or data):
            return
        if self._address is not None:
            if addr is not None and addr != self._address:
                raise ValueError(f"Invalid address: must be None or {self._address}")
            addr = self._address
        if self._lost:
            self._write_lost()
            return
        if self._loop._inherited:
            # In a forked child: the parent's queue goes first, and is the parent's to send.
            self._loop._refuse()
        if not self._out:
            try:
                if self._send(data, addr):
                    return
            except OSError as error:
                self._protocol.error_received(error)
                return
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fatal_error(error, "Fatal write error on datagram transport")
                return
        self._out.append((data, addr))
        self._size += len(data) + HEADER
        if not self._writing:
            self._wait_for_room()
        self._check_full()

    def _send(self, data: bytes, address: Any) -> bool:
        """Give one datagram to the kernel. False when it has no room."""
        if self._connected:
            address = None
        elif address is None:
            raise TypeError("sendto() needs an address: this endpoint has no remote address")
        return syscalls.sendto(self._file, self._fd, self._family, data, address)

    def _wait_for_room(self) -> None:
        if self._family == AF_UNIX and not self._connected:
            # Full is the queue of one receiver, and the kernel tells of our own: it would wake us at every turn.
            self._writing = True
            self._loop.call_later(DATAGRAM_RETRY_DELAY, self._send_again)
        else:
            self._start_writing()

    def _send_again(self) -> None:
        if self._writing:
            self._writing = False
            self._flush(True)

    def _flush(self, outside: bool) -> None:
        """The kernel may have room: send what waits, first come first served."""
        while self._out and not self._lost:
            data, address = self._out[0]
            try:
                if not self._send(data, address):
                    break
            except OSError as error:
                self._tell_error(error)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._fatal_error(error, "Fatal write error on datagram transport")
                return
            if self._out:
                self._out.popleft()
                self._size -= len(data) + HEADER
        if not self._out:
            self._stop_writing()
        elif not self._writing:
            self._wait_for_room()
        if self._lost:
            return
        try:
            self._check_drained(outside)
        finally:
            # After an interrupt, too: the loop may be run again, and nobody would come back to this.
            if self._closing and not self._out:
                self._lose(None)

    # -- ending -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Receive no more, send what waits, then call ``connection_lost(None)``."""
        if self._closing:
            return
        self._closing = True
        self._stop_reading()
        if not self._out:
            self._lose(None)

    def _force_close(self, error: BaseException | None) -> None:
        if self._lost:
            return
        self._closing = True
        self._out.clear()
        self._size = 0
        self._stop_writing()
        self._stop_reading()
        self._lose(error)

    def _release(self) -> None:
        sock, self._file = self._file, None
        fd, self._fd = self._fd, -1
        Endpoint._release(self)
        if sock is not None:
            self._loop._free_descriptor(fd, self)  # type: ignore[attr-defined]
            sock.close()

    # -- who it is ----------------------------------------------------------------------------------------------

    @property
    def _sock(self) -> socket.socket | None:
        """The socket, under the name that asyncio's transports have for it."""
        sock: socket.socket | None = self._file
        return sock
