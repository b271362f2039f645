"""The loop, one turn at a time.

A turn is three steps, always in this order:

1. run what was ready when the turn began, and nothing that became ready since;
2. do what was left for the end of the turn: the writes of all who ran leave now, each transport's in one call. In a
   turn that takes long they leave earlier, so that whoever they are for does not wait for all who are ready here;
3. look at the waiting (poll), and move those that are done to ready: file descriptors, then timers that are due,
   then calls from other threads.

With nobody ready, the third step sleeps until somebody is. While somebody is ready, the look at the file descriptors
is skipped for a few turns (``limits.POLL_EVERY_*``): it is a system call, and most turns of a busy loop would find
nothing. Timers and the calls of other threads cost none, so every turn moves those.

:class:`LoopCore` is the compiled half of a loop. The poller and the waker are handed to it; it never asks what a file
descriptor is. ``_parked`` is true while the loop sleeps, or is about to: a call from another thread wakes it only
then. The order matters. The loop raises the flag and then looks into its inbox; the other thread puts its call into
the inbox and then looks at the flag. ``_woken`` is the number of the sleep that a thread has ended, by ``_polls``,
which grows when a sleep is over: one wake-up does for all calls that come until then. A thread looks at the number
first, then at ``_parked``, wakes the loop, and only then notes the number: a late note is about a sleep that is over.
"""

from __future__ import annotations

from asyncio import coroutines
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, NoReturn

from .. import limits
from . import native
from .clock import Clock, Told, time_of
from .debugging import check_callback, describe, report_slow
from .ended import Ended
from .factory import make_task
from .future import Future, new_future
from .handle import Handle, TimerHandle, new_handle, new_timer
from .interval import SwitchInterval
from .policy import Policy, ready_for
from .probes import Probes
from .ready import Ready
from .registry import current_tasks, swap_current
from .runnable import Runnable
from .state import LoopState
from .task import Task, new_task
from .timers import Timers

POLL_EVERY_TURNS = limits.POLL_EVERY_TURNS
POLL_EVERY_SECONDS = limits.POLL_EVERY_SECONDS
POLL_LONGEST = limits.POLL_LONGEST
WRITE_LONGEST_WAIT = limits.WRITE_LONGEST_WAIT
NEVER = float("inf")


def refuse() -> NoReturn:
    """The guard of a closed loop's ready list."""
    raise RuntimeError("Event loop is closed")


def refuse_inherited() -> NoReturn:
    """... and of a loop that this process has by a fork."""
    raise RuntimeError("This event loop belongs to the parent process: a forked child must make one of its own")


class LoopCore(LoopState):
    """What is ready, what waits, and the turn. ``rota.Loop`` is this with asyncio's face.

    ``poller`` keeps who waits for which file descriptor (``net.poller``) and ``waker`` ends its sleep from another
    thread or a signal (``net.waker``); both are closed with the loop.
    """

    __slots__ = (
        "_clock",
        "_closed",
        "_inbox",
        "_inherited",
        "_interval",
        "_kept_since",
        "_parked",
        "_polled_at",
        "_poller",
        "_polls",
        "_ran",
        "_slack_before",
        "_stopping",
        "_task_factory",
        "_time",
        "_timers",
        "_turn_end",
        "_turns",
        "_unpolled",
        "_waker",
        "_woken",
        "slow_callback_duration",
    )

    def __init__(self, poller: Any, waker: Any, clock: Clock | None = None, policy: str | Policy = "fifo") -> None:
        self._closed = True  # until all that there is to close is there
        self._poller = poller
        self._waker = waker
        self._go_by(Clock() if clock is None else clock)
        self._ready = ready_for(policy)
        self._timers = Timers()
        self._inbox: deque[Handle] = deque()
        self._inherited = False  # by a fork: the loop is the parent process's
        self._interval = SwitchInterval()
        self._turn_end = Ready()
        self._kept_since = 0.0  # when the first of them came
        self._thread_id = None
        self._slack_before = 0
        self._stepping = False
        self._stopping = False
        self._parked = False
        self._woken = -1
        self._task_factory: Any = None
        self._polled_at = 0.0
        self._unpolled = 0
        self._turns = 0
        self._polls = 0
        self._ran = 0
        self._ended = Ended()
        self._probes = Probes(self)
        self._observed = False
        self._debug = False
        self.slow_callback_duration = limits.SLOW_CALLBACK
        self._closed = False
        if coroutines._is_debug_mode():  # type: ignore[attr-defined]
            self.set_debug(True)

    # -- the turn -----------------------------------------------------------------------------------------------

    def _run_turns(self) -> None:
        """Turn until somebody says stop. What is already done among the waiting comes first.

        An interrupt that breaks off a turn leaves no current task, and what was written in that turn still goes.
        """
        self._wake_on_time(True)
        try:
            self._poll()
            while not self._turn():
                pass
        finally:
            self._wake_on_time(False)
            self._interval.restore()
            self._stopping = False
            self._leave_task()
            self._end_turn()

    def _wake_on_time(self, wanted: bool) -> None:
        """Ask the kernel to wake this thread when a timer is due, and not up to 50 µs later together with others; or
        let it do again as it did before the loop ran. What this thread starts has its slack from it: a child process
        is to begin without ours.
        """
        if wanted:
            self._slack_before = native.set_timer_slack(1)
        elif self._slack_before:
            native.set_timer_slack(self._slack_before)

    def _turn(self) -> bool:
        """One turn. True when it was the last one."""
        ready = self._ready
        # Run what is ready now; what becomes ready meanwhile has the next turn.
        count = ready._count
        self._turns += 1
        self._ran += count
        runnable = None
        while count > 0:
            try:
                while count > 0:
                    count -= 1
                    runnable = ready.pop()
                    if self._stepping and not runnable._is_task:
                        self._leave_task()
                    if self._observed:
                        self._run_observed(runnable)
                    else:
                        runnable._run()
                    if self._turn_end._count and self._clock.time() - self._kept_since > WRITE_LONGEST_WAIT:
                        self._end_turn()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._run_failed(runnable, error)
        # Whoever ran last may be gone for good while the loop sleeps.
        runnable = None
        if self._stepping:
            self._leave_task()
        # Let the writes of this turn go.
        if self._turn_end._count:
            self._end_turn()
        if self._stopping:
            return True
        native.check_signals()
        # Move what is done from waiting to ready.
        if ready._count:
            self._unpolled += 1
            now = self._clock.time()
            if self._unpolled < POLL_EVERY_TURNS and now - self._polled_at < POLL_EVERY_SECONDS:
                # No system call this time, but timers and the calls of other threads need none.
                if native.filled(self._inbox):
                    self._take_inbox()
                self._timers.move_due(now, ready)
                return False
        self._poll()
        return False

    def _leave_task(self) -> None:
        """Nobody is the current task from here on."""
        self._stepping = False
        if current_tasks is None:
            swap_current(self, None)
        else:
            current_tasks.pop(self, None)

    def _run_failed(self, runnable: object, error: BaseException) -> None:
        """What a callback raises is its handle's business; this came from rota's own side of it, such as a file
        descriptor that was closed behind a transport's back. The loop goes on, unless it is another process's.
        """
        if self._inherited:
            refuse_inherited()
        self.call_exception_handler({"message": f"Exception while running {describe(runnable)}", "exception": error})

    def _end_turn(self) -> None:
        """Run those who asked for the end of the turn. Who asks meanwhile, or is left by an interrupt, has the next."""
        if self._stepping:
            self._leave_task()
        leaving = self._turn_end
        count = leaving._count
        runnable = None
        while count > 0:
            try:
                while count > 0:
                    count -= 1
                    runnable = leaving.pop()
                    runnable._run()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._run_failed(runnable, error)

    def _poll(self) -> None:
        """Move what is done from waiting to ready; sleep for it if nobody is ready."""
        timeout = 0.0
        # A write that came out of the end of the turn, from resume_writing, leaves at the end of the next one.
        if not self._ready._count and not self._stopping and not self._turn_end._count:
            self._parked = True
            if not native.filled(self._inbox):
                timeout = -1.0
                when = self._timers.next_when()
                if when != NEVER:
                    timeout = self._clock.until(when)
                    timeout = min(timeout, POLL_LONGEST)
        try:
            waited = self._poll_observed(timeout) if self._observed else self._poller.poll(timeout, self._ready)
        finally:
            self._parked = False
        if waited is not None:
            self._interval.slept(waited)
        self._polls += 1
        self._unpolled = 0
        now = self._clock.time()
        self._polled_at = now
        if native.filled(self._inbox):
            self._take_inbox()
        self._timers.move_due(now, self._ready)

    def _take_inbox(self) -> None:
        """Move the calls of other threads to ready: those that are here now, as others go on calling."""
        for _ in range(len(self._inbox)):
            self._ready.push(self._inbox.popleft())

    def _run_observed(self, runnable: Runnable) -> None:
        """Run one while somebody watches, or in debug mode."""
        if self._inherited:
            refuse_inherited()
        self._probes.before_run(runnable)
        began = self._clock.time()
        runnable._run()
        took = self._clock.time() - began
        if self._debug and took >= self.slow_callback_duration:
            report_slow(runnable, took)
        self._probes.after_run(runnable)
        # What was raised may be kept, with this frame in plain Python.
        runnable = None  # type: ignore[assignment]

    def _poll_observed(self, timeout: float) -> float | None:
        if self._inherited:
            refuse_inherited()
        before = self._ready._count
        self._probes.before_poll(timeout)
        waited: float | None = self._poller.poll(timeout, self._ready)
        self._probes.after_poll(self._ready._count - before)
        return waited

    def _at_turn_end(self, runnable: Runnable) -> None:
        """Run ``runnable`` once, after those whose turn it is (or a good many of them) and before the next poll."""
        if not self._turn_end._count:
            self._kept_since = self._clock.time()
        self._turn_end.push(runnable)

    # -- calls --------------------------------------------------------------------------------------------------

    @property
    def time(self) -> Callable[[], float]:
        """``time()`` is the time on the loop's clock, in seconds. What is put in its place, as tests do, is what the
        timers go by, until it is deleted.
        """
        self._check_made()
        return self._time

    @time.setter
    def time(self, time: Callable[[], float]) -> None:
        self._check_made()
        own = self._clock.replaced if isinstance(self._clock, Told) else self._clock
        self._go_by(own if getattr(time, "__self__", None) is own else Told(time, own))

    @time.deleter
    def time(self) -> None:
        if not isinstance(self._clock, Told):
            raise AttributeError("time: nothing was put in its place")
        self._go_by(self._clock.replaced)

    def _go_by(self, clock: Clock) -> None:
        self._clock = clock
        self._time = time_of(clock)  # kept: asyncio.timeout alone asks twice

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Handle:
        """Call ``callback(*args)`` in the next turn. Raises RuntimeError when the loop is closed."""
        self._check_made()
        if self._debug:
            self._check_thread()
            check_callback(callback, "call_soon")
        handle = new_handle(callback, args, self, context)
        if native.filled(self._inbox):
            # Who called from another thread before this was first.
            self._take_inbox()
        self._ready.push(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Handle:
        """``call_soon`` from another thread or from a signal handler."""
        if self._closed:
            self._refuse()
        if self._debug:
            check_callback(callback, "call_soon_threadsafe")
        handle = new_handle(callback, args, self, context)
        if self._parked or not native.is_here(self._thread_id):
            self._inbox.append(handle)
            sleep = self._polls
            # Once a sleep: each time, it would take the interpreter from who calls.
            if self._parked and self._woken != sleep and self._waker.wake():
                self._woken = sleep
        else:
            # The loop's own thread, and not from within the poll: in its place among the calls of this turn.
            self._ready.push(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Call ``callback(*args)`` in ``delay`` seconds, or as soon as can be if that is not positive."""
        self._check_made()
        if delay is None:
            raise TypeError("delay must not be None")
        return self._call_at(native.later(self._clock.time(), delay), callback, args, context, "call_later")

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Call ``callback(*args)`` once the loop's clock shows ``when``, never before."""
        self._check_made()
        if when is None:
            raise TypeError("when cannot be None")
        return self._call_at(when, callback, args, context, "call_at")

    def _call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context | None,
        method: str,
    ) -> TimerHandle:
        if self._closed:
            self._refuse()
        if when != when:
            raise ValueError("Invalid delay: NaN (not a number)")
        if self._debug:
            self._check_thread()
            check_callback(callback, method)
        timer = new_timer(when, callback, args, self, context)
        self._timers.push(timer)
        return timer

    def _forget_timer(self, timer: TimerHandle) -> None:
        self._timers.forget(timer)

    def _timer_handle_cancelled(self, timer: Any) -> None:
        """asyncio's own TimerHandle calls this. None of those waits here."""

    # -- futures and tasks --------------------------------------------------------------------------------------

    def create_future(self) -> Future:
        """A future of this loop."""
        self._check_made()
        return new_future(self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run ``coro`` as a task, beginning in the next turn, or at once with ``eager_start=True``.

        ``context`` is where it runs, a copy of the current one unless given. With a task factory, whatever that
        makes. Raises RuntimeError when the loop is closed.
        """
        self._check_made()
        if self._closed:
            self._refuse()
        if self._task_factory is None:
            if kwargs:
                raise TypeError(f"create_task() got an unexpected keyword argument {next(iter(kwargs))!r}")
            if eager_start:
                task = Task(coro, loop=self, name=name, context=context, eager_start=True)
            else:
                if native.filled(self._inbox):
                    self._take_inbox()
                task = new_task(self, coro, name, context)
            if self._observed:
                self._probes.task_created(task)
            return task
        if context is not None:
            kwargs["context"] = context
        return make_task(self._task_factory, self, coro, name, eager_start, kwargs)

    def get_task_factory(self) -> Any:
        """What makes tasks, or None for rota's own."""
        return self._task_factory

    def set_task_factory(self, factory: Any) -> None:
        """Let ``factory(loop, coro, **kwargs)`` make the tasks, or rota again with None."""
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._task_factory = factory

    # -- what state it is in ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End ``run_forever`` after the turn that is running."""
        self._stopping = True

    def is_closed(self) -> bool:
        return self._closed

    def get_debug(self) -> bool:
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Check threads and callbacks, keep where things were made, and log what holds the loop too long."""
        self._check_made()
        self._debug = bool(enabled)
        self._note_observers()
        if not self._closed:
            self._ready.guard(self._check_thread if self._debug else None)

    def observe(self, observer: object) -> None:
        """Let ``observer`` hear what the loop does (``core.probes`` says what it can hear)."""
        self._probes.add(observer)
        self._note_observers()

    def unobserve(self, observer: object) -> None:
        """Let ``observer`` hear no more."""
        self._probes.remove(observer)
        self._note_observers()

    def _note_observers(self) -> None:
        self._observed = self._debug or len(self._probes) > 0

    def _check_made(self) -> None:
        """A subclass that does not call ``super().__init__()`` has nothing that could be used."""
        if self._clock is None:
            raise RuntimeError(f"{type(self).__name__}.__init__ did not call super().__init__()")

    def _check_closed(self) -> None:
        self._check_made()
        if self._closed:
            self._refuse()

    def _refuse(self) -> NoReturn:
        """Say why nothing can be done on this loop."""
        if self._inherited:
            refuse_inherited()
        refuse()

    def _check_thread(self) -> None:
        if self._thread_id is not None and not native.is_here(self._thread_id):
            raise RuntimeError("Non-thread-safe operation invoked on an event loop other than the current one")

    def _close_core(self) -> None:
        """Drop all that is ready or waits for a time, and refuse more, from what is dropped, too."""
        self._closed = True
        self._ready.guard(refuse)
        self._ready.clear()
        self._timers.clear()
        self._inbox.clear()
        self._turn_end.clear()

    def _leave_core_to_parent(self) -> None:
        """This process is a child, forked from the one that has this loop: do nothing more here, and keep everything.

        What waits is the parent's, and dropping it would close and finish what the parent goes on with. Who runs at
        this moment runs on; then the turn, which looks at its observers anyway, finds out and raises.
        """
        self._closed = True
        self._inherited = True
        self._observed = True
        if self._thread_id is not None:
            self._wake_on_time(False)
            self._interval.restore()
        self._thread_id = None
        self._turn_end.clear()
        self._ready.guard(refuse_inherited)
