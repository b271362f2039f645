"""Meter: what one call cost the thread that it ran in.

Time on the clock says little on a busy machine. A thread computes, waits for a core, waits for the GIL, or waits for
something outside; the kernel keeps the first two for each thread, exactly, and the rest of the clock is the other two.
Who tells these apart, and whether the thread computes with the GIL or without, is the ``Sampler``.

All is read while the GIL is held. ``os.pread`` lets go of it, and beside a thread that computes has to wait 5 ms to
get it back: the meter would cost more than most calls.
"""

from __future__ import annotations

import os
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

#: So many threads at most keep their file of ``/proc`` open between calls: a program's descriptors are for its
#: connections. Others open it for each metered call, some 5 µs more.
KEPT_FILES = 64

#: What is read of a file of ``/proc``: three numbers, or the number of a system call and its arguments.
LINE = 256


class Measure(NamedTuple):
    """Seconds of one call: computing, on the clock, waiting for a core, and the rest of the clock: waiting for the
    GIL or for something outside.
    """

    cpu: float
    wall: float
    queued: float
    blocked: float


class Held(NamedTuple):
    """What a sampler saw of one call. A look that found it ready and without a core is in none of these, for it has
    seen nothing.

    ``chances`` is how many of the looks would have met it computing if it computed without the GIL, by its CPU time;
    ``free``, how many did. ``outside`` looks met it waiting for something that is not the GIL, and ``gil`` for that:
    each counts as much as it had not computed since the look before.
    """

    chances: float
    free: int
    gil: float
    outside: int


class Libc:
    """System calls that don't let go of the GIL. Only for what can't block."""

    def __init__(self) -> None:
        import ctypes

        library = ctypes.PyDLL(None)
        self._pread = library.pread
        self._pread.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long)
        self._pread.restype = ctypes.c_ssize_t
        self._open = library.open
        self._open.argtypes = (ctypes.c_char_p, ctypes.c_int)
        self.close = library.close
        self.close.argtypes = (ctypes.c_int,)
        self.usleep = library.usleep
        self.usleep.argtypes = (ctypes.c_uint,)
        self._make = ctypes.create_string_buffer

    def buffer(self) -> Any:
        """Room for what one thread reads. No two may share it: they can change places after any call in here."""
        return self._make(LINE)

    def pread(self, file: int, buffer: Any) -> bytes:
        """What a file begins with, as far as the buffer holds it; nothing where it can't be read."""
        got = self._pread(file, buffer, LINE, 0)
        return bytes(buffer.raw[:got]) if got > 0 else b""

    def read(self, path: bytes, buffer: Any) -> bytes:
        """What the file at ``path`` begins with; nothing where it can't be read."""
        file = self._open(path, os.O_RDONLY | os.O_CLOEXEC)
        if file < 0:
            return b""
        found = self.pread(file, buffer)
        self.close(file)
        return found


def find_libc() -> Libc | None:
    """None where Python has no ctypes, the system none of the calls, or there is no GIL to keep."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None
    try:
        return Libc()
    except (ImportError, AttributeError, OSError):
        return None


class Here:
    """The thread that this is made in, for its meter and those who look at it. It ends with the thread."""

    kept = 0  # files, of all threads

    def __init__(self) -> None:
        number = threading.get_native_id()
        self.clock = time.pthread_getcpuclockid(threading.get_ident()) if CAN_SAMPLE else None
        self.status = b"/proc/self/task/%d/syscall" % number
        self._path: bytes | None = b"/proc/self/task/%d/schedstat" % number
        self._file = -1
        self._buffer = libc.buffer() if libc is not None else None
        if not os.path.exists(self._path):
            self._path = None
        elif Here.kept < KEPT_FILES and number != os.getpid():
            # Not the main thread's: it does not end before the process, and neither would the file.
            Here.kept += 1
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                # No descriptor left: the call matters, not what it cost.
                Here.kept -= 1

    def queued(self) -> float:
        """Seconds that this thread has been ready and waited for a core; 0 where the system doesn't tell."""
        if self._path is None:
            return 0.0
        if libc is not None:
            line = libc.pread(self._file, self._buffer) if self._file >= 0 else libc.read(self._path, self._buffer)
        elif self._file >= 0:
            line = os.pread(self._file, LINE, 0)
        else:
            try:
                with open(self._path, "rb", buffering=0) as file:
                    line = file.read()
            except OSError:
                return 0.0
        return int(line.split(None, 2)[1]) / 1e9 if line else 0.0

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # The default: a thread may end after the interpreter has emptied this module.
        if getattr(self, "_file", -1) >= 0:
            type(self).kept -= 1
            close(self._file)


#: Whether one thread can read another's CPU clock here.
CAN_SAMPLE = hasattr(time, "pthread_getcpuclockid")

libc = find_libc()
threads = threading.local()


def this_thread() -> Here:
    try:
        return threads.here  # type: ignore[no-any-return]
    except AttributeError:
        here = threads.here = Here()
        return here


def forget() -> None:
    """In a forked child: its threads have other numbers."""
    global threads
    threads = threading.local()


os.register_at_fork(after_in_child=forget)


class Watcher(Protocol):
    """Who looks at a call while it runs: a ``Sampler``."""

    def watch(self, here: Here, cpu: float, now: float, deciding: bool) -> Any:
        """From now on look at this thread; None for no."""

    def end(self, watch: Any, cpu: float) -> Held | None:
        """The call is over: what was seen of it."""


class Metered:
    """Runs one call and measures it: ``metered(func, args, kwargs)`` returns and raises as ``func`` does.

    After it, ``measure`` is what the call cost and ``held`` what ``sampler`` saw of it: None without one, or where
    nobody can see. ``deciding`` asks it to look often.
    """

    __slots__ = ("_deciding", "_sampler", "held", "measure")

    def __init__(self, sampler: Watcher | None = None, deciding: bool = True) -> None:
        self._sampler = sampler
        self._deciding = deciding
        self.measure = Measure(0.0, 0.0, 0.0, 0.0)
        self.held: Held | None = None

    def __call__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        here = this_thread()
        sampler = self._sampler
        queued = here.queued()
        wall = time.perf_counter()
        cpu = time.thread_time()
        watch = sampler.watch(here, cpu, wall, self._deciding) if sampler is not None else None
        try:
            return func(*args, **kwargs)
        finally:
            after = time.thread_time()
            if watch is not None and sampler is not None:
                self.held = sampler.end(watch, after)
            cpu = after - cpu
            wall = time.perf_counter() - wall
            queued = min(max(0.0, here.queued() - queued), max(0.0, wall - cpu))
            self.measure = Measure(cpu, wall, queued, max(0.0, wall - cpu - queued))
