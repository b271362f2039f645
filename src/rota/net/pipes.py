"""``connect_read_pipe`` and ``connect_write_pipe``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.lifecycle import Lifecycle
from .pipe import ReadPipe, WritePipe


class Pipes(Lifecycle):
    """Pipes, terminals and the like as transports."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: How many transports use a file, by its id(): the last one closes it.
        self._pipe_users: dict[int, int] = {}
        super().__init__(*args, **kwargs)

    async def connect_read_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Read from ``pipe``, a file object; returns ``(transport, protocol)``.

        Raises ValueError for what is no pipe, socket or character device.
        """
        protocol = protocol_factory()
        opened = self.create_future()
        return await self._opened(ReadPipe(self, pipe, protocol, opened), protocol, opened)

    async def connect_write_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Write to ``pipe``, a file object; as ``connect_read_pipe``."""
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
