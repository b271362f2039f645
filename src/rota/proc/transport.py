"""A child process as a transport: its pipes, its end, and the protocol that hears of both.

The protocol is told of everything in order: ``connection_made`` first, ``connection_lost`` once the process has ended
and all pipes are closed, and between them whatever comes, from the pipes at once and in the context in which the
transport was made.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import warnings
from asyncio.log import logger
from typing import Any

from .child import Child


class SubprocessTransport(asyncio.SubprocessTransport):
    """``popen``'s process, which has been started. ``open`` connects its pipes and tells the protocol."""

    def __init__(self, loop: Any, protocol: Any, popen: subprocess.Popen[bytes]) -> None:
        super().__init__({"subprocess": popen})
        self._loop = loop
        self._protocol = protocol
        self._popen = popen
        self._context = contextvars.copy_context()
        self._pipes: dict[int, PipeEnd] = {}
        # What the protocol has to hear, until it has heard of the beginning.
        self._untold: list[tuple[str, tuple[Any, ...]]] | None = [("connection_made", (self,))]
        self._returncode: int | None = None
        self._waiters: list[Any] = []
        self._closed = False
        self._finished = False  # connection_lost() is on its way, or was called
        for file in self._files():
            if file is not None:
                loop._begin_anew(file.fileno())
        self._child: Child | None = Child(loop, popen, self._process_exited, self._context)
        if loop.get_debug():
            args: Any = popen.args
            program = args if isinstance(args, (bytes, str)) else args[0]
            logger.debug("process %r created: pid %s", program, popen.pid)

    async def open(self) -> None:
        """Connect the pipes and call the protocol's ``connection_made``."""
        for fd, file in enumerate(self._files()):
            if file is not None:
                end = self._pipes[fd] = PipeEnd(self, fd)
                connect = self._loop.connect_read_pipe if fd else self._loop.connect_write_pipe
                await connect(end.itself, file)
        opened = self._loop.create_future()
        self._loop.call_soon(self._tell_all, opened, context=self._context)
        await opened

    def abandon(self) -> None:
        """The start has failed: end the process. A protocol that has not heard of it won't."""
        if self._untold is not None:
            self._untold = None
            self._protocol = asyncio.SubprocessProtocol()
        for fd, file in enumerate(self._files()):
            if file is not None and (fd not in self._pipes or self._pipes[fd].transport is None):
                self._pipes.pop(fd, None)
                file.close()
        self.close()
        self._try_finish()

    def _files(self) -> tuple[Any, Any, Any]:
        return (self._popen.stdin, self._popen.stdout, self._popen.stderr)

    # -- what the protocol hears --------------------------------------------------------------------------------

    def _tell(self, what: str, *args: Any) -> None:
        if self._untold is None:
            getattr(self._protocol, what)(*args)
        else:
            self._untold.append((what, args))

    def _tell_all(self, opened: Any) -> None:
        """The beginning, and what has come since."""
        try:
            while self._untold:
                what, args = self._untold.pop(0)
                try:
                    getattr(self._protocol, what)(*args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self._loop.call_exception_handler(
                        {
                            "message": f"protocol.{what}() failed",
                            "exception": error,
                            "transport": self,
                            "protocol": self._protocol,
                        }
                    )
        finally:
            if self._untold:
                # An interrupt: the rest when the loop is run again.
                self._loop.call_soon(self._tell_all, opened, context=self._context)
            elif self._untold is not None:  # not abandoned
                self._untold = None
                if not opened.done():
                    opened.set_result(None)
                self._try_finish()

    def _pipe_connection_lost(self, fd: int, error: BaseException | None) -> None:
        if self._finished:  # a pipe that was still being connected when the start failed
            return
        try:
            self._tell("pipe_connection_lost", fd, error)
        finally:
            self._try_finish()

    def _process_exited(self, returncode: int) -> None:
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, returncode)
        self._returncode = returncode
        try:
            self._tell("process_exited")
        finally:
            self._try_finish()

    def _try_finish(self) -> None:
        if self._returncode is None or self._untold is not None or self._finished:
            return
        if all(end.disconnected for end in self._pipes.values()):
            self._finished = True
            self._loop.call_soon(self._call_connection_lost, context=self._context)

    def _call_connection_lost(self) -> None:
        try:
            self._protocol.connection_lost(None)
        finally:
            self._child = None
            self._protocol = None
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(self._returncode)
            self._waiters.clear()

    # -- asyncio.SubprocessTransport ----------------------------------------------------------------------------

    def get_pid(self) -> int:
        return self._popen.pid

    def get_returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> Any:
        """The transport of the child's stdin (0), stdout (1) or stderr (2); None for what is no pipe."""
        end = self._pipes.get(fd)
        return None if end is None else end.transport

    def send_signal(self, signal: int) -> None:
        """Send ``signal``. Raises ProcessLookupError once all is over."""
        self._check_ours()
        if self._child is None:
            raise ProcessLookupError
        self._child.send_signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM; as ``send_signal``."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL; as ``send_signal``."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the pipes and kill the process if it runs."""
        if self._closed:
            return
        self._check_ours()
        self._closed = True
        try:
            # With the loop closed nobody could be told: the pipes then close with their transports.
            if not self._loop.is_closed():
                for end in self._pipes.values():
                    if end.transport is not None:
                        end.transport.close()
        finally:
            self._kill_running()

    def _check_ours(self) -> None:
        """Raise RuntimeError in a forked child: the process is its parent's."""
        if self._loop._inherited:
            self._loop._check_closed()

    def _kill_running(self) -> None:
        if self._child is not None and not self._child.reap():
            if self._loop.get_debug():
                logger.warning("Close running child process: kill %r", self)
            try:
                self._popen.kill()
            except (ProcessLookupError, PermissionError):
                # It has ended just now, or runs with another user's rights.
                pass

    def is_closing(self) -> bool:
        return self._closed

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """Tell ``protocol`` what comes from now on."""
        self._protocol = protocol

    async def _wait(self) -> int | None:
        """The return code, when all is over. :class:`asyncio.subprocess.Process` calls this."""
        if self._returncode is not None:
            return self._returncode
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        code: int | None = await waiter
        return code

    def __del__(self) -> None:
        if getattr(self, "_child", None) is not None and not self._closed and not self._loop._inherited:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self, stacklevel=2)
            # The pipes, which say the same of themselves, close with their transports.
            self._closed = True
            self._kill_running()

    def __repr__(self) -> str:
        words = [type(self).__name__]
        if self._closed:
            words.append("closed")
        words.append(f"pid={self._popen.pid}")
        words.append("running" if self._returncode is None else f"returncode={self._returncode}")
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            if fd in self._pipes:
                words.append(f"{name}={self._pipes[fd].transport!r}")
        return f"<{' '.join(words)}>"


class PipeEnd(asyncio.Protocol):
    """The protocol of one of the child's pipes: passes on what it hears."""

    def __init__(self, process: SubprocessTransport, fd: int) -> None:
        self._process = process
        self._fd = fd
        self.transport: Any = None
        self.disconnected = False

    def itself(self) -> PipeEnd:
        """As a protocol factory."""
        return self

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._process._tell("pipe_data_received", self._fd, data)

    def connection_lost(self, error: BaseException | None) -> None:
        self.disconnected = True
        self._process._pipe_connection_lost(self._fd, error)

    def pause_writing(self) -> None:
        self._process._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._process._protocol.resume_writing()
