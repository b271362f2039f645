"""What the loop offers of TLS: ``start_tls``, and the making of a :class:`TlsTransport` for its other methods."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

from .. import limits
from ..core.lifecycle import Lifecycle

if TYPE_CHECKING:
    from .tlstransport import TlsTransport


def context_of(given: ssl.SSLContext | bool | None, server_side: bool, hostname: str | None = None) -> ssl.SSLContext:
    """The SSLContext for an ``ssl`` argument that is true. Raises TypeError for what is none.

    ``hostname`` is what the peer's certificate must be for; without one, any that can be trusted will do.
    """
    if isinstance(given, ssl.SSLContext):
        return given
    if given is True and not server_side:
        context = ssl.create_default_context()
        if not hostname:
            context.check_hostname = False
        return context
    if server_side:
        raise TypeError("ssl argument must be an SSLContext or None")
    raise TypeError(f"ssl argument must be an SSLContext or True, got {given!r}")


def check_plain(sock: socket.socket) -> None:
    """Raise TypeError for a socket that does TLS by itself: it can be ready though the kernel has nothing."""
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")


def check_timeouts(given: Any, handshake: float | None, shutdown: float | None) -> None:
    """Raise ValueError for TLS timeouts without TLS."""
    if handshake is not None and not given:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown is not None and not given:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def tls_transport(
    loop: Any,
    protocol: Any,
    context: ssl.SSLContext,
    waiter: Any,
    *,
    server_side: bool,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
    made: bool = False,
) -> TlsTransport:
    """The transport to give to ``protocol``, itself to be the protocol of the transport beneath. ``waiter`` hears of
    the handshake's end. The timeouts are in seconds, or None for the defaults; ``made`` says that the protocol has a
    connection already. Raises ValueError for a timeout that is not positive, and a host name that is missing.
    """
    from .tlstransport import TlsTransport

    # TLS 1.3 has no renegotiation, RFC 9325 (3.5) advises against it, and a peer could make us do it all day.
    if not context.options & ssl.OP_NO_RENEGOTIATION:
        context.options |= ssl.OP_NO_RENEGOTIATION
    return TlsTransport(
        loop,
        protocol,
        context,
        waiter,
        server_side,
        None if server_side else server_hostname or None,
        seconds("ssl_handshake_timeout", handshake_timeout) or limits.TLS_HANDSHAKE_TIMEOUT,
        seconds("ssl_shutdown_timeout", shutdown_timeout),
        made,
    )


def seconds(name: str, given: float | None) -> float | None:
    """The timeout that was given, if any. Raises ValueError unless it is positive."""
    if given is not None and given <= 0:
        raise ValueError(f"{name} should be a positive number, got {given}")
    return given


def outermost(transport: Any) -> Any:
    """The transport that the program sees: what TLS there is over ``transport``, or that itself."""
    from .tlstransport import TlsTransport

    while type(transport.get_protocol()) is TlsTransport:
        transport = transport.get_protocol()
    return transport


def unread_of(protocol: Any) -> bytes:
    """What a stream has received and not read, which it loses: it came before TLS began, so it belongs to TLS.

    It may be the peer's first handshake record, come early; left to the stream, the words of a stranger, sent in the
    clear, would be read as if they were the peer's (CVE-2011-0411).
    """
    from .reader import ReaderCore

    reader = getattr(protocol, "_stream_reader", None)
    if isinstance(reader, ReaderCore):
        return reader._take_some(reader._unread) or b""
    if isinstance(reader, asyncio.StreamReader):
        unread = bytes(reader._buffer)  # type: ignore[attr-defined]
        reader._buffer.clear()  # type: ignore[attr-defined]
        return unread
    return b""


class Tls(Lifecycle):
    """``start_tls``."""

    async def start_tls(
        self,
        transport: Any,
        protocol: Any,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Begin TLS on a connection; returns the transport to use from now on. None if the connection is closing, as
        asyncio has it (which waits for ever once it is closed).

        Raises TypeError for a transport or context that can't, and whatever the handshake fails with: the
        connection is closed then.
        """
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        if transport.is_closing():
            return None
        waiter = self.create_future()
        secured = tls_transport(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side=server_side,
            server_hostname=server_hostname,
            handshake_timeout=ssl_handshake_timeout,
            shutdown_timeout=ssl_shutdown_timeout,
            made=True,
        )
        # Nothing of the handshake may reach the old protocol, nor the new one before it knows its transport.
        transport.pause_reading()
        transport.set_protocol(secured)
        begin = self.call_soon(secured.connection_made, transport)
        early = unread_of(protocol)
        if early:
            self.call_soon(secured.data_received, early)
        go_on = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            begin.cancel()
            go_on.cancel()
            transport.close()
            raise
        finally:
            # The exception holds this frame, and it held the exception.
            del waiter
        return secured
