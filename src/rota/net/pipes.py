"""``connect_read_pipe`` and ``connect_write_pipe``."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .descriptors import Descriptors

if TYPE_CHECKING:
    from .pipe import Pipe


class Pipes(Descriptors):
    """Pipes, terminals and the like as transports."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: How many transports use a file, by its id(): the last one closes it.
        self._pipe_users: dict[int, int] = {}
        #: Who they are, by the file's number; this keeps nobody alive.
        self._pipes: dict[int, weakref.WeakSet[Pipe]] = {}
        super().__init__(*args, **kwargs)

    def _take_pipe(self, fd: int, file: Any, pipe: Pipe) -> None:
        """``pipe`` uses ``file`` from now on."""
        self._pipe_users[id(file)] = self._pipe_users.get(id(file), 0) + 1
        self._pipes.setdefault(fd, weakref.WeakSet()).add(pipe)

    def _free_pipe(self, fd: int, file: Any, pipe: Pipe) -> bool:
        """... and no longer. Whether it was the last one."""
        pipes = self._pipes.get(fd)
        if pipes is not None:
            pipes.discard(pipe)
            if not pipes:
                del self._pipes[fd]
        self._pipe_users[id(file)] -= 1
        if self._pipe_users[id(file)]:
            return False
        del self._pipe_users[id(file)]
        return True

    def _begin_anew(self, fd: int) -> None:
        for pipe in self._pipes.pop(fd, ()):
            pipe._force_close(OSError(errno.EBADF, "the file was closed while a transport used it"))
        super()._begin_anew(fd)

    async def connect_read_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Read from ``pipe``, a file object; returns ``(transport, protocol)``.

        Raises ValueError for what is no pipe, socket or character device.
        """
        from .pipe import ReadPipe

        protocol = protocol_factory()
        opened = self.create_future()
        return await self._opened(ReadPipe(self, pipe, protocol, opened), protocol, opened)

    async def connect_write_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Write to ``pipe``, a file object; as ``connect_read_pipe``."""
        from .pipe import WritePipe

        protocol = protocol_factory()
        opened = self.create_future()
        return await self._opened(WritePipe(self, pipe, protocol, opened), protocol, opened)

    async def _opened(self, transport: Any, protocol: Any, opened: Any) -> tuple[Any, Any]:
        try:
            await opened
        except BaseException:
            if not self.is_closed():
                transport.close()
            raise
        return transport, protocol
