"""Nursery: the process that the workers are forked from.

It has one thread and no loop, so that to fork it is safe, which it is not for a program with threads (Python 3.12 warns
of it). It has imported what a worker needs once, so that the next worker is there after a millisecond or two. It alone
may wait for the workers, so only it signals them: the number is never somebody else's.

Both sides send frames of one size. The parent: FORK with the worker's socket and outbox, SIGNAL. The nursery: DIED with
how, STOPPED. When the parent is gone the nursery kills what is left and ends; when the nursery is gone, each worker's
life pipe has the kernel end it, in whatever it is doing.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import gc
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

#: What to do, the worker's number in the pool, and a number that goes with it: FORK's is the bytes of data that the
#: worker may have (0: as many as there are), SIGNAL's the signal, DIED's the status of wait(2), or, below zero, the
#: errno of the fork that failed.
FRAME = struct.Struct("=iqq")
FORK, SIGNAL, DIED, STOPPED = range(4)

#: How long workers that have nothing to do may take to end when the pool closes, before they are killed.
GRACE = 0.5

#: For descriptors that come; 0 where there is no such flag.
CLOSE_ON_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Nursery:
    """The workers' parent. ``control`` leads to the pool."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pids: dict[int, int] = {}  # of the workers, by number in the pool
        self._lives: dict[int, int] = {}  # the ends of their life pipes that this process alone has
        self._heard, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        os.set_blocking(self._heard, False)
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the pool is gone, then end all workers."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._heard, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._heard in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._heard, 4096)
                self._look()
            if self._control.fileno() in ready and not self._obey():
                break
        self._end_all()

    def _obey(self) -> bool:
        """Do the next thing that the pool asks for; False when the pool is gone."""
        try:
            data, ancillary, _flags, _address = self._control.recvmsg(FRAME.size, socket.CMSG_SPACE(8), CLOSE_ON_EXEC)
            while data and len(data) < FRAME.size:
                more = self._control.recv(FRAME.size - len(data))
                data = data + more if more else b""
        except ConnectionError:
            return False
        if not data:
            return False
        what, number, argument = FRAME.unpack(data)
        if what == FORK:
            fds = array.array("i", b"".join(content for _level, _kind, content in ancillary))
            if len(fds) == 2:
                self._fork(number, fds[0], fds[1], argument)
            else:  # there are no more descriptors
                for fd in fds:
                    os.close(fd)
                self._tell_pool(DIED, number, -errno.EMFILE)
        elif number in self._pids:
            send_signal(self._pids[number], argument)
        return True

    def _fork(self, number: int, sock: int, outbox: int, memory: int) -> None:
        try:
            life, life_end = os.pipe()
            try:
                pid = os.fork()
            except OSError:
                os.close(life)
                os.close(life_end)
                raise
        except OSError as error:
            self._tell_pool(DIED, number, -(error.errno or 1))
        else:
            if pid == 0:
                self._be_born(sock, outbox, memory, life, life_end)
            os.close(life)
            self._pids[number], self._lives[number] = pid, life_end
        os.close(sock)
        os.close(outbox)

    def _be_born(self, sock: int, outbox: int, memory: int, life: int, life_end: int) -> None:
        """In the child: become a worker. Does not return."""
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (self._heard, self._tell, life_end, *self._lives.values()):
                os.close(fd)
            self._control.close()
            end_with(life)
            if memory:
                resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))
            from .worker import Worker

            gc.unfreeze()
            with socket.socket(fileno=sock) as connection:
                Worker(connection, outbox, memory).run()
            code = 0
        except MemoryError:
            pass  # no room for what it was sent: its calls are told that it died
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            with contextlib.suppress(Exception):
                sys.stderr.flush()
            os._exit(code)

    def _look(self) -> None:
        """Who has ended, and how, and who stands still: tell the pool."""
        for number, pid in list(self._pids.items()):
            done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if not done:
                continue
            if os.WIFSTOPPED(status):
                self._tell_pool(STOPPED, number, 0)
                continue
            del self._pids[number]
            os.close(self._lives.pop(number))
            self._tell_pool(DIED, number, status)

    def _tell_pool(self, what: int, number: int, argument: int) -> None:
        with contextlib.suppress(OSError):  # the pool is gone: nobody wants to know
            self._control.sendall(FRAME.pack(what, number, argument))

    def _end_all(self) -> None:
        """Let those that have nothing to do end by themselves, kill the others, and wait for all."""
        until = time.monotonic() + GRACE
        while self._pids and time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                os.read(self._heard, 4096)
            self._look()
            if self._pids:
                select.select([self._heard], [], [], 0.01)
        for pid in self._pids.values():
            send_signal(pid, signal.SIGKILL)
        for pid in self._pids.values():
            os.waitpid(pid, 0)


def send_signal(pid: int, signum: int) -> None:
    """Signal a worker and what it has started."""
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:
        os.kill(pid, signum)  # it has just been born, and has no group of its own yet


def end_with(pipe: int) -> None:
    """Have the kernel end this process, by SIGIO, when nobody has the other end of ``pipe`` any more."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:
        os._exit(1)  # it was too late for the signal


def main(control: int) -> None:
    """What the nursery's process runs; ``control`` is its end of the socket to the pool."""
    # Ctrl-C is for the program, which ends its workers. A handler, and not SIG_IGN: what they start inherits that.
    signal.signal(signal.SIGINT, lambda *_: None)
    from . import worker

    worker.warm()
    gc.collect()
    gc.freeze()  # the workers share these pages: a collection would write to each
    with socket.socket(fileno=control) as connection:
        Nursery(connection).run()
