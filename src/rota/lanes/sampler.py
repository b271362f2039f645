"""Sampler: a thread that looks at metered calls while they run, and tells what only another thread can see.

Two things it finds out. Does a call compute with the GIL or without? The sampler keeps the GIL for a moment, asleep:
who computes in that moment computes without. And what does a call wait for, the
GIL or something outside? The kernel tells of each thread the system call it is in and its first argument, and all who
wait for the GIL wait at one address, which is found out once.

Neither needs the machine to be idle or the call to be alone, unlike the time that a probe waits for the GIL. A call
that holds the GIL from its beginning to its end is never met while it computes; so what was seen is set against how
often it would have been met otherwise (``Held.chances``). A call that is ready and has no core is not met either,
whatever it holds: such a look has seen nothing.
"""

from __future__ import annotations

import functools
import operator
import os
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from . import meter
from .meter import Held, Here, Libc

#: Look this often, in seconds: a call of 20 ms is met four times, and the looks cost all threads 4% of their time ...
PERIOD = 0.005

#: ... more often where calls are short, that eight of them are enough ...
SHORTEST_PERIOD = 0.002

#: ... and seldom while nothing but what a known function waits for is asked.
SETTLED_PERIOD = 0.025

#: The GIL is kept this long ...
MOMENT = 0.000_15

#: ... and a thread that computes for so long meanwhile has not got it: one that only goes to sleep, or starts to wait
#: for the GIL, needs a tenth, and what a virtual machine's host does meanwhile seldom takes as long.
COMPUTED = 0.000_08

#: ... and not less than this share of the moment, which is long where others have the cores.
SHARE = 0.1

#: At one look, at most so many calls.
MOST = 16

#: Without calls to look at, the thread ends after so many seconds: to start it again takes a tenth of a millisecond.
IDLE = 2.0

#: A call shorter than this, in seconds, does not say how often to look.
TINY = 0.000_2

#: The words that the interpreter waits for the GIL at stand in one struct of some 200 bytes.
GIL_SIZE = 256


class Watch:
    """A call that is looked at, and what was seen."""

    __slots__ = ("chances", "clock", "cpu", "deciding", "free", "gil", "here", "outside", "since", "started", "unsure")

    def __init__(self, here: Here, cpu: float, since: float, deciding: bool) -> None:
        self.here = here
        self.clock = here.clock
        self.cpu = cpu  # of its thread, at the last look that did not find it without a core
        self.started = cpu
        self.since = since  # when that was
        self.deciding = deciding
        self.chances = 0.0
        self.gil = 0.0
        self.free = self.outside = 0
        self.unsure = False  # the last look has found it without a core

    def note(self, busy: float, computed: bool, status: bytes, gil: Gil | None) -> None:
        """A look at it: it ``computed`` while nobody else had the GIL, or waited, as ``status`` says. It had been
        ``busy`` for that share of the time since the look before.
        """
        if self.deciding:
            self.chances += busy
        if computed:
            self.free += 1
        elif gil is None or not status:
            # Nobody can tell what it waits for.
            pass
        elif gil.has(status):
            # It may be waiting for this look alone: then it was busy all the time before.
            self.gil += 1 - busy
        else:
            self.outside += 1


class Sampler:
    """Looks at the calls that it is given to watch. Its thread is there while there are some."""

    def __init__(self) -> None:
        self.forget()
        self._period = PERIOD
        self._looked = 0.0
        self._pace = PERIOD  # from one look to the next, in fact
        self._closed = False
        samplers.add(self)

    def forget(self) -> None:
        """Nothing is watched, and nobody looks: at the beginning, and in a forked child."""
        self._watches: dict[Watch, None] = {}
        self._lock = threading.Lock()  # of the thread's beginning and end
        self._wake = threading.Lock()
        self._wake.acquire()
        self._asleep = False
        self._running = False

    def watch(self, here: Here, cpu: float, now: float, deciding: bool) -> Watch | None:
        """Look at this thread from ``now`` on, when its clock says ``cpu``. None where nothing can be seen."""
        if here.clock is None or meter.libc is None or self._closed or not gil_is_enabled():
            return None
        # A look falls anywhere between the last one and the next: the call's share of that is its chance.
        watch = Watch(here, cpu, max(self._looked, now - self._pace), deciding)
        self._watches[watch] = None
        if not self._running:
            self._start(now)
        elif self._asleep:
            self._rouse()
        return watch

    def end(self, watch: Watch, cpu: float) -> Held | None:
        """The call is over, when its thread's clock said ``cpu``: what was seen of it."""
        if self._watches.pop(watch, watch) is watch:
            return None
        if not watch.deciding:
            return Held(0.0, 0, watch.gil, watch.outside)
        chances = watch.chances
        if not watch.unsure:  # else there were looks since, and they could tell nothing
            since = max(time.perf_counter() - watch.since, self._pace)
            chances += min(1.0, max(0.0, cpu - watch.cpu) / since)
        took = cpu - watch.started
        if took > TINY:
            self._period = min(PERIOD, max(SHORTEST_PERIOD, took / 2))
        return Held(chances, watch.free, watch.gil, watch.outside)

    def close(self) -> None:
        """Look at nothing any more. The thread ends soon."""
        self._closed = True
        self._watches.clear()
        if self._asleep:
            self._rouse()

    def _rouse(self) -> None:
        self._asleep = False
        try:
            self._wake.release()
        except RuntimeError:
            # Somebody else did, in the same moment.
            pass

    def _start(self, now: float) -> None:
        with self._lock:
            if self._running:
                return
            self._asleep = False
            self._looked = now
            try:
                threading.Thread(target=self._work, name="rota-sampler", daemon=True).start()
            except RuntimeError:
                # No thread from the system, or the interpreter ends: the call goes on, unseen.
                self._watches.clear()
                return
            self._running = True

    def _work(self) -> None:
        try:
            self._look_on()
        except BaseException:
            # Calls that nobody looks at would seem to hold the GIL: better nothing is seen from here on.
            self._closed = True
            self._watches.clear()
            raise

    def _look_on(self) -> None:
        libc = meter.libc
        assert libc is not None
        gil = find_gil(libc)
        buffer = libc.buffer()
        while True:
            if not self._watches:
                if not self._sleep():
                    return
                self._looked = time.perf_counter()
            deciding = any(watch.deciding for watch in list(self._watches))
            time.sleep((self._period if deciding else SETTLED_PERIOD) * random.uniform(0.5, 1.5))
            self._look(libc, gil, buffer)

    def _sleep(self) -> bool:
        """Until there is something to look at. Returns whether there is."""
        self._asleep = True
        if not self._watches and self._wake.acquire(timeout=0 if self._closed else IDLE):
            return not self._closed
        with self._lock:
            # A watch that came at the last moment has released the lock, or will.
            if not self._asleep:
                self._wake.acquire()
                return not self._closed
            self._asleep = False
            self._running = False
            # Who came before that has seen a thread, who comes after it starts another.
            self._running = bool(self._watches)
            return self._running

    def _look(self, libc: Libc, gil: Gil | None, buffer: Any) -> None:
        watches = list(self._watches)
        if len(watches) > MOST:
            watches = random.sample(watches, MOST)
        deciding = any(watch.deciding for watch in watches)
        try:
            now, before, moment, after = snapshot(libc, [watch.clock for watch in watches], MOMENT if deciding else 0.0)
        except OSError:
            # A thread has ended in the middle of its call.
            self._watches.clear()
            return
        self._pace += (min(now - self._looked, 0.1) - self._pace) * 0.2
        self._looked = now
        # So long a moment may have been one without the GIL: then it shows nothing of who computes with it.
        is_sure = moment < max(sys.getswitchinterval(), 2 * MOMENT)
        for watch, cpu, later in zip(watches, before, after, strict=True):
            if is_sure:
                computed = later - cpu >= max(COMPUTED, moment * SHARE)
                status = b"" if computed else libc.read(watch.here.status, buffer)
                if status.startswith(b"running"):
                    # Ready, and without a core: with one it might compute, or begin to wait for the GIL, which is kept
                    # here. It is as if nobody had looked, and the next look stands for all the time until then.
                    watch.unsure = True
                    continue
                busy = min(1.0, (cpu - watch.cpu) / max(now - watch.since, 1e-9))
                watch.note(busy, computed, status, gil)
            watch.cpu, watch.since, watch.unsure = later, now + moment, False


def snapshot(libc: Libc, clocks: list[Any], moment: float) -> tuple[float, list[float], float, list[float]]:
    """The time, what the clocks say, how long then nothing happened, and what they say after it.

    It is one call from C to C: between two steps of Python code another thread may be given the GIL, and whoever
    computed with it would seem to have done so without. Raises OSError where a clock's thread has ended.
    """
    ask: list[Callable[[], float]] = [functools.partial(time.clock_gettime, clock) for clock in clocks]
    sleep: list[Callable[[], float]] = [functools.partial(libc.usleep, int(moment * 1e6))] if moment else []
    calls: list[Callable[[], float]] = [time.perf_counter, *ask, *sleep, time.perf_counter, *ask]
    found = list(map(operator.call, calls))
    count = len(clocks)
    after = found[len(found) - count :]
    return found[0], found[1 : 1 + count], found[-1 - count] - found[0], after


def gil_is_enabled() -> bool:
    """Whether one thread at a time runs Python. An import may turn the GIL on again, so ask when it matters."""
    asked = getattr(sys, "_is_gil_enabled", None)
    return asked is None or bool(asked())


class Gil:
    """How a thread that waits for the GIL looks in ``/proc``: the system call, and about which address."""

    def __init__(self, call: bytes, address: int) -> None:
        self._call = call
        self._address = address

    def has(self, status: bytes) -> bool:
        call, address = parse(status)
        return call == self._call and abs(address - self._address) < GIL_SIZE


def parse(status: bytes) -> tuple[bytes, int]:
    """The system call's number and its first argument."""
    words = status.split(None, 2)
    if len(words) < 3 or not words[1].startswith(b"0x"):
        return b"", 0
    return words[0], int(words[1], 16)


def find_gil(libc: Libc, patience: int = 20) -> Gil | None:
    """Keep the GIL while another thread wants it, and see where that waits. None where it can't be seen.

    Costs all threads a millisecond or two, once in a process.
    """
    global found_gil
    if found_gil is None:
        ending = False

        def want() -> None:
            while not ending:
                time.sleep(0.0002)

        other = threading.Thread(target=want, name="rota-sampler-wants-the-gil", daemon=True)
        try:
            other.start()
        except RuntimeError:
            return None
        path = b"/proc/self/task/%d/syscall" % (other.native_id or 0)
        buffer = libc.buffer()
        last = (b"", 0)
        for _ in range(patience):
            time.sleep(0)
            libc.usleep(500)
            seen = parse(libc.read(path, buffer))
            # A pointer, the same twice: a sleep has the number of a clock there.
            if seen[1] > 1 << 16 and seen[0] == last[0] and abs(seen[1] - last[1]) < GIL_SIZE:
                found_gil = Gil(*seen)
                break
            last = seen
        ending = True
        other.join()
    return found_gil


found_gil: Gil | None = None


def forget_all() -> None:
    """In a forked child, which has none of the threads, and perhaps a lock that one of them held."""
    for sampler in list(samplers):
        sampler.forget()


samplers: weakref.WeakSet[Sampler] = weakref.WeakSet()
os.register_at_fork(after_in_child=forget_all)
