"""Connection: this program's own connection to a Dask scheduler, and the waiting on it, which ends when it does.

distributed is imported when it connects, never before.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime
import importlib
import importlib.util
import itertools
import os
import socket
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from urllib.parse import urlsplit

from ..errors import MissingExtra, RotaError, UsageError
from .errors import ClusterError, ClusterLost
from .quiet import Quiet
from .wording import describe

#: How long a scheduler may take to answer at the start, in seconds: a slow network, not a coffee.
CONNECT_PATIENCE = 10.0

#: When it did not, this many seconds more may go to find out why.
ASK_AGAIN = 1.0

#: And so many, when it is closed, until the last message is written, or can't be.
LAST_WORDS = 1.0

#: Versions that must agree in their first two numbers on both sides: pickles of code do not cross others.
MUST_AGREE = ("python", "cloudpickle", "distributed")


class Died(Exception):  # noqa: N818
    """Workers died of a task, more often than the cluster allows."""


class Missing(Exception):  # noqa: N818
    """Data went down with its workers before the task began."""


class Connection:
    """A client of our own, to a scheduler at ``dask://host:port``, or to that of a Client of the program's.

    The Client, of whatever loop, lends its address and its certificates, so that neither side feels what the other
    gathers and cancels. ``patience`` is for the scheduler's first answer, in seconds. UsageError for a malformed
    address, MissingExtra if distributed is not installed.
    """

    def __init__(self, where: Any, patience: float = CONNECT_PATIENCE) -> None:
        self.address = parsed(where) if isinstance(where, str) else ""
        if isinstance(where, str):
            if importlib.util.find_spec("distributed") is None:
                raise MissingExtra(f"on={where!r}", "distributed", "cluster")
        elif not any(kind.__module__.partition(".")[0] == "distributed" for kind in type(where).__mro__):
            raise UsageError(f"on={where!r}: give 'dask://host:port' or a distributed.Client")
        self._given = None if isinstance(where, str) else where
        self._patience = patience
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_open = False  # the client has been connected, and was not closed here
        self._quiet = contextlib.ExitStack()
        #: Tasks that outlive whoever asked for them, until the connection is closed: see ``apart``.
        self._helpers: set[asyncio.Task[Any]] = set()

    # -- its life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, and see that the versions agree. Raises ClusterError if nobody answers in time, or somebody else;
        then nothing of it is left.
        """
        distributed = await in_thread(importlib.import_module, "distributed")
        self._loop = loop = asyncio.get_running_loop()
        security = None
        if self._given is not None:
            if self._given.scheduler is None:
                raise UsageError(f"on={self._given!r}: this client is closed, or was never awaited")
            self.address, security = self._given.scheduler.address, self._given.security
        self._quiet.enter_context(Quiet(self.address))
        began = loop.time()
        try:
            # Before a client says hello: it answers differences of any kind with a page of warnings.
            credentials = (security or distributed.Security()).get_connection_args("client")
            rpc = distributed.rpc(self.address, timeout=self._patience, connection_args=credentials)
            try:
                async with asyncio.timeout(self._patience):
                    await self._check_versions(rpc)
                await rpc.close_rpc()
            finally:
                cut(list(rpc.comms))
            self._client = distributed.Client(
                self.address, asynchronous=True, set_as_default=False, timeout=self._patience, security=security
            )
            async with asyncio.timeout(self._patience):
                await self._client
        except BaseException as error:
            if isinstance(error, GeneratorExit) or loop.is_closed():
                self.abort()  # nobody will ever go on with this
                raise
            await self.aclose()
            if isinstance(error, RotaError) or not isinstance(error, Exception):
                raise
            raise await self._no_scheduler(error, loop.time() - began) from error
        self._is_open = True

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

    async def aclose(self) -> None:
        """Close it. Who waits for something gets ClusterLost."""
        self._is_open = False
        try:
            for helper in self._helpers:
                helper.cancel()
            await asyncio.gather(*self._helpers, return_exceptions=True)
            # Lanes that end with their loop close it when the loop has done so with its generators, and it begins one.
            warnings.filterwarnings("ignore", ".*_wait_for_handle_report_task.* was scheduled after", ResourceWarning)
            if self._client is not None:
                with contextlib.suppress(OSError):
                    await self._client.close()
                await end_sender(self._client)
        finally:
            self.abort()

    def abort(self) -> None:
        """The same at once, and without the loop, which may be closed: the sockets are closed, and so the scheduler
        forgets this client and what it asked for. From another thread, only when the loop is closed.
        """
        self._is_open = False
        client, self._client = self._client, None
        if client is not None:
            drop(client)
        for helper in self._helpers:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                helper.cancel()
            let_be(helper)
        if self._loop is not None:
            for task in asyncio.all_tasks(self._loop):
                if is_of_dask(task):
                    let_be(task)
        self._quiet.close()

    # -- what it says -------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """How many threads the workers have in all, as of two seconds ago at most."""
        return 0 if not self._is_open or self.lost else threads_in(self._client.scheduler_info())

    async def ask_width(self, *, anew: bool = False) -> int:
        """The same, as of now if there seem to be none, or if ``anew``. Raises as ``running`` does, and OSError if it
        breaks now.
        """
        client = self.running()
        return (0 if anew else self.width) or threads_in(await client.scheduler.identity())

    @property
    def lost(self) -> bool:
        """Whether the connection broke."""
        return self._is_open and (self._client.status != "running" or self._client.scheduler_comm.comm.closed())

    @property
    def dashboard(self) -> str | None:
        """Where a browser sees the cluster at work, if it shows that."""
        try:
            return str(self._client.dashboard_link) if self._client.dashboard_link else None
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def running(self) -> Any:
        """The client. Raises UsageError if there is no connection yet, or none any more, ClusterLost if it broke."""
        if not self._is_open:
            raise UsageError("this cluster is closed, or was never connected to: await connect() first")
        if self.lost:
            raise ClusterLost(f"there is no connection to the scheduler at {self.address} any more")
        return self._client

    def still_running(self, what: str) -> Any:
        """The same in the midst of ``what``: ClusterLost if it was closed meanwhile."""
        if not self._is_open:
            raise self._broke(what)
        return self.running()

    # -- waiting on it ------------------------------------------------------------------------------------------------

    def apart(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
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

    async def brought(self, helper: asyncio.Task[Any], what: str = "something was sent") -> Any:
        """What a task of ``apart`` brings. Raises ClusterLost if the connection is closed meanwhile."""
        try:
            return await asyncio.shield(helper)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise self._broke(what) from error

    async def result(self, future: Any, name: str) -> Any:
        """Wait for a task of Dask's, and leave nothing of it in the scheduler. Raises Died, Missing, ClusterLost."""
        from distributed import KilledWorker

        try:
            return await self.brought(self.apart(gathered(future)), f"{name} ran")
        except KilledWorker as error:
            raise Died("died each time") from error
        except RotaError:
            raise
        except Exception as error:
            if not self._is_open or self.lost:
                raise self._broke(f"{name} ran") from error
            if isinstance(error, concurrent.futures.CancelledError) or future.status == "cancelled":
                raise Missing from error
            # No item's: those are outcomes. Dask could not do it, and says why.
            raise ClusterError(f"the cluster at {self.address} could not run {name}: {describe(error)}") from error
        finally:
            if not future.done():
                # Whoever closes the client meanwhile does as much.
                with contextlib.suppress(Exception):
                    await future.cancel()

    def _broke(self, what: str) -> ClusterLost:
        if not self._is_open:
            return ClusterLost(f"the cluster at {self.address} was closed here while {what}")
        return ClusterLost(f"the connection to the scheduler at {self.address} broke while {what}")


# -- addresses and versions -----------------------------------------------------------------------------------------


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


def threads_in(identity: Any) -> int:
    """How many threads the workers have, by what a scheduler says of itself."""
    total = identity.get("total_threads")
    if total is not None:
        return int(total)
    return sum(worker["nthreads"] for worker in identity.get("workers", {}).values())


# -- Dask's own -----------------------------------------------------------------------------------------------------


async def gathered(future: Any) -> Any:
    """The result of a task of Dask's. For a task of its own: in ``await future`` a client's callers share the task that
    gathers, and to cancel one of them is to cancel all.
    """
    try:
        return await future
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if future.status != "cancelled" or (task is not None and task.cancelling()):
            raise
        # Older Dasks raise this one for a future that was: it would look as if this task had been.
        raise concurrent.futures.CancelledError from None
    finally:
        future.release()


def drop(client: Any) -> None:
    """Close what a client holds, as its ``close`` does, but for all that waits."""
    client.status = "closed"
    for callback in client._periodic_callbacks.values():
        callback.stop()
    cut(list(client.rpc._created))
    stream = getattr(client, "scheduler_comm", None)
    if stream is not None:
        cut([stream.comm])


async def end_sender(client: Any) -> None:
    """Let what writes a client's messages end while the loop runs: a client whose connection the scheduler was the
    first to close leaves it waiting, for messages or for the time to send them.
    """
    stream = getattr(client, "scheduler_comm", None)
    if stream is not None:
        with contextlib.suppress(Exception):  # whatever it still wanted to send
            await stream.close(datetime.timedelta(seconds=LAST_WORDS))  # a number is a point in time


def cut(comms: Iterable[Any]) -> None:
    """Close the sockets of Dask's connections."""
    for comm in comms:
        with contextlib.suppress(Exception):  # it is closed; the loop, too, and can't be told so
            comm.abort()


def is_of_dask(task: asyncio.Task[Any]) -> bool:
    """Whether it runs distributed's own code."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(os.path.dirname(sys.modules["distributed"].__file__ or ""))


def let_be(task: asyncio.Task[Any]) -> None:
    """Say nothing when it never ends: its loop may be closed."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What takes long is not done on the loop: to import distributed, or to pickle what is large."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)
