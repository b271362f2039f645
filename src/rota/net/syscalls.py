"""The few system calls of this room that are made from C, in plain Python.

``syscalls.pxd`` beside this file holds the same functions in C; compiled modules use those, this file is never
compiled. In C they keep the GIL, since none of them can block on a non-blocking socket, and a thread that computes
beside the loop would otherwise get 5 ms for every packet; only ``wait`` lets it go, and only to sleep.

``recv`` and ``send`` with what is named after them, ``recvfrom`` and ``sendto`` are for sockets; ``read``,
``read_into`` and ``write`` for any file. They give None, or -1 for a count, when the file would block, ``sendto``
False; other errors raise OSError. A terminal may be set to block by a process that shares it, so calls on one let the
GIL go: ``terminal`` says so.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import limits

if TYPE_CHECKING:
    from ..core.ready import Ready
    from .poller.watches import Watches


def wait(epoll: select.epoll, fd: int, watches: Watches, timeout: float, ready: Ready) -> bool:
    """Sleep at most ``timeout`` seconds (negative: no bound) and move to ready whoever's file can be used. True if the
    kernel told of a file descriptor that nobody here knows.
    """
    stale = False
    for number, events in epoll.poll(None if timeout < 0 else timeout, limits.POLL_EVENTS):
        if not watches.fired(number, events, ready):
            stale = True
    return stale


def waited() -> float | None:
    """How long the last sleep was followed by a wait for the interpreter, in seconds. Plain Python can't tell."""
    return None


def keep_memory() -> None:
    """Have the C library keep freed memory up to a few messages' size, as it begins to do when a block of that size is
    freed: the system would take each large message's back, and give it again page by page.
    """
    bytes(4 * limits.SOCKET_READ_SIZE)


def keep_spare(data: bytes) -> None:
    """``data``, a message that the caller is done with, may serve for another, if nobody else has kept it."""


def copy(data: bytes | bytearray | memoryview) -> bytes:
    """The bytes of a buffer that may change."""
    return bytes(data)


def recv(sock: socket.socket, fd: int, large: bool) -> bytes | None:
    """What has come, at most ``limits.SOCKET_READ_SIZE`` bytes; empty at the end of the stream. ``large`` says that the
    last time it was much.
    """
    try:
        return sock.recv(limits.SOCKET_READ_SIZE)
    except (BlockingIOError, InterruptedError):
        return None


def recv_some(sock: socket.socket, fd: int, wanted: int) -> bytes | None:
    """What has come, at most ``wanted`` bytes; empty at the end of the stream. In C, a socket that blocks does not."""
    try:
        return sock.recv(wanted)
    except (BlockingIOError, InterruptedError):
        return None


def recv_into(sock: socket.socket, fd: int, buffer: Any) -> int:
    """Read into ``buffer``; how many bytes, 0 at the end of the stream."""
    try:
        return sock.recv_into(buffer)
    except (BlockingIOError, InterruptedError):
        return -1


def recv_to(sock: socket.socket, fd: int, take: Callable[[bytes], object]) -> int:
    """Give ``take`` what has come, at most ``limits.TLS_READ_SIZE`` bytes; how many, 0 at the end of the stream.

    ``take`` must copy it: in C it is lent.
    """
    try:
        data = sock.recv(limits.TLS_READ_SIZE)
    except (BlockingIOError, InterruptedError):
        return -1
    if data:
        take(data)
    return len(data)


def send_one(sock: socket.socket, fd: int, data: bytes) -> int:
    """Send ``data``; how many bytes the kernel took, -1 for none."""
    try:
        return sock.send(data)
    except (BlockingIOError, InterruptedError):
        return -1


def send(sock: socket.socket, fd: int, buffers: list[bytes], offset: int) -> int:
    """Send ``buffers`` in one call, without the first ``offset`` bytes; how many bytes the kernel took."""
    first = memoryview(buffers[0])[offset:] if offset else buffers[0]
    try:
        if len(buffers) == 1:
            return sock.send(first)
        return sock.sendmsg([first, *buffers[1 : limits.WRITE_BUFFERS]])
    except (BlockingIOError, InterruptedError):
        return -1


def recvfrom(sock: socket.socket, fd: int, family: int) -> tuple[bytes, Any] | None:
    """One datagram and its sender, as :meth:`socket.socket.recvfrom` gives them; ``family`` is the socket's."""
    try:
        return sock.recvfrom(limits.DATAGRAM_SIZE)
    except (BlockingIOError, InterruptedError):
        return None


def read(fd: int, terminal: bool) -> bytes | None:
    """What has come, at most ``limits.READ_SIZE`` bytes; empty at the end of the file."""
    try:
        return os.read(fd, limits.READ_SIZE)
    except (BlockingIOError, InterruptedError):
        return None


def sendto(sock: socket.socket, fd: int, family: int, data: bytes, address: Any) -> bool:
    """Send one datagram, to the peer of a connected socket if ``address`` is None. False when there is no room.

    Raises whatever :meth:`socket.socket.sendto` raises for an address that is none.
    """
    try:
        if address is None:
            sock.send(data)
        else:
            sock.sendto(data, address)
    except (BlockingIOError, InterruptedError):
        return False
    return True


def read_into(fd: int, buffer: Any, terminal: bool) -> int:
    """Read into ``buffer``; how many bytes, 0 at the end of the file."""
    try:
        return os.readv(fd, [buffer])
    except (BlockingIOError, InterruptedError):
        return -1


def write(fd: int, data: bytearray, terminal: bool) -> int:
    """Write the beginning of ``data``; how many bytes the kernel took."""
    try:
        return os.write(fd, data)
    except (BlockingIOError, InterruptedError):
        return -1
