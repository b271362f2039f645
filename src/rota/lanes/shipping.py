"""Shipping: objects to another process of this machine and back.

Pickle's protocol 5 (:pep:`574`) keeps large buffers (arrays, bytearrays) out of the stream: they travel in memory files
that both sides map, so that they are copied once and not three times. What lives in ``__main__``, lambdas and closures
go by value if cloudpickle is installed (``rota[lanes]``).

An argument that many calls share is sent once::

    table = rota.share(table)              # a handle; in the worker the function gets the object itself
    results = await rota.map(functools.partial(look_up, table), keys)
"""

from __future__ import annotations

import functools
import importlib
import io
import itertools
import mmap
import os
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..errors import MissingExtra

#: Buffers from here on travel in a memory file: below, to make and map one costs more than the copies that it saves.
LARGE = 1024 * 1024

#: ... and so many in one parcel at most: each is a file, and a message takes 250.
MOST_LARGE = 200

HAS_MEMORY_FILES = hasattr(os, "memfd_create")

#: What a pickle says of objects that the worker, whose __main__ is another, would look for there in vain.
MAIN = b"__main__"

Buffers = Sequence["MemoryFile | memoryview"]


class MemoryFile:
    """Bytes in memory that other processes can map; gone when nobody has it open."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size

    @classmethod
    def of(cls, content: memoryview) -> MemoryFile:
        """A file with ``content``. The system calls let go of the GIL: for large contents, call it in a thread."""
        made = cls(os.memfd_create("rota", os.MFD_CLOEXEC), content.nbytes)
        try:
            os.ftruncate(made.fd, made.size)  # at once: the pages are not moved as it grows
            written = 0
            while written < made.size:
                written += os.pwrite(made.fd, content[written : written + (1 << 30)], written)
        except BaseException:
            made.close()
            raise
        return made

    def open(self, writable: bool) -> memoryview:
        """The content. What is written there stays with this process."""
        if not self.size:
            return memoryview(b"")
        if not writable:
            return memoryview(mmap.mmap(self.fd, self.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
        if sys.version_info >= (3, 13):
            protection = mmap.PROT_READ | mmap.PROT_WRITE
            return memoryview(mmap.mmap(self.fd, self.size, flags=mmap.MAP_PRIVATE, prot=protection, trackfd=False))
        # A map has a descriptor for as long as it is there, and a program may keep a thousand results: copied, then.
        content = memoryview(bytearray(self.size))
        got = 0
        while got < self.size:
            got += os.preadv(self.fd, [content[got : got + (1 << 30)]], got)
        return content

    def close(self) -> None:
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def __del__(self) -> None:
        self.close()


NO_FILES: list[MemoryFile] = []

#: Types of values that marshal packs whole, in a third of the time of pickle. What derives from one is more than it.
PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None)))


class Parcel(NamedTuple):
    """An object, ready to be sent."""

    data: bytes
    large: list[memoryview]  # the buffers that are not in data
    shared: list[Shared]  # what the receiver must have got before

    @property
    def size(self) -> int:
        """All its bytes."""
        return len(self.data) + sum(buffer.nbytes for buffer in self.large)


def pack(thing: Any, *, large_apart: bool = True) -> Parcel:
    """``thing`` as a parcel, all in one piece unless what is large goes apart. Raises what pickling raises:
    PicklingError, TypeError, whatever the object's own code does.
    """
    large: list[memoryview] = []

    def inside(buffer: pickle.PickleBuffer) -> bool:
        """Whether ``buffer`` goes into the stream."""
        raw = buffer.raw()
        if raw.nbytes < LARGE or not large_apart or not HAS_MEMORY_FILES or len(large) == MOST_LARGE:
            return True
        large.append(raw)
        return False

    before, met.shared = met.shared, []
    try:
        try:
            data = pickle.dumps(thing, 5, buffer_callback=inside)
        except Exception:
            if cloudpickle() is None:
                raise
            data = None
        if data is None or (MAIN in data and cloudpickle() is not None):
            large.clear()
            met.shared.clear()
            stream = io.BytesIO()
            cloudpickle().CloudPickler(stream, 5, buffer_callback=inside).dump(thing)
            data = stream.getvalue()
        return Parcel(data, large, met.shared)
    finally:
        met.shared = before


def pack_function(fn: Any) -> Parcel:
    """A function as a parcel: by its name if it can be imported, else by value. Raises as ``pack`` does, and
    MissingExtra for a function of ``__main__`` without cloudpickle.
    """
    parcel = pack(fn)
    if MAIN in parcel.data and cloudpickle() is None:
        raise MissingExtra("a function of the program's own file in a worker process", "cloudpickle", "lanes")
    return parcel


def unpack(data: bytes | memoryview, buffers: Buffers = (), *, writable: bool = True) -> Any:
    """The object in a parcel; raises whatever its code does. Large buffers are not copied: they are mapped, to be
    written to (by this process alone) if ``writable``.
    """
    views = [buffer.open(writable) if isinstance(buffer, MemoryFile) else buffer for buffer in buffers]
    return pickle.loads(data, buffers=views)


def cloudpickle() -> Any:
    """The library, or None where it is not installed."""
    global _cloudpickle
    if _cloudpickle is _UNKNOWN:
        try:
            _cloudpickle = importlib.import_module("cloudpickle")
        except ImportError:
            _cloudpickle = None
    return _cloudpickle


_UNKNOWN = object()
_cloudpickle: Any = _UNKNOWN


# -- what many calls share ------------------------------------------------------------------------------------------

_numbers = itertools.count(1)

#: Whether anything has been shared: until then nobody looks for it in arguments.
sharing = False


class Met(threading.local):
    """The shared objects that the pickling under way in this thread has met."""

    def __init__(self) -> None:
        self.shared: list[Shared] = []


met = Met()


class Shared:
    """An object that is sent to each worker once, however many calls use it; made by :func:`share`.

    In the worker the function gets the object itself, with its large buffers read-only: it is everybody's. In threads
    and on the loop it gets the object too. ``value`` is the object.
    """

    __slots__ = ("__rota_shared__", "__weakref__", "_parcel", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.__rota_shared__ = f"{os.getpid()}-{next(_numbers)}"
        self._parcel: tuple[Parcel, list[MemoryFile]] | None = None

    @property
    def is_packed(self) -> bool:
        """Whether ``parcel`` is quick."""
        return self._parcel is not None

    def parcel(self) -> tuple[Parcel, list[MemoryFile]]:
        """What is sent of it; made once. Copies the large buffers: for large objects, call it in a thread."""
        if self._parcel is None:
            parcel = pack(self.value)
            self._parcel = parcel._replace(large=[]), [MemoryFile.of(buffer) for buffer in parcel.large]
        return self._parcel

    def __reduce__(self) -> tuple[Any, ...]:
        met.shared.append(self)
        return received, (self.__rota_shared__,)

    def __repr__(self) -> str:
        return f"<rota.share of {type(self.value).__qualname__}>"


#: In a worker: what it was sent of the shared objects, by their names.
arrived: dict[str, Any] = {}


class Unreadable:
    """Stands for what arrived and could not be made again."""

    def __init__(self, why: BaseException) -> None:
        self.why = why


def arrive(name: str, data: bytes | memoryview, buffers: Buffers) -> None:
    """In a worker: a shared object has come. What its unpickling raises is raised where it is used."""
    try:
        arrived[name] = unpack(data, buffers, writable=False)
    except BaseException as error:
        arrived[name] = Unreadable(error)


def received(name: str) -> Any:
    """The shared object of this name, in the process that it was sent to."""
    found = arrived[name]
    if isinstance(found, Unreadable):
        raise found.why
    return found


def pack_all(shared: list[Shared]) -> None:
    """Make the parcels of these, and of those inside them."""
    left = list(shared)
    while left:
        left.extend(left.pop().parcel()[0].shared)


def share(value: Any) -> Any:
    """A handle on ``value`` for calls that run in other processes: it is sent to each of them once, the first time
    that an argument holds it.

    Give it as an argument, or bind it with :class:`functools.partial`: a thread finds it there, and gets the object.
    Don't change the object afterwards: workers that have it would not see that.
    """
    global sharing
    sharing = True
    return value if isinstance(value, Shared) else Shared(value)


def opened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with the objects themselves in place of shared ones, for a call in this process."""
    if any(type(value) is Shared for value in args):
        args = tuple(value.value if type(value) is Shared else value for value in args)
    if kwargs and any(type(value) is Shared for value in kwargs.values()):
        kwargs = {name: value.value if type(value) is Shared else value for name, value in kwargs.items()}
    return args, kwargs


def opened_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same for what a partial holds."""
    if type(fn) is not functools.partial:
        return fn
    args, kwargs = opened(fn.args, fn.keywords)
    return fn if args is fn.args and kwargs is fn.keywords else functools.partial(fn.func, *args, **kwargs)
