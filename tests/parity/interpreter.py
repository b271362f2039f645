"""Runs a random program (``program.py``) on one loop and writes down all that can be seen of it.

What is written is data that must be equal on two loops: each operation with the time, the current task, the
context variable and what came of it, exceptions with their chains and the frames of this file that they went through;
what the exception handler heard; and how every future and task ended. Four things are made sure of, so that a
difference is one of the loops and not of luck:

* no two timers are due at the same time, as asyncio leaves the order of those to its heap; and times are sums of
  powers of two, exact on both clocks;
* where asyncio goes through a set of tasks, and what it does depends on the order, the set is an ordered one;
* when tasks await one another in a ring, cancelling one raises RecursionError, and what has happened until then depends
  on how deep the stack may be: the trace ends there;
* garbage is not collected, and what a future says when it dies is not compared.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import re
import sys
import types
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

FUTURES = 4
BEGIN = 1000.0  # what both virtual clocks show first
HORIZON = 24.0  # seconds that a program has; then everything is cancelled until it ends
LONGEST = 150  # operations after which nothing new begins
ROUNDS = 12  # times that every task is cancelled at the end; even a stubborn one lets go then
RING = ("a ring",)  # how a trace ends that can't go on
STEP = 2.0**-20  # by which a timer is later that would be due with another one

#: asyncio's name for the future of a gathering, and rota's.
GATHERING = ("_GatheringFuture", "Gathering")

#: Texts in which rota says more than asyncio's compiled classes do (asyncio's plain ones, where these have a check at
#: all, say what rota says).
RICHER = (
    (re.compile("^(FINISHED|CANCELLED): <>$"), "invalid state"),
    (re.compile("^an exception was expected, got .*$", re.DOTALL), "invalid exception object"),
)

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default="unset")


class Doom(BaseException):
    """An exception that is no Exception, and no way to leave the loop either."""


class TroubleError(Exception):
    """What a translating body raises."""


class Who(NamedTuple):
    """Who does an operation: a label for the trace, and the body that it comes from."""

    label: str
    body: int


def made(error: str) -> Any:
    """The exception, class or thing that an error's name stands for."""
    return {
        "value": lambda: ValueError("bad"),
        "class": lambda: OSError,
        "timeout": lambda: TimeoutError("late"),
        "cancelled": lambda: asyncio.CancelledError("by hand"),
        "cancelled bare": lambda: asyncio.CancelledError,
        "group": lambda: ExceptionGroup("many", [ValueError("one"), OSError("two")]),
        "doom": lambda: Doom("all"),
        "stop": lambda: StopIteration("over"),
        "stop class": lambda: StopIteration,
        "stop async": lambda: StopAsyncIteration("over"),
        "exit of generator": lambda: GeneratorExit("out"),
        "keyboard": lambda: KeyboardInterrupt("typed"),
        "exit": lambda: SystemExit(3),
        "nonsense": lambda: "no exception",
    }[error]()


class OrderedSet(dict[Any, None]):
    """What a TaskGroup needs of a set."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


class Interpreter:
    """One run of ``program`` on the loop that ``new_loop`` makes; ``library`` is rota or asyncio."""

    def __init__(self, program: dict[str, Any], new_loop: Callable[[], Any], library: ModuleType) -> None:
        self.bodies = program["bodies"]
        self.roots = program["roots"]
        self.debug = program["debug"]
        self.eager = program["eager"]
        self.library = library
        self.loop: Any = new_loop()
        self.trace: list[Any] = []
        self.tasks: list[Any] = []
        self.futures: list[Any] = []
        self.handles: list[Any] = []
        self.callbacks: list[Any] = []
        self.timeouts: list[Any] = []
        self.due: set[float] = set()
        self.over = False
        self.ring = False
        self.finished = False
        self.labels = 0
        self.done = 0

    # -- what is written ------------------------------------------------------------------------------------------

    def note(self, *what: Any) -> None:
        if self.ring:
            return
        current = asyncio.current_task(self.loop)
        running = None if current is None else self.name(current)
        self.trace.append((self.loop.time() - BEGIN, running, variable.get(), *what))

    def name(self, task: Any) -> str:
        """The name of a task: a label of this program, or 'Task' for one that a library made.

        Python 3.13.0 gives the name "None" to what a task factory makes, if no name was asked for.
        """
        return re.sub(r"^(Task-\d+|None)$", "Task", task.get_name())

    def text(self, value: str) -> str:
        """``value`` without what differs from run to run."""
        value = re.sub(r"<.*>", "<>", re.sub(r"0x[0-9a-f]+", "0x", value), flags=re.DOTALL)
        value = value.replace(*GATHERING)
        for richer, plain in RICHER:
            value = richer.sub(plain, value)
        return value

    def described(self, value: Any, depth: int = 3) -> Any:
        if isinstance(value, BaseException):
            return self.error(value, depth)
        if isinstance(value, (list, tuple)):
            return [self.described(each, depth) for each in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self.text(value)
        if asyncio.isfuture(value):
            return self.state(value)
        return f"a {type(value).__name__}"

    def error(self, error: BaseException | None, depth: int = 3) -> Any:
        if error is None or depth == 0:
            return None
        self.ring = self.ring or isinstance(error, RecursionError)
        parts = [type(error).__name__, self.described(error.args, depth - 1)]
        if isinstance(error, BaseExceptionGroup):
            parts.append(self.described(list(error.exceptions), depth - 1))
        cause, context = error.__cause__, error.__context__
        if cause is not None:
            parts.append(("from", self.error(cause, depth - 1)))
        if context is not None and context is not cause:
            parts.append(("while", self.error(context, depth - 1)))
        if error.__suppress_context__ and cause is None:
            parts.append("from None")
        parts.append(self.frames(error))
        return tuple(parts)

    def frames(self, error: BaseException) -> str:
        """The functions of this file that ``error`` went through in the task that has it.

        Where it was before that, a compiled future of asyncio tells the first who asks, rota's tells everybody.
        """
        names: list[str] = []
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == __file__:
                if trace.tb_frame.f_code.co_name in ("actor", "generator", "call"):
                    break
                names.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        return " ".join(names)

    def state(self, future: Any) -> Any:
        """What can be seen of a future or task without changing it."""
        found = [future._state, future._asyncio_future_blocking, len(future._callbacks or ())]
        if future.done() and not future.cancelled():
            # Not by exception(): that would count as having looked.
            found.append(self.error(future._exception) if future._exception else self.described(future._result, 1))
            found.append(future._log_traceback)
        found.append(self.described(future._cancel_message))
        if hasattr(future, "cancelling"):
            found += [self.name(future), future.cancelling(), future._must_cancel, future._log_destroy_pending]
            found.append(future._fut_waiter is not None)
        return found

    def reported(self, loop: Any, context: dict[str, Any]) -> None:
        """The loop's exception handler."""
        message = self.text(context["message"])
        what = ("reported", message, sorted(context), self.error(context.get("exception")))
        if "never retrieved" in message or "destroyed" in message:
            # When it dies depends on who holds the frames of which exception. What would be said is compared at the
            # end, by _log_traceback and _log_destroy_pending.
            return
        if sys.version_info < (3, 12):
            # rota's handler has the context of what it is told about, as asyncio's since 3.12.
            contextvars.Context().run(self.note, *what)
        else:
            self.note(*what)

    # -- the program ----------------------------------------------------------------------------------------------

    def run(self) -> list[Any]:
        """All that was seen."""
        loop = self.loop
        loop.set_exception_handler(self.reported)
        loop.set_debug(self.debug)
        if self.eager == "stock":
            loop.set_task_factory(asyncio.eager_task_factory)
        elif self.eager == "own":
            loop.set_task_factory(asyncio.create_eager_task_factory(self.library.Task))
        try:
            self.contexts = [contextvars.copy_context() for _ in range(2)]
            self.futures = [loop.create_future() for _ in range(FUTURES)]
            self.queues = [asyncio.Queue(1), asyncio.PriorityQueue(2), asyncio.LifoQueue()]
            self.locks: list[Any] = [asyncio.Lock(), asyncio.BoundedSemaphore(2), asyncio.Condition()]
            self.event = asyncio.Event()
            self.barrier = asyncio.Barrier(2)
            for number in range(min(self.roots, len(self.bodies))):
                self.tasks.append(loop.create_task(self.actor(Who(f"root {number}", number)), name=f"root {number}"))
            loop.call_at(self.when(HORIZON), self.end)
            self.turn_until(lambda: self.finished)
            self.over = True
            for _ in range(ROUNDS):
                if self.ring or not asyncio.all_tasks(loop):
                    break
                self.cancel_all()
                self.finished = False
                loop.call_at(self.when(5), self.end)
                self.turn_until(lambda: self.finished)
            if self.ring:
                return [*self.trace, RING]
            self.trace.append(("left", len(asyncio.all_tasks(loop))))
            for future in [*self.futures, *self.tasks]:
                self.trace.append(("at the end", self.state(future)))
            # What is left says more when it is collected, whenever that is.
            return [*self.trace]
        finally:
            self.let_go()

    def cancel_all(self) -> None:
        for task in self.tasks:
            try:
                task.cancel()
            except RecursionError:
                self.ring = True

    def let_go(self) -> None:
        """Forget everything."""
        for table in (self.tasks, self.futures, self.handles, self.callbacks, self.timeouts):
            table.clear()
        self.loop.close()

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Run the loop, again whenever something stops it."""
        while not condition():
            try:
                self.loop.run_forever()
                self.note("stopped")
            except BaseException as error:
                self.note("left the loop", self.error(error))

    def end(self) -> None:
        self.finished = True
        self.loop.stop()

    def when(self, units: float) -> float:
        """A time ``units`` from now at which no other timer is due."""
        when = self.loop.time() + units
        while when in self.due:
            when += STEP
        self.due.add(when)
        return when

    def delay(self, units: float | None) -> float | None:
        """For what needs no timer if that is not positive."""
        return units if units is not None and units <= 0 else self.limit(units)

    def limit(self, units: float | None) -> float | None:
        return None if units is None else self.when(units) - self.loop.time()

    def label(self, kind: str) -> str:
        self.labels += 1
        return f"{kind} {self.labels}"

    def later_body(self, who: Who, number: int) -> int | None:
        """A body further down than the one of ``who``."""
        first = who.body + 1
        left = len(self.bodies) - first
        return first + number % left if left > 0 and self.done < LONGEST else None

    async def actor(self, who: Who) -> str:
        """A body as a coroutine of its own."""
        current = asyncio.current_task()
        if current not in self.tasks:
            self.tasks.append(current)
        await self.play(who)
        return f"result of {who.label}"

    async def play(self, who: Who) -> None:
        """Do the operations of a body, and with their exceptions what its style says."""
        body = self.bodies[who.body]
        style = body["style"]
        for operation in body["operations"]:
            if self.over or self.done >= LONGEST:
                break
            try:
                await self.perform(who, operation)
            except asyncio.CancelledError:
                if style != "stubborn" or self.over:
                    raise
            except Exception as error:
                if style == "translating":
                    raise TroubleError(who.label) from error
                if style == "fragile":
                    raise

    async def perform(self, who: Who, operation: Any) -> Any:
        name, *arguments = operation
        self.done += 1
        self.note(who.label, name)
        try:
            result = getattr(self, name)(who, *arguments)
            if type(result) is types.CoroutineType:
                result = await result
        except BaseException as error:
            self.note(who.label, name, "raised", self.error(error))
            raise
        self.note(who.label, name, "gave", self.described(result))
        return result

    def callback(self, who: Who, operation: Any) -> Callable[..., Any]:
        """A function that does ``operation``, for the loop to call."""
        label = self.label("callback")

        def call(*args: Any) -> None:
            name, *arguments = operation
            self.done += 1
            self.note(label, name, self.described(args))
            if self.over or self.done >= LONGEST:
                return
            result = getattr(self, name)(Who(label, who.body), *arguments)
            self.note(label, name, "gave", self.described(result))

        self.callbacks.append(call)
        return call

    # -- what an operation refers to ------------------------------------------------------------------------------

    def there(self, which: Any) -> Any:
        kind, number = which
        table = self.futures if kind == "future" else self.tasks
        return table[number % len(table)]

    def awaitable(self, who: Who, which: Any) -> Any:
        kind, number = which
        if kind != "body":
            found = self.there(which)
            # asyncio's compiled Task that awaits itself stays marked as given away, and nobody can await it any more;
            # its plain one is not, nor is rota's.
            return self.futures[0] if found is asyncio.current_task() else found
        body = self.later_body(who, number)
        if body is None:
            return self.futures[number % len(self.futures)]
        return self.actor(Who(self.label("actor"), body))

    def context(self, number: int | None) -> Any:
        return None if number is None else self.contexts[number % len(self.contexts)]

    # -- futures ----------------------------------------------------------------------------------------------------

    def new_future(self, who: Who, number: int, kind: str) -> None:
        new = {
            "loop": self.loop.create_future,
            "own": lambda: self.library.Future(loop=self.loop),
            "stock": lambda: asyncio.Future(loop=self.loop),
        }[kind]
        self.futures[number % len(self.futures)] = new()

    def set_result(self, who: Who, number: int) -> Any:
        return self.there(("future", number)).set_result(who.label)

    def set_exception(self, who: Who, number: int, error: str) -> Any:
        return self.there(("future", number)).set_exception(made(error))

    def cancel(self, who: Who, which: Any, message: str | None) -> Any:
        target = self.there(which)
        return target.cancel() if message is None else target.cancel(message)

    def uncancel(self, who: Who, number: int) -> Any:
        return self.there(("task", number)).uncancel()

    def cancel_and_uncancel(self, who: Who, number: int, message: str | None) -> Any:
        return self.cancel(who, ("task", number), message), self.uncancel(who, number)

    def look(self, who: Who, which: Any) -> Any:
        target = self.there(which)
        return self.state(target), target.done(), target.cancelled()

    def take(self, who: Who, which: Any, what: str) -> Any:
        target = self.there(which)
        if what == "remake":
            return self.error(target._make_cancelled_error())
        return target.result() if what == "result" else target.exception()

    def drive_by_hand(self, who: Who, number: int, how: str) -> Any:
        future = self.there(("future", number))
        iterator = future.__await__()
        try:
            found = [next(iterator) is future, future._asyncio_future_blocking]
            if how == "throw":
                try:
                    iterator.throw(ValueError("thrown"))
                except ValueError:
                    # Its context is what is being handled here, as ever; asyncio's compiled iterator sets none.
                    found.append("thrown")
            elif how == "close":
                iterator.close()
                found.append(next(iterator, "over"))
            elif how == "twice":
                next(iterator)
        except StopIteration as stop:
            return ["returned", self.described(stop.value)]
        finally:
            future._asyncio_future_blocking = False
        return found

    def add_callback(self, who: Who, which: Any, context: int | None, operation: Any) -> Any:
        target = self.there(which)
        callback = self.callback(who, operation)
        if context is None:
            return target.add_done_callback(callback)
        return target.add_done_callback(callback, context=self.context(context))

    def remove_callback(self, who: Who, which: Any, number: int) -> Any:
        return self.callbacks and self.there(which).remove_done_callback(self.callbacks[number % len(self.callbacks)])

    async def wait_until_done(self, who: Who, which: Any) -> Any:
        return await self.awaitable(who, which)

    async def wait_in_own_way(self, who: Who, number: int) -> Any:
        return await OwnWay(self.there(("future", number)))

    async def yield_something(self, who: Who, what: str) -> Any:
        thing: Any = {
            "nothing": lambda: None,
            "number": lambda: 42,
            "generator": lambda: (number for number in ()),
            "future": lambda: self.futures[0],  # by a yield, where it should be awaited
            "own task": lambda: asyncio.current_task(),
            "foreign": lambda: Foreign(),
        }[what]()
        return await give(thing)

    # -- callbacks --------------------------------------------------------------------------------------------------

    def keep(self, handle: Any) -> Any:
        self.handles.append(handle)
        return isinstance(handle, asyncio.Handle), isinstance(handle, asyncio.TimerHandle), handle.cancelled()

    def call_soon(self, who: Who, context: int | None, operation: Any) -> Any:
        return self.keep(self.loop.call_soon(self.callback(who, operation), context=self.context(context)))

    def call_soon_threadsafe(self, who: Who, operation: Any) -> Any:
        return self.keep(self.loop.call_soon_threadsafe(self.callback(who, operation), who.label))

    def call_later(self, who: Who, units: float, operation: Any) -> Any:
        return self.keep(self.loop.call_later(self.when(units) - self.loop.time(), self.callback(who, operation)))

    def call_at(self, who: Who, units: float, operation: Any) -> Any:
        return self.keep(self.loop.call_at(self.when(units), self.callback(who, operation)))

    def cancel_handle(self, who: Who, number: int) -> Any:
        if not self.handles:
            return None
        handle = self.handles[number % len(self.handles)]
        before = handle.cancelled()
        handle.cancel()
        return before, handle.cancelled(), handle.when() - BEGIN if hasattr(handle, "when") else None

    # -- tasks ------------------------------------------------------------------------------------------------------

    def spawn(self, who: Who, number: int, kind: str, context: int | None) -> Any:
        body = self.later_body(who, number)
        if body is None:
            return None
        label = self.label("task")
        coro = self.actor(Who(label, body))
        options: dict[str, Any] = {"name": label}
        if context is not None:
            # A copy, as an eager task in a context that is entered already is refused in a way that leaves asyncio
            # with the wrong current task.
            options["context"] = self.contexts[context % len(self.contexts)].copy()
        if kind.endswith("eager") and sys.version_info >= (3, 12):
            options["eager_start"] = True
        if kind == "ensure":
            task = asyncio.ensure_future(coro, loop=self.loop)
        elif kind == "loop":
            task = self.loop.create_task(coro, **options)
        elif kind == "asyncio":
            task = asyncio.create_task(coro, **options)
        else:
            library = self.library if kind.startswith("own") else asyncio
            task = library.Task(coro, loop=self.loop, **options)
        if task not in self.tasks:
            self.tasks.append(task)
        return self.state(task)

    def census(self, who: Who) -> Any:
        return sorted(self.name(task) for task in asyncio.all_tasks(self.loop))

    def set_variable(self, who: Who, value: int) -> None:
        variable.set(f"{who.label} {value}")

    def fail(self, who: Who, error: str) -> None:
        raise made(error)

    def stop_loop(self, who: Who) -> None:
        self.loop.stop()

    async def sleep(self, who: Who, units: int, own: bool) -> Any:
        sleep = self.library.sleep if own else asyncio.sleep
        return await sleep(self.delay(units), "slept")

    async def inline(self, who: Who, number: int) -> None:
        body = self.later_body(who, number)
        if body is not None:
            await self.play(Who(who.label, body))

    async def in_the_end(self, who: Who, first: int, last: int) -> None:
        try:
            await self.inline(who, first)
        finally:
            await self.inline(who, last)

    # -- many at once -----------------------------------------------------------------------------------------------

    async def wait_for(self, who: Who, which: Any, units: float | None) -> Any:
        return await asyncio.wait_for(self.awaitable(who, which), self.delay(units))

    async def timeout(self, who: Who, units: float | None, body: int) -> Any:
        async with asyncio.timeout(self.delay(units)) as scope:
            self.timeouts.append(scope)
            await self.inline(who, body)
        return scope.expired()

    def reschedule(self, who: Who, units: float | None) -> None:
        if self.timeouts:
            self.timeouts[-1].reschedule(None if units is None else self.when(units))

    async def shield(self, who: Who, which: Any) -> Any:
        return await asyncio.shield(self.awaitable(who, which))

    def keep_shield(self, who: Who, which: Any) -> None:
        self.futures.append(asyncio.shield(self.awaitable(who, which)))

    def gathering(self, who: Who, which: Any, return_exceptions: bool, own: bool) -> Any:
        awaitables = [self.awaitable(who, each) for each in which]
        if sys.version_info < (3, 12):
            # There asyncio hears of a child that is done already in the next turn. rota does on every Python what
            # asyncio does since 3.12, and hears of it at once.
            own = own and not any(asyncio.isfuture(each) and each.done() for each in awaitables)
        gather = self.library.gather if own else asyncio.gather
        try:
            return gather(*awaitables, return_exceptions=return_exceptions)
        except BaseException:
            # An eager child leaves the loop. asyncio's children before it have a callback of a gathering that is never
            # made; rota's have none. The trace ends here.
            self.ring = True
            raise

    async def gather(self, who: Who, which: Any, return_exceptions: bool, own: bool) -> Any:
        return await self.gathering(who, which, return_exceptions, own)

    def keep_gather(self, who: Who, which: Any, return_exceptions: bool, own: bool) -> None:
        self.futures.append(self.gathering(who, which, return_exceptions, own))

    async def wait(self, who: Who, which: Any, units: float | None, when: str) -> Any:
        order = self.at_most_one_done(which)
        done, pending = await asyncio.wait(order, timeout=self.limit(units), return_when=when)
        return [(each in done, each in pending) for each in order]

    def at_most_one_done(self, which: Any) -> list[Any]:
        """asyncio hears of those that are done already in the order of a set."""
        chosen: list[Any] = []
        for each in map(self.there, which):
            if not (each.done() and any(other.done() for other in chosen)):
                chosen.append(each)
        return chosen

    async def as_completed(self, who: Who, which: Any, units: float | None) -> Any:
        found = []
        for each in asyncio.as_completed(self.at_most_one_done(which), timeout=self.limit(units)):
            try:
                found.append(self.described(await each))
            except (ValueError, OSError, TroubleError) as error:
                found.append(self.error(error))
        return found

    async def group(self, who: Who, which: Any, inside: int) -> Any:
        async with asyncio.TaskGroup() as group:
            group._tasks = OrderedSet()  # type: ignore[assignment]
            for number in which:
                body = self.later_body(who, number)
                if body is not None:
                    label = self.label("member")
                    member = self.actor(Who(label, body))
                    try:
                        group.create_task(member, name=label)
                    except RuntimeError:
                        member.close()  # as Python does since 3.13: an eager member has failed already
                        raise
            await self.inline(who, inside)
        return len(group._tasks)

    # -- queues, locks and their like ---------------------------------------------------------------------------------

    async def put(self, who: Who, queue: int, value: int) -> Any:
        return await self.queues[queue].put(value)

    def put_nowait(self, who: Who, queue: int, value: int) -> Any:
        return self.queues[queue].put_nowait(value)

    async def get(self, who: Who, queue: int) -> Any:
        return await self.queues[queue].get()

    def get_nowait(self, who: Who, queue: int) -> Any:
        return self.queues[queue].get_nowait()

    def task_done(self, who: Who, queue: int) -> Any:
        return self.queues[queue].task_done()

    async def join(self, who: Who, queue: int) -> Any:
        return await self.queues[queue].join()

    def shut_queue(self, who: Who, queue: int, at_once: bool) -> Any:
        if sys.version_info >= (3, 13):
            self.queues[queue].shutdown(at_once)

    async def wait_event(self, who: Who) -> Any:
        return await self.event.wait()

    def set_event(self, who: Who) -> Any:
        return self.event.set()

    def clear_event(self, who: Who) -> Any:
        return self.event.clear()

    async def hold(self, who: Who, number: int, body: int) -> None:
        async with self.locks[number]:
            await self.inline(who, body)

    def release(self, who: Who, number: int) -> Any:
        return self.locks[number].release()

    async def wait_condition(self, who: Who) -> Any:
        condition = self.locks[2]
        async with condition:
            return await condition.wait()

    async def notify(self, who: Who, count: int) -> Any:
        condition = self.locks[2]
        async with condition:
            return condition.notify(count)

    async def meet(self, who: Who) -> Any:
        return await self.barrier.wait()

    def abort_barrier(self, who: Who, reset: bool) -> None:
        # Both are coroutine functions that await nothing but a lock that is free here.
        coro = self.barrier.reset() if reset else self.barrier.abort()
        try:
            coro.send(None)
        except StopIteration:
            pass
        else:
            coro.close()

    # -- async generators -------------------------------------------------------------------------------------------

    async def generator(self, who: Who) -> Any:
        try:
            for operation in self.bodies[who.body]["operations"]:
                yield self.described(await self.perform(who, operation))
        finally:
            self.note(who.label, "generator ends", self.error(sys.exception() if sys.version_info >= (3, 11) else None))
            if not self.over:
                await asyncio.sleep(0)

    async def stream(self, who: Who, number: int, limit: int, how: str) -> Any:
        body = self.later_body(who, number)
        if body is None:
            return None
        stream = self.generator(Who(self.label("generator"), body))
        found = []
        async for item in stream:
            found.append(item)
            if len(found) > limit and how != "exhaust":
                break
        if how == "aclose":
            await stream.aclose()
        elif how == "athrow":
            found.append(await stream.athrow(ValueError("thrown in")))
        return found


class OwnWay:
    """Awaits a future by asyncio's protocol, without the future's own iterator."""

    def __init__(self, future: Any) -> None:
        self.future = future

    def __await__(self) -> Any:
        self.future._asyncio_future_blocking = True
        yield self.future
        return self.future.result()


class Foreign:
    """Looks like a future of another loop."""

    _asyncio_future_blocking = True

    def get_loop(self) -> Any:
        return "another loop"


@types.coroutine
def give(thing: Any) -> Any:
    """Yield ``thing`` to whoever drives the task."""
    return (yield thing)


def trace_of(program: dict[str, Any], new_loop: Callable[[], Any], library: ModuleType) -> list[Any]:
    """All that is seen when ``program`` runs on a loop of ``new_loop``."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return contextvars.Context().run(Interpreter(program, new_loop, library).run)
    finally:
        if collecting:
            gc.enable()
