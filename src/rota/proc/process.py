"""``subprocess_exec`` and ``subprocess_shell``.

:class:`subprocess.Popen` starts the process, with every keyword that it has; ``child`` waits for its end, and
``transport`` is what the program gets. Popen's fork and exec are quick, but for a ``preexec_fn``: see ``preexec``.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .signals import Signals

if TYPE_CHECKING:
    from .child import Child


class Processes(Signals):
    """Starting child processes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._children: set[Child] = set()
        super().__init__(*args, **kwargs)

    def close(self) -> None:
        """Close the loop; children that outlive it are watched no more."""
        super().close()
        self._watch_nobody()

    def _leave_to_parent(self) -> None:
        """The children are the parent process's."""
        super()._leave_to_parent()
        self._watch_nobody()

    def _watch_nobody(self) -> None:
        for child in list(self._children):
            child.forget()

    def _signal_came(self, sig: int) -> None:
        """A handler of SIGCHLD may wait for any child: those of this loop that have ended are reaped before it runs."""
        if sig == signal.SIGCHLD and sig in self._signal_handlers:
            self.call_soon(self._reap_children)
        super()._signal_came(sig)

    def _reap_children(self) -> None:
        for child in list(self._children):
            child.reap()

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
        return await self._start_process(protocol_factory, (program, *args), False, stdin, stdout, stderr, kwargs)

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
        return await self._start_process(protocol_factory, cmd, True, stdin, stdout, stderr, kwargs)

    async def _start_process(
        self,
        protocol_factory: Callable[[], Any],
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        kwargs: dict[str, Any],
    ) -> tuple[Any, Any]:
        from .preexec import Preexec
        from .transport import SubprocessTransport

        protocol = protocol_factory()
        preexec = None
        if kwargs.get("preexec_fn") is not None:
            preexec = Preexec(kwargs["preexec_fn"])
            kwargs["preexec_fn"] = preexec
        try:
            self._wake_on_time(False)
            try:
                popen = subprocess.Popen(
                    args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0, **kwargs
                )
            finally:
                self._wake_on_time(True)
            try:
                transport = SubprocessTransport(self, protocol, popen)
            except BaseException:
                # Nothing can tell us of its end, so it ends here.
                popen.kill()
                with popen:
                    raise
            try:
                if preexec is not None:
                    await preexec.wait(self, kwargs.get("executable") or ("/bin/sh" if shell else args[0]))
                await transport.open()
            except GeneratorExit:
                # The loop is gone, and nobody can wait.
                transport.abandon()
                raise
            except BaseException:
                transport.abandon()
                await transport._wait()
                raise
        finally:
            if preexec is not None:
                preexec.close()
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
