"""Names to addresses and back, without holding up the loop.

The C library's resolver blocks, so it is asked in a thread, of a pool for that alone (``executor``). What needs no
resolver, a literal address with a port number, is answered at once: plain ones are read here, and others by the same
``getaddrinfo``, told to look nothing up (``AI_NUMERICHOST``), so that zones and odd spellings mean what they always
mean.
"""

from __future__ import annotations

import operator
import socket
from socket import inet_ntop, inet_pton
from types import NoneType
from typing import Any

from ..executor import Executor

AddressInfo = tuple[int, int, int, str, Any]
LITERAL = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

PROTOCOLS = ((socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP))

#: Another in its place, a program's own or a test's, may take its time, knows nothing of flags perhaps, and is asked in
#: a thread.
getaddrinfo = socket.getaddrinfo


class Names(Executor):
    """``getaddrinfo`` and ``getnameinfo``."""

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """:func:`socket.getaddrinfo`; raises what that raises."""
        found = None
        if socket.getaddrinfo is getaddrinfo:
            found = look_nothing_up(host, port, family, type, proto, flags)
        if found is None:
            found = await self._ask_for_names(socket.getaddrinfo, host, port, family, type, proto, flags)
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """:func:`socket.getnameinfo`; raises what that raises."""
        name: tuple[str, str] = await self._ask_for_names(socket.getnameinfo, sockaddr, flags)
        return name

    async def _resolve(
        self,
        address: tuple[Any, ...],
        *,
        family: int = 0,
        kind: int = socket.SOCK_STREAM,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """The addresses of ``(host, port, ...)`` for sockets of one kind, at least one; OSError if there is none.

        ``getaddrinfo`` may be the program's own and know names alone: it is not asked for a literal address, such as
        those that it has just given, and is for the address of no host.
        Flow and scope are the caller's, where they are given: the resolver knows nothing of them. So is a port that
        can't be, which the C library would cut to sixteen bits: connect and bind say what is wrong with it.
        """
        host, port = address[:2]
        if isinstance(host, str) and "\0" in host:
            # The C library would take what comes before.
            raise ValueError("embedded null character")
        if not isinstance(port, (int, str, bytes, NoneType)):
            port = operator.index(port)
        given: tuple[Any, ...] = ()
        if isinstance(port, int) and not 0 <= port <= 65535:
            given, port = (port,), 0
        found = None if host is None else look_nothing_up(host, port, family, kind, proto, flags)
        if found is None:
            found = await self.getaddrinfo(host, port, family=family, type=kind, proto=proto, flags=flags)
        if not found:
            raise OSError(f"getaddrinfo({host!r}) returned empty list")
        if given or len(address) > 2:
            found = [
                (*info[:4], (info[4][0], *(given or info[4][1:2]), *(address[2:] or info[4][2:]))) for info in found
            ]
        return found


def look_nothing_up(host: Any, port: Any, family: int, kind: int, proto: int, flags: int) -> list[AddressInfo] | None:
    """What ``getaddrinfo`` says of a literal address with a port number, or None for a name of either."""
    plain = type(host) is str and type(port) is int and 0 <= port <= 65535
    if plain and flags == 0 and all(isinstance(number, int) for number in (family, kind, proto, flags)):
        known = plain_address(host, port, family, kind, proto)
        if known is not None:
            return [known]
    try:
        found: list[Any] = getaddrinfo(host, port, family, kind, proto, flags | LITERAL)
    except OSError:
        return None
    return found


def plain_address(host: str, port: int, family: int, kind: int, proto: int) -> AddressInfo | None:
    """The same of what a program writes nearly always: an IP address without a zone, for TCP or UDP. Otherwise None.

    ``getaddrinfo`` encodes, asks the C library and makes enums of what it says: seven microseconds to this one.
    """
    for known, number in PROTOCOLS:
        if kind == known and proto in (0, number):
            break
    else:
        return None
    version = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family not in (0, version):
        return None
    try:
        packed = inet_pton(version, host)
    except (OSError, ValueError):
        return None
    if version == socket.AF_INET:
        return version, known, number, "", (host, port)
    return version, known, number, "", (inet_ntop(version, packed), port, 0, 0)
