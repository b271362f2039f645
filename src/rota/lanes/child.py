"""Child: a worker process as the pool sees it: its socket, its outbox, and what it has been given."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import time
import weakref
from collections.abc import Callable
from typing import Any

from .errors import ShippingError, WorkerDied
from .job import Job
from .outbox import NOTHING, Outbox
from .shipping import NO_FILES, MemoryFile, Parcel, Shared
from .wire import Message, Reader, Writer

_numbers = itertools.count(1)
_parts = itertools.count(1)

#: A worker is told to forget the functions that it was sent when there are so many ...
FUNCTIONS = 64

#: ... or they are so many bytes.
FUNCTION_BYTES = 64 * 1024 * 1024

#: A coroutine that was cancelled, or whose time is up, may take so many seconds to end before its worker is killed: it
#: holds the worker's loop.
STOPPING = 1.0

#: Whether it has begun is looked for so many seconds after it was sent, and again.
BEGUN = 0.25

#: A worker that dies before it has begun may have been killed by chance; so many in a row have not.
FALSE_STARTS = 2


class Part:
    """The items of a job that one worker has."""

    __slots__ = ("begun", "items", "job", "number", "timer")

    def __init__(self, job: Job, items: list[int]) -> None:
        self.number = next(_parts)
        self.job = job
        self.items = items
        self.begun = False  # as far as has been seen
        self.timer: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """It is not with the worker any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Child:
    """One worker. ``told`` is called with it when it has done its part of a job, ``gone`` when it is no more, and
    ``send_signal`` to have it signalled. Raises OSError if there are no descriptors for it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        told: Callable[[Child, Job], None],
        gone: Callable[[Child], None],
        send_signal: Callable[[Child, int], None],
    ) -> None:
        self.number = next(_numbers)
        self.name = f"worker {self.number}"
        self.parts: dict[int, Part] = {}
        self.lost: list[Part] = []  # what it had when it ended
        self.ran = 0  # calls
        self.retired = False  # takes no more
        self.refused = False  # never was: the system has no process for it
        self._loop = loop
        self._told = told
        self._gone = gone
        self._signal = send_signal
        self._reason: str | None = None  # how it ended, as the end of a sentence; None while it lives
        self._stopped_for: tuple[Part, int] | None = None  # whose item had used up its time, or was given up
        self._judged: Part | None = None  # it stands still meanwhile
        self._functions: dict[int, int] = {}  # those that it knows, with their sizes
        self._shared: dict[str, weakref.ref[Shared]] = {}
        self._hung_up = False
        self._writing = False  # waits for room in the socket
        self._sock, self.far_end = socket.socketpair()
        try:
            self._sock.setblocking(False)
            self.outbox = Outbox()
        except BaseException:
            self._sock.close()
            self.far_end.close()
            raise
        self._reader = Reader()
        self._writer = Writer(self._sock)
        loop.add_reader(self._sock, self._hear)

    # -- giving ------------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do, and may be given something."""
        return not self.parts and not self.retired

    @property
    def load(self) -> int:
        """How many calls it has."""
        return sum(len(part.items) for part in self.parts.values())

    @property
    def is_async(self) -> bool:
        """Whether it runs coroutines, and so may be given more of them."""
        return any(part.job.entry.is_async for part in self.parts.values())

    def give(self, job: Job, items: list[int], parcel: Parcel, files: list[MemoryFile]) -> None:
        """Have it call ``job``'s function with ``items``, which ``parcel`` holds, what is large in ``files``."""
        entry = job.entry
        part = Part(job, items)
        self.parts[part.number] = part
        self.ran += len(items)
        if len(self._functions) > FUNCTIONS or sum(self._functions.values()) > FUNCTION_BYTES:
            self._writer.put(Message("forget"))
            self._functions.clear()
        for name in [name for name, shared in self._shared.items() if shared() is None]:
            self._writer.put(Message("unshare", (name,)))
            del self._shared[name]
        for shared in (*entry.shared, *parcel.shared):
            self._share(shared)
        if entry.number not in self._functions:
            self._functions[entry.number] = entry.size
            self._writer.put(Message("function", (entry.number, entry.name), entry.data, entry.files))
        values: tuple[Any, ...] = (part.number, entry.number, job.form)
        if entry.is_async:
            self._writer.put(Message("tasks", (*values, job.timeout), parcel.data, files))
        else:
            self._writer.put(Message("chunk", values, parcel.data, files))
        if job.timeout is not None:
            self._time(part, min(job.timeout, BEGUN) if entry.is_async else job.timeout)
        self._flush()

    def _share(self, shared: Shared) -> None:
        """Send a shared object, and those inside it first, unless the worker has it."""
        name = shared.__rota_shared__
        if name in self._shared:
            return
        self._shared[name] = weakref.ref(shared)
        parcel, files = shared.parcel()
        for inner in parcel.shared:
            self._share(inner)
        self._writer.put(Message("shared", (name,), parcel.data, files))

    def _flush(self) -> None:
        try:
            whole = self._writer.flush()
        except ConnectionError:
            return  # it is gone: the reader hears of it
        except OSError as error:
            self._drop(f"could not be told: {error.strerror}")
            return
        if whole and self._writing:
            self._loop.remove_writer(self._sock)
        elif not whole and not self._writing:
            self._loop.add_writer(self._sock, self._flush)
        self._writing = not whole

    # -- stopping ----------------------------------------------------------------------------------------------------

    def _time(self, part: Part, seconds: float) -> None:
        part.timer = self._loop.call_later(max(seconds, 0.001), self._time_is_up, part)

    def _time_is_up(self, part: Part) -> None:
        """An item may have run for longer than it may, if it is the one that was begun first. The worker is stopped for
        the look: what it is at then is what it is killed for.
        """
        timeout = part.job.timeout
        assert timeout is not None
        if part.job.entry.is_async:
            if not part.begun:  # its own time runs since it was begun, and what it imports was made before
                part.begun = self.outbox.begun >= part.number
                self._time(part, timeout + STOPPING if part.begun else min(timeout, BEGUN))
            else:
                self._end(part, -1)  # it did not end by itself
        elif (left := self._left(timeout)) > 0:
            self._time(part, left)
        else:
            self._judged = part
            self._signal(self, signal.SIGSTOP)

    def _left(self, timeout: float) -> float:
        """Seconds that the item which the worker is at may still take."""
        at, since = self.outbox.running()
        return timeout if at == NOTHING else timeout - (time.monotonic() - since)

    def stands_still(self) -> None:
        """The worker was stopped, for a look at what it is at."""
        part, self._judged = self._judged, None
        if part is None:
            return  # it has stopped itself: that is its own affair, and its calls have timeouts
        timeout = part.job.timeout
        if part.number in self.parts and timeout is not None:
            left = self._left(timeout)
            if left <= 0:
                self._end(part, self.outbox.running()[0])
                return
            self._time(part, left)
        self._signal(self, signal.SIGCONT)

    def give_up(self, job: Job) -> None:
        """Nobody waits for ``job`` any more: what runs of it is stopped."""
        for part in [part for part in self.parts.values() if part.job is job]:
            if job.entry.is_async:
                self._writer.put(Message("cancel", (part.number,)))
                self._flush()
                part.end()
                part.timer = self._loop.call_later(STOPPING, self._end, part, -1)
            else:
                self._end(part, -1)

    def _end(self, part: Part, item: int) -> None:
        """Kill the worker because of ``part``, and of what it is at there."""
        self._stopped_for = part, item
        self.retired = True
        self._signal(self, signal.SIGKILL)

    def _drop(self, reason: str) -> None:
        """It can't be talked to, or be heard."""
        self._reason = reason
        self.retired = True
        self._signal(self, signal.SIGKILL)

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        if not self._read():
            self._hang_up()
            self.retired = True
            if self.parts:  # it lives without its socket, and can't answer any more
                self._signal(self, signal.SIGKILL)

    def _read(self) -> bool:
        """Take what the worker has sent; whether more may come."""
        try:
            there = self._reader.read(self._sock)
        except BlockingIOError:
            return True
        except ConnectionError:
            there = False
        except OSError as error:
            self._drop(f"could not be heard: {error.strerror}")
            return False
        while (message := self._reader.next()) is not None:
            self._take(message)
        return there

    def _take(self, message: Message) -> None:
        part = self.parts.get(message.values[0])
        if part is None:
            return
        job = part.job
        if message.kind == "result":
            _number, at, kind = message.values
            item = part.items[at]
            job.settle(item, job.open(item, kind, message.payload, message.files, self.name))
            return
        del self.parts[part.number]
        part.end()
        if message.kind == "done":
            _number, cpu, wall, queued, worn = message.values
            self.retired = self.retired or worn
            job.cpu += cpu
            job.wall += wall
            job.queued += queued
            self._collect(part)
        else:
            self._unreadable(part, *message.values[1:])
        self.outbox.clear()
        job.finish()
        self._told(self, job)

    def _collect(self, part: Part) -> None:
        """What the outbox holds of a part."""
        if part.job.entry.is_async:
            return
        job, items = part.job, part.items
        for at, kind, data in self.outbox.records():
            item = items[at]
            if job.outcomes[item] is None:
                job.settle(item, job.open(item, kind, data, NO_FILES, self.name))

    def _unreadable(self, part: Part, what: str, why: str) -> None:
        """The worker could not make the arguments or the function again; nothing of the part has run."""
        job = part.job
        if what == "the function":
            self._functions.pop(job.entry.number, None)
            for item in part.items:
                job.settle(item, (False, ShippingError(job.entry.name, what, why)))
        elif len(part.items) == 1:
            text = f"{what} ({job.text_of(part.items[0])})"
            job.settle(part.items[0], (False, ShippingError(job.entry.name, text, why)))
        else:
            job.alone.update(part.items)
            job.again(part.items)

    # -- ending ------------------------------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        if not self._hung_up:
            self._hung_up = True
            with contextlib.suppress(RuntimeError):  # the loop was closed before the lanes
                self._loop.remove_reader(self._sock)
                self._loop.remove_writer(self._sock)

    def ended(self, reason: str) -> None:
        """It is no more, and ``reason`` says how. What it had sent is heard first; nobody waits for the end of the
        stream, for others may have the socket too.
        """
        self._reason = self._reason or reason
        self.retired = True
        while not self._hung_up:
            try:
                if not self._reader.read(self._sock):
                    break
            except OSError:
                break
        while (message := self._reader.next()) is not None:
            self._take(message)
        parts, self.parts = self.parts, {}
        self.lost.extend(parts.values())
        for part in parts.values():
            part.end()
            if part.job.entry.is_async:
                self._lost_tasks(part)
            else:
                self._lost_chunk(part)
        self.close()
        for part in parts.values():
            part.job.finish()
        self._gone(self)

    def _lost_tasks(self, part: Part) -> None:
        """Coroutines that were begun are lost; others go to another worker."""
        job = part.job
        if self.outbox.begun < part.number:
            self._false_start(part, part.items)
            return
        for item in job.left(part.items):
            job.settle(item, (False, self._end_of(part, item, timed=True)))

    def _lost_chunk(self, part: Part) -> None:
        """What is done is done; the item that ran is lost, and what had not begun goes to another worker."""
        job = part.job
        self._collect(part)
        left = job.left(part.items)
        at, _since = self.outbox.running()
        if at < 0:
            if self._stopped_for is not None and self._stopped_for[0] is part and not job.given_up:
                at = 0  # its time went by while it was made: it is the first item's
            else:
                self._false_start(part, left)
                return
        if part.items[at] in left:
            left.remove(part.items[at])
            timed = self._stopped_for is not None and self._stopped_for[1] in (at, -1)
            job.settle(part.items[at], (False, self._end_of(part, part.items[at], timed=timed)))
        job.again(left)

    def _false_start(self, part: Part, left: list[int]) -> None:
        """The worker ended before it had begun with the part."""
        job = part.job
        if left and self._stopped_for is None and not self.refused:
            job.false_starts += 1
        if job.false_starts > FALSE_STARTS:
            why = f"{self._reason} before it could begin, {FALSE_STARTS + 1} times"
            for item in left:
                job.settle(item, (False, WorkerDied(job.entry.name, job.text_of(item), why)))
            return
        if len(left) > 1 and job.false_starts:
            job.alone.update(left)  # to read one of them may have killed it
        job.again(left)

    def _end_of(self, part: Part, item: int, *, timed: bool) -> Exception:
        """The exception for an item that ran when the worker ended; ``timed`` if its time may have been up."""
        job = part.job
        if self._stopped_for is None:
            return WorkerDied(job.entry.name, job.text_of(item), str(self._reason))
        if self._stopped_for[0] is part and job.timeout is not None and timed:
            return TimeoutError(f"{job.call_of(item)} took longer than {job.timeout:g} s")
        other = self._stopped_for[0].job.entry.name
        why = f"was stopped because a call of {other} that it ran too would not end"
        return WorkerDied(job.entry.name, job.text_of(item), why)

    def retire(self) -> None:
        """Let it end: it has nothing to do, and gets nothing more."""
        self.retired = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of it, whatever it does."""
        for part in self.parts.values():
            part.end()
        self._hang_up()
        self._sock.close()
        self.far_end.close()
        self._reader.close()
        self.outbox.close()

    def leave_to_parent(self) -> None:
        """In a forked child of this process: the worker is not its own."""
        self._sock.close()


def reason_of(status: int) -> str:
    """How a process ended, by its status as of wait(2): the end of a sentence."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
