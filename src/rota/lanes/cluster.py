"""Cluster: a Dask cluster as a lane: functions run on other machines.

One task of Dask's is one chunk of calls, which ``runner`` runs there; the workers need distributed and what the
function imports, but not rota. What that means for a program:

- The function is sent as it is when it is first run or checked; a worker unpickles it once, and all chunks share it.
  A large function (a partial that holds a table, say) and what ``rota.share`` made travel once to each worker.
- A bad item, an argument or a result that can't be sent are that item's outcome; the others of the chunk are unharmed.
- A chunk whose worker dies is run again by Dask, as often as the cluster's ``allowed-failures`` says. Then it is run
  carefully, in child processes of a worker and by halves if need be, until the item that kills is known: that one gets
  WorkerDied. So an item may run more than once, as everywhere in Dask.
- A cancelled chunk that waits does not start; one that runs ends before its next item (coroutines: within a tenth of a
  second). An item that computes may finish: a thread on another machine can't be stopped inside.
- When the connection to the scheduler breaks, everybody who waits gets ClusterLost.

distributed is imported when a cluster is connected to, never before.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import io
import itertools
import logging
import marshal
import pickle
import socket
import uuid
import warnings
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

from ..errors import MissingExtra, RotaError, UsageError
from . import runner
from .errors import ClusterError, ClusterLost, RemoteError, RemoteTraceback, ShippingError, WorkerDied
from .function import is_async, name_of
from .wording import arguments, describe, short

logger = logging.getLogger("rota.cluster")

#: How long a scheduler may take to answer at the start, in seconds: a slow network, not a coffee.
CONNECT_PATIENCE = 10.0

#: When it did not, this many seconds more may go to find out why.
ASK_AGAIN = 1.0

#: A function up to this many bytes goes along with each chunk: cheaper than Dask's look after one more piece of data.
INLINE = 64 * 1024

#: The arguments of a chunk from here on travel as data, past the scheduler's graph (it warns at 10 MB).
LARGE = 1024 * 1024

#: Answers from here on are unpickled in a thread: below, the way there costs more than it saves.
UNPACK_ELSEWHERE = 64 * 1024

#: Data that went down with its workers is sent again this often.
RESENDS = 5

#: With nobody there to work for so many seconds, say so in the log, once.
SAY_NO_WORKERS = 10.0

#: So many functions are remembered as they were sent.
FUNCTIONS = 32

#: ... and that so many are readable there: a few hundred bytes each.
CHECKED = 1000

#: Versions that must agree in their first two numbers on both sides: pickles of code do not cross others.
MUST_AGREE = ("python", "cloudpickle", "distributed")

Call = tuple[Sequence[Any], Mapping[str, Any]]
Outcome = tuple[bool, Any, float, float]

#: What a task of Dask's is: this expression, on any worker. The module that it asks for is made of its source by
#: whichever task comes first, and all others find it.
TASK = (
    "(__import__('sys').modules.get(name) or (lambda module, text: ("
    "exec(compile(text, name, 'exec'), module.__dict__), "
    "module.__dict__.update(SOURCE=text), "
    "__import__('sys').modules.setdefault(name, module))[-1])("
    "type(__import__('sys'))(name), __import__('zlib').decompress(source).decode())"
    ").run(function, parcels, shared, options)"
)


class Died(Exception):  # noqa: N818
    """Workers died of a chunk, more often than the cluster allows."""


class Missing(Exception):  # noqa: N818
    """Data went down with its workers before the chunk began."""


class Function(NamedTuple):
    """A function, ready to be sent."""

    name: str
    digest: str
    blob: bytes
    shared: list[Any]  # what it holds of rota.share
    coroutines: bool


class Chunk(NamedTuple):
    """Calls, ready to be sent."""

    calls: list[Call]
    parcels: list[bytes]
    shared: list[Any]
    careful: bool = False


class Cluster:
    """A lane on a Dask cluster: ``dask://host:port``, or that of a Client of the program's.

    The Client, of whatever loop, lends its address and its certificates: the connection is one of our own, so that
    neither side feels what the other gathers and cancels. ``patience`` is for the scheduler's first answer, in seconds.
    UsageError for a malformed address, MissingExtra if distributed is not installed.
    """

    def __init__(self, where: Any, *, patience: float = CONNECT_PATIENCE) -> None:
        self.address = parsed(where) if isinstance(where, str) else ""
        if isinstance(where, str):
            if importlib.util.find_spec("distributed") is None:
                raise MissingExtra(f"on={where!r}", "distributed", "cluster")
        elif type(where).__module__.partition(".")[0] != "distributed":
            raise UsageError(f"on={where!r}: give 'dask://host:port' or a distributed.Client")
        self._given = None if isinstance(where, str) else where
        self._patience = patience
        self._client: Any = None
        self._quiet = contextlib.ExitStack()
        self._functions: OrderedDict[int, tuple[Any, Function]] = OrderedDict()
        self._checked: dict[str, asyncio.Task[Any]] = {}
        #: What was sent as data, by its name: the task that sends it, whose result is Dask's future.
        self._sent: dict[str, asyncio.Task[Any]] = {}
        #: Tasks that outlive whoever asked for them, until the cluster is closed: see ``_apart``.
        self._helpers: set[asyncio.Task[Any]] = set()
        #: The shared objects that are let go of here when the program lets go of them.
        self._dropping: set[str] = set()
        #: Tells our shared objects from those of other programs on the same workers.
        self._prefix = uuid.uuid4().hex

    # -- the connection ---------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect, and see that the versions agree. Raises ClusterError if nobody answers in time, or somebody else."""
        loop = asyncio.get_running_loop()
        distributed = await loop.run_in_executor(None, importlib.import_module, "distributed")
        security = None
        if self._given is not None:
            if self._given.scheduler is None:
                raise UsageError(f"on={self._given!r}: this client is closed, or was never awaited")
            self.address, security = self._given.scheduler.address, self._given.security
        Quiet.addresses.add(self.address)
        logging.getLogger("distributed.batched").addFilter(QUIET)
        self._quiet.enter_context(Quiet())
        began = loop.time()
        client = None
        try:
            # Before a client says hello: it answers differences of any kind with a page of warnings.
            credentials = (security or distributed.Security()).get_connection_args("client")
            async with distributed.rpc(self.address, timeout=self._patience, connection_args=credentials) as rpc:
                async with asyncio.timeout(self._patience):
                    await self._check_versions(rpc)
            client = distributed.Client(
                self.address, asynchronous=True, set_as_default=False, timeout=self._patience, security=security
            )
            async with asyncio.timeout(self._patience):
                await client
        except BaseException as error:
            await self._closed(client)
            if isinstance(error, RotaError) or not isinstance(error, Exception):
                raise
            raise await self._no_scheduler(error, loop.time() - began) from error
        self._client = client

    async def _no_scheduler(self, error: Exception, waited: float) -> ClusterError:
        """Why there is no connection: nobody answered in time, or somebody did whose bytes make distributed raise
        whatever they do, a MemoryError among it.
        """
        from distributed.comm.core import CommClosedError

        if isinstance(error, CommClosedError) or not isinstance(error, OSError):
            return ClusterError(
                f"what answers at {self.address} is no Dask scheduler that this program's distributed understands: is "
                "this its address (mostly port 8786)?"
            )
        why = f"waited {waited:.1f} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ASK_AGAIN):
                refused = await in_thread(refusal, self.address)
            why = f"{refused}; {why}" if refused else why
        return ClusterError(
            f"no Dask scheduler answers at {self.address} ({why}): is it running, and is this its address?"
        )

    async def _check_versions(self, scheduler: Any) -> None:
        from distributed.versions import get_versions

        there = {"the scheduler": await scheduler.versions(packages=[])}
        workers = await scheduler.broadcast(msg={"op": "versions", "packages": []}, on_error="ignore")
        there.update((f"the worker {name}", answer) for name, answer in workers.items())
        here = get_versions()["packages"]
        for who, answer in there.items():
            packages = (answer or {}).get("packages", {})
            for package in MUST_AGREE:
                mine, its = here.get(package), packages.get(package)
                if mine and its and significant(mine) != significant(its):
                    raise ClusterError(
                        f"{who} of {self.address} has {package} {plain(its)}, this program {plain(mine)}: functions "
                        "can't be sent between them, use the same on both sides"
                    )

    @property
    def width(self) -> int:
        """How many threads the workers have in all, as of two seconds ago at most."""
        if self._client is None or self.lost:
            return 0
        info = self._client.scheduler_info()
        total = info.get("total_threads")
        return total if total is not None else sum(w["nthreads"] for w in info.get("workers", {}).values())

    @property
    def lost(self) -> bool:
        """Whether the connection broke; connect anew with another Cluster."""
        return self._client is not None and self._client.status != "running"

    @property
    def dashboard(self) -> str | None:
        """Where a browser sees the cluster at work, if it shows that."""
        try:
            return str(self._client.dashboard_link) if self._client.dashboard_link else None
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    async def aclose(self) -> None:
        """Let go of what was sent, and close the connection. Who waits for something gets ClusterLost."""
        client, self._client = self._client, None
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        self._sent.clear()
        self._checked.clear()
        self._functions.clear()
        await self._closed(client)

    async def _closed(self, client: Any) -> None:
        # Lanes that end with their loop close it when the loop has done so with its generators, and it begins one.
        warnings.filterwarnings("ignore", ".*_wait_for_handle_report_task.* was scheduled after", ResourceWarning)
        with self._quiet, contextlib.suppress(OSError):
            if client is not None:
                await client.close()

    # -- work -------------------------------------------------------------------------------------------------------

    async def check(self, fn: Callable[..., Any]) -> None:
        """Send ``fn`` as it is now, and see that a worker can unpickle it, without calling it. From here on ``run``
        uses what was sent. Raises ShippingError, which names the function and the module that a worker misses.
        """
        function = await self._packed(fn, anew=True)
        checking = self._checked.get(function.digest)
        if checking is None or (checking.done() and (checking.cancelled() or checking.exception())):
            checking = self._checked[function.digest] = self._apart(self._check(function))
            while len(self._checked) > CHECKED:
                del self._checked[next(iter(self._checked))]
        await self._brought(checking)

    async def _check(self, function: Function) -> None:
        try:
            await self._answer(function, Chunk([], [], []), runner_options(function))
        except Died:
            why = f"the workers of {self.address} die when they unpickle it"
            raise ShippingError(function.name, "the function", why) from None

    async def run(
        self,
        fn: Callable[..., Any],
        items: Sequence[Call],
        *,
        timeout: float | None = None,
        limit: int | None = None,
    ) -> list[Outcome]:
        """Run one chunk: ``fn(*args, **kwargs)`` for each ``(args, kwargs)``, on one thread of one worker. Returns
        ``(True, result, cpu, wall)`` or ``(False, exception, cpu, wall)`` for each, in their order, times in seconds.

        ``timeout`` is for each item, in seconds. A coroutine is cancelled then; a function gets an exception at its
        next step in Python, and if it never comes to one it runs on, in a thread that nobody waits for. ``limit`` is
        how many coroutines run at once.

        Where the cluster has no worker it waits until there is one, however long, and the log says so after
        ``SAY_NO_WORKERS`` seconds: who can't wait puts a timeout around it. Raises ShippingError if the function can't
        be sent or unpickled, ClusterLost if the connection breaks.
        """
        function = await self._packed(fn)
        calls = list(items)
        chunk, unsent = await in_thread(pack_calls, function.name, calls, self._prefix)
        options = runner_options(function, timeout=timeout, limit=limit)
        good = [index for index in range(len(calls)) if index not in unsent]
        outcomes: list[Outcome] = [(False, error, 0.0, 0.0) for error in map(unsent.get, range(len(calls)))]
        if good:
            results = await self._outcomes(function, chunk, options)
            if sum(map(size_of, results)) < UNPACK_ELSEWHERE:
                opened = open_outcomes(function.name, chunk.calls, results)
            else:
                opened = await in_thread(open_outcomes, function.name, chunk.calls, results)
            for index, outcome in zip(good, opened, strict=True):
                outcomes[index] = outcome
        return outcomes

    async def _outcomes(self, function: Function, chunk: Chunk, options: dict[str, Any]) -> list[Any]:
        """The runner's outcomes, each of an item: by halves if workers die even of a careful chunk."""
        try:
            answer = await self._answer(function, chunk, {**options, "careful": chunk.careful})
            if "items" in answer:
                # Some item does not unpickle there: each for itself.
                chunk = await in_thread(pack_each, chunk.calls, self._prefix, chunk.careful)
                answer = await self._answer(function, chunk, {**options, "careful": chunk.careful})
            if "careful" not in answer:
                found: list[Any] = answer["outcomes"]
                return found
            why = answer["careful"]
        except Died as death:
            why = str(death)
            if not chunk.careful:
                # A parcel each: perhaps they died of unpickling one.
                chunk = await in_thread(pack_each, chunk.calls, self._prefix, True)
                return await self._outcomes(function, chunk, options)
        if len(chunk.calls) == 1:
            return [(runner.DIED, why, 0.0, 0.0)]
        half = len(chunk.calls) // 2
        found = []
        for calls in (chunk.calls[:half], chunk.calls[half:]):
            part = await in_thread(pack_each, calls, self._prefix, chunk.careful)
            found += await self._outcomes(function, part, options)
        return found

    async def _answer(self, function: Function, chunk: Chunk, options: dict[str, Any]) -> dict[str, Any]:
        """What the runner says of a chunk. Raises Died, ClusterLost, ShippingError if it can't read the function."""
        options["count"] = len(chunk.calls)
        for _ in range(RESENDS):
            try:
                answer: dict[str, Any] = await self._task(function, chunk, options)
                break
            except Missing:
                continue
        else:
            raise ClusterLost(
                f"{self.address}: {function.name} did not arrive in {RESENDS} attempts: workers come and go"
            )
        if "function" in answer:
            module, text = answer["function"]
            if module:
                why = (
                    f"the workers of {self.address} have no module {module!r}: install it there, or send it along: "
                    f"cloudpickle.register_pickle_by_value({module.partition('.')[0]}), after importing it"
                )
            else:
                why = f"it can't be made again there: {text}"
            raise ShippingError(function.name, "the function", why)
        return answer

    async def _task(self, function: Function, chunk: Chunk, options: dict[str, Any]) -> Any:
        client = self._running()
        shared = {thing.__rota_shared__: thing for thing in (*function.shared, *chunk.shared)}
        held = []
        for name, thing in shared.items():
            held.append(await self._hold(self._prefix + name, functools.partial(framed, thing)))
            self._drop_with(thing, self._prefix + name)
        mine: list[Any] = [function.digest, None, function.blob]
        if len(function.blob) > INLINE:
            mine = await self._hold(function.digest, lambda: function.blob)
        parcels: list[Any] = list(chunk.parcels)
        for index, parcel in enumerate(parcels):
            if len(parcel) > LARGE:
                parcels[index] = await self._brought(self._apart(self._scatter(parcel, broadcast=False)))
        name, source = runner_source()
        given = {
            "name": name,
            "source": source,
            "function": mine,
            "parcels": parcels,
            "shared": held,
            "options": options,
        }
        future = client.submit(eval, TASK, given, key=f"{function.name}-{uuid.uuid4().hex}", pure=False)
        # Let go of it: only the task needs it now.
        del given, parcels, held, mine
        return await self._result(future, function.name)

    async def _result(self, future: Any, name: str) -> Any:
        """Wait for a task, and leave nothing of it in the scheduler. Raises Died, Missing, ClusterLost."""
        from distributed import KilledWorker

        complaint = asyncio.get_running_loop().call_later(SAY_NO_WORKERS, self._say_no_workers)
        try:
            return await self._brought(self._apart(gathered(future)), f"{name} ran")
        except KilledWorker as error:
            raise Died("died each time") from error
        except RotaError:
            raise
        except Exception as error:
            if self._client is None or self.lost:
                raise self._broke(f"{name} ran") from error
            if isinstance(error, concurrent.futures.CancelledError) or future.status == "cancelled":
                raise Missing from error
            # No item's: those are outcomes. Dask could not do it, and says why.
            raise ClusterError(f"the cluster at {self.address} could not run {name}: {describe(error)}") from error
        finally:
            complaint.cancel()
            if not future.done():
                # Whoever closes the client meanwhile does as much.
                with contextlib.suppress(Exception):
                    await future.cancel()

    async def _brought(self, helper: asyncio.Task[Any], what: str = "something was sent") -> Any:
        """What a task of ``_apart`` brings. Raises ClusterLost if the cluster is closed meanwhile."""
        try:
            return await asyncio.shield(helper)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise self._broke(what) from error

    def _broke(self, what: str) -> ClusterLost:
        if self._client is None:
            return ClusterLost(f"the cluster at {self.address} was closed here while {what}")
        return ClusterLost(f"the connection to the scheduler at {self.address} broke while {what}")

    def _say_no_workers(self) -> None:
        if not self.width:
            logger.warning("the cluster at %s has no workers: what is sent there waits for some", self.address)

    def _running(self) -> Any:
        if self._client is None:
            raise UsageError("this cluster is closed, or was never connected to: await connect() first")
        if self.lost:
            raise ClusterLost(f"there is no connection to the scheduler at {self.address} any more")
        return self._client

    # -- what is sent once ------------------------------------------------------------------------------------------

    async def _packed(self, fn: Callable[..., Any], *, anew: bool = False) -> Function:
        """``fn`` as it was sent before, or as it is now."""
        known = self._functions.get(id(fn))
        if known is None or anew:
            function: Function = await in_thread(pack_function, fn, self._prefix)
            self._functions[id(fn)] = (fn, function)
            if len(self._functions) > FUNCTIONS:
                _, (_, gone) = self._functions.popitem(last=False)
                self._sent.pop(gone.digest, None)
            return function
        self._functions.move_to_end(id(fn))
        return known[1]

    async def _hold(self, name: str, make: Callable[[], bytes]) -> list[Any]:
        """See that the workers have these bytes, and return how a task asks for them."""
        sending = self._sent.get(name)
        if sending is not None and sending.done() and (sending.cancelled() or sending.exception()):
            sending = None
        if sending is not None and sending.done() and sending.result().status in ("cancelled", "lost", "error"):
            sending = None
        if sending is None:
            sending = self._sent[name] = self._apart(self._send(make))
        future = await self._brought(sending)
        # The key as bytes: older Dasks put the data itself in the place of text that is a key.
        return [name, future.key.encode(), future]

    def _apart(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of its own for ``work``: whoever asked for it may be cancelled, others may wait for it too, and data
        that is half sent would stay on the cluster.
        """
        task = asyncio.create_task(work)
        self._helpers.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._helpers.discard(task)
        if not task.cancelled():
            # Who waits for it gets it; if nobody does any more, nobody misses it.
            task.exception()

    def _drop_with(self, thing: Any, name: str) -> None:
        """Let go of a shared object on the cluster when the program has let go of it."""
        if name not in self._dropping:
            self._dropping.add(name)
            ours, loop = weakref.ref(self), asyncio.get_running_loop()
            weakref.finalize(thing, drop, ours, loop, name).atexit = False

    async def _send(self, make: Callable[[], bytes]) -> Any:
        return await self._scatter(await in_thread(make), broadcast=True)

    async def _scatter(self, blob: bytes, *, broadcast: bool) -> Any:
        client = self._running()
        if not self.width:
            # Data goes to workers, not to the scheduler; a cluster that grows by need has none before there is work.
            await self._result(client.submit(int, key=f"wake-{uuid.uuid4().hex}", pure=False), "a first task")
        try:
            [future] = await client.scatter([blob], broadcast=broadcast, hash=False)
        except (OSError, TimeoutError) as error:
            self._running()
            raise ClusterError(
                f"{len(blob):,} bytes could not be sent to the workers of {self.address}: {describe(error)}"
            ) from error
        return future


# -- to and fro -----------------------------------------------------------------------------------------------------


def parsed(address: str) -> str:
    """``host:port`` of ``dask://host:port``. Raises UsageError."""
    wrong = f"on={address!r}: a Dask cluster is given as 'dask://host:port', its scheduler's address (mostly port 8786)"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError(wrong) from None
    if parts.scheme != "dask" or not host or not port or parts.path not in ("", "/") or parts.query or parts.username:
        raise UsageError(wrong)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_address(on: str) -> None:
    """Raises UsageError unless ``on`` is ``dask://host:port``."""
    parsed(on)


def refusal(address: str) -> str:
    """What the system says to a connection there, which of many attempts distributed does not tell; blocking."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        socket.create_connection((parts.hostname, parts.port), ASK_AGAIN).close()
    except OSError as error:
        return (error.strerror or "").lower()
    return ""


def significant(version: str) -> list[str]:
    return version.split(".")[:2]


def plain(version: str) -> str:
    """A version without what Python's carries behind it (3.13.0.final.0)."""
    return ".".join(itertools.takewhile(str.isdigit, version.split(".")))


class Quiet(logging.Filter):
    """Keeps what Dask says of the end of a connection, tracebacks among it, off the terminal: ClusterLost says it, and
    of a connection that was closed nobody wants to hear. As a context, for the time in which a client of ours may find
    that nobody answers any more, or is closed while it tries to find somebody.
    """

    #: The schedulers whose connections are ours. The last words come when they are closed.
    addresses: ClassVar[set[str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Batched Comm Closed"):
            return not any(address in text for address in self.addresses)
        return not text.startswith("Failed to reconnect") and bool(text or not record.exc_info)

    def __enter__(self) -> None:
        logging.getLogger("distributed.client").addFilter(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("distributed.client").removeFilter(self)


QUIET = Quiet()


async def gathered(future: Any) -> Any:
    """The result of a task of Dask's. For a task of its own: in ``await future`` a client's callers share the task that
    gathers, and to cancel one of them is to cancel all.
    """
    try:
        return await future
    except asyncio.CancelledError:
        if future.status != "cancelled":
            raise
        # Older Dasks raise this one for a future that was: it would look as if this task had been.
        raise concurrent.futures.CancelledError from None
    finally:
        future.release()


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Pickling takes as long as what is pickled is large: not on the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *args))


def drop(ours: weakref.ref[Cluster], loop: asyncio.AbstractEventLoop, name: str) -> None:
    """From whatever thread a shared object went in."""

    def now() -> None:
        cluster = ours()
        if cluster is not None:
            cluster._sent.pop(name, None)
            cluster._dropping.discard(name)

    with contextlib.suppress(RuntimeError):  # the loop is closed, and the cluster with it
        loop.call_soon_threadsafe(now)


def runner_options(function: Function, **options: Any) -> dict[str, Any]:
    return {"timeout": None, "limit": None, "careful": False, **options, "coroutines": function.coroutines}


@functools.cache
def runner_source() -> tuple[str, bytes]:
    """The runner, as it is sent: the name of the module that it becomes on a worker, and its source."""
    text = inspect.getsource(runner).encode()
    return f"_rota_runner_{hashlib.blake2b(text, digest_size=6).hexdigest()}", zlib.compress(text)


class RunnerThere:
    """In a pickle: the runner's module, on the worker."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (runner_source()[0],)


@functools.cache
def pickler() -> Any:
    """cloudpickle's, but that a shared object is only named: the runner has it."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def __init__(self, prefix: str) -> None:
            self.stream = io.BytesIO()
            self.prefix = prefix
            self.shared: dict[str, Any] = {}
            super().__init__(self.stream, protocol=5)

        def reducer_override(self, thing: Any) -> Any:
            name = getattr(thing, "__rota_shared__", None)
            if isinstance(name, str):
                self.shared[name] = thing
                return getattr, (RunnerThere(), self.prefix + name)
            return super().reducer_override(thing)

    return Pickler


def pickled(thing: Any, prefix: str) -> tuple[bytes, list[Any]]:
    """``thing`` in bytes, and the shared objects that it holds."""
    maker = pickler()(prefix)
    maker.dump(thing)
    return maker.stream.getvalue(), list(maker.shared.values())


def pack_function(fn: Callable[..., Any], prefix: str) -> Function:
    try:
        blob, shared = pickled(fn, prefix)
    except Exception as error:  # whatever the code of what it holds raises
        raise ShippingError(name_of(fn), "the function", describe(error)) from error
    # With the prefix: programs that send the same function don't share what it keeps in its globals.
    digest = hashlib.blake2b(blob, digest_size=20, key=prefix.encode()).hexdigest()
    return Function(name_of(fn), digest, blob, shared, is_async(fn))


def pack_calls(name: str, calls: list[Call], prefix: str) -> tuple[Chunk, dict[int, ShippingError]]:
    """The calls in one pickle, in which what several of them hold stands once; and those that do not pickle, by their
    places.
    """
    unsent: dict[int, ShippingError] = {}
    try:
        blob, shared = pickled([(tuple(args), dict(kwargs)) for args, kwargs in calls], prefix)
        return Chunk(calls, [blob], shared), unsent
    except Exception:  # whatever the arguments' own code raises: now see whose
        for index, (args, kwargs) in enumerate(calls):
            try:
                pickled((tuple(args), dict(kwargs)), prefix)
            except Exception as error:
                unsent[index] = unsendable(name, args, kwargs, error, prefix)
        if not unsent:
            raise
    good = [call for index, call in enumerate(calls) if index not in unsent]
    return pack_calls(name, good, prefix)[0], unsent


def unsendable(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], error: Exception, prefix: str
) -> ShippingError:
    """The error of a call that does not pickle: it names the argument."""
    what, why = f"what {name} was called with", describe(error)
    for place, value in [*enumerate(args), *kwargs.items()]:
        try:
            pickled(value, prefix)
        except Exception as own:
            alone = len(args) == 1 and not kwargs
            what = f"the item {short(value)}" if alone else f"argument {place!r} ({short(value)})"
            why = describe(own)
            break
    made = ShippingError(name, what, why)
    made.__cause__ = error
    return made


def pack_each(calls: list[Call], prefix: str, careful: bool) -> Chunk:
    """The same with a pickle for each."""
    packed = [pickled([(tuple(args), dict(kwargs))], prefix) for args, kwargs in calls]
    return Chunk(calls, [blob for blob, _ in packed], [thing for _, shared in packed for thing in shared], careful)


def framed(thing: Any) -> bytes:
    """The value of a shared object: its pickle, and behind it its large buffers, for the runner's ``unframed``."""
    import cloudpickle

    buffers: list[pickle.PickleBuffer] = []
    data = cloudpickle.dumps(thing.value, protocol=5, buffer_callback=buffers.append)
    raws = [buffer.raw() for buffer in buffers]
    place, places = 0, []
    for raw in raws:
        places.append((place, raw.nbytes))
        place += raw.nbytes + -raw.nbytes % runner.ALIGNMENT
    head = marshal.dumps((data, places))
    start = 8 + len(head) + -(8 + len(head)) % runner.ALIGNMENT
    pieces: list[bytes | memoryview] = [len(head).to_bytes(8, "little"), head, bytes(start - 8 - len(head))]
    for raw in raws:
        pieces += [raw, bytes(-raw.nbytes % runner.ALIGNMENT)]
    return b"".join(pieces)


def size_of(outcome: Any) -> int:
    """The bytes to be unpickled of an outcome."""
    return len(outcome[1]) if outcome is not None and outcome[0] == runner.PICKLED else 0


def open_outcomes(name: str, calls: Sequence[Call], results: Sequence[Any]) -> list[Outcome]:
    """What the runner tells of each call, as results and exceptions."""
    return [open_outcome(name, call, result) for call, result in zip(calls, results, strict=True)]


def open_outcome(name: str, call: Call, result: Any) -> Outcome:
    tag, details, cpu, wall = result
    if tag == runner.VALUE:
        return True, details, cpu, wall
    if tag == runner.PICKLED:
        try:
            return True, pickle.loads(details), cpu, wall
        except Exception as error:
            why = f"it can't be made again here: {describe(error)}"
            made = ShippingError(f"{name}({arguments(*call)})", "the result", why, ran=True)
            made.__cause__ = error
            return False, made, cpu, wall
    return False, open_error(name, arguments(*call), tag, details), cpu, wall


def open_error(name: str, item: str, tag: str, details: Any) -> Exception:
    if tag == runner.UNSENT:
        kind, why = details
        return ShippingError(f"{name}({item})", f"the result (a {kind})", why, ran=True)
    if tag == runner.UNREAD:
        return ShippingError(name, f"an argument ({item})", f"it can't be made again there: {details}")
    if tag == runner.TIMEOUT:
        return TimeoutError(f"{name}({item}) took longer than {details:g} s")
    if tag == runner.DIED:
        return WorkerDied(name, item, details)
    kind, message, whole, text = details
    error: Exception = RemoteError(f"{name}({item})", kind, message)
    if whole is not None:
        with contextlib.suppress(Exception):  # a class that only the workers have
            error = pickle.loads(whole)
    error.__cause__ = RemoteTraceback(text)
    return error
