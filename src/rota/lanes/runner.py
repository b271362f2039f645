"""Runner: what runs inside a Dask task: one chunk of calls, on a worker that need not have rota.

The source of this module is sent along with each chunk (a few kilobytes) and becomes a module of the worker's when the
first arrives. So it knows nothing of rota: only the standard library, and distributed and cloudpickle, without which
there is no worker. What it returns are tuples of plain values; the client makes results and exceptions of them.

An item's outcome is ``(tag, details, cpu, wall)``, the times in seconds, with one of the tags below. Whatever an item
raises, and a result that does not pickle, is the outcome of this item alone.

A careful chunk runs in a child process of the worker: it is one that workers died of. The item during which the child
dies is known for certain, no worker is lost for it, and neighbours are not blamed.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import functools
import marshal
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

#: What can become of an item, and what the details are.
VALUE = "value"  # the result itself
PICKLED = "pickled"  # the result, pickled
UNSENT = "unsent"  # (name of its class, why the result does not pickle)
UNREAD = "unread"  # why the arguments did not unpickle here: the function was not called
ERROR = "error"  # (name of the class, first line of the text, the exception pickled or None, traceback as text)
TIMEOUT = "timeout"  # the seconds that it had
DIED = "died"  # how the process ended

Outcome = tuple[str, Any, float, float]
Item = tuple[int, tuple[Any, ...], dict[str, Any]]

#: Values of these types go as they are: to pickle each on its own takes some ten microseconds.
PLAIN = (type(None), bool, int, float, str, bytes)

#: How often a chunk looks whether it was cancelled while an item runs, in seconds.
POLL = 0.1

#: So many coroutines of a chunk run at once, unless the program says otherwise.
AT_ONCE = 1000

#: So many functions and shared objects stay unpickled on a worker; of the others the pickle alone, in Dask's memory.
KEPT = 32

#: Behind a pickle its large buffers begin at multiples of so many bytes: a line of the processor's cache.
ALIGNMENT = 64

#: A child that hung up has this long to end by itself, in seconds.
LAST_WORDS = 1.0

#: What starts a child; the module's name and source come over the connection, whose descriptor is the argument.
CHILD = """
import multiprocessing.connection, sys, types
connection = multiprocessing.connection.Connection(int(sys.argv[1]))
name, source = connection.recv()
module = sys.modules[name] = types.ModuleType(name)
exec(compile(source, name, "exec"), module.__dict__)
module.serve(connection)
"""

#: This module's source, put here by whoever made a module of it.
SOURCE = ""

#: What was unpickled here, by its name: (the key of its data in Dask or None, the object).
_kept: OrderedDict[str, tuple[bytes | None, Any]] = OrderedDict()
_keeping = threading.Lock()

#: The shared objects that the chunk being loaded in this thread asks for, by their names, however many are kept.
_loading = threading.local()


class Unread(NamedTuple):
    """In place of a shared object that does not unpickle here: whoever asks for it gets the error."""

    error: BaseException


class Abandoned(SystemExit):
    """Raised inside an item whose time is up; of all exceptions, a thread says nothing when it ends with this kind."""


def run(function: Any, parcels: list[bytes], shared: list[Any], options: dict[str, Any]) -> dict[str, Any]:
    """One chunk, in the worker's thread. Returns ``{"outcomes": [...]}``, or why nothing ran: ``{"function": (the
    module that is missing or None, text)}``, ``{"items": text}`` (they don't unpickle together), ``{"careful": text}``
    (no children here).

    ``function`` and each of ``shared`` are ``(name, key of the data in Dask or None, pickle)``, the key in bytes;
    ``parcels`` are pickled lists of ``(args, kwargs)``: one of all, or one for each.
    """
    from distributed import get_worker

    worker = get_worker()
    task = worker.get_current_task()
    forget(worker)

    def stopped() -> bool:
        # The scheduler takes the task away from its worker when it is cancelled, or its client is gone. To look there
        # takes no message.
        state = worker.state.tasks.get(task)
        return state is None or state.state == "cancelled"

    if options["careful"]:
        if not hasattr(os, "fork"):
            return {"careful": "no child processes with pipes on this system"}
        limit = getattr(getattr(worker, "memory_manager", None), "memory_limit", None)
        request = (sys.path, function, parcels, shared, options, limit)
        return {"outcomes": Children(request, stopped).run(options["count"])}
    loaded = load(function, parcels, shared, options["count"])
    if isinstance(loaded, dict):
        return loaded
    fn, items, outcomes = loaded
    Work(fn, items, options, stopped, lambda index: None, outcomes.__setitem__).run()
    return {"outcomes": [outcomes.get(index) for index in range(options["count"])]}


def load(function: Any, parcels: list[bytes], shared: list[Any], count: int, only: set[int] | None = None) -> Any:
    """The function, its items, and the outcomes of those that do not unpickle; or what ``run`` says if it can't. Items
    that have a parcel each are unpickled only if they are among ``only``.
    """
    items: list[Item] = []
    outcomes: dict[int, Outcome] = {}
    alone = len(parcels) == count
    try:
        for name, data, blob in shared:
            try:
                setattr(_loading, name, keep(name, data, functools.partial(unframed, blob)))
            except BaseException as error:
                setattr(_loading, name, Unread(error))
        try:
            name, data, blob = function
            fn = keep(name, data, lambda: pickle.loads(blob))
        except BaseException as error:
            return {"function": (error.name if isinstance(error, ModuleNotFoundError) else None, describe(error))}
        for place, parcel in enumerate(parcels):
            if alone and only is not None and place not in only:
                continue
            try:
                for index, (args, kwargs) in enumerate(pickle.loads(parcel), place):
                    items.append((index, args, kwargs))
            except BaseException as error:
                if not alone:
                    return {"items": describe(error)}
                outcomes[place] = (UNREAD, describe(error), 0.0, 0.0)
    finally:
        _loading.__dict__.clear()
    return fn, items, outcomes


def keep(name: str, data: bytes | None, make: Callable[[], Any]) -> Any:
    """The object of this name, made if it is not here."""
    with _keeping:
        if name in _kept:
            _kept.move_to_end(name)
            return _kept[name][1]
    made = make()
    with _keeping:
        made = _kept.setdefault(name, (data, made))[1]
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return made


def forget(worker: Any) -> None:
    """Let go of what the client has let go of."""
    with _keeping:
        for name, (data, _thing) in list(_kept.items()):
            if data is not None and data.decode() not in worker.state.tasks:
                del _kept[name]


def __getattr__(name: str) -> Any:
    """A shared object, which the pickles that are being read ask this module for by its name."""
    thing = getattr(_loading, name)
    if isinstance(thing, Unread):
        raise thing.error
    return thing


def unframed(blob: bytes) -> Any:
    """An object whose large buffers stand in ``blob`` behind its pickle: they are used where they are, read-only."""
    whole = memoryview(blob)
    length = int.from_bytes(whole[:8], "little")
    data, places = marshal.loads(whole[8 : 8 + length])
    behind = 8 + length + -(8 + length) % ALIGNMENT
    return pickle.loads(data, buffers=[whole[behind + start : behind + start + size] for start, size in places])


def text_of(error: BaseException) -> str:
    """The first line of its text."""
    try:
        return str(error).strip().partition("\n")[0]
    except Exception:
        return "(its text can't be made)"


def describe(error: BaseException) -> str:
    text = text_of(error)
    return f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__


# -- the items ------------------------------------------------------------------------------------------------------


class Work(NamedTuple):
    """Items to call ``fn`` with, and who is told of the beginning and the end of each; it ends early if ``stopped``."""

    fn: Callable[..., Any]
    items: Sequence[Item]
    options: dict[str, Any]
    stopped: Callable[[], bool]
    began: Callable[[int], None]
    ended: Callable[[int, Outcome], None]

    def run(self) -> None:
        if self.options["coroutines"]:
            with asyncio.Runner() as runner:
                runner.run(self._together())
        else:
            self._one_by_one()

    def _one_by_one(self) -> None:
        timeout = self.options["timeout"]
        for index, args, kwargs in self.items:
            if self.stopped():
                return
            self.began(index)
            if timeout is None:
                self.ended(index, called(self.fn, args, kwargs))
            else:
                self.ended(index, called_in_time(timeout, self.fn, args, kwargs))

    async def _together(self) -> None:
        """The coroutines of a chunk, many at once. Nobody can tell the CPU of one from that of its neighbours: each is
        told the mean.
        """
        outcomes: dict[int, Outcome] = {}
        waiting = iter(self.items)
        cpu = time.thread_time()
        timeout = self.options["timeout"]

        async def one(args: Any, kwargs: Any) -> Outcome:
            wall = time.perf_counter()
            try:
                async with asyncio.timeout(timeout) as limit:
                    tag, details = VALUE, await self.fn(*args, **kwargs)
            except asyncio.CancelledError as error:
                if stopping:
                    raise
                tag, details = ERROR, failure(error)
            except BaseException as error:
                tag, details = (TIMEOUT, timeout) if limit.expired() else (ERROR, failure(error))
            return (*packed(tag, details), 0.0, time.perf_counter() - wall)

        async def pull() -> None:
            for index, args, kwargs in waiting:
                self.began(index)
                outcome = await asyncio.create_task(one(args, kwargs))
                outcomes[index] = outcome
                self.ended(index, outcome)

        stopping = False
        count = min(self.options["limit"] or AT_ONCE, len(self.items))
        running = {asyncio.create_task(pull()) for _ in range(count)}
        while running:
            _done, running = await asyncio.wait(running, timeout=POLL)
            if self.stopped() and not stopping:
                stopping = True
                for task in running:
                    task.cancel()
        cpu = (time.thread_time() - cpu) / max(1, len(outcomes))
        for index, (tag, details, _, wall) in outcomes.items():
            self.ended(index, (tag, details, cpu, wall))


def called(fn: Callable[..., Any], args: Any, kwargs: Any) -> Outcome:
    cpu, wall = time.thread_time(), time.perf_counter()
    try:
        # What one item sets in its context, the next one does not see.
        tag, details = VALUE, contextvars.copy_context().run(fn, *args, **kwargs)
    except BaseException as error:
        tag, details = ERROR, failure(error)
    cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
    return (*packed(tag, details), cpu, wall)


def called_in_time(timeout: float, fn: Callable[..., Any], args: Any, kwargs: Any) -> Outcome:
    """The same in a thread of its own, for at most ``timeout`` seconds. After that an exception is raised in it, which
    Python code meets at its next step, and C code when it returns: a thread can't be stopped inside.
    """
    outcome: list[Outcome] = []
    began = time.perf_counter()

    def work() -> None:
        outcome.append(called(fn, args, kwargs))

    # In this context, where functions find their worker.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="rota-item", daemon=True)
    thread.start()
    thread.join(timeout)
    if outcome:
        return outcome[0]
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Abandoned))
    return (TIMEOUT, timeout, 0.0, time.perf_counter() - began)


def packed(tag: str, details: Any) -> tuple[str, Any]:
    """A result in a form that can be sent whatever it is; anything else as it is."""
    if tag != VALUE or type(details) in PLAIN:
        return tag, details
    import cloudpickle

    try:
        return PICKLED, cloudpickle.dumps(details)
    except BaseException as error:
        return UNSENT, (type(details).__qualname__, describe(error))


def failure(error: BaseException) -> tuple[str, str, bytes | None, str]:
    """An exception in a form that can be sent: by value if it comes back from its pickle, and in words."""
    import cloudpickle

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __name__:
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception:
        text = "".join(traceback.format_tb(trace)) + type(error).__qualname__
    whole: bytes | None = None
    if isinstance(error, Exception):  # any other would end whoever gets it
        try:
            whole = cloudpickle.dumps(error)
            if type(pickle.loads(whole)) is not type(error):
                whole = None
        except BaseException:
            whole = None
    return type(error).__qualname__, text_of(error), whole, text


# -- careful chunks -------------------------------------------------------------------------------------------------


class Children:
    """Runs a chunk in child processes, one after the other, until each item has an outcome."""

    def __init__(self, request: Any, stopped: Callable[[], bool]) -> None:
        self._request = request
        self._stopped = stopped
        self._outcomes: dict[int, Outcome] = {}

    def run(self, count: int) -> list[Outcome | None]:
        groups = [list(range(count))]
        while groups and not self._stopped():
            group = groups.pop()
            begun, reason = self._child(group)
            left = [index for index in group if index not in self._outcomes]
            if not left or reason is None:
                continue
            # Of coroutines, many had begun. If none had, it died of what it was sent.
            suspects = [index for index in left if index in begun] or left
            rest = [index for index in left if index not in suspects]
            if len(suspects) > 1:
                half = len(suspects) // 2
                groups += [rest, suspects[half:], suspects[:half]] if rest else [suspects[half:], suspects[:half]]
                continue
            self._outcomes[suspects[0]] = (DIED, reason, 0.0, 0.0)
            if rest:
                groups.append(rest)
        return [self._outcomes.get(index) for index in range(count)]

    def _child(self, group: list[int]) -> tuple[set[int], str | None]:
        """One child, for the items of ``group``. Returns those that it was at in the end, and how it died if it did."""
        import multiprocessing

        ours, theirs = multiprocessing.Pipe()
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(theirs.fileno())], stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
        )
        begun: set[int] = set()
        try:
            theirs.close()
            ours.send((__name__, SOURCE))
            ours.send((group, self._request))
            while True:
                while not ours.poll(POLL):
                    if self._stopped():
                        return begun, None
                word, index, outcome = ours.recv()
                if word == "done":
                    return begun, None
                if word == "began":
                    begun.add(index)
                else:
                    begun.discard(index)
                    self._outcomes[index] = outcome
        except (EOFError, OSError, pickle.UnpicklingError):
            return begun, how_it_ended(process)
        finally:
            ours.close()
            process.kill()
            process.wait()


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(LAST_WORDS)
    except subprocess.TimeoutExpired:
        return "hung up and went on"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def serve(connection: Any) -> None:
    """In a child: its items, told of one by one, so that what died is known."""
    group, (path, function, parcels, shared, options, limit) = connection.recv()
    sys.path[:] = path
    end_with_parent()
    if limit:
        import resource

        # The worker's guard does not see this process: here the item gets a MemoryError.
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))

    sending = threading.Lock()

    def tell(*message: Any) -> None:
        with sending:
            connection.send(message)

    loaded = load(function, parcels, shared, options["count"], set(group))
    if isinstance(loaded, dict):
        why = loaded.get("items") or loaded["function"][1]
        for index in group:
            tell("ended", index, (UNREAD, why, 0.0, 0.0))
    else:
        fn, items, outcomes = loaded
        for index in group:
            if index in outcomes:
                tell("ended", index, outcomes[index])
        mine = set(group)
        work = Work(
            fn,
            [item for item in items if item[0] in mine],
            options,
            lambda: False,
            lambda index: tell("began", index, None),
            lambda index, outcome: tell("ended", index, outcome),
        )
        work.run()
    tell("done", None, None)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of items whose time was up are not waited for.
    os._exit(0)


def end_with_parent() -> None:
    """A worker that is killed takes its child along, where the system can do that."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
