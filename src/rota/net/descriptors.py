"""``add_reader`` and ``add_writer``: callbacks for file descriptors that the program itself reads and writes."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from typing import Any

from ..core.handle import Handle
from ..core.runnable import Runnable
from ..core.turn import LoopCore


class Descriptors(LoopCore):
    """Callbacks for file descriptors. ``fd`` is a number or an object with ``fileno()``.

    What belongs to a transport is refused, whether the transport reads at the moment or not. ``_transports`` says whose
    a file descriptor is; it keeps nobody alive.
    """

    def __init__(self, *args: Any) -> None:
        #: By number: a dictionary would take 80 bytes more for each connection.
        self._transports: list[weakref.ref[Any] | None] = []
        #: The objects that were given in place of numbers: closed, they don't know theirs any more.
        self._objects: dict[int, Any] = {}
        super().__init__(*args)

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call ``callback(*args)`` in each turn in which ``fd`` can be read, in place of the one before.

        Raises RuntimeError if a transport reads it, ValueError for what is no file descriptor.
        """
        number = self._number_to_watch(fd)
        replace(self._poller.add_reader(number, Handle(callback, args, self)))

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call ``callback(*args)`` in each turn in which ``fd`` can be written; as ``add_reader``."""
        number = self._number_to_watch(fd)
        replace(self._poller.add_writer(number, Handle(callback, args, self)))

    def remove_reader(self, fd: Any) -> bool:
        """Call nobody when ``fd`` can be read. False if nobody would have been. An object may be closed by now."""
        number = self._watched_number(fd)
        if self.is_closed():
            return False
        removed = replace(self._poller.remove_reader(number))
        self._forget_object(number)
        return removed

    def remove_writer(self, fd: Any) -> bool:
        """Call nobody when ``fd`` can be written. False if nobody would have been. An object may be closed by now."""
        number = self._watched_number(fd)
        if self.is_closed():
            return False
        removed = replace(self._poller.remove_writer(number))
        self._forget_object(number)
        return removed

    def _number_to_watch(self, fd: Any) -> int:
        self._check_closed()
        number = file_number(fd)
        self._check_free(number)
        if fd is number:
            self._objects.pop(number, None)
        else:
            self._objects[number] = fd
        return number

    def _watched_number(self, fd: Any) -> int:
        try:
            number = file_number(fd)
        except ValueError:
            for number, known in self._objects.items():
                if known is fd:
                    return number
            raise
        if not self.is_closed():
            self._check_free(number)
        return number

    def _forget_object(self, number: int) -> None:
        if number in self._objects and self._poller.who_waits(number) == (None, None):
            del self._objects[number]

    # The names by which asyncio's PidfdChildWatcher calls them.
    _add_reader = add_reader
    _remove_reader = remove_reader

    def _take_descriptor(self, fd: int, transport: Any) -> None:
        """``fd`` belongs to ``transport`` from now on."""
        self._begin_anew(fd)
        if isinstance(fd, int):  # which that of a mocked socket may not be
            self._transports.extend([None] * (fd + 1 - len(self._transports)))
            self._transports[fd] = weakref.ref(transport)

    def _begin_anew(self, fd: int) -> None:
        """``fd`` is a file just opened. A transport that has it, or whoever waits for it, had another, which was closed
        without a word to the loop.
        """
        former = self._owner(fd)
        if former is not None:
            disown(former)
        if isinstance(fd, int):
            replace(self._poller.remove_reader(fd))
            replace(self._poller.remove_writer(fd))
            self._objects.pop(fd, None)

    def _free_descriptor(self, fd: int, transport: Any) -> None:
        """... and no longer."""
        # By now the number may be another's; and of a transport that is being collected, only the number is left.
        if isinstance(fd, int) and 0 <= fd < len(self._transports) and self._owner(fd) in (None, transport):
            self._transports[fd] = None

    def _owner(self, fd: int) -> Any:
        """The transport that ``fd`` belongs to, or None."""
        if not (isinstance(fd, int) and 0 <= fd < len(self._transports)):
            return None
        owner = self._transports[fd]
        return None if owner is None else owner()

    def _check_free(self, fd: int) -> None:
        """Raise RuntimeError if ``fd`` belongs to a transport."""
        transport = self._owner(fd)
        if transport is None:
            return
        if transport._sock.fileno() == fd:
            raise RuntimeError(f"File descriptor {fd} is used by transport {transport!r}")
        disown(transport)


def disown(transport: Any) -> None:
    """The socket of ``transport`` was closed behind its back and its number is another file's, which is left alone."""
    transport._force_close(OSError(errno.EBADF, "the socket was closed while a transport used it"))
    transport._sock.detach()


def file_number(fd: Any) -> int:
    """The number of ``fd``. Raises ValueError if it has none, or one that no file can have."""
    if isinstance(fd, int):
        number = fd
    else:
        try:
            number = int(fd.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fd!r}") from None
    if number < 0:
        raise ValueError(f"Invalid file descriptor: {number}")
    return number


def replace(previous: Runnable | None) -> bool:
    """Cancel a callback that was replaced or removed: it may stand in the ready list already."""
    if isinstance(previous, Handle):
        previous.cancel()
    return previous is not None
