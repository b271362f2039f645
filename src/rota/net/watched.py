"""An endpoint with a descriptor of its own, which the poller watches: a socket or a pipe.

============== =======================================================================
``_file``      the socket or file, which is ours to close; None once it was
``_fd``        its number
``_reading``   the poller knows that we want to read
``_writing``   the poller knows that we want to write: the kernel would not take more
============== =======================================================================
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ..core import native
from .endpoint import Endpoint, Flusher

if TYPE_CHECKING:
    from ..core.turn import LoopCore


class Watched(Endpoint):
    """The common part of the transports that make system calls. A subclass sets ``_file`` once it can be released."""

    __slots__ = ("_fd", "_file", "_reading", "_writing")

    def __init__(self, loop: LoopCore, extra: dict[str, Any] | None) -> None:
        self._file: Any = None
        self._fd = -1
        self._reading = False
        self._writing = False
        Endpoint.__init__(self, loop, extra)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop._poller.remove_reader(self._fd)

    def _start_writing(self) -> bool:
        """Have the flusher told when the kernel takes more. False if the kernel has no room for one more to watch, or
        the file was closed behind our back: the connection is lost then, since nobody would tell when the rest can
        leave.
        """
        if not self._writing:
            if self._flusher is None:
                self._flusher = Flusher(self)
            try:
                self._loop._poller.add_writer(self._fd, self._flusher)
            except OSError as error:
                self._force_close(error)
                return False
            self._writing = True
        return True

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop._poller.remove_writer(self._fd)

    def __del__(self) -> None:
        # Another finalizer of the same collection, such as that of asyncio's StreamWriter, may close this. If it did so
        # before, connection_lost is on its way; if it does so after this, nothing is left to do.
        if self._file is not None and (not self._lost or self._loop.is_closed()):
            try:
                try:
                    if not self._loop._inherited:
                        warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self, stacklevel=2)
                finally:
                    self._closing = True
                    self._lost = 1
                    self._release()
            except BaseException as error:
                native.unraisable(self, error)

    def __repr__(self) -> str:
        words = [type(self).__name__]
        if self._file is None:
            words.append("closed")
        elif self._closing:
            words.append("closing")
        words.append(f"fd={self._fd}")
        if self._file is not None:
            words.append("open" if self._loop.is_closed() else self._activity())
        return f"<{' '.join(words)}>"

    def _activity(self) -> str:
        """What an open one is doing."""
        reading = "polling" if self._reading else "idle"
        writing = "polling" if self._writing else "idle"
        return f"read={reading} write=<{writing}, bufsize={self._size}>"
