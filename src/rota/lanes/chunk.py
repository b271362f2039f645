"""Chunk: calls of one function as they travel to a cluster, and what became of them as it comes back.

The other side is ``runner``, which unpickles the one and pickles the other.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import io
import marshal
import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from . import runner
from .errors import RemoteError, RemoteTraceback, ShippingError, WorkerDied
from .function import is_async, name_of
from .wording import arguments, describe, short

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


class Function(NamedTuple):
    """A function, ready to be sent."""

    name: str
    digest: str
    blob: bytes
    shared: list[Any]  # what it holds of rota.share
    coroutines: bool


class Chunk(NamedTuple):
    """Calls, ready to be sent: all in one parcel, or each in its own."""

    calls: list[Call]
    parcels: list[bytes]
    shared: list[Any]
    careful: bool = False


# -- out ------------------------------------------------------------------------------------------------------------


def pack_function(fn: Callable[..., Any], prefix: str) -> Function:
    """``fn`` as it is now. Raises ShippingError."""
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


def pack_each(calls: list[Call], prefix: str, careful: bool) -> Chunk:
    """The same with a pickle for each."""
    packed = [pickled([(tuple(args), dict(kwargs))], prefix) for args, kwargs in calls]
    return Chunk(calls, [blob for blob, _ in packed], [thing for _, shared in packed for thing in shared], careful)


def shared_by(calls: list[Call], prefix: str) -> list[list[Any]]:
    """The shared objects that each call holds."""
    return [pickled((tuple(args), dict(kwargs)), prefix)[1] for args, kwargs in calls]


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


def framed(thing: Any, prefix: str) -> tuple[bytes, list[Any]]:
    """The value of a shared object: its pickle, and behind it its large buffers, for the runner's ``unframed``; and the
    shared objects that it holds itself. Raises ShippingError.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data, shared = pickled(thing.value, prefix, buffers.append)
        raws = [buffer.raw() for buffer in buffers]
    except Exception as error:  # whatever the code of what it holds raises
        raise ShippingError("rota.share", f"the object {short(thing.value)}", describe(error)) from error
    place, places = 0, []
    for raw in raws:
        places.append((place, raw.nbytes))
        place += raw.nbytes + -raw.nbytes % runner.ALIGNMENT
    head = marshal.dumps((data, places))
    start = 8 + len(head) + -(8 + len(head)) % runner.ALIGNMENT
    pieces: list[bytes | memoryview] = [len(head).to_bytes(8, "little"), head, bytes(start - 8 - len(head))]
    for raw in raws:
        pieces += [raw, bytes(-raw.nbytes % runner.ALIGNMENT)]
    return b"".join(pieces), shared


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
        def __init__(self, prefix: str, buffer_callback: Any) -> None:
            self.stream = io.BytesIO()
            self.prefix = prefix
            self.shared: dict[str, Any] = {}
            super().__init__(self.stream, protocol=5, buffer_callback=buffer_callback)

        def reducer_override(self, thing: Any) -> Any:
            name = getattr(thing, "__rota_shared__", None)
            if isinstance(name, str):
                self.shared[name] = thing
                return getattr, (RunnerThere(), self.prefix + name)
            return super().reducer_override(thing)

    return Pickler


def pickled(thing: Any, prefix: str, buffer_callback: Any = None) -> tuple[bytes, list[Any]]:
    """``thing`` in bytes, and the shared objects that it holds."""
    maker = pickler()(prefix, buffer_callback)
    maker.dump(thing)
    return maker.stream.getvalue(), list(maker.shared.values())


# -- back -----------------------------------------------------------------------------------------------------------


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
