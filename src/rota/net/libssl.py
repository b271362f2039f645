"""OpenSSL called as C calls it, where Python's ``ssl`` has brought it: a record without the way through Python.

``libssl.pxd`` beside this file has these functions in C; compiled modules use those, this file is never compiled. In
plain Python there is no such way: ``attach`` gives None, and the other functions are for what it gives.

Python's ``ssl`` makes the SSL object, shakes hands and answers for it. What is replaced is the memory from which
OpenSSL reads and to which it writes, and who calls ``SSL_read`` and ``SSL_write``: so nothing is copied twice, no
connection keeps memory for the largest message that it has seen, and the GIL is kept, where ``ssl`` lets it go for each
record and a thread that computes beside the loop takes 5 ms to give it back.

libssl is not linked with: its functions are looked up in Python's own ``_ssl`` at run time. Where they are not found
there, as when ``_ssl`` is built into Python, or Python is newer than those whose ``_ssl`` is known, ``attach`` gives
NULL.
"""

from __future__ import annotations

from typing import Any

#: How a reading ended: all is read; there may be more; with the peer's close_notify; with an error.
DRAINED = 0
MORE = 1
ENDED = 2
FAILED = 3


def attach(secured: Any, context: Any, path: bytes) -> Any:
    """Memory for an ``_ssl._SSLSocket``, made by ``wrap_bio`` with ``context`` and not yet used; ``path`` is where
    ``_ssl`` was loaded from. None if it can't be had.
    """
    return None


def detach(memory: Any) -> None:
    """Free it. The SSL object, if the program keeps it, reads nothing more and can't write."""
    raise NotImplementedError


def feed(memory: Any, data: Any) -> None:
    """Give OpenSSL what the peer sent."""
    raise NotImplementedError


def receive(memory: Any, fd: int) -> int:
    """The same from a socket; how many bytes, 0 at the end of the stream, -1 if there are none yet."""
    raise NotImplementedError


def settle(memory: Any) -> None:
    """Give back the memory that is not needed until more comes."""
    raise NotImplementedError


def waiting(memory: Any) -> int:
    """How many bytes OpenSSL has not yet taken."""
    raise NotImplementedError


def decrypt(memory: Any) -> bytes | None:
    """The plain bytes of the records that are here, about ``limits.READ_SIZE`` at most, or None."""
    raise NotImplementedError


def decrypt_into(memory: Any, buffer: Any) -> int:
    """The same into ``buffer``; how many bytes."""
    raise NotImplementedError


def how(memory: Any) -> int:
    """How the last reading ended. What FAILED is told by the SSL object's own ``read``, which raises it."""
    raise NotImplementedError


def encrypt(memory: Any, data: bytes, begin: int, size: int) -> int:
    """Make records of a part of ``data``; how many bytes of it. Nothing or less if that failed: the SSL object's own
    ``write`` then says why.
    """
    raise NotImplementedError


def records(memory: Any) -> bytes:
    """What is to be sent, and no longer here."""
    raise NotImplementedError


def send(memory: Any, fd: int) -> bool:
    """Send what the kernel takes of it. False if some of it is still here."""
    raise NotImplementedError
