"""Names to addresses and back, without holding up the loop.

The C library's resolver blocks, so it is asked in a thread. What needs no resolver, a literal address with a port
number, is answered at once: that is the same ``getaddrinfo``, told to look nothing up (``AI_NUMERICHOST``), so zones
and odd spellings mean what they always mean.
"""

from __future__ import annotations

import socket
from typing import Any

from ..executor import Executor

AddressInfo = tuple[int, int, int, str, Any]
LITERAL = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


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
        try:
            literal: Any = socket.getaddrinfo(host, port, family, type, proto, flags | LITERAL)
            return literal  # type: ignore[no-any-return]
        except socket.gaierror:
            pass
        found: list[AddressInfo] = await self.run_in_executor(
            None, socket.getaddrinfo, host, port, family, type, proto, flags
        )
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """:func:`socket.getnameinfo`; raises what that raises."""
        name: tuple[str, str] = await self.run_in_executor(None, socket.getnameinfo, sockaddr, flags)
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
        """The addresses of ``(host, port, ...)`` for sockets of one kind, at least one; OSError if there is none."""
        host, port = address[:2]
        found = await self.getaddrinfo(host, port, family=family, type=kind, proto=proto, flags=flags)
        if not found:
            raise OSError(f"getaddrinfo({host!r}) returned empty list")
        return found
