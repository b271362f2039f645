"""Any system that the standard library's :mod:`selectors` knows: kqueue on macOS, poll elsewhere."""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Iterator
from typing import Any

from ...core.ready import Ready
from ...core.runnable import Runnable

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Selector:
    """A poller on :mod:`selectors`; the package says what a poller does."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selectors.DefaultSelector() if selector is None else selector

    def add_reader(self, fd: int, runnable: Runnable) -> Runnable | None:
        return self._add(fd, READ, runnable)

    def add_writer(self, fd: int, runnable: Runnable) -> Runnable | None:
        return self._add(fd, WRITE, runnable)

    def remove_reader(self, fd: int) -> Runnable | None:
        return self._remove(fd, READ)

    def remove_writer(self, fd: int) -> Runnable | None:
        return self._remove(fd, WRITE)

    def resume_reader(self, fd: int, runnable: Runnable, file: Any) -> Runnable | None:
        return self._add(fd, READ, runnable)

    def pause_reader(self, fd: int, runnable: Runnable, drained: bool) -> None:
        if self.who_waits(fd)[0] is runnable:
            self._remove(fd, READ)

    def is_drained(self, fd: int, file: Any) -> bool:
        return False

    def poll(self, timeout: float, ready: Ready) -> None:
        for key, events in self._selector.select(None if timeout < 0 else timeout):
            for event in (READ, WRITE):
                runnable = key.data.get(event)
                if events & event and runnable is not None and not runnable._queued:
                    ready.push(runnable)

    def who_waits(self, fd: int) -> tuple[Runnable | None, Runnable | None]:
        keys = self._selector.get_map()
        key = keys.get(fd) if keys else None
        return (None, None) if key is None else (key.data.get(READ), key.data.get(WRITE))

    def waiting(self) -> Iterator[tuple[int, Runnable | None, Runnable | None]]:
        keys = self._selector.get_map() or {}
        return iter([(key.fd, key.data.get(READ), key.data.get(WRITE)) for key in list(keys.values())])

    def close(self) -> None:
        self._selector.close()

    def _add(self, fd: int, event: int, runnable: Runnable) -> Runnable | None:
        """``key.data`` is who waits, by event.

        The kernel may have forgotten ``fd``, closed and opened again, and modify() counts on it. So it is told anew.
        """
        keys = self._selector.get_map()
        if keys is None:
            raise ValueError("this poller is closed")
        key = keys.get(fd)
        if key is None:
            self._selector.register(fd, event, {event: runnable})
            return None
        self._selector.unregister(fd)
        self._selector.register(fd, key.events | event, {**key.data, event: runnable})
        previous: Runnable | None = key.data.get(event)
        return previous

    def _remove(self, fd: int, event: int) -> Runnable | None:
        keys = self._selector.get_map()
        key = keys.get(fd) if keys else None
        if key is None or event not in key.data:
            return None
        waiting = dict(key.data)
        previous: Runnable = waiting.pop(event)
        self._selector.unregister(fd)
        if waiting:
            # If ``fd`` was closed before, nobody waits for it any more.
            with contextlib.suppress(OSError):
                self._selector.register(fd, key.events & ~event, waiting)
        return previous
