"""Datagram endpoints: UDP, v4 and v6, and Unix."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from .sock import SocketCalls

AF_UNIX = getattr(socket, "AF_UNIX", None)

#: asyncio's words, which programs match on; Python 3.13 changed them.
EXPECTED = "A datagram socket was expected" if sys.version_info >= (3, 13) else "A UDP Socket was expected"

#: A family and a protocol with a local and a remote address to try, each address None if there is to be none.
Candidate = tuple[int, int, Any, Any]


class Datagrams(SocketCalls):
    """``create_datagram_endpoint``."""

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[Any, Any]:
        """A socket bound to ``local_addr``, sending to ``remote_addr``, or ``sock``; returns ``(transport, protocol)``.

        Addresses are ``(host, port)``, or with ``family=AF_UNIX`` paths (a str; what begins with NUL is an abstract
        name). With ``remote_addr`` the socket is connected and hears only from there, unless ``allow_broadcast``.
        Raises OSError when no address can be had, ValueError and TypeError for arguments that make no endpoint.
        """
        ours = sock is None
        remote = None
        if sock is not None:
            check_datagrams(
                sock,
                local_addr=local_addr,
                remote_addr=remote_addr,
                family=family,
                proto=proto,
                flags=flags,
                reuse_port=reuse_port,
                allow_broadcast=allow_broadcast,
            )
            self._check_free(sock.fileno())
            sock.setblocking(False)
        else:
            candidates = await self._candidates(local_addr, remote_addr, family, proto, flags)
            sock, remote = await self._bind_datagrams(candidates, reuse_port, allow_broadcast)
        from .datagram import DatagramTransport

        opened = self.create_future()
        try:
            protocol = protocol_factory()
            transport: Any = DatagramTransport(self, sock, protocol, remote, opened)
        except BaseException:
            if ours:
                sock.close()
            raise
        try:
            await opened
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _candidates(
        self, local_addr: Any, remote_addr: Any, family: int, proto: int, flags: int
    ) -> list[Candidate]:
        """What may be tried for these arguments, best first; at least one."""
        if not (local_addr or remote_addr):
            if family == 0:
                raise ValueError("unexpected address family")
            return [(family, proto, None, None)]
        if family == AF_UNIX:
            for path in (local_addr, remote_addr):
                if path is not None and not isinstance(path, str):
                    raise TypeError("string is expected")
            return [(family, proto, local_addr, remote_addr)]
        for address in (local_addr, remote_addr):
            if address is not None and not (isinstance(address, tuple) and len(address) == 2):
                raise TypeError("2-tuple is expected")
        found: dict[tuple[int, int], list[Any]] = {}
        for side, address in enumerate((local_addr, remote_addr)):
            if address is None:
                continue
            infos = await self._resolve(address, family=family, kind=socket.SOCK_DGRAM, proto=proto, flags=flags)
            for info in infos:
                found.setdefault((info[0], info[2]), [None, None])[side] = info[4]
        candidates = [
            (*key, local, remote)
            for key, (local, remote) in found.items()
            if (local or not local_addr) and (remote or not remote_addr)
        ]
        if not candidates:
            raise ValueError("can not get address information")
        return candidates

    async def _bind_datagrams(
        self, candidates: list[Candidate], reuse_port: bool | None, allow_broadcast: bool | None
    ) -> tuple[socket.socket, Any]:
        """A socket for the first candidate that can be had, and its remote address or None."""
        first: OSError | None = None
        from .binding import remove_stale, share_port

        for family, proto, local, remote in candidates:
            sock: socket.socket | None = None
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM, proto)
                self._begin_anew(sock.fileno())
                sock.setblocking(False)
                if reuse_port:
                    share_port(sock)
                if allow_broadcast:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                if local:
                    if family == AF_UNIX:
                        remove_stale(local)
                    sock.bind(local)
                if remote and not allow_broadcast:
                    # Connected, it would hear from nobody else, and the answers to a broadcast come from anywhere.
                    await self.sock_connect(sock, remote)
                return sock, remote
            except OSError as error:
                if sock is not None:
                    sock.close()
                if first is None:
                    first = error
            except BaseException:
                if sock is not None:
                    sock.close()
                raise
        assert first is not None
        try:
            raise first
        finally:
            # The exception holds this frame, and it held the exception.
            first = None


def check_datagrams(sock: socket.socket, **modifiers: Any) -> None:
    """Raise ValueError unless ``sock`` sends datagrams and nothing is said about how to make one."""
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"{EXPECTED}, got {sock!r}")
    given = ", ".join(f"{name}={value}" for name, value in modifiers.items() if value)
    if given:
        raise ValueError(f"socket modifier keyword arguments can not be used when sock is specified. ({given})")
