"""Child processes: ``subprocess_exec`` and ``subprocess_shell``.

The transport is asyncio's (:mod:`asyncio.base_subprocess`), with :class:`subprocess.Popen` inside. What rota adds is
how it learns that a child has ended: by its pidfd (Linux 5.3), which becomes readable like any file, so there is no
thread and nothing to do with SIGCHLD; where there is no pidfd, a thread waits for the child.
"""

from __future__ import annotations

import os
import subprocess
import threading
from asyncio import base_subprocess
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from ..core.handle import Handle
from ..core.lifecycle import Lifecycle

UNKNOWN = 255  # the exit status of a child that somebody else has waited for, as in asyncio


class Process(base_subprocess.BaseSubprocessTransport):
    """A child and its pipes."""

    def _start(self, args: Any, shell: bool, stdin: Any, stdout: Any, stderr: Any, bufsize: int, **kwargs: Any) -> None:
        self._proc = subprocess.Popen(
            args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=bufsize, **kwargs
        )
        watch(self._loop, self._proc, self._process_exited)


def watch(loop: Any, child: subprocess.Popen[bytes], ended: Callable[[int], None]) -> None:
    """Call ``ended(returncode)`` on ``loop`` once ``child`` has ended."""
    try:
        pidfd = os.pidfd_open(child.pid)
        loop._pidfds.add(pidfd)
    except (AttributeError, OSError):
        name = f"rota-waitpid-{child.pid}"
        threading.Thread(target=wait_in_thread, args=(loop, child, ended), name=name, daemon=True).start()
        return

    def collect() -> None:
        loop._poller.remove_reader(pidfd)
        loop._pidfds.discard(pidfd)
        os.close(pidfd)
        ended(wait(child))

    loop._poller.add_reader(pidfd, Handle(collect, (), loop))


def wait_in_thread(loop: Any, child: subprocess.Popen[bytes], ended: Callable[[int], None]) -> None:
    returncode = wait(child)
    try:
        loop.call_soon_threadsafe(ended, returncode)
    except RuntimeError:
        # The loop was closed before its child ended.
        logger.warning("Loop %r that handles pid %r is closed", loop, child.pid)


def wait(child: subprocess.Popen[bytes]) -> int:
    """The return code of ``child``, as :class:`subprocess.Popen` counts: negative for a signal."""
    try:
        _, status = os.waitpid(child.pid, 0)
    except ChildProcessError:
        if child.returncode is not None:
            # Popen was faster: it has a look before it sends a signal.
            return int(child.returncode)
        # SIGCHLD is ignored, or somebody waits for any child.
        logger.warning("child process pid %d exit status already read: will report returncode %d", child.pid, UNKNOWN)
        return UNKNOWN
    return os.waitstatus_to_exitcode(status)


class Processes(Lifecycle):
    """Starting child processes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pidfds: set[int] = set()
        super().__init__(*args, **kwargs)

    def close(self) -> None:
        """Close the loop; children that outlive it are watched no more."""
        super().close()
        self._watch_nobody()

    def _disown(self) -> None:
        """The children are the parent process's."""
        super()._disown()
        self._watch_nobody()

    def _watch_nobody(self) -> None:
        while self._pidfds:
            os.close(self._pidfds.pop())

    async def subprocess_exec(
        self,
        protocol_factory: Callable[[], Any],
        program: Any,
        *args: Any,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = False,
        bufsize: int = 0,
        encoding: None = None,
        errors: None = None,
        text: None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Run ``program`` with ``args``; returns ``(transport, protocol)``. More keywords go to Popen.

        Raises ValueError for text modes, which pipes of bytes don't have, and what Popen raises.
        """
        check_bytes(universal_newlines, bufsize, encoding, errors, text)
        if shell:
            raise ValueError("shell must be False")
        return await self._start_process(
            protocol_factory, (program, *args), False, stdin, stdout, stderr, bufsize, kwargs
        )

    async def subprocess_shell(
        self,
        protocol_factory: Callable[[], Any],
        cmd: str | bytes,
        *,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = True,
        bufsize: int = 0,
        encoding: None = None,
        errors: None = None,
        text: None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Run the command line ``cmd`` in a shell; as ``subprocess_exec``."""
        if not isinstance(cmd, (bytes, str)):
            raise ValueError(f"cmd must be a string, not {cmd!r}")
        check_bytes(universal_newlines, bufsize, encoding, errors, text)
        if not shell:
            raise ValueError("shell must be True")
        return await self._start_process(protocol_factory, cmd, True, stdin, stdout, stderr, bufsize, kwargs)

    async def _start_process(
        self,
        protocol_factory: Callable[[], Any],
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        kwargs: dict[str, Any],
    ) -> tuple[Any, Any]:
        protocol = protocol_factory()
        started: Any = self.create_future()
        loop: Any = self
        transport = Process(
            loop, protocol, args, shell, stdin, stdout, stderr, bufsize, waiter=started, extra=None, **kwargs
        )
        try:
            await started
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        return transport, protocol


def check_bytes(universal_newlines: Any, bufsize: Any, encoding: Any, errors: Any, text: Any) -> None:
    """Raise ValueError for what would make the pipes carry anything but bytes. asyncio's words."""
    if universal_newlines:
        raise ValueError("universal_newlines must be False")
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")
