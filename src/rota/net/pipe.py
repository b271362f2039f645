"""Pipes, FIFOs, terminals and sockets that are used one way: transports that only read or only write.

The file belongs to its transport, which closes it; a file that is read by one transport and written by another, as a
terminal is, to both: the last one closes it. Callbacks run in the context in which the transport was made.

Writing: ``write`` keeps the bytes until the end of the turn, when all that was written leaves in one call. More than
``limits.WRITE_NOW``, and what is written while the loop does not run, leaves at once.

A pipe that nobody reads any more becomes readable at its writing end, and so does a socket whose peer has closed: that
is how an idle :class:`WritePipe` learns that its connection is lost. A terminal is readable when somebody types, which
says nothing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from .. import limits
from ..core import native
from . import syscalls
from .endpoint import Endpoint
from .watched import Watched

if TYPE_CHECKING:
    from ..core.turn import LoopCore

EIO = errno.EIO
WRITE_NOW = limits.WRITE_NOW


class Pipe(Watched):
    """What both directions share: the file, how it begins and how it ends."""

    __slots__ = ("_terminal",)

    def __init__(self, loop: LoopCore, file: Any, protocol: Any) -> None:
        Watched.__init__(self, loop, {"pipe": file})
        self._fd = file.fileno()
        loop._check_free(self._fd)  # type: ignore[attr-defined]
        self._terminal = self._check_mode(os.fstat(self._fd).st_mode)
        os.set_blocking(self._fd, False)
        self._file = file  # now that it is known to be usable: what is refused stays the caller's
        loop._take_pipe(self._fd, file, self)  # type: ignore[attr-defined]
        self.set_protocol(protocol)

    def _check_mode(self, mode: int) -> bool:
        """Whether this is a terminal or another character device. Raises ValueError for what is no pipe at all."""
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return False
        if not stat.S_ISCHR(mode):
            self._refuse()
        return True

    def _refuse(self) -> None:
        raise NotImplementedError

    # If the file was closed behind our back, its number may be another's by now.

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            if self._loop._poller.who_waits(self._fd)[0] is self:
                self._loop._poller.remove_reader(self._fd)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            if self._loop._poller.who_waits(self._fd)[1] is self._flusher:
                self._loop._poller.remove_writer(self._fd)

    def _release(self) -> None:
        file, self._file = self._file, None
        Endpoint._release(self)
        if file is not None and self._loop._free_pipe(self._fd, file, self):  # type: ignore[attr-defined]
            file.close()


class ReadPipe(Pipe):
    """Reads: one system call each time something is there. Made by ``connect_read_pipe``.

    Keeps the contract of :class:`asyncio.ReadTransport`, and reads into the memory of an
    :class:`asyncio.BufferedProtocol`, which asyncio's pipes don't.
    """

    __slots__ = ("_always", "_paused")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.ReadTransport

    def __init__(self, loop: LoopCore, file: Any, protocol: Any, waiter: Any) -> None:
        """Take over ``file``. In the next turn ``protocol.connection_made`` is called, reading begins and ``waiter`` (a
        future or None) is finished. Raises ValueError for what is no pipe, socket or character device.
        """
        self._paused = False
        # The poller can't watch it, since it never makes anybody wait, as /dev/null and its like: to read is to stand
        # in the ready list.
        self._always = False
        Pipe.__init__(self, loop, file, protocol)
        self._open(waiter)

    def _refuse(self) -> None:
        raise ValueError("Pipe transport is for pipes/sockets only.")

    def _run(self) -> None:
        """The file can be read."""
        if self._closing or self._paused:
            return
        try:
            if self._buffered:
                self._read_into_buffer()
            else:
                self._read()
        finally:
            # After an interrupt, too: the loop may be run again, and no poller would bring us back.
            if self._always and self._reading and not self._queued:
                self._loop._ready.push(self)

    def _read(self) -> None:
        try:
            data = syscalls.read(self._fd, self._terminal)
        except OSError as error:
            self._read_failed(error)
            return
        if data is None:
            return
        if not data:
            self._read_end()
            return
        try:
            native.call_method(self._context, self._protocol, "data_received", data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            # As in asyncio, the pipe goes on.
            self._report(error, "protocol.data_received() failed")

    def _read_into_buffer(self) -> None:
        """For a BufferedProtocol: read into the memory that it gives."""
        buffer = self._get_buffer(-1)
        if buffer is None:
            return
        try:
            size = syscalls.read_into(self._fd, buffer, self._terminal)
        except OSError as error:
            self._read_failed(error)
            return
        if size < 0:
            return
        if size == 0:
            self._read_end()
            return
        self._buffer_updated(size)

    def _read_failed(self, error: OSError) -> None:
        if error.errno != EIO:  # which is what a terminal says when its other side is gone
            self._report(error, "Fatal read error on pipe transport")
        self._force_close(error)

    def _read_end(self) -> None:
        """Nobody writes any more."""
        self._closing = True
        self._stop_reading()
        try:
            native.call(self._context, self._protocol.eof_received, ())
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report(error, "protocol.eof_received() failed")
        finally:
            self._lose(None)

    def _start_reading(self) -> None:
        if self._reading or self._closing or self._paused:
            return
        if not self._always:
            try:
                self._loop._poller.add_reader(self._fd, self)
            except PermissionError:
                self._always = True
            except OSError as error:
                # Closed behind our back, or the kernel has no room for one more to watch.
                self._fatal_error(error)
                return
        self._reading = True
        if self._always and not self._queued:
            self._loop._ready.push(self)

    def is_reading(self) -> bool:
        return not (self._closing or self._paused)

    def pause_reading(self) -> None:
        """Give the protocol no more data until ``resume_reading``."""
        if not (self._closing or self._paused):
            self._paused = True
            self._stop_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            self._start_reading()

    def close(self) -> None:
        """Read no more and call ``connection_lost(None)``."""
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        if not self._closing:
            self._closing = True
            self._stop_reading()
            self._lose(error)

    def _activity(self) -> str:
        return "polling" if self._reading else "idle"


class WritePipe(Pipe):
    """Writes. Made by ``connect_write_pipe``. Keeps the contract of :class:`asyncio.WriteTransport`."""

    __slots__ = ("_out", "_writes_refused")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return asyncio.WriteTransport

    def __init__(self, loop: LoopCore, file: Any, protocol: Any, waiter: Any) -> None:
        """Take over ``file``; as a :class:`ReadPipe` does."""
        self._out = bytearray()
        self._writes_refused = 0
        Pipe.__init__(self, loop, file, protocol)
        self._open(waiter)

    def _refuse(self) -> None:
        raise ValueError("Pipe transport is only for pipes, sockets and character devices")

    # asyncio's pipe to write to has these, too, and they say so.

    def pause_reading(self) -> None:
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError

    def _start_reading(self) -> None:
        """Learn when nobody reads any more; from whoever reads this file here, if somebody does."""
        if not (self._terminal or self._closing) and self._loop._poller.who_waits(self._fd)[0] is None:
            self._loop._poller.add_reader(self._fd, self)
            self._reading = True

    def _run(self) -> None:
        """Nobody reads any more."""
        self._force_close(BrokenPipeError() if self._out else None)

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, all of it, after what was written before. Returns at once.

        Raises TypeError for anything but bytes-like data.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._closing:
            if data:
                self._refuse_write()
            return
        self._out += data
        self._size = len(self._out)
        if self._size and not self._writing:
            if self._size >= WRITE_NOW or self._loop._thread_id is None:
                self._flush(False)
            else:
                self._flush_later()
        self._check_full()

    def writelines(self, list_of_data: Any) -> None:
        """``write`` all of them."""
        self.write(b"".join(list_of_data))

    def _refuse_write(self) -> None:
        self._writes_refused += 1
        if self._writes_refused == limits.WRITES_AFTER_LOSS:
            logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")

    def _flush(self, outside: bool) -> None:
        """Give the kernel what it takes, and wait for it with the rest."""
        if self._lost or not self._out:
            return
        if self._loop._inherited:
            # In a forked child: the parent sends what was written before, and would send it a second time.
            self._loop._refuse()
        try:
            sent = syscalls.write(self._fd, self._out, self._terminal)
        except OSError as error:
            self._fatal_error(error, "Fatal write error on pipe transport")
            return
        if sent > 0:
            del self._out[:sent]
            self._size = len(self._out)
        if self._out:
            if not self._start_writing():
                return
        else:
            self._stop_writing()
        try:
            self._check_drained(outside)
        finally:
            # After an interrupt, too: the loop may be run again, and nobody would come back to this.
            if self._closing and not self._out:
                self._end(None)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The same as ``close``: a pipe has one direction."""
        self.close()

    # -- ending -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what was written, then call ``connection_lost(None)``."""
        if not self._closing:
            self._closing = True
            if not self._out:
                self._end(None)

    def abort(self) -> None:
        """Drop what the kernel does not take at once and call ``connection_lost(None)``."""
        try:
            if self._leaving and not self._writing:
                # Written in this turn: without the wait for its end, it would have left.
                self._flush(False)
        finally:
            self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        if not self._lost:
            self._closing = True
            self._out = bytearray()
            self._size = 0
            self._stop_writing()
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self._stop_reading()
        self._lose(error)

    def _activity(self) -> str:
        return f"{'polling' if self._writing else 'idle'} bufsize={self._size}"
