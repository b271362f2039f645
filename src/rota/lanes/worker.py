"""Worker: what runs in a worker process: one chunk of calls after the other, or many coroutines at once.

It is told of functions and shared objects once, and of calls in chunks; it leaves what they return in its outbox, or
sends what has no room there. Whatever a call raises is its outcome. What can't be read is said to be unreadable, and
none of the chunk has run then.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import marshal
import os
import pickle
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from ..run import new_event_loop
from . import shipping
from .outbox import ERROR, OPENING, RESULT, UNSENT, VALUE, Outbox
from .shipping import NO_FILES, PLAIN, MemoryFile
from .wire import Message, Reader, send_all
from .wording import arguments, describe, kind_of, message_of

#: How a chunk's payload is to be called: ``fn(item)`` for each, or ``fn(*args, **kwargs)``.
ITEMS, CALLS = "items", "calls"

#: The outcome of a call as it is sent: the kind of a record, its bytes, and the files beside them.
Packed = tuple[int, bytes, list[MemoryFile]]

#: The version of marshal's format: later ones make text that is interned here interned there, and that is for ever.
MARSHAL = 2

Seconds = tuple[float, float, float]


class Function:
    """A function that this worker was told of; unpickled when it is first called."""

    __slots__ = ("_data", "_files", "_fn", "name")

    def __init__(self, name: str, data: bytes, files: list[MemoryFile]) -> None:
        self.name = name
        self._data = data
        self._files = files
        self._fn: Callable[..., Any] | None = None

    def get(self) -> Callable[..., Any]:
        """The function itself. Raises whatever its unpickling does: a module that is not there, most of all."""
        if self._fn is None:
            self._fn = shipping.unpack(self._data, self._files, writable=False)
            self._data, self._files = b"", []
        return self._fn


class Opened:
    """A chunk that was read: a function and what it is to be called with, the last first: each call is made once, and
    a list of large arguments shrinks as it is gone through.
    """

    __slots__ = ("by_item", "fn", "items", "name")

    def __init__(self, name: str, fn: Callable[..., Any], items: list[Any], form: str) -> None:
        self.name = name
        self.fn = fn
        items.reverse()
        self.items = items
        self.by_item = form == ITEMS

    def take(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the next call."""
        return ((self.items.pop(),), {}) if self.by_item else self.items.pop()


class Clocks:
    """A worker's: seconds of processor, by the clock, and in which it waited for a core (0 where the system doesn't
    tell).
    """

    __slots__ = ("_schedstat",)

    def __init__(self) -> None:
        self._schedstat = -1
        with contextlib.suppress(OSError):
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> Seconds:
        queued = 0.0
        with contextlib.suppress(OSError, IndexError, ValueError):  # a function may have closed it
            queued = int(os.pread(self._schedstat, 100, 0).split()[1]) / 1e9
        return time.process_time(), time.perf_counter(), queued

    def since(self, before: Seconds) -> Seconds:
        """What has passed."""
        cpu, wall, queued = self.read()
        return cpu - before[0], wall - before[1], max(0.0, queued - before[2])


class Worker:
    """Serves the pool over ``sock`` until it hangs up. With ``memory``, a call that ran out of it wears the worker out:
    the pool replaces it.
    """

    def __init__(self, sock: socket.socket, outbox: int, memory: int = 0) -> None:
        self.sock = sock
        self.worn = False
        self.outbox = Outbox(outbox)
        self.clocks = Clocks()
        self._limited = bool(memory)
        self._reader = Reader()
        self._functions: dict[int, Function] = {}
        self._later: deque[Message] = deque()  # what came while coroutines ran, and was not for them
        self._runner: asyncio.Runner | None = None

    def run(self) -> None:
        """Until the pool is gone."""
        with contextlib.suppress(ConnectionError):
            while (message := self._next()) is not None:
                if message.kind == "chunk":
                    self._run_chunk(message)
                elif message.kind == "tasks":
                    if self._runner is None:
                        self._runner = asyncio.Runner(loop_factory=new_event_loop)
                    self._runner.run(Tasks(self).run(message))
                else:
                    self.learn(message)
                del message  # and what it holds, before the sleep

    def _next(self) -> Message | None:
        if self._later:
            return self._later.popleft()
        while (message := self._reader.next()) is None:
            if not self._reader.read(self.sock):
                return None
        return message

    # -- for coroutines, which hear while they run -------------------------------------------------------------------

    def arrived(self) -> list[Message]:
        """What has been read, and is for those who run."""
        messages = []
        while (message := self._reader.next()) is not None:
            if message.kind == "chunk":
                self._later.append(message)
            else:
                messages.append(message)
        return messages

    def read(self) -> bool:
        """Read what there is, without waiting; whether the pool is still there."""
        try:
            return self._reader.read(self.sock)
        except BlockingIOError:
            return True
        except OSError:
            with contextlib.suppress(OSError):  # what was lost can't be made up for: the pool finds another worker
                self.sock.shutdown(socket.SHUT_RDWR)
            return False

    # -- what it is told ---------------------------------------------------------------------------------------------

    def learn(self, message: Message) -> None:
        """A function or a shared object, or that those of before are not asked for any more."""
        if message.kind == "function":
            number, name = message.values
            self._functions[number] = Function(name, bytes(message.payload), message.files)
        elif message.kind == "shared":
            shipping.arrive(message.values[0], message.payload, message.files)
        elif message.kind == "unshare":
            shipping.arrived.pop(message.values[0], None)
        elif message.kind == "forget":
            self._functions.clear()

    def open(self, message: Message) -> Opened | None:
        """A chunk; None, and the pool is told, if it can't be read."""
        part, number, form, *_ = message.values
        function = self._functions[number]
        what = "the function"
        try:
            fn = function.get()
            what = "an argument"
            return Opened(function.name, fn, shipping.unpack(message.payload, message.files), form)
        except BaseException as error:
            text = f"it can't be made again there: {describe(error)}"
            self.send(Message("unreadable", (part, what, text)))
            return None

    def send(self, message: Message) -> None:
        """Send it, whole: the pool always reads, so this is short."""
        self.sock.setblocking(True)
        send_all(self.sock, message)

    def note(self, error: BaseException) -> None:
        """A call has raised ``error``."""
        if self._limited and isinstance(error, MemoryError):
            self.worn = True

    def _run_chunk(self, message: Message) -> None:
        outbox = self.outbox
        outbox.clear()
        outbox.begin(OPENING)
        part = message.values[0]
        opened = self.open(message)
        del message
        if opened is None:
            outbox.rest()
            return
        fn, items, by_item = opened.fn, opened.items, opened.by_item
        began = self.clocks.read()
        for number in range(len(items)):
            outbox.begin(number)
            item = items.pop()
            try:
                run = contextvars.copy_context().run  # what one item sets, the next one does not see
                result = run(fn, item) if by_item else run(fn, *item[0], **item[1])
            except BaseException as error:
                kind, data, files = pack_error(error)
                self.note(error)
                let_go(error)
            else:
                kind, data, files = self.pack_result(result)
                del result
            del item
            if files or not outbox.put(number, kind, data):
                self.send(Message("result", (part, number, kind), data, files))
        outbox.rest()
        flush()
        self.send(Message("done", (part, *self.clocks.since(began), self.worn)))

    def pack_result(self, result: Any) -> Packed:
        """``result`` as it is sent, or why it can't be."""
        try:
            if type(result) in PLAIN:
                with contextlib.suppress(ValueError):  # from 2 GiB on
                    return VALUE, marshal.dumps(result, MARSHAL), NO_FILES
            parcel = shipping.pack(result)
            return RESULT, parcel.data, [MemoryFile.of(buffer) for buffer in parcel.large]
        except BaseException as error:
            self.note(error)
            return UNSENT, f"{kind_of(result)}\0{describe(error)}".encode(), NO_FILES


class Tasks:
    """Coroutines of one worker, run at once: more may come while there are any."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._running: dict[tuple[int, int], asyncio.Task[Packed]] = {}
        self._left: dict[int, int] = {}  # how many of each part run
        self._began: dict[int, Seconds] = {}
        self._idle = asyncio.Event()
        self._there = True  # the pool is

    async def run(self, message: Message) -> None:
        """Until all have ended."""
        loop = asyncio.get_running_loop()
        sock = self._worker.sock
        sock.setblocking(False)
        loop.add_reader(sock, self._hear)
        try:
            self._take([message, *self._worker.arrived()])
            while self._running and self._there:
                await self._idle.wait()
                self._idle.clear()
        finally:
            loop.remove_reader(sock)
            sock.setblocking(True)

    def _hear(self) -> None:
        self._there = self._worker.read()
        self._take(self._worker.arrived())
        if not self._there:
            self._idle.set()

    def _take(self, messages: list[Message]) -> None:
        for message in messages:
            if message.kind == "tasks":
                self._begin(message)
            elif message.kind == "cancel":
                (part,) = message.values
                for key, task in list(self._running.items()):
                    if key[0] == part:
                        task.cancel()
            else:
                self._worker.learn(message)

    def _begin(self, message: Message) -> None:
        part, _number, _form, timeout = message.values
        opened = self._worker.open(message)
        self._worker.sock.setblocking(False)
        if opened is None:
            return
        self._worker.outbox.begin_part(part)
        self._left[part] = len(opened.items)
        self._began[part] = self._worker.clocks.read()
        for number in range(len(opened.items)):
            args, kwargs = opened.take()
            one = self._one(opened, args, kwargs, timeout)
            task = asyncio.create_task(one, name=f"{opened.name} {part}.{number}")
            self._running[part, number] = task
            # And not at its end: a coroutine that is cancelled before its first step has none.
            task.add_done_callback(functools.partial(self._ended, part, number))

    async def _one(self, opened: Opened, args: Any, kwargs: Any, timeout: float | None) -> Packed:
        clock = asyncio.timeout(timeout)
        try:
            async with clock:
                result = await opened.fn(*args, **kwargs)
        except BaseException as raised:
            error: BaseException = raised
            if clock.expired():
                error = TimeoutError(f"{opened.name}({arguments(args, kwargs)}) took longer than {timeout:g} s")
            packed = pack_error(error)
            self._worker.note(error)
            let_go(raised)
            return packed
        return self._worker.pack_result(result)

    def _ended(self, part: int, number: int, task: asyncio.Task[Packed]) -> None:
        kind, data, files = pack_error(asyncio.CancelledError()) if task.cancelled() else task.result()
        self._send(Message("result", (part, number, kind), data, files))
        del self._running[part, number]
        self._left[part] -= 1
        if not self._left[part]:
            del self._left[part]
            self._send(Message("done", (part, *self._worker.clocks.since(self._began.pop(part)), self._worker.worn)))
        if not self._running:
            flush()
            self._idle.set()

    def _send(self, message: Message) -> None:
        try:
            self._worker.send(message)
        except ConnectionError:
            self._there = False
            self._idle.set()
        finally:
            self._worker.sock.setblocking(False)


def pack_error(error: BaseException) -> Packed:
    """What the pool makes an exception of again: the exception, if it pickles, and what is known of it if not. What
    would end whoever gets it (SystemExit and its like) does not go as itself.
    """
    frames = error.__traceback__
    if frames is not None:
        frames = frames.tb_next  # the first is this module's
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:
        text = kind_of(error)  # its own code fails
    data = None
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):
            data = shipping.pack(error, large_apart=False).data
    return ERROR, pickle.dumps((data, kind_of(error), message_of(error), text), 5), NO_FILES


def let_go(error: BaseException) -> None:
    """Of the frames that it was raised in, and of what they hold."""
    with contextlib.suppress(Exception):  # it may refuse attributes
        error.__traceback__ = None


def flush() -> None:
    """What was printed is seen now and not when the worker ends."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it was closed, or is something else
            stream.flush()


def warm() -> None:
    """Import, in the nursery, what every worker needs: they have it when they are born."""
    shipping.cloudpickle()
