"""Stalls: a step that holds the loop too long is told of while it does, with its stack.

Nothing interrupts a task until it awaits. One that waits in a blocking call, or computes, holds up all the others, and
nobody sees who it was. :class:`Stalls` looks at the loop's counters from a thread of its own::

    stalls = Stalls(loop)
    stalls.start()

It costs the loop nothing: no callback is measured, no clock read, no flag set. The thread sleeps, and reads a few
numbers ten times a second, twenty while the loop is busy, four when nothing has happened for a while. A step that holds
the loop for twice the threshold is told of (the first one after a long rest: for four times), one that is shorter than
the threshold is not.

Time is counted against a step only if the step had it. What the watching thread overslept is not, unless the loop's
thread computed: the process was stopped then, or the machine had no time for it. Nor is what the loop's thread waited
for a core. A debugger holds the loop because it is asked to, so beside one nothing is told. What rota does by itself,
or waits for in a call of its own, nobody else could mend: it is logged for debugging.

A call into C that keeps the interpreter to itself (a sort, a regular expression, a JSON document) keeps it from the
watching thread, too. It is told of when it is over, if it computed: then that is where the loop's thread still stands.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
import math
import os
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, NamedTuple

from ..errors import UsageError

#: Seconds that a step may hold the loop: a person notices a tenth, and nothing that belongs on a loop takes as long.
THRESHOLD = 0.1

#: The least that can be asked for: looking more than two hundred times a second, the thread itself would be felt.
LEAST_THRESHOLD = 0.01

#: A loop that has slept for so many seconds is at rest: it is looked at less often ...
RESTS = 5.0

#: ... by this much. A look costs 0.1 or 0.2 ms, nearly all of it the system's for waking a thread.
LESS_OFTEN = 2.5

#: Seconds between two reports of one place in the program: a server may come by it a thousand times a second.
QUIET = 10.0

#: Places that are remembered for that, far more than a program has.
PLACES = 256

#: Frames of a stack that are kept, from the innermost: enough for any framework, and a log can still be read.
DEEPEST = 100

#: Seconds that ``stop`` waits for a report that is being made; then it leaves the thread, which ends with the process.
PATIENCE = 1.0

#: What a loop must have to be looked at.
COUNTERS = ("_parked", "_polls", "_ready", "_thread_id", "_turns")

#: Those who run the step: their frames are below it, and say nothing of it.
RUNNERS = ("rota.core.", "rota.net.", "rota.proc.", "asyncio.events", "asyncio.tasks", "asyncio.runners")

#: Where rota's own modules are ...
ROTA = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

#: ... and Python's, and which others are no part of the program itself.
PYTHON = (os.path.dirname(os.__file__) + os.sep, "<frozen ")
INSTALLED = ("site-packages", "dist-packages")

HAS_THREAD_CLOCKS = hasattr(time, "pthread_getcpuclockid")

logger = logging.getLogger("rota")


@dataclass(frozen=True, slots=True)
class Stall:
    """A step that holds the loop.

    ``task`` is the name of the task whose step it is, or None for a callback's, and ``coroutine`` what it runs.
    ``seconds`` is how long so far, at the least. It is ``computing``, or blocks; ``crowded``: or it waits for the
    interpreter, which other threads compute with. ``stack`` has the innermost frame last. ``late``: the interpreter was
    kept from the watching thread for as long, and the stack is from the moment after. ``more`` is how many stalls at
    this place were not told of since the last that was.
    """

    task: str | None
    coroutine: str
    seconds: float
    computing: bool
    stack: list[traceback.FrameSummary]
    crowded: bool = False
    late: bool = False
    more: int = 0

    def text(self) -> str:
        """All of it for a person: who, how long, why and what to do, then the stack as in a traceback."""
        who = f"callback {self.coroutine}" if self.task is None else f"task {self.task!r} ({self.coroutine})"
        if self.computing:
            does, advice = "computes", "await rota.call(fn, ...) runs it where it belongs"
        elif self.crowded:
            does = "waits for the interpreter, which other threads compute with"
            advice = "await rota.call(fn, ...) in place of those threads runs what computes in processes"
        else:
            does, advice = "blocks", "await rota.call(fn, ...) runs it in a thread"
        lines = [f"{who} has held the loop for {self.seconds:.2f} s, and nobody else runs: it {does}; {advice}\n"]
        if self.late:
            lines.append("(told late: one call kept the interpreter for as long; the stack is from just after it)\n")
        if self.more:
            times = "once" if self.more == 1 else f"{self.more:,} times"
            lines.append(f"({times} more at this place since it was last told of)\n")
        if self.stack:
            lines.append("Stack (most recent call last):\n")
            lines += traceback.StackSummary.from_list(self.stack).format()
        return "".join(lines).rstrip()


class Row(NamedTuple):
    """A frame, without what would keep it and its variables."""

    code: CodeType
    line: int
    module: str
    trace: object


class Step(NamedTuple):
    """Tells a step from the next one: a loop shows the same while one step runs."""

    thread: int
    turns: int
    polls: int
    place: int  # within the turn


class Reading(NamedTuple):
    """The clocks at a look, in seconds."""

    at: float
    cpu: float  # of the loop's thread
    queued: float  # that it has waited for a core, where the system tells
    process: float  # CPU of all threads


class Told:
    """A place in the program that was told of, and when; how many times it came up since."""

    __slots__ = ("at", "more")

    def __init__(self, at: float) -> None:
        self.at = at
        self.more = 0


class Stalls:
    """Tells of each step of ``loop`` that holds it longer than ``threshold`` seconds, once, while it does.

    ``report(stall)`` is called with a :class:`Stall`, in the watching thread; without it the logger "rota" gets the
    text as a warning. A place in the program is told of at most once in ten seconds. Raises UsageError for a loop that
    is not rota's, and for a threshold below ten milliseconds.
    """

    def __init__(
        self, loop: Any, threshold: float = THRESHOLD, report: Callable[[Stall], object] | None = None
    ) -> None:
        if not all(hasattr(loop, name) for name in COUNTERS):
            raise UsageError(f"{type(loop).__qualname__} can't be watched for stalls: run the program on a rota.Loop")
        if not LEAST_THRESHOLD <= threshold < math.inf:
            raise UsageError(f"threshold is {threshold}: it must be a number of seconds, {LEAST_THRESHOLD} or more")
        self._loop: Callable[[], Any] = weakref.ref(loop)
        self._threshold = threshold
        self._report = log if report is None else report
        self._thread: threading.Thread | None = None
        self._ended = threading.Lock()  # held while the thread is to go on
        self._places: dict[tuple[str, str], Told] = {}
        self._native: tuple[int, int | None] = (0, None)  # the system's number of the loop's thread
        self._step: Step | None = None  # what ran at the last look
        self._since = 0.0  # the first look at it, later by what is not counted
        self._first: Reading | None = None  # the clocks when it was seen for the second time, later likewise
        self._last = Reading(0.0, 0.0, 0.0, 0.0)  # ... and at the last look
        self._told = False  # ... or is not to be
        self._cpu = math.inf  # of the loop's thread, at the last look
        self._process = 0.0  # ... and of all
        self._polls = -1
        self._rests_since = 0.0  # the first look at its last sleep

    def start(self) -> None:
        """Begin to watch, in a daemon thread that ends with ``stop`` or the loop. Nothing if it does already.

        Raises RuntimeError if the system refuses the thread.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        self._ended = threading.Lock()
        self._ended.acquire()
        self._step = None
        self._cpu = math.inf
        thread = threading.Thread(target=self._watch, args=(self._ended,), name="rota-stalls", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Watch no more. The thread has ended after this, unless it is in a report that takes more than a second."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._ended.release()
        if thread is not threading.current_thread():
            thread.join(PATIENCE)

    def _watch(self, ended: threading.Lock) -> None:
        """In the thread: look, and sleep until the next look."""
        nap = self._look(time.monotonic())
        while nap is not None:
            began = time.monotonic()
            if ended.acquire(timeout=nap):
                return
            now = time.monotonic()
            nap = self._look(now, now - began - nap)

    def _look(self, now: float, late: float = 0.0) -> float | None:
        """One look at the loop, at ``now``, ``late`` by so many seconds. Returns how long until the next, or None when
        there is no loop any more.
        """
        loop = self._loop()
        if loop is None or loop.is_closed():
            return None
        before, process = self._cpu, self._process
        self._cpu, self._process = cpu_of(loop), time.process_time()
        step = step_of(loop)
        if step is None:
            self._step = None
            if loop._polls != self._polls:
                self._polls, self._rests_since = loop._polls, now
            return self._threshold * (1 if now - self._rests_since < RESTS else LESS_OFTEN)
        if step == self._step and self._told:
            return self._threshold / 2
        # When the interpreter was kept from this thread, by whom? Who computed all the while has it no more, and stands
        # where it had to give it up. A machine without time for this thread would have had none for that one.
        kept = self._cpu - before if late >= self._threshold else 0.0
        if kept >= max(self._threshold, (self._process - process) / 2):
            if step != self._step:
                self._begin(step, now)
            self._tell(loop, step, now, seconds=kept, computing=True, late=True)
        elif step != self._step:
            self._begin(step, now)
        else:
            return self._weigh(loop, step, now, max(late, 0.0))
        return self._threshold / 2

    def _begin(self, step: Step, now: float) -> None:
        """Another step than at the last look."""
        self._step = step
        self._since = now
        self._first = None
        self._told = False

    def _weigh(self, loop: Any, step: Step, now: float, late: float) -> float:
        """The step has been seen before: tell of it if it has had its time. Returns how long until the next look."""
        reading = Reading(now, self._cpu, self._queued(step.thread), self._process)
        if self._first is None:
            self._since += late
            self._first = self._last = reading
            return max(self._threshold - (now - self._since), self._threshold / 4)
        last, self._last = self._last, reading
        lost = min(max(late, reading.queued - last.queued), now - last.at - (reading.cpu - last.cpu))
        if lost > 0:
            self._since += lost
            self._first = self._first._replace(at=self._first.at + lost)
        first = self._first
        held = now - self._since
        if held < self._threshold:
            return max(self._threshold - held, self._threshold / 8)
        had = now - first.at
        cpu = reading.cpu - first.cpu
        others = reading.process - first.process - cpu
        # On a machine with much to do half of it may be missing: the system adds a wait for a core when it is over.
        computing = cpu >= had / 4
        # It gets the interpreter bit by bit, as this thread does; in a blocking call it would not run at all.
        crowded = not computing and cpu > had / 1000 and others > had / 2 and late > sys.getswitchinterval() / 2
        self._tell(loop, step, now, seconds=held, computing=computing, crowded=crowded)
        return self._threshold / 2

    def _queued(self, thread: int) -> float:
        """Seconds that the thread has waited for a core in its life; 0 where the system does not tell."""
        if self._native[0] != thread:
            found = [other.native_id for other in threading.enumerate() if other.ident == thread]
            self._native = (thread, found[0] if found else None)
        try:
            with open(f"/proc/self/task/{self._native[1]}/schedstat", "rb", buffering=0) as file:
                return int(file.read(100).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def _tell(
        self,
        loop: Any,
        step: Step,
        now: float,
        *,
        seconds: float,
        computing: bool,
        crowded: bool = False,
        late: bool = False,
    ) -> None:
        """Report the step that runs, unless it is over, or being debugged, or this place was told of a moment ago."""
        self._told = True
        rows = rows_of(step.thread)
        task = asyncio.current_task(loop)
        if not rows or step_of(loop) != step or debugged(rows):
            return
        rows = below_the_loop(rows)
        own = is_own(rows, computing)
        more = 0 if own else self._since_told(place_of(rows), now)
        if more is None:
            return
        # The innermost comes first in rows.
        stack = [traceback.FrameSummary(row.code.co_filename, row.line, row.code.co_name) for row in reversed(rows)]
        name = None if task is None else task.get_name()
        runs = name_of(rows) if task is None else coroutine_of(task)
        del task  # it is to end where it runs
        stall = Stall(name, runs, seconds, computing, stack, crowded, late, more)
        # Nobody who uses rota could mend what it does itself; who makes it wants to know.
        report = log_own if own else self._report
        try:
            report(stall)
        except Exception:
            logger.exception("the report of a stall failed")

    def _since_told(self, place: tuple[str, str], now: float) -> int | None:
        """How many stalls at ``place`` came since it was last told of; None if that was a moment ago."""
        told = self._places.get(place)
        if told is not None and now - told.at < QUIET:
            told.more += 1
            return None
        if told is None and len(self._places) >= PLACES:
            del self._places[next(iter(self._places))]
        self._places[place] = Told(now)
        return 0 if told is None else told.more


def log(stall: Stall) -> None:
    logger.warning("%s", stall.text())


def log_own(stall: Stall) -> None:
    logger.debug("%s", stall.text())


def step_of(loop: Any) -> Step | None:
    """What tells the step that ``loop`` runs from others; None while it runs none."""
    thread = loop._thread_id
    if thread is None or loop._parked:
        return None
    ready = loop._ready
    place: int | None = None
    if type(ready).__name__ == "Ready":
        # First come first served: where the ring is read. It moves for each who runs.
        place = getattr(ready, "_head", None)
    if place is None:
        # A task has one step a turn; of callbacks there are fewer left after each, unless they make more.
        task = asyncio.current_task(loop)
        place = len(ready) if task is None else id(task)
    return Step(thread, loop._turns, loop._polls, place)


def cpu_of(loop: Any) -> float:
    """CPU seconds of the thread that runs ``loop``, or of all threads where those of one are not told. Infinite if none
    runs it: nothing is gained on that.
    """
    if not HAS_THREAD_CLOCKS:
        return time.process_time()
    try:
        # In one expression, which no other thread comes between: a thread that runs a loop lives, and to ask for the
        # clock of one that has ended may end the process.
        return time.clock_gettime(time.pthread_getcpuclockid(loop._thread_id))
    except (OSError, TypeError):
        return math.inf


def rows_of(thread: int) -> list[Row]:
    """The stack of ``thread`` at this moment, innermost first."""
    rows: list[Row] = []
    frame = sys._current_frames().get(thread)
    while frame is not None and len(rows) < DEEPEST:
        names = frame.f_globals
        rows.append(Row(frame.f_code, frame.f_lineno or 0, names.get("__name__") or "", frame.f_trace))
        linecache.lazycache(frame.f_code.co_filename, names)
        frame = frame.f_back
    return rows


def below_the_loop(rows: list[Row]) -> list[Row]:
    """The frames of the step, without those that run it."""
    for index, row in enumerate(rows):
        if row.code.co_name == "run_forever" and row.module.startswith("rota."):
            rows = rows[:index]
            break
    while rows and rows[-1].module.startswith(RUNNERS):
        rows = rows[:-1]
    return rows


def place_of(rows: list[Row]) -> tuple[str, str]:
    """Which function of the program it is that stalls, though a library that it calls may do it."""
    for row in rows:
        file = row.code.co_filename
        if not file.startswith((ROTA, *PYTHON)) and not any(name in file for name in INSTALLED):
            return (file, row.code.co_qualname)
    return (rows[0].code.co_filename, rows[0].code.co_qualname) if rows else ("", "")


def is_own(rows: list[Row], computing: bool) -> bool:
    """Whether the step is rota's own, or waits in a call of rota's, with no code of the program's further in."""
    own = [row.code.co_filename.startswith(ROTA) for row in rows if not is_python(row.code.co_filename)]
    return bool(own) and (all(own) or (own[0] and not computing))


def is_python(file: str) -> bool:
    return file.startswith(PYTHON) and not any(name in file for name in INSTALLED)


def name_of(rows: list[Row]) -> str:
    """What the callback is called. With no frame of its own, it is written in C."""
    return rows[-1].code.co_qualname if rows else "written in C"


def coroutine_of(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return str(getattr(coroutine, "__qualname__", None) or type(coroutine).__qualname__)


def debugged(rows: list[Row]) -> bool:
    """Whether a debugger is at work in the thread that stands there, or may be. What measures coverage is none."""
    hooks = [sys.gettrace(), threading.gettrace(), *(row.trace for row in rows)]
    if any(hook is not None and not module_of(hook).startswith("coverage") for hook in hooks):
        return True
    monitoring: Any = getattr(sys, "monitoring", None)  # Python 3.12 and later
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    return any(row.module in ("bdb", "pdb") or "pydevd" in row.module for row in rows)


def module_of(hook: object) -> str:
    return str(getattr(hook, "__module__", None) or type(hook).__module__)
