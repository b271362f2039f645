"""A listening server: accepts connections and hands each to a protocol."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl as ssl_module
import sys
from asyncio import trsock
from collections.abc import Callable, Sequence
from typing import Any

from .. import limits
from ..core.handle import Handle
from .descriptors import Descriptors, replace
from .tls import outermost, tls_transport
from .transport import SocketTransport

#: Out of file descriptors or memory: nothing is wrong with the connection, it waits in the kernel's queue.
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

#: The peer has gone, or the network to it has, before it was accepted (accept(2)): the next one may be there.
GONE = (
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOPROTOOPT,
    errno.EPERM,
    errno.EPROTO,
)

Accept = Callable[[], tuple[socket.socket, Any]]

#: Python's own.
ACCEPT = socket.socket.accept

#: Since Python 3.12, wait_closed() waits for the connections too.
WAIT_FOR_CONNECTIONS = sys.version_info >= (3, 12)


class Server(asyncio.AbstractServer):
    """What ``create_server`` returns; the contract of :class:`asyncio.Server`."""

    def __init__(
        self,
        loop: Descriptors,
        sockets: Sequence[socket.socket],
        protocol_factory: Callable[[], Any],
        ssl: ssl_module.SSLContext | None,
        backlog: int,
        handshake_timeout: float | None,
        shutdown_timeout: float | None,
    ) -> None:
        self._loop = loop
        self._sockets: list[socket.socket] | None = list(sockets)
        self._protocol_factory = protocol_factory
        self._ssl = ssl
        self._backlog = backlog
        self._handshake_timeout = handshake_timeout
        self._shutdown_timeout = shutdown_timeout
        self._serving = False
        #: What the poller has for each socket: the number and the handle.
        self._listening: dict[socket.socket, tuple[int, Handle]] = {}
        self._in_trouble = False  # accept() has failed, and that was said
        self._serving_forever: Any = None
        self._active = 0
        self._waiters: list[Any] | None = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # -- asyncio's contract -------------------------------------------------------------------------------------

    @property
    def sockets(self) -> tuple[trsock.TransportSocket, ...]:
        """The listening sockets; none once it is closed."""
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets or ())

    def get_loop(self) -> Any:
        return self._loop

    def is_serving(self) -> bool:
        return self._serving

    def _start_serving(self) -> None:
        if self._serving:
            return
        self._serving = True
        try:
            for sock in self._sockets or ():
                sock.listen(self._backlog)
                self._listen(sock)
        except BaseException:
            self.close()
            raise

    async def start_serving(self) -> None:
        """Accept connections, if it does not already."""
        self._check_open()
        self._start_serving()
        # Whoever is told that it serves may count on it: the loop has had a look at the sockets.
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until this is cancelled, then close."""
        if self._serving_forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self._check_open()
        self._start_serving()
        self._serving_forever = self._loop.create_future()
        try:
            await self._serving_forever
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever = None

    def close(self) -> None:
        """Accept no more. Connections that are open go on."""
        sockets, self._sockets = self._sockets, None
        if sockets is None:
            return
        for sock in sockets:
            self._look_away(sock)
            self._close_socket(sock)
        self._serving = False
        if self._serving_forever is not None and not self._serving_forever.done():
            self._serving_forever.cancel()
        if self._active == 0:
            self._wake_waiters()

    def close_clients(self) -> None:
        """Close every connection that was accepted, after what was written has left."""
        for transport in self._clients():
            outermost(transport).close()

    def abort_clients(self) -> None:
        """Close every connection that was accepted, at once."""
        for transport in self._clients():
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until it is closed; on Python 3.12 and later also until every connection is."""
        if self._waiters is None or (self._sockets is None and not WAIT_FOR_CONNECTIONS):
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _check_open(self) -> None:
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")

    # -- connections --------------------------------------------------------------------------------------------

    def _clients(self) -> list[Any]:
        """The transports of the connections that it has. The loop knows all there are: a set here would take 145 bytes
        more for each.
        """
        transports = [owner() for owner in self._loop._transports.copy() if owner is not None]
        return [transport for transport in transports if getattr(transport, "_server", None) is self]

    def _attach(self, transport: Any = None) -> None:
        """A transport was made for a connection of this server. asyncio's is given it since Python 3.13."""
        self._active += 1

    def _detach(self, transport: Any = None) -> None:
        """... and its connection is over."""
        self._active -= 1
        if self._active == 0 and self._sockets is None:
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def _listen(self, sock: socket.socket) -> None:
        number = sock.fileno()
        handle = Handle(self._accept, (sock, accepting(sock), is_internet_stream(sock)), self._loop)
        self._loop._poller.add_reader(number, handle)
        self._listening[sock] = (number, handle)

    def _listen_again(self, sock: socket.socket) -> None:
        if self._sockets is not None and sock in self._sockets and sock.fileno() >= 0:
            try:
                self._listen(sock)
            except OSError as error:
                # No room for one more to watch, now.
                self._accept_later(sock, error)

    def _look_away(self, sock: socket.socket) -> None:
        """Be told no more of who connects to ``sock``."""
        number, handle = self._listening.pop(sock, (-1, None))
        # If it was closed behind our back, the number may be another's.
        if handle is not None and self._loop._poller.who_waits(number)[0] is handle:
            replace(self._loop._poller.remove_reader(number))

    def _close_socket(self, sock: socket.socket) -> None:
        """Close ``sock``; if it was closed behind our back, say so and leave the number to whoever has it now."""
        try:
            if self._loop._owner(sock.fileno()) is not None:
                number = sock.detach()
                raise OSError(errno.EBADF, f"the number {number} of a listening socket is another file's")
            sock.close()
        except OSError as error:
            self._loop.call_exception_handler(
                {
                    "message": "A listening socket was closed behind its server's back",
                    "exception": error,
                    "server": self,
                }
            )

    def _accept(self, sock: socket.socket, accept: Accept, tcp: bool) -> None:
        """Take all connections that wait, at most as many as the kernel keeps waiting: then others have their turn."""
        for _ in range(max(1, self._backlog)):
            if self._sockets is None:
                return  # a protocol factory has closed the server
            try:
                connection, address = accept()
            except (BlockingIOError, InterruptedError):
                self._in_trouble = False  # all who waited have been taken
                return
            except OSError as error:
                if error.errno in GONE:
                    continue
                self._accept_later(sock, error)
                return
            self._open(connection, address, tcp)

    def _accept_later(self, sock: socket.socket, error: OSError) -> None:
        """Nothing can be accepted now. The poller would tell of the waiting connections at every turn: look away for
        a while, and say so once, until no connection waits any more.
        """
        self._look_away(sock)
        self._loop.call_later(limits.ACCEPT_RETRY_DELAY, self._listen_again, sock)
        if not self._in_trouble:
            self._in_trouble = True
            short = error.errno in OUT_OF_RESOURCES
            self._loop.call_exception_handler(
                {
                    "message": "socket.accept() out of system resource" if short else "Accept failed on a socket",
                    "exception": error,
                    "socket": trsock.TransportSocket(sock),
                }
            )

    def _open(self, connection: socket.socket, address: Any, tcp: bool) -> None:
        try:
            connection.setblocking(False)
            protocol = self._protocol_factory()
            if self._ssl is not None:
                protocol = tls_transport(
                    self._loop,
                    protocol,
                    self._ssl,
                    None,
                    server_side=True,
                    server_hostname=None,
                    handshake_timeout=self._handshake_timeout,
                    shutdown_timeout=self._shutdown_timeout,
                )
            if tcp:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            SocketTransport(self._loop, connection, protocol, None, address, self)
        except (SystemExit, KeyboardInterrupt):
            connection.close()
            raise
        except BaseException as error:
            connection.close()
            self._loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": error,
                }
            )


def accepting(sock: socket.socket) -> Accept:
    """What does as ``sock.accept()`` does. Python's looks up what the listening socket is each time, and makes enums of
    that: half of what accepting takes. Another method in its place, a test's perhaps, is what is called.
    """
    if type(sock) is not socket.socket or socket.socket.accept is not ACCEPT or not hasattr(sock, "_accept"):
        return sock.accept
    family, kind, proto = int(sock.family), int(sock.type), sock.proto

    def accept() -> tuple[socket.socket, Any]:
        fd, address = sock._accept()  # what accept() is made of
        return socket.socket(family, kind, proto, fd), address

    return accept


def is_internet_stream(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM


def no_delay(sock: socket.socket) -> None:
    """Send small packets at once (TCP_NODELAY): they are whole turns' writes already."""
    if is_internet_stream(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
