"""Local addresses: what a socket is bound to."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from asyncio.log import logger
from collections.abc import Iterable

from .dns import AddressInfo
from .server import OUT_OF_RESOURCES


def bind_first(sock: socket.socket, family: int, local: list[AddressInfo], errors: list[OSError]) -> None:
    """Bind to the first of ``local`` that can be had; those tried before it leave their error in ``errors``. Raises
    OSError if none can.
    """
    error: OSError | None = None
    for info in local:
        if info[0] != family:
            continue
        if error is not None:
            errors.append(error)
        try:
            sock.bind(info[4])
            return
        except OSError as raised:
            text = f"error while attempting to bind on address {info[4]!r}: {str(raised.strerror).lower()}"
            error = OSError(raised.errno, text)
    raise error or OSError(f"no matching local address with {family=} found")


def bind_all(
    addresses: Iterable[AddressInfo],
    reuse_address: bool | None,
    reuse_port: bool | None,
    keep_alive: bool | None,
) -> list[socket.socket]:
    """A bound socket for each address. Raises OSError, and leaves none open, when one can't be had."""
    if reuse_address is None:
        # A port in TIME_WAIT is free on POSIX; elsewhere the option means something else.
        reuse_address = os.name == "posix" and sys.platform != "cygwin"
    sockets: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in addresses:
            try:
                sock = socket.socket(family, kind, proto)
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    raise
                # The resolver knows a family that this kernel does not.
                continue
            sockets.append(sock)
            if reuse_address:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            if reuse_port:
                share_port(sock)
            if keep_alive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
            if family == socket.AF_INET6:
                # An IPv6 socket would take the IPv4 port as well, which has a socket of its own here.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    # An address of the name that is not this machine's, such as ::1 where IPv6 is off.
                    sockets.pop().close()
                    continue
                text = f"error while attempting to bind on address {address!r}: {str(error.strerror).lower()}"
                raise OSError(error.errno, text) from None
        if not sockets:
            raise OSError(f"could not bind on any address out of {[info[4] for info in addresses]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def share_port(sock: socket.socket) -> None:
    """Let other sockets be bound to the same port. Raises ValueError where that can't be."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("reuse_port not supported by socket module")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None


def bind_path(path: str | bytes) -> socket.socket:
    """A socket bound to ``path``."""
    remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def remove_stale(path: str | bytes) -> None:
    """Take away a socket that somebody left at ``path``; abstract names leave nothing."""
    if not path or path[0] in (0, "\0"):
        return
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        # A folder may let us make a socket and not look for one.
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, error)
