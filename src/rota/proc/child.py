"""A child process: how the loop learns that it has ended, and how it is sent a signal.

A pidfd (Linux 5.3) becomes readable when its process ends, like any file: no thread and nothing to do with SIGCHLD.
Where there is none, an old kernel or a sandbox, a thread waits for the end. Either way the child is reaped on the loop,
at one place, so that its number is not free for another process before the loop has let go of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from asyncio.log import logger
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ..core.handle import Handle

UNKNOWN = 255  # the exit code of a child that somebody else has waited for, as in asyncio


class Child:
    """``popen``'s process. ``ended(returncode)`` is called on ``loop``, in ``context``, when it has ended.

    Return codes are counted as :class:`subprocess.Popen` does: negative for a signal.
    """

    def __init__(
        self, loop: Any, popen: subprocess.Popen[bytes], ended: Callable[[int], None], context: Context
    ) -> None:
        self._loop = loop
        self._popen = popen
        self._ended = ended
        self._pidfd = -1
        try:
            self._pidfd = os.pidfd_open(popen.pid)
            loop._begin_anew(self._pidfd)
            loop._poller.add_reader(self._pidfd, Handle(self._collect, (), loop, context))
        except (AttributeError, OSError):
            self._close_pidfd()
            name = f"rota-waitpid-{popen.pid}"
            threading.Thread(target=self._wait_in_thread, args=(context,), name=name, daemon=True).start()
        loop._children.add(self)

    def send_signal(self, number: int) -> None:
        """Send signal ``number``, unless the child has ended. Raises PermissionError if that is not allowed."""
        if self._popen.returncode is not None:
            return
        try:
            if self._pidfd >= 0:
                # Never to a stranger, even if somebody else has reaped the child and its number is in use again.
                signal.pidfd_send_signal(self._pidfd, number)
            else:
                os.kill(self._popen.pid, number)
        except ProcessLookupError:
            pass

    def reap(self) -> bool:
        """Keep the return code if the child has ended; whether it has."""
        popen = self._popen
        if popen.returncode is not None:
            # Popen itself was faster: it has a look before it sends a signal.
            return True
        try:
            pid, status = os.waitpid(popen.pid, os.WNOHANG)
        except ChildProcessError:
            # SIGCHLD is ignored, or somebody waits for any child.
            logger.warning(
                "child process pid %d exit status already read: will report returncode %d", popen.pid, UNKNOWN
            )
            popen.returncode = UNKNOWN
            return True
        if pid == 0:
            return False
        popen.returncode = os.waitstatus_to_exitcode(status)
        return True

    def forget(self) -> None:
        """Watch no more: the child has ended, or the loop is closed."""
        self._loop._children.discard(self)
        self._close_pidfd()

    def _collect(self) -> None:
        if self.reap():
            if self._pidfd >= 0:
                self._loop._poller.remove_reader(self._pidfd)
            self.forget()
            self._ended(self._popen.returncode)

    def _close_pidfd(self) -> None:
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)

    def _wait_in_thread(self, context: Context) -> None:
        """Wait for the end and leave the return code for the loop to read; where that can't be, Popen keeps it."""
        try:
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
            else:
                self._popen.wait()
        except ChildProcessError:
            pass  # reaped by somebody else; the loop will see that, too
        try:
            self._loop.call_soon_threadsafe(self._collect, context=context)
        except RuntimeError:
            # The loop was closed before its child ended.
            logger.warning("Loop %r that handles pid %r is closed", self._loop, self._popen.pid)
            self._popen.poll()
