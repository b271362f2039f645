"""``preexec_fn`` without a loop that stands still.

Popen forks and then reads from a pipe until the child has begun its program or says why it can't. That takes as long
as ``preexec_fn`` does, and everybody on the loop would wait for it. A thread that calls Popen is no way out: the child
would be a copy of a process whose other threads, the loop's among them, hold locks in the middle of something; and a
``preexec_fn`` that asks for a signal at its parent's death (``PR_SET_PDEATHSIG``, what many are written for) gets it
when that thread ends.

So the fork stays with the loop's thread and only the wait is moved. :class:`Preexec` runs in the child before the
program's function and puts a pipe of its own in the place of Popen's: Popen sees the end of its pipe at once and
returns, and whatever the child has to say goes to a pipe that the loop watches. Popen's pipe is found by name in the
frame that called; where a Python calls it something else, Popen waits as it always has, and all else is the same.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ..core.handle import Handle

REPORT_SIZE = 50_000  # bytes at once, as Popen reads them


class Preexec:
    """``function``, to be given to Popen as ``preexec_fn``; ``wait`` is for after that."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._report, end = os.pipe()
        try:
            # Not 0, 1 or 2, which may be free here: there the child has its files when it calls us.
            self._child_end = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3)
        except OSError:
            os.close(self._report)
            raise
        finally:
            os.close(end)

    def __call__(self) -> None:
        """In the child."""
        popens_end = sys._getframe(1).f_locals.get("errpipe_write")
        if popens_end is not None:
            os.dup2(self._child_end, popens_end, inheritable=False)
        self._function()

    async def wait(self, loop: Any, program: Any) -> None:
        """Wait until the child runs its program. Raises what Popen would raise if it can't."""
        os.close(self._child_end)
        self._child_end = -1
        report = bytearray()
        ended = loop.create_future()
        hearing = Handle(self._hear, (report, ended), loop)
        loop._begin_anew(self._report)
        loop._poller.add_reader(self._report, hearing)
        try:
            await ended
        finally:
            loop._poller.remove_reader(self._report)
            # It may be ready once more, and the number another file's by then.
            hearing.cancel()
        if report:
            raise failure(bytes(report), program)

    def _hear(self, report: bytearray, ended: Any) -> None:
        part = os.read(self._report, REPORT_SIZE)
        report += part
        if not part and not ended.done():
            ended.set_result(None)

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._report)
        if self._child_end >= 0:
            os.close(self._child_end)


def failure(report: bytes, program: Any) -> BaseException:
    """What the child says: the name of an exception, an errno in hexadecimal, and a text."""
    try:
        name, number, text = report.decode().split(":", 2)
        kind = getattr(builtins, name, subprocess.SubprocessError)
        code = int(number, 16)
    except ValueError:
        return subprocess.SubprocessError(f"Bad exception data from child: {report!r}")
    if code:
        return OSError(code, os.strerror(code), program)
    error: BaseException = kind(text)
    return error
