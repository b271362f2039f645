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
- Where there are no workers a chunk waits for some, and the log says so.
- When the connection to the scheduler breaks, everybody who waits gets ClusterLost.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from . import runner
from .absence import Absence, Unattended
from .chunk import (
    TASK,
    Call,
    Chunk,
    Function,
    Outcome,
    open_outcomes,
    pack_calls,
    pack_each,
    pack_function,
    runner_options,
    runner_source,
    shared_by,
    size_of,
)
from .connection import CONNECT_PATIENCE, Connection, Died, Missing, in_thread, parsed
from .errors import ClusterLost, ShippingError
from .stock import Stock
from .wording import arguments

#: A function up to this many bytes goes along with each chunk: cheaper than Dask's look after one more piece of data.
INLINE = 64 * 1024

#: The arguments of a chunk from here on travel as data, past the scheduler's graph (it warns at 10 MB).
LARGE = 1024 * 1024

#: Answers from here on are unpickled in a thread: below, the way there costs more than it saves.
UNPACK_ELSEWHERE = 64 * 1024

#: Data that went down with its workers is sent again this often.
RESENDS = 5

#: So many functions are remembered as they were sent.
FUNCTIONS = 32

#: ... and that so many are readable there: a few hundred bytes each.
CHECKED = 1000

#: A check goes on without an answer when all workers have gone and none has come for so many seconds.
CHECK_PATIENCE = 5.0


class Cluster:
    """A lane on a Dask cluster: ``dask://host:port``, or that of a Client of the program's.

    ``patience`` is for the scheduler's first answer, in seconds. UsageError for a malformed address, MissingExtra if
    distributed is not installed.
    """

    def __init__(self, where: Any, *, patience: float = CONNECT_PATIENCE) -> None:
        self._connection = Connection(where, patience)
        self._absence = Absence(self._connection)
        self._prefix = uuid.uuid4().hex
        self._stock = Stock(self._connection, self._prefix)
        self._functions: OrderedDict[int, tuple[Any, Function]] = OrderedDict()
        self._checked: dict[str, asyncio.Task[Any]] = {}

    # -- the connection ---------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect, and see that the versions agree. Raises ClusterError if nobody answers in time, or somebody else."""
        await self._connection.open()

    @property
    def address(self) -> str:
        """The scheduler's; empty before ``connect`` if a Client was given."""
        return self._connection.address

    @property
    def width(self) -> int:
        """How many threads the workers have in all, as of two seconds ago at most."""
        return self._connection.width

    @property
    def lost(self) -> bool:
        """Whether the connection broke; connect anew with another Cluster."""
        return self._connection.lost

    @property
    def dashboard(self) -> str | None:
        """Where a browser sees the cluster at work, if it shows that."""
        return self._connection.dashboard

    async def aclose(self) -> None:
        """Let go of what was sent, and close the connection. Who waits for something gets ClusterLost."""
        try:
            await self._connection.aclose()
        finally:
            self._forget()

    def close(self) -> None:
        """The same without the loop, which is closed or will be: the connection is cut, and so the scheduler lets go of
        what was sent and of what runs. From another thread, only when the loop is closed.
        """
        self._connection.abort()
        self._forget()

    def _forget(self) -> None:
        self._stock.clear()
        self._checked.clear()
        self._functions.clear()

    # -- work -------------------------------------------------------------------------------------------------------

    async def check(self, fn: Callable[..., Any]) -> None:
        """Send ``fn`` as it is now, and see that a worker can unpickle it, without calling it. From here on ``run``
        uses what was sent. Raises ShippingError, which names the function and the module that a worker misses.

        Where there is no worker nobody can be asked: then the first ``run`` raises that.
        """
        self._connection.running()
        function = await self._packed(fn, anew=True)
        if not self.width:
            self._connection.still_running(f"{function.name} was sent")
            return
        checking = self._checked.get(function.digest)
        if checking is None or (checking.done() and (checking.cancelled() or checking.exception())):
            checking = self._checked[function.digest] = self._connection.apart(self._check(function))
            while len(self._checked) > CHECKED:
                del self._checked[next(iter(self._checked))]
        try:
            async with self._absence.waits(function.name, CHECK_PATIENCE):
                await self._connection.brought(checking)
        except Unattended:
            pass

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

        Where the cluster has no worker it waits until there is one, and the log says so; when there has been none for
        ``timeout``, all items have had theirs. Raises ShippingError if the function can't be sent or unpickled,
        ClusterLost if the connection breaks.
        """
        self._connection.running()
        function = await self._packed(fn)
        calls = list(items)
        chunk, unsent = await in_thread(pack_calls, function.name, calls, self._prefix)
        options = runner_options(function, timeout=timeout, limit=limit)
        results: list[Any] = []
        try:
            if chunk.calls:
                async with self._absence.waits(function.name, timeout):
                    chunk, unsent = await self._sendable(function, chunk, calls, unsent)
                    if chunk.calls:
                        results = await self._outcomes(function, chunk, options)
        except Unattended:
            opened: list[Outcome] = [(False, self._late(function, call, timeout), 0.0, 0.0) for call in chunk.calls]
        else:
            if sum(map(size_of, results)) < UNPACK_ELSEWHERE:
                opened = open_outcomes(function.name, chunk.calls, results)
            else:
                opened = await in_thread(open_outcomes, function.name, chunk.calls, results)
        ran = iter(opened)
        return [(False, unsent[index], 0.0, 0.0) if index in unsent else next(ran) for index in range(len(calls))]

    def _late(self, function: Function, call: Call, timeout: float | None) -> TimeoutError:
        return TimeoutError(f"{function.name}({arguments(*call)}) took longer than {timeout:g} s{self.why_late()}")

    def why_late(self) -> str:
        """What to add when something has taken too long: that nobody is there to work, or nothing."""
        return "" if self.width or self.lost else f" (the cluster at {self.address} has no workers)"

    async def _sendable(
        self, function: Function, chunk: Chunk, calls: list[Call], unsent: dict[int, ShippingError]
    ) -> tuple[Chunk, dict[int, ShippingError]]:
        """Send the shared objects of a chunk of ``calls``. Returns the chunk of those whose objects could be sent, and
        the errors of the others, by their places, besides those of ``unsent``.
        """
        errors: dict[str, ShippingError] = {}
        for thing in chunk.shared:
            try:
                await self._stock.shared([thing])
            except ShippingError as error:
                errors[thing.__rota_shared__] = error
        if not errors:
            return chunk, unsent
        left = [index for index in range(len(calls)) if index not in unsent]
        unsent = dict(unsent)
        for index, things in zip(left, await in_thread(shared_by, chunk.calls, self._prefix), strict=True):
            for thing in things:
                if thing.__rota_shared__ in errors:
                    unsent[index] = errors[thing.__rota_shared__]
        good = [calls[index] for index in left if index not in unsent]
        chunk, _ = await in_thread(pack_calls, function.name, good, self._prefix)
        return chunk, unsent

    async def _outcomes(self, function: Function, chunk: Chunk, options: dict[str, Any]) -> list[Any]:
        """The runner's outcomes, each of an item: by halves if workers die even of a careful chunk."""
        try:
            answer = await self._answer(function, chunk, options)
            if "items" in answer:
                # Some item does not unpickle there: each for itself.
                chunk = await in_thread(pack_each, chunk.calls, self._prefix, chunk.careful)
                answer = await self._answer(function, chunk, options)
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
        options = {**options, "careful": chunk.careful, "count": len(chunk.calls)}
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
        shared = await self._stock.shared([*function.shared, *chunk.shared])
        if len(function.blob) > INLINE:
            mine = await self._stock.function(function.digest, function.blob)
            if all(known.digest != function.digest for _, known in self._functions.values()):
                self._stock.let_go(function.digest)  # another has taken its place meanwhile
        else:
            mine = [function.digest, None, function.blob]
        parcels: list[Any] = list(chunk.parcels)
        for index, parcel in enumerate(parcels):
            if len(parcel) > LARGE:
                parcels[index] = await self._stock.parcel(parcel)
        name, source = runner_source()
        given = {
            "name": name,
            "source": source,
            "function": mine,
            "parcels": parcels,
            "shared": shared,
            "options": options,
        }
        client = self._connection.still_running(f"{function.name} ran")
        future = client.submit(eval, TASK, given, key=f"{function.name}-{uuid.uuid4().hex}", pure=False)
        # Let go of it: only the task needs it now.
        del given, parcels, shared, mine
        return await self._connection.result(future, function.name)

    async def _packed(self, fn: Callable[..., Any], *, anew: bool = False) -> Function:
        """``fn`` as it was sent before, or as it is now."""
        known = self._functions.get(id(fn))
        if known is not None and not anew:
            self._functions.move_to_end(id(fn))
            return known[1]
        function: Function = await in_thread(pack_function, fn, self._prefix)
        before = self._functions.pop(id(fn), None)
        if before is not None and before[1].digest != function.digest:
            self._stock.let_go(before[1].digest)
        self._functions[id(fn)] = (fn, function)
        if len(self._functions) > FUNCTIONS:
            _, (_, oldest) = self._functions.popitem(last=False)
            self._stock.let_go(oldest.digest)
        return function


def check_address(on: str) -> None:
    """Raises UsageError unless ``on`` is ``dask://host:port``."""
    parsed(on)
