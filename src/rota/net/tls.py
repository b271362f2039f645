"""TLS over a transport, with asyncio's own TLS protocol (:mod:`asyncio.sslproto`) between the two.

That protocol is a BufferedProtocol to the socket's transport and a transport to the program's protocol.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import sslproto
from typing import Any

from ..core.lifecycle import Lifecycle


def context_of(given: ssl.SSLContext | bool | None, server_side: bool) -> ssl.SSLContext:
    """The SSLContext for an ``ssl`` argument that is true. Raises TypeError for what is none."""
    if isinstance(given, ssl.SSLContext):
        return given
    if given is True and not server_side:
        return ssl.create_default_context()
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


def tls_protocol(
    loop: Any,
    protocol: Any,
    context: ssl.SSLContext,
    waiter: Any,
    *,
    server_side: bool,
    server_hostname: str | None,
    handshake_timeout: Any,
    shutdown_timeout: Any,
    call_connection_made: bool = True,
) -> sslproto.SSLProtocol:
    """The protocol to put under ``protocol``; ``waiter`` hears of the handshake's end, in seconds if bounded."""
    return sslproto.SSLProtocol(
        loop,
        protocol,
        context,
        waiter,
        server_side,
        server_hostname,
        call_connection_made=call_connection_made,
        ssl_handshake_timeout=handshake_timeout,
        ssl_shutdown_timeout=shutdown_timeout,
    )


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
    ) -> asyncio.Transport:
        """Begin TLS on a connection that is open; returns the transport to use from now on.

        Raises TypeError for a transport or context that can't, and whatever the handshake fails with: the
        connection is closed then.
        """
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        secured = tls_protocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side=server_side,
            server_hostname=server_hostname,
            handshake_timeout=ssl_handshake_timeout,
            shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        # Nothing of the handshake may reach the old protocol, nor the new one before it knows its transport.
        transport.pause_reading()
        transport.set_protocol(secured)
        self.call_soon(secured.connection_made, transport)
        self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return secured._app_transport
