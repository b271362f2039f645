"""TCP: connect to a host by name, listen on one."""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
import ssl as ssl_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .dns import AddressInfo
from .sock import SocketCalls
from .tls import check_plain, check_timeouts, context_of, tls_transport

if TYPE_CHECKING:
    from .server import Server

BACKLOG = 100  # asyncio's default: connections that the kernel keeps until they are accepted


class Tcp(SocketCalls):
    """``create_connection``, ``create_server`` and ``connect_accepted_socket``."""

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        ssl: ssl_module.SSLContext | bool | None = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: tuple[Any, ...] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[Any, Any]:
        """Connect to ``host:port``, or use ``sock``, and return ``(transport, protocol)``.

        The addresses of ``host`` are tried in turn; with ``happy_eyeballs_delay`` (seconds) the next one is begun
        without waiting for the one before (RFC 8305), IPv6 and IPv4 taking turns. Raises OSError when none answers
        (an ExceptionGroup of all errors with ``all_errors``), ValueError for arguments that don't go together.
        """
        if server_hostname is not None and not ssl:
            raise ValueError("server_hostname is only meaningful with ssl")
        if server_hostname is None and ssl:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if happy_eyeballs_delay is not None and interleave is None:
            interleave = 1  # RFC 8305 section 4: the first address family count
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            found = await self._resolve((host, port), family=family, proto=proto, flags=flags)
            local = None
            if local_addr is not None:
                local = await self._resolve(local_addr, family=family, proto=proto, flags=flags)
            if interleave:
                found = take_turns(found, interleave)
            sock = await self._connect_first(found, local, happy_eyeballs_delay, all_errors)
        elif sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        else:
            check_stream(sock)
        return await self._open_client(
            sock,
            protocol_factory,
            ssl,
            server_hostname,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            ours=host is not None or port is not None,
        )

    async def _connect_first(
        self,
        found: list[AddressInfo],
        local: list[AddressInfo] | None,
        delay: float | None,
        all_errors: bool,
    ) -> socket.socket:
        """A socket connected to the first address that answers."""
        errors: list[OSError] = []
        opened: list[socket.socket] = []
        attempt = functools.partial(self._connect, local=local, errors=errors, opened=opened)
        sock: socket.socket | None = None
        if delay is None:
            for address in found:
                try:
                    sock = await attempt(address)
                    break
                except OSError:
                    continue
        else:
            try:
                attempts = [functools.partial(attempt, address) for address in found]
                from .eyeballs import race

                sock = await race(attempts, delay, self)  # type: ignore[arg-type]
            finally:
                # There may be two who have succeeded, and the race may have been cancelled since.
                for other in opened:
                    if other is not sock:
                        other.close()
        if sock is not None:
            return sock
        try:
            if all_errors:
                raise ExceptionGroup("create_connection failed", errors)
            if len({str(error) for error in errors}) == 1:
                raise errors[0]
            raise OSError(f"Multiple exceptions: {', '.join(str(error) for error in errors)}")
        finally:
            # The exceptions hold this frame, and it held them.
            errors.clear()

    async def _connect(
        self,
        address: AddressInfo,
        local: list[AddressInfo] | None,
        errors: list[OSError],
        opened: list[socket.socket],
    ) -> socket.socket:
        """A socket connected to one address, kept in ``opened``; its error is kept in ``errors`` and raised."""
        family, kind, proto, _, peer = address
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family=family, type=kind, proto=proto)
            self._begin_anew(sock.fileno())
            sock.setblocking(False)
            if local is not None:
                from .binding import bind_first

                bind_first(sock, family, local, errors)
            await self.sock_connect(sock, peer)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                errors.append(error)
            raise
        opened.append(sock)
        return sock

    async def _open_client(
        self,
        sock: socket.socket,
        protocol_factory: Callable[[], Any],
        ssl: ssl_module.SSLContext | bool | None,
        server_hostname: str | None,
        handshake_timeout: float | None,
        shutdown_timeout: float | None,
        *,
        ours: bool,
        server_side: bool = False,
    ) -> tuple[Any, Any]:
        """A transport and a protocol on a connected socket, once the protocol has been told.

        If there is to be none, the socket is closed if it is ``ours``: one that the program brought stays its own.
        """
        from .server import no_delay
        from .transport import SocketTransport

        self._check_free(sock.fileno())
        if not ours:
            sock.setblocking(False)
        waiter = self.create_future()
        try:
            protocol = protocol_factory()
            no_delay(sock)
            if ssl:
                transport: Any = tls_transport(
                    self,
                    protocol,
                    context_of(ssl, server_side, server_hostname),
                    waiter,
                    server_side=server_side,
                    server_hostname=server_hostname,
                    handshake_timeout=handshake_timeout,
                    shutdown_timeout=shutdown_timeout,
                )
                SocketTransport(self, sock, transport)
            else:
                transport = SocketTransport(self, sock, protocol, waiter)
        except BaseException:
            if ours:
                sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        finally:
            # The exception holds this frame, and it held the exception.
            del waiter
        return transport, protocol

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], Any],
        sock: socket.socket,
        *,
        ssl: ssl_module.SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, Any]:
        """Serve a connection that was accepted elsewhere; returns ``(transport, protocol)``."""
        check_stream(sock)
        check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        return await self._open_client(
            sock,
            protocol_factory,
            ssl,
            "",
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            ours=False,
            server_side=True,
        )

    async def create_server(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = BACKLOG,
        ssl: ssl_module.SSLContext | None = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on every address of ``host`` (a name, a list of them, or None for all interfaces), or on ``sock``.

        Raises OSError when an address can't be had, ValueError for arguments that don't go together.
        """
        from .binding import bind_all
        from .server import Server

        context = None
        if ssl is not None:
            context = context_of(ssl, True)
        check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            hosts = [None] if host in ("", None) else [host] if isinstance(host, (str, bytes)) else list(host)
            found = await asyncio.gather(*[self._resolve((name, port), family=family, flags=flags) for name in hosts])
            addresses = list(dict.fromkeys(itertools.chain.from_iterable(found)))
            sockets = bind_all(addresses, reuse_address, reuse_port, keep_alive)
            for listening in sockets:
                self._begin_anew(listening.fileno())
        elif sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        else:
            check_stream(sock)
            self._check_free(sock.fileno())
            sockets = [sock]
        for listening in sockets:
            listening.setblocking(False)
        server = Server(self, sockets, protocol_factory, context, backlog, ssl_handshake_timeout, ssl_shutdown_timeout)
        if start_serving:
            server._start_serving()
            await asyncio.sleep(0)
        return server


def check_stream(sock: socket.socket) -> None:
    """Raise ValueError unless ``sock`` is a stream socket, TypeError if it does TLS by itself."""
    check_plain(sock)
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


def take_turns(found: list[AddressInfo], first: int) -> list[AddressInfo]:
    """``first`` addresses of the first family, then one of each family in turn (RFC 8305 section 4)."""
    families: dict[int, list[AddressInfo]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    rows = list(families.values())
    order = rows[0][: first - 1]
    del rows[0][: first - 1]
    order += [address for column in itertools.zip_longest(*rows) for address in column if address is not None]
    return order
