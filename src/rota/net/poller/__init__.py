"""Who waits for which file descriptor, and the system call that tells who need wait no longer.

A poller provides:

``add_reader(fd, runnable)``, ``add_writer(fd, runnable)``
    make ``runnable`` ready whenever ``fd`` can be read (written); returns the runnable that it replaces, or None.
``remove_reader(fd)``, ``remove_writer(fd)``
    no more; returns the runnable that was there, or None.
``resume_reader(fd, runnable, file)``
    ``add_reader`` for somebody who has just found nothing to read: ``runnable`` is ready when more comes. Costs no
    system call if it was paused and ``file``, whose ``fileno()`` is ``fd``, is the same object as then.
``pause_reader(fd, runnable, drained)``
    no more for ``runnable``, if it is the reader of ``fd``; what comes meanwhile is told to nobody. ``drained`` says
    that it has just read less than it asked for.
``is_drained(fd, file)``
    True if ``file``, whose ``fileno()`` is ``fd``, was drained at the last pause and there was no poll since: to try it
    would cost a system call for nothing. False where nobody knows.
``poll(timeout, ready)``
    sleep until an event, a signal or ``timeout`` seconds (negative: no bound; 0: no sleep), and push each runnable
    whose file descriptor can be used to ``ready``, once. May return early with nothing. Returns how many seconds it
    waited for the interpreter after the sleep, or None if it did not sleep or can't tell.
``who_waits(fd)``
    the reader and the writer of ``fd``, each a runnable or None.
``waiting()``
    for whoever looks: ``(fd, reader, writer)`` of all that wait.
``close()``
    give the kernel's object back. What is added to a closed poller raises ValueError.

Level-triggered, but for a reader that was resumed: what was not read or written is told again. An error or a hang-up
tells readers and writers both.
:func:`new_poller` chooses, fastest first.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Protocol

from .selector import Selector

if hasattr(select, "epoll"):
    from .epoll import Epoll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...core.ready import Ready
    from ...core.runnable import Runnable


class Poller(Protocol):
    """What a poller must be able to do; the module says what it means."""

    def add_reader(self, fd: int, runnable: Runnable, /) -> Runnable | None: ...

    def add_writer(self, fd: int, runnable: Runnable, /) -> Runnable | None: ...

    def remove_reader(self, fd: int, /) -> Runnable | None: ...

    def remove_writer(self, fd: int, /) -> Runnable | None: ...

    def resume_reader(self, fd: int, runnable: Runnable, file: Any, /) -> Runnable | None: ...

    def pause_reader(self, fd: int, runnable: Runnable, drained: bool, /) -> None: ...

    def is_drained(self, fd: int, file: Any, /) -> bool: ...

    def poll(self, timeout: float, ready: Ready, /) -> float | None: ...

    def who_waits(self, fd: int, /) -> tuple[Runnable | None, Runnable | None]: ...

    def waiting(self) -> Iterator[tuple[int, Runnable | None, Runnable | None]]: ...

    def close(self) -> None: ...


def new_poller() -> Poller:
    """The fastest poller that this system has."""
    return Epoll() if hasattr(select, "epoll") else Selector()
