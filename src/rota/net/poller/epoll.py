"""epoll(7), level-triggered but for readers that pause.

Compiled, the GIL is kept for a look that doesn't sleep, and let go only to sleep: a thread that computes beside the
loop would otherwise take it, and 5 ms, at every turn. Timeouts are to the nanosecond where the kernel has
``epoll_pwait2`` (Linux 5.11), to the millisecond, rounded up, elsewhere.
"""

from __future__ import annotations

import errno
import select
import socket
import weakref
from collections.abc import Iterator
from typing import Any

from ...core.ready import Ready
from ...core.runnable import Runnable
from .. import syscalls
from .watches import Watch, Watches

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
#: Of each arrival once. The end of the stream may come with the last data, and urgent data cut a read short: the kernel
#: says both beside.
READ_ONCE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLPRI | select.EPOLLET

#: What the kernel says of a file descriptor that was closed, and perhaps opened again as a file that needs no wait.
CLOSED = (errno.EBADF, errno.EPERM)


class Epoll:
    """A poller on epoll; the package says what a poller does."""

    __slots__ = ("_closed", "_epoll", "_fd", "_polls", "_watches")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()
        self._watches = Watches()
        self._polls = 1
        self._closed = False

    def add_reader(self, fd: int, runnable: Runnable) -> Runnable | None:
        watch = self._open_watch(fd)
        previous = watch.reader
        self._ask(fd, watch, READ)
        watch.reader = runnable
        self._watches.pack(fd, watch)
        return previous

    def add_writer(self, fd: int, runnable: Runnable) -> Runnable | None:
        watch = self._open_watch(fd)
        previous = watch.writer
        self._ask(fd, watch, WRITE)
        watch.writer = runnable
        return previous

    def remove_reader(self, fd: int) -> Runnable | None:
        watch = self._watches.find(fd)
        if watch is None or watch.reader is None:
            return None
        previous = watch.reader
        watch.reader = None
        self._withdraw(fd, watch)
        return previous

    def remove_writer(self, fd: int) -> Runnable | None:
        watch = self._watches.find(fd)
        if watch is None or watch.writer is None:
            return None
        previous = watch.writer
        watch.writer = None
        self._withdraw(fd, watch)
        self._watches.pack(fd, watch)
        return previous

    def resume_reader(self, fd: int, runnable: Runnable, file: Any) -> Runnable | None:
        """The kernel stays asked while the reader is paused, to tell of each arrival once (EPOLLET): so nobody has to
        be told of the pause, and a socket that is read call by call spares two system calls for each wait.
        """
        watch = self._open_watch(fd)
        previous = watch.reader
        if watch.writer is not None:
            self._ask(fd, watch, READ)
        elif watch.mask != READ_ONCE or watch.file is None or watch.file() is not file:
            # Another file had this number, or another reader. The kernel may know either.
            watch.drained = 0
            watch.ending = not is_tcp(file)
            self._ask(fd, watch, READ_ONCE)
            watch.file = weakref.ref(file)
        watch.reader = runnable
        return previous

    def pause_reader(self, fd: int, runnable: Runnable, drained: bool) -> None:
        watch = self._watches.find(fd)
        if watch is None or watch.reader is not runnable:
            return
        if watch.mask == READ_ONCE:
            watch.reader = None
            watch.drained = self._polls if drained and not watch.ending else 0
        else:
            self.remove_reader(fd)

    def is_drained(self, fd: int, file: Any) -> bool:
        """Only up to the next poll, which is when a call that follows another is made. Later there may be bytes of
        which the kernel does not tell, fewer than SO_RCVLOWAT, or another file with this number, put there by dup2.
        """
        watch = self._watches.find(fd)
        return (
            watch is not None
            and watch.drained == self._polls
            and watch.mask == READ_ONCE
            and watch.file is not None
            and watch.file() is file
        )

    def poll(self, timeout: float, ready: Ready) -> float | None:
        self._polls += 1
        if syscalls.wait(self._epoll, self._fd, self._watches, timeout, ready):
            self._renew()
        return syscalls.waited() if timeout else None

    def who_waits(self, fd: int) -> tuple[Runnable | None, Runnable | None]:
        watch = self._watches.find(fd)
        if watch is None:
            return (None, None)
        self._watches.pack(fd, watch)
        return (watch.reader, watch.writer)

    def waiting(self) -> Iterator[tuple[int, Runnable | None, Runnable | None]]:
        return iter(self._watches)

    def close(self) -> None:
        self._closed = True
        self._watches.clear()
        self._epoll.close()

    def _renew(self) -> None:
        """Begin again with another epoll: this one goes on telling of a file descriptor that was closed while a
        duplicate, in a child process perhaps, keeps its file open, and what is closed can't be unregistered.
        """
        try:
            fresh = select.epoll()
        except OSError:
            return  # no file descriptor to be had: with the old one the loop goes on, told too much
        closed = []
        for fd, _, _ in self._watches:
            watch: Watch = self._watches.find(fd)  # type: ignore[assignment]
            try:
                fresh.register(fd, watch.wanted())
            except OSError as error:
                if error.errno not in CLOSED:
                    # No memory: as above, since whoever can't be watched would wait for ever.
                    fresh.close()
                    return
                closed.append(fd)
        self._epoll.close()
        self._epoll = fresh
        self._fd = fresh.fileno()
        self._watches.level()
        for fd in closed:
            self._watches.drop(fd)

    def _open_watch(self, fd: int) -> Watch:
        if self._closed:
            raise ValueError("this poller is closed")
        return self._watches.make(fd)

    def _ask(self, fd: int, watch: Watch, event: int) -> None:
        """Let the kernel tell of ``event`` too. It may have forgotten ``fd``, or know it from a former life: a file
        descriptor can be closed and opened again without a word to anybody. So it is told again, asked before or not.
        """
        wanted = event | watch.wanted()
        if watch.mask < 0:
            try:
                self._epoll.register(fd, wanted)
            except FileExistsError:
                self._epoll.modify(fd, wanted)
            except OSError:
                self._watches.drop(fd)
                raise
        else:
            try:
                self._epoll.modify(fd, wanted)
            except FileNotFoundError:
                self._epoll.register(fd, wanted)
        watch.mask = wanted

    def _withdraw(self, fd: int, watch: Watch) -> None:
        """Let the kernel tell only of what is still waited for. If ``fd`` was closed before, it has forgotten all by
        itself.
        """
        watch.mask = watch.wanted()
        try:
            if watch.mask:
                self._epoll.modify(fd, watch.mask)
            else:
                self._watches.drop(fd)
                self._epoll.unregister(fd)
        except OSError:
            pass


def is_tcp(file: Any) -> bool:
    """Is this a socket of TCP? Of others, a read may bring less than was asked for though more is there."""
    return (
        isinstance(file, socket.socket)
        and file.family in (socket.AF_INET, socket.AF_INET6)
        and file.type == socket.SOCK_STREAM
        and file.proto in (0, socket.IPPROTO_TCP)
    )
