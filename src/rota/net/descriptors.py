"""``add_reader`` and ``add_writer``: callbacks for file descriptors that the program itself reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.handle import Handle
from ..core.ready import Runnable
from ..core.turn import LoopCore


class Descriptors(LoopCore):
    """Callbacks for file descriptors. ``fd`` is a number or an object with ``fileno()``."""

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call ``callback(*args)`` in each turn in which ``fd`` can be read, in place of the one before.

        Raises RuntimeError if a transport reads it, ValueError for what is no file descriptor.
        """
        self._check_closed()
        number = file_number(fd)
        self._check_free(number)
        replace(self._poller.add_reader(number, Handle(callback, args, self)))

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call ``callback(*args)`` in each turn in which ``fd`` can be written; as ``add_reader``."""
        self._check_closed()
        number = file_number(fd)
        self._check_free(number)
        replace(self._poller.add_writer(number, Handle(callback, args, self)))

    def remove_reader(self, fd: Any) -> bool:
        """Call nobody when ``fd`` can be read. False if nobody would have been."""
        number = file_number(fd)
        if self.is_closed():
            return False
        self._check_free(number)
        return replace(self._poller.remove_reader(number))

    def remove_writer(self, fd: Any) -> bool:
        """Call nobody when ``fd`` can be written. False if nobody would have been."""
        number = file_number(fd)
        if self.is_closed():
            return False
        self._check_free(number)
        return replace(self._poller.remove_writer(number))

    def _check_free(self, fd: int) -> None:
        for runnable in self._poller.who_waits(fd):
            if runnable is not None and not isinstance(runnable, Handle):
                raise RuntimeError(f"File descriptor {fd} is used by transport {runnable!r}")


def file_number(fd: Any) -> int:
    """The number of ``fd``. Raises ValueError if it has none."""
    if isinstance(fd, int):
        return fd
    try:
        return int(fd.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {fd!r}") from None


def replace(previous: Runnable | None) -> bool:
    """Cancel a callback that was replaced or removed: it may stand in the ready list already."""
    if isinstance(previous, Handle):
        previous.cancel()
    return previous is not None
