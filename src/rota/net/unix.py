"""Unix sockets: connect to a path, listen on one."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as ssl_module
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .tcp import BACKLOG, Tcp
from .tls import check_plain, check_timeouts, context_of

if TYPE_CHECKING:
    from .server import Server

#: Since Python 3.13, a server takes its file away.
CLEANS_UP = sys.version_info >= (3, 13)


class Unix(Tcp):
    """``create_unix_connection`` and ``create_unix_server``."""

    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], Any],
        path: Any = None,
        *,
        ssl: ssl_module.SSLContext | bool | None = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, Any]:
        """Connect to ``path``, or use ``sock``, and return ``(transport, protocol)``."""
        if ssl:
            if server_hostname is None:
                raise ValueError("you have to pass server_hostname when using ssl")
        elif server_hostname is not None:
            raise ValueError("server_hostname is only meaningful with ssl")
        check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._begin_anew(sock.fileno())
            try:
                sock.setblocking(False)
                await self.sock_connect(sock, os.fspath(path))
            except BaseException:
                sock.close()
                raise
        elif sock is None:
            raise ValueError("no path and sock were specified")
        else:
            check_unix(sock)
        return await self._open_client(
            sock,
            protocol_factory,
            ssl,
            server_hostname,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            ours=path is not None,
        )

    async def create_unix_server(
        self,
        protocol_factory: Callable[[], Any],
        path: Any = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = BACKLOG,
        ssl: ssl_module.SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = CLEANS_UP,
    ) -> Server:
        """Listen on ``path``, in place of a socket that was left there, or on ``sock``. With ``cleanup_socket`` the
        file goes when the server is closed, as is the default since Python 3.13.

        Raises OSError (EADDRINUSE) when something else than a socket is in the way.
        """
        from .binding import bind_path
        from .server import Server
        from .tidy import TidyServer

        context = None if ssl is None else context_of(ssl, True)
        check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            sock = bind_path(os.fspath(path))
            self._begin_anew(sock.fileno())
        elif sock is None:
            raise ValueError("path was not specified, and no sock specified")
        else:
            check_unix(sock)
            self._check_free(sock.fileno())
        sock.setblocking(False)
        kind = TidyServer if cleanup_socket else Server
        try:
            server = kind(self, [sock], protocol_factory, context, backlog, ssl_handshake_timeout, ssl_shutdown_timeout)
        except OSError:
            if path is not None:
                sock.close()
            raise
        if start_serving:
            server._start_serving()
            await asyncio.sleep(0)
        return server


def check_unix(sock: socket.socket) -> None:
    """Raise ValueError unless ``sock`` is a Unix stream socket, TypeError if it does TLS by itself."""
    check_plain(sock)
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
