"""Wire: messages over a Unix stream socket, with memory files beside them.

A message is a kind, a few plain values, bytes, and files. On the wire: a header with the three lengths and the number
of files, the values marshalled, the bytes; the files' descriptors travel with the header's first byte (SCM_RIGHTS).
"""

from __future__ import annotations

import array
import errno
import marshal
import os
import socket
import struct
from collections import deque
from typing import Any, NamedTuple

from .shipping import MemoryFile

HEADER = struct.Struct("=IQI")  # bytes of the values, of the payload, number of files

#: One read takes at most this much, as a socket's own buffer holds ...
READ_SIZE = 256 * 1024

#: ... and this much when nothing says that more is to come: most messages are small, and room costs time to make.
READ_FIRST = 16 * 1024

#: A payload up to this size is sent with what goes before it: to copy it costs less than a system call.
TOGETHER = 32 * 1024

#: For the descriptors that come; 0 where there is no such flag.
CLOSE_ON_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

#: Says that not all descriptors could be taken.
CUT_OFF = int(socket.MSG_CTRUNC)

#: So many descriptors travel with one message at most (the kernel's own bound, SCM_MAX_FD, is 253).
MOST_FILES = 250
ROOM_FOR_FILES = socket.CMSG_SPACE(MOST_FILES * 4)


class Message(NamedTuple):
    """What one side tells the other: ``kind`` says what the ``values`` and the ``payload`` mean."""

    kind: str
    values: tuple[Any, ...] = ()
    payload: bytes | memoryview = b""
    files: list[MemoryFile] = []  # noqa: RUF012 - nobody changes it

    def encoded(self) -> list[bytes | memoryview]:
        """The pieces to send, one after the other; the files go with the first."""
        values = marshal.dumps((self.kind, self.values, [file.size for file in self.files]))
        return [HEADER.pack(len(values), len(self.payload), len(self.files)) + values, self.payload]


class Reader:
    """Makes messages of what comes in."""

    __slots__ = ("_fds", "_held", "_waiting", "_wanted")

    def __init__(self) -> None:
        self._held: deque[bytes] = deque()  # what came and is not yet a message
        self._waiting = 0  # the bytes in it
        self._wanted = HEADER.size  # how many make the next step possible
        self._fds: deque[int] = deque()

    def read(self, sock: socket.socket) -> bool:
        """Take what ``sock`` has, in one system call; False at the end of the stream. Raises what recvmsg raises, and
        OSError when the files of a message could not be taken: the stream is of no use then.
        """
        size = min(max(READ_FIRST, self._wanted - self._waiting), READ_SIZE)
        data, ancillary, flags, _address = sock.recvmsg(size, ROOM_FOR_FILES, CLOSE_ON_EXEC)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                if not CLOSE_ON_EXEC:
                    for fd in fds:
                        os.set_inheritable(fd, False)
                self._fds.extend(fds)
        if flags & CUT_OFF:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if not data:
            return False
        self._held.append(data)
        self._waiting += len(data)
        return True

    def next(self) -> Message | None:
        """The next whole message, or None until more has come."""
        if self._waiting < self._wanted:
            return None
        if len(self._held) > 1:
            joined = b"".join(self._held)
            self._held = deque((joined,))
        data = self._held[0]
        values_size, payload_size, files = HEADER.unpack_from(data)
        size = HEADER.size + values_size + payload_size
        if self._waiting < size:
            self._wanted = size
            return None
        self._wanted = HEADER.size
        start = HEADER.size + values_size
        kind, values, sizes = marshal.loads(memoryview(data)[HEADER.size : start])
        message = Message(
            kind,
            values,
            memoryview(data)[start:size],
            [MemoryFile(self._fds.popleft(), size) for size in sizes] if files else [],
        )
        self._waiting -= size
        self._held = deque((data[size:],)) if self._waiting else deque()
        return message

    def close(self) -> None:
        """Give back the files of messages that never became whole."""
        while self._fds:
            os.close(self._fds.popleft())


class Writer:
    """Sends messages over a non-blocking socket, as fast as it takes them."""

    __slots__ = ("_pieces", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pieces: deque[tuple[memoryview, list[MemoryFile]]] = deque()

    def put(self, message: Message) -> None:
        """Keep ``message`` until ``flush`` has sent it."""
        first, payload = message.encoded()
        if len(payload) <= TOGETHER:
            first, payload = b"".join((first, payload)), b""
        self._pieces.append((memoryview(first), list(message.files)))
        if payload:
            self._pieces.append((memoryview(payload), []))

    def flush(self) -> bool:
        """Send; whether all has been. Raises what sendmsg raises, but for a socket that is full."""
        while self._pieces:
            piece, files = self._pieces[0]
            try:
                sent = send(self._sock, piece, files)
            except BlockingIOError:
                return False
            if sent < len(piece):
                self._pieces[0] = piece[sent:], []
            else:
                self._pieces.popleft()
        return True


def send(sock: socket.socket, piece: bytes | memoryview, files: list[MemoryFile]) -> int:
    """One sendmsg; returns how many bytes went."""
    if not files:
        return sock.send(piece)
    rights = array.array("i", [file.fd for file in files])
    return sock.sendmsg([piece], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def send_all(sock: socket.socket, message: Message) -> None:
    """Send a message over a blocking socket, whole."""
    first, payload = message.encoded()
    if len(payload) <= TOGETHER:
        first, payload = b"".join((first, payload)), b""
    files = message.files
    for piece in (memoryview(first), memoryview(payload)):
        left = piece
        while len(left):
            sent = send(sock, left, files)
            left, files = left[sent:], []
