"""Processes: a pool of worker processes that outlives its workers.

Calls wait in one line; a worker that has nothing to do takes the next. A worker that dies takes with it the one call
that it was running, which gets WorkerDied: what it had done is kept in its outbox, what it had not begun goes to
another, and another worker takes its place. A call whose time is up or that is cancelled is really stopped: its worker
is killed.

The workers are forked by the nursery, a process of its own, and end with it; it ends with this one, however that ends.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from .catalogue import Catalogue, Entry
from .child import Child, reason_of
from .errors import NoWorkers, ShippingError
from .job import Job, Outcome
from .nursery import FORK, FRAME, SIGNAL, STOPPED
from .shipping import MemoryFile, Parcel, Shared, pack_all
from .wording import describe

#: So many coroutines run in one worker at most, when there are no more workers to be had.
TASKS = 1000

#: When the system refuses a process, none is asked for again for so many seconds, while there are others.
REFUSED = 1.0

#: How long the nursery may take to end all workers, itself included, before it is killed.
END_TIMEOUT = 5.0

#: Libraries that start threads of their own for a calculation, and the variables that bound them.
INNER_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class Ran(NamedTuple):
    """Calls that ran in processes: their outcomes in order; the seconds that they took in the workers, of processor, by
    the clock, and of waiting for a core; and the bytes of their arguments.
    """

    outcomes: list[Outcome]
    cpu: float
    wall: float
    queued: float
    size: int


class Processes:
    """At most ``most`` workers, for one loop.

    ``memory`` is how many bytes of data each may have (a call that asks for more gets MemoryError, and its worker is
    replaced), ``max_tasks`` after how many calls a worker is replaced; None is no limit.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        most: int,
        *,
        memory: int | None = None,
        max_tasks: int | None = None,
        cores: int = 1,
    ) -> None:
        self.most = most
        self._loop = loop
        self._memory = memory
        self._max_tasks = max_tasks
        self._inner_threads = max(1, cores // most)
        self._catalogue = Catalogue()
        self._queue: deque[Job] = deque()
        self._jobs: dict[Job, None] = {}  # all that somebody waits for
        self._children: dict[int, Child] = {}
        self._leaving: dict[int, Child] = {}  # hung up, and not yet buried
        self._nursery: Nursery | None = None
        self._closed = False
        self._refused_until = 0.0  # by the loop's clock, no worker is started
        self._retry: asyncio.TimerHandle | None = None  # then
        self._feeding = False
        everywhere.add(self)

    def is_closed(self) -> bool:
        """Whether no more calls are taken."""
        return self._closed

    # -- calls ----------------------------------------------------------------------------------------------------

    def entry(self, fn: Callable[..., Any]) -> Entry:
        """``fn`` as it is sent, for ``run``. Raises ShippingError if it does not pickle, MissingExtra if that takes
        cloudpickle.
        """
        return self._catalogue.entry(fn)

    async def run(
        self, fn: Callable[..., Any] | Entry, items: list[Any], form: str, timeout: float | None = None
    ) -> Ran:
        """Call ``fn`` with each of ``items`` (see ``worker.ITEMS``, ``worker.CALLS``) and return what became of them.

        ``timeout`` is for each call. Raises what ``entry`` does, and RuntimeError after ``close``. When it is
        cancelled, what runs is stopped, and what has not begun never will.
        """
        if self.is_closed():
            raise RuntimeError("these processes are closed")
        entry = fn if isinstance(fn, Entry) else self.entry(fn)
        job = Job(entry, items, form, timeout, self._loop.create_future(), self._memory)
        self._jobs[job] = None
        try:
            parcel = job.parcel = job.pack(job.todo)
            job.todo = job.left(job.todo)
            try:
                if parcel is None or parcel.large or parcel.shared or entry.large or entry.shared:
                    job.files = await self._write(entry, parcel)
            except Exception as error:
                job.fail(unwritten(entry, error))
            if self.is_closed():  # meanwhile
                job.future.cancel()
            elif job.unsettled:
                self._queue.append(job)
                self._feed()
            job.finish()
            outcomes = await job.future
        finally:
            del self._jobs[job]
            if job.unsettled:
                self._give_up(job)
        return Ran(outcomes, job.cpu, job.wall, job.queued, 0 if parcel is None else parcel.size)

    async def _write(self, entry: Entry, parcel: Parcel | None) -> list[MemoryFile]:
        """Copy what is large to memory files, in a thread."""
        buffers = [] if parcel is None else parcel.large
        shared: list[Shared] = [*entry.shared, *([] if parcel is None else parcel.shared)]
        if not buffers and not entry.large and all(each.is_packed for each in shared):
            return []

        def write() -> list[MemoryFile]:
            entry.write()
            pack_all(shared)
            return [MemoryFile.of(buffer) for buffer in buffers]

        return await self._loop.run_in_executor(None, write)

    def _give_up(self, job: Job) -> None:
        job.given_up = True
        job.todo.clear()
        with contextlib.suppress(ValueError):
            self._queue.remove(job)
        for child in [*self._children.values()]:
            child.give_up(job)

    # -- workers --------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        """Give what waits to those who have nothing to do, and start workers for the rest."""
        if self._feeding:
            return  # whoever does so already sees what has changed
        self._feeding = True
        try:
            self._feed_all()
        finally:
            self._feeding = False

    def _feed_all(self) -> None:
        while self._queue:
            job = self._queue[0]
            if not job.todo:
                self._queue.popleft()
                continue
            child = self._find(job)
            if child is None or not job.todo:
                if self._queue and self._queue[0] is job and job.todo:
                    return  # it waits for one
                continue
            items = self._share_of(job, child)
            whole = job.parcel is not None and len(items) == len(job.items)
            parcel = job.parcel if whole else job.pack(items)
            if parcel is None:  # not all of them can be sent, and those that can't have been told
                job.again(job.left(items))
                job.finish()
                continue
            try:
                files = job.files if whole else [MemoryFile.of(buffer) for buffer in parcel.large]
                pack_all([*job.entry.shared, *parcel.shared])
            except Exception as error:
                for item in items:
                    job.settle(item, (False, unwritten(job.entry, error)))
                job.finish()
                continue
            child.give(job, items, parcel, files)
            if self._max_tasks is not None and child.ran >= self._max_tasks:
                child.retired = True

    def _find(self, job: Job) -> Child | None:
        """Who can take ``job`` now."""
        for child in self._children.values():
            if child.idle:
                return child
        if len(self._children) < self.most and (not self._children or self._loop.time() >= self._refused_until):
            started = self._start()
            if started is not None or not job.todo:
                return started
        if job.entry.is_async:
            able = [child for child in self._children.values() if child.is_async and not child.retired]
            least = min(able, key=lambda child: child.load, default=None)
            if least is not None and least.load < TASKS:
                return least
        return None

    def _share_of(self, job: Job, child: Child) -> list[int]:
        """The next items of ``job``, as many as ``child`` may take."""
        most = len(job.todo)
        if self._max_tasks is not None:
            most = max(1, min(most, self._max_tasks - child.ran))
        if job.alone:  # some can't be read with others: which, is not known
            most = 1
        items, job.todo = job.todo[:most], job.todo[most:]
        return items

    def _start(self) -> Child | None:
        """One more worker. None if there is none to be had: those that there are do it, or all that wait are told."""
        try:
            try:
                child = self._fork()
            except ConnectionError:  # the nursery has just been killed
                self._nursery_gone()
                if len(self._children) >= self.most:
                    return None
                child = self._fork()
        except OSError as error:
            self._refused(str(error.strerror))
            return None
        self._children[child.number] = child
        return child

    def _refused(self, why: str) -> None:
        """There is no worker to be had at this moment. If there are others, they do it; else whatever waits is told."""
        self._refused_until = self._loop.time() + REFUSED
        if not self._children:
            jobs = list(self._queue)
            self._queue.clear()
            for job in jobs:
                job.fail(NoWorkers(f"no worker process can be started: {why}"))
            self._refused_until = 0.0
        else:
            if self._retry is not None:
                self._retry.cancel()
            self._retry = self._loop.call_later(REFUSED, self._feed)

    def _fork(self) -> Child:
        if self._nursery is None:
            self._nursery = Nursery(self._loop, self._hear_of, self._nursery_gone, self._inner_threads)
        child = Child(self._loop, self._told, self._gone, self._send_signal)
        try:
            self._nursery.fork(child, self._memory)
        except BaseException:
            child.close()
            raise
        return child

    def _wait_again(self, job: Job) -> None:
        """What came back of ``job`` goes to the head of the line."""
        if job.todo and not job.given_up and job not in self._queue:
            self._queue.appendleft(job)

    def _told(self, child: Child, job: Job) -> None:
        """``child`` has done its part of ``job``, or could not begin with it."""
        self._wait_again(job)
        if child.retired and not child.parts:
            self._children.pop(child.number, None)
            self._leaving[child.number] = child
            child.retire()
        self._feed()

    def _hear_of(self, what: int, number: int, argument: int) -> None:
        """The nursery tells of a worker."""
        child = self._children.get(number) or self._leaving.get(number)
        if child is None:
            return
        if what == STOPPED:
            child.stands_still()
        elif argument < 0:
            child.refused = True
            child.ended(f"could not be forked: {os.strerror(-argument)}")
        else:
            child.ended(reason_of(argument))

    def _gone(self, child: Child) -> None:
        self._children.pop(child.number, None)
        self._leaving.pop(child.number, None)
        if self._closed:
            return
        for part in child.lost:
            self._wait_again(part.job)
        if child.refused:
            self._refused("the system refuses the fork")
        self._feed()

    def _send_signal(self, child: Child, signum: int) -> None:
        if self._nursery is not None:
            self._nursery.send(SIGNAL, child.number, signum)

    def _nursery_gone(self) -> None:
        """The nursery has ended: its workers end too. The next call starts another."""
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.close()
            nursery.wait()  # it has hung up, so it is ending
            reason = f"went with its nursery, which {nursery.reason}"
            children = [*self._children.values(), *self._leaving.values()]
            for child in children:
                child.retired = True  # all of them: what comes back goes to none of these
            for child in children:
                child.ended(reason)

    # -- the end --------------------------------------------------------------------------------------------------

    def state(self) -> tuple[int, int, int]:
        """How many workers there are, how many of them have something to do, and how many calls wait."""
        busy = sum(1 for child in self._children.values() if child.parts)
        return len(self._children), busy, sum(len(job.todo) for job in self._queue)

    def close(self) -> Callable[[], None]:
        """Take no more calls and end the workers; calls that wait or run are cancelled. What is returned waits for the
        processes, for seconds at most: for a thread, or for the end of the loop.
        """
        self._closed = True
        everywhere.discard(self)
        jobs = list(self._jobs)
        self._queue.clear()
        if self._retry is not None:
            self._retry.cancel()
        for child in [*self._children.values(), *self._leaving.values()]:
            child.close()
        self._children.clear()
        self._leaving.clear()
        for job in jobs:
            with contextlib.suppress(RuntimeError):  # nobody waits on a closed loop
                job.future.cancel()
        nursery, self._nursery = self._nursery, None
        if nursery is None:
            return lambda: None
        nursery.close()
        return nursery.wait

    def leave_to_parent(self) -> None:
        """In a forked child: whoever holds these sockets would keep the workers alive."""
        for child in [*self._children.values(), *self._leaving.values()]:
            child.leave_to_parent()
        if self._nursery is not None:
            self._nursery.leave_to_parent()


class Nursery:
    """The pool's end of the nursery's process. Raises OSError if it can't be started."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[int, int, int], None],
        gone: Callable[[], None],
        inner_threads: int,
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._tell_gone = gone
        self._control, far_end = socket.socketpair()
        with far_end:
            try:
                self._process = subprocess.Popen(
                    command(far_end.fileno()),
                    env=environment(inner_threads),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(far_end.fileno(),),
                    process_group=0,  # Ctrl-C on the terminal is for the program, which then ends its workers
                )
            except BaseException:
                self._control.close()
                raise
        self._read = b""
        self._frames: deque[tuple[bytes, Child | None]] = deque()  # what the socket has no room for
        self._control.setblocking(False)
        loop.add_reader(self._control, self._hear)

    @property
    def reason(self) -> str:
        """How its process ended."""
        code = self._process.returncode
        return "is gone" if code is None else f"ended with exit code {code}" if code >= 0 else "was killed"

    def fork(self, child: Child, memory: int | None) -> None:
        """Have ``child`` made. Raises ConnectionError if the nursery is gone, OSError if it can't be asked."""
        self._frames.append((FRAME.pack(FORK, child.number, memory or 0), child))
        try:
            self._flush()
        except OSError:
            self._frames = deque(each for each in self._frames if each[1] is not child)
            raise

    def send(self, what: int, number: int, argument: int) -> None:
        """Have it do something."""
        self._frames.append((FRAME.pack(what, number, argument), None))
        try:
            self._flush()
        except ConnectionError:
            pass  # it is gone, and with it the worker
        except OSError:
            self._loop.add_writer(self._control, self._flush_more)

    def _flush(self) -> None:
        while self._frames:
            frame, child = self._frames[0]
            try:
                if child is None:
                    sent = self._control.send(frame)
                else:
                    rights = array.array("i", [child.far_end.fileno(), child.outbox.fd])
                    sent = self._control.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            except BlockingIOError:
                self._loop.add_writer(self._control, self._flush_more)
                return
            if child is not None:
                child.far_end.close()
            self._frames.popleft()
            if sent < len(frame):
                self._frames.appendleft((frame[sent:], None))
        self._loop.remove_writer(self._control)

    def _flush_more(self) -> None:
        with contextlib.suppress(OSError):  # it is gone: the reader hears of it
            self._flush()

    def _hear(self) -> None:
        try:
            data = self._control.recv(64 * FRAME.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._tell_gone()
            return
        data = self._read + data
        whole = len(data) - len(data) % FRAME.size
        self._read = data[whole:]
        for what, number, argument in FRAME.iter_unpack(data[:whole]):
            self._tell(what, number, argument)

    def close(self) -> None:
        """Hang up: the nursery kills whom it has and ends."""
        self._frames.clear()
        with contextlib.suppress(RuntimeError):  # the loop was closed before the lanes
            self._loop.remove_reader(self._control)
            self._loop.remove_writer(self._control)
        self._control.close()

    def wait(self) -> None:
        """Until its process has ended; it is killed if that takes too long."""
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def leave_to_parent(self) -> None:
        self._control.close()
        self._process.returncode = 0  # it is no child of this process: nobody here waits for it


def command(control: int) -> list[str]:
    """What starts the nursery: this interpreter, with its options, and where it looks for modules."""
    path = [os.fspath(entry) or os.getcwd() for entry in sys.path if isinstance(entry, str | os.PathLike)]
    program = f"import sys; sys.path[:] = {path!r}; sys.argv[:] = ['rota-worker']; "
    program += f"from rota.lanes.nursery import main; main({control})"
    # What multiprocessing does for its own; without a public way to it.
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *options, "-c", program]


def environment(inner_threads: int) -> dict[str, str]:
    """The workers': as many threads in libraries as make use of all cores with all workers, unless it is set."""
    return {**dict.fromkeys(INNER_THREADS, str(inner_threads)), **os.environ}


def unwritten(entry: Entry, error: Exception) -> ShippingError:
    """The error of calls whose arguments could not be written to where workers find them."""
    made = ShippingError(entry.name, "its arguments", describe(error))
    made.__cause__ = error
    return made


everywhere: weakref.WeakSet[Processes] = weakref.WeakSet()


def leave_all_to_parent() -> None:
    for processes in list(everywhere):
        processes.leave_to_parent()


os.register_at_fork(after_in_child=leave_all_to_parent)
