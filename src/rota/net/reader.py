"""What came on a stream and was not read yet, and whoever waits for more.

:class:`ReaderCore` is the compiled half of ``net.streams.StreamReader``, which adds the methods that are awaited. Each
``_take_`` method says what a read gets of what is here now; a read that gets nothing awaits ``_arrival`` and asks
again.

Bytes are kept in the pieces in which they came. A read that wants all of a piece is handed that very object, one that
wants less cuts it out, and one that wants more joins the pieces, once.

============== ======================================================================
``_piece``     the first piece, read up to ``_offset``; empty when all has been read
``_more``      the pieces after it; None until there is one
``_unread``    how many bytes there are in all
``_position``  how many bytes of the stream have been read
``_searched``  the position up to which the last search in vain found that no match begins
``_waiter``    the future that the reader who waits awaits, or None
============== ======================================================================
"""

from __future__ import annotations

from asyncio.exceptions import IncompleteReadError, LimitOverrunError
from collections import deque
from collections.abc import Generator
from sys import maxsize
from typing import Any

from .. import limits
from ..core import native
from ..core.future import Future, new_future
from ..core.state import LoopState
from ..core.states import FINISHED, PENDING

PIECES = limits.STREAM_PIECES
PIECE = limits.STREAM_PIECE


class ReaderCore:
    """The unread part of a stream, with asyncio's rules for its limit and its errors."""

    __slots__ = (
        "_eof",
        "_exception",
        "_limit",
        "_loop",
        "_more",
        "_offset",
        "_paused",
        "_piece",
        "_position",
        "_searched",
        "_transport",
        "_unread",
        "_waiter",
    )

    def __init__(self, limit: int, loop: Any) -> None:
        if limit <= 0:
            raise ValueError("Limit cannot be <= 0")
        self._limit = int(min(limit, maxsize))  # infinity is a way to say never
        self._loop = loop
        self._piece = b""
        self._offset = 0
        self._more: deque[bytes] | None = None
        self._unread = 0
        self._position = 0
        self._searched = 0
        self._eof = False
        self._exception: Any = None
        self._waiter: Any = None
        self._transport: Any = None  # None, too, for one that can't be paused
        self._paused = False  # we have paused the transport

    # -- what comes in -------------------------------------------------------------------------------------------

    def set_transport(self, transport: Any) -> None:
        """Pause and resume ``transport``. Once."""
        assert self._transport is None, "Transport already set"
        self._transport = transport

    def feed_data(self, data: Any) -> None:
        """``data`` has come. Above twice the limit unread, the transport is paused."""
        assert not self._eof, "feed_data after feed_eof"
        if not data:
            return
        piece = data if type(data) is bytes else bytes(memoryview(data))
        self._unread += len(piece)
        if self._piece:
            self._pile(piece)
        else:
            self._piece = piece
        if self._waiter is not None:
            self._wake()
        # Not by 2 * limit, which may be too much for a C integer.
        if self._unread - self._limit > self._limit and not self._paused and self._transport is not None:
            self._pause()

    def _pile(self, piece: bytes) -> None:
        """Keep ``piece`` behind what is unread."""
        if self._more is None:
            self._more = deque()
        self._more.append(piece)
        if len(self._more) > PIECES and len(self._more) * PIECE > self._unread:
            self._join()

    def feed_eof(self) -> None:
        """The peer has ended its side: nothing more will come."""
        self._eof = True
        self._wake()

    def set_exception(self, exc: BaseException) -> None:
        """The connection is broken: whoever reads, now and from now on, gets ``exc``."""
        self._exception = exc
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(exc)

    def exception(self) -> Any:
        """What broke the connection, or None."""
        return self._exception

    def at_eof(self) -> bool:
        """True when all has been read and nothing more will come."""
        return self._eof and not self._unread

    def _wakeup_waiter(self) -> None:
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if isinstance(waiter, Future):
            future = waiter
            if future._status == PENDING:
                future._finish(FINISHED)
        elif waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _pause(self) -> None:
        try:
            self._transport.pause_reading()
        except NotImplementedError:
            self._transport = None
        else:
            self._paused = True

    def _maybe_resume_transport(self) -> None:
        if self._paused and self._unread <= self._limit:
            self._paused = False
            self._transport.resume_reading()

    # -- what a read gets now ------------------------------------------------------------------------------------

    def _take_some(self, size: int) -> bytes | None:
        """At most ``size`` bytes, none of them only at the end of the stream; None when there are none yet."""
        wanted = native.clip(size)
        if self._unread == 0 and wanted != 0:
            return b"" if self._eof else None
        return self._take(min(wanted, self._unread))

    def _take_exactly(self, size: int) -> bytes | None:
        """``size`` bytes, or None when there are fewer yet. Raises IncompleteReadError at the end of the stream."""
        wanted = native.clip(size)
        if self._unread >= wanted:
            return self._take(wanted)
        if self._eof:
            raise IncompleteReadError(self._take(self._unread), size)
        return None

    def _take_until(self, separators: Any, searched: int) -> bytes | None:
        """What ends with one of ``separators``, which are sorted by their lengths: the match that ends first.

        None when there is none yet: ``_searched`` then says what to give as ``searched`` the next time, at first 0, so
        that nothing is searched twice. Raises LimitOverrunError, and takes nothing, when there is more than the limit
        before the match or without one, and IncompleteReadError at the end of the stream.
        """
        begin = max(searched - self._position, 0)
        first = end = -1
        for separator in separators:
            found = self._find(separator, begin)
            if found >= 0 and (end < 0 or found + len(separator) < end):
                first = found
                end = found + len(separator)
        if end >= 0:
            if first > self._limit:
                raise LimitOverrunError("Separator is found, but chunk is longer than limit", first)
            return self._take(end)
        # What has come may end with a part of the longest separator.
        begin = max(begin, self._unread + 1 - len(separators[-1]))
        if begin > self._limit:
            raise LimitOverrunError("Separator is not found, and chunk exceed the limit", begin)
        if self._eof:
            raise IncompleteReadError(self._take(self._unread), None)
        self._searched = self._position + begin
        return None

    def _take_line(self, searched: int) -> bytes | None:
        r"""A line with its ``b"\n"``, or what comes last without one; None and ``searched`` as in ``_take_until``.

        Raises ValueError for a line longer than the limit, which is dropped: all of it if it has ended, or what has
        come.
        """
        begin = max(searched - self._position, 0)
        found = self._find(b"\n", begin)
        if found > self._limit:
            self._take(found + 1)
            raise ValueError("Separator is found, but chunk is longer than limit")
        if found >= 0:
            return self._take(found + 1)
        if self._unread > self._limit:
            self._take(self._unread)
            raise ValueError("Separator is not found, and chunk exceed the limit")
        if self._eof:
            return self._take(self._unread)
        self._searched = self._position + self._unread
        return None

    def _find(self, separator: Any, begin: int) -> int:
        """Where ``separator`` begins in what is unread, not before ``begin``, or -1."""
        if not self._more:
            found = native.find(self._piece, separator, self._offset + begin)
        elif begin > 0:
            # The rest of a search: what it has been through, which may be long, stays in its pieces.
            found = native.find(self._peek(begin), separator, 0)
            return found if found < 0 else found + begin
        else:
            found = native.find(self._piece, separator, self._offset)
            if found < 0:
                self._join()
                found = native.find(self._piece, separator, 0)
        return found if found < 0 else found - self._offset

    def _peek(self, begin: int) -> bytes:
        """What is unread from ``begin`` on, which stays so."""
        parts = []
        at = self._unread
        for piece in reversed(self._more or ()):
            at -= len(piece)
            if at <= begin:
                parts.append(piece[begin - at :])
                break
            parts.append(piece)
        else:
            parts.append(self._piece[self._offset + begin :])
        parts.reverse()
        return b"".join(parts)

    def _join(self) -> None:
        """Make one piece of all."""
        self._piece = self._peek(0)
        self._offset = 0
        self._more = None

    def _take(self, size: int) -> bytes:
        """Read ``size`` bytes, which are there."""
        self._unread -= size
        self._position += size
        data = self._take_part(size)
        if len(data) < size:
            parts = [data]
            size -= len(data)
            while size:
                data = self._take_part(size)
                parts.append(data)
                size -= len(data)
            data = b"".join(parts)
        if self._paused:
            self._maybe_resume_transport()
        return data

    def _take_part(self, size: int) -> bytes:
        """What the first piece has of ``size`` bytes."""
        if self._offset == 0 and size >= len(self._piece):
            data = self._piece
        else:
            data = self._piece[self._offset : self._offset + size]
        self._offset += len(data)
        if self._offset == len(self._piece):
            self._piece = self._more.popleft() if self._more else b""
            self._offset = 0
        return data

    # -- who waits -----------------------------------------------------------------------------------------------

    def _arrival(self, name: str) -> Arrival:
        """To be awaited by a read called ``name`` that got nothing: over when something has come.

        Raises RuntimeError if another read waits: nobody could say which of the two gets what comes. Raises what broke
        the connection, if that came after this read began: until here it could have what had come before.
        """
        if self._exception is not None:
            raise self._exception
        if self._waiter is not None:
            raise RuntimeError(f"{name}() called while another coroutine is already waiting for incoming data")
        if self._paused:
            # More is wanted than the limit: without this nothing would ever come.
            self._paused = False
            self._transport.resume_reading()
        future = new_future(self._loop) if isinstance(self._loop, LoopState) else self._loop.create_future()
        self._waiter = future
        arrival = Arrival.__new__(Arrival)
        arrival._reader = self
        arrival._future = future
        return arrival


class Arrival:
    """What ``await`` runs while a reader waits: it gives the reader's future to the task.

    However the wait ends, with data, with an exception, cancelled or given up, nobody waits then.
    """

    __slots__ = ("_future", "_reader")

    _future: Any
    _reader: ReaderCore | None

    def __await__(self) -> Generator[Any, None, None]:
        return self

    def __iter__(self) -> Arrival:
        return self

    def __next__(self) -> Any:
        if self._is_over():
            raise StopIteration
        return self._future

    def _is_over(self) -> bool:
        """False when the future is to be given to the task. Raises what the future does."""
        if isinstance(self._future, Future):
            future = self._future
            if future._status == PENDING:
                future._asyncio_future_blocking = True
                return False
            self._end()
            error = future._trouble()
            if error is not None:
                raise error
            return True
        if self._future.done():
            self._end()
            self._future.result()
            return True
        self._future._asyncio_future_blocking = True
        return False

    def send(self, value: object, /) -> Any:
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Any:
        """Raise in the coroutine that awaits."""
        self._end()
        try:
            if isinstance(kind, BaseException):
                raise kind
            error = value if isinstance(value, BaseException) else kind() if value is None else kind(value)
            raise error.with_traceback(trace)
        finally:
            # Its traceback leads to this frame in plain Python: the two would hold one another.
            kind = value = error = None

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        reader = self._reader
        # Another read may wait by now.
        if reader is not None and reader._waiter is self._future:
            reader._waiter = None
