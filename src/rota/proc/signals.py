"""Signal handlers that run on the loop.

Python's C handler writes the number of each signal into the loop's waker; the loop reads it and makes the handler
ready. So a handler may do what any callback may, and a signal that comes while the loop does not run waits for it.
"""

from __future__ import annotations

import errno
import signal
import sys
import warnings
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from ..core.debugging import check_callback
from ..core.handle import Handle
from ..core.lifecycle import Lifecycle


class Signals(Lifecycle):
    """``add_signal_handler`` and ``remove_signal_handler``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._signal_handlers: dict[int, Handle] = {}
        super().__init__(*args, **kwargs)
        self._waker.on_signal = self._signal_came

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        """Call ``callback(*args)`` on the loop when ``sig`` comes, in place of what was done before.

        Raises ValueError for a number that is no signal, RuntimeError for one that can't be caught and outside the
        main thread.
        """
        check_callback(callback, "add_signal_handler")
        check_signal(sig)
        self._check_closed()
        try:
            # Told of signals from now on, running or not.
            self._take_wakeup_fd()
        except (ValueError, OSError) as error:
            raise RuntimeError(str(error)) from None
        self._signal_handlers[sig] = Handle(callback, args, self)
        try:
            # Python must have a handler, or its C handler writes nothing.
            signal.signal(sig, ignore)
            # System calls go on after the signal instead of failing with EINTR.
            signal.siginterrupt(sig, False)
        except OSError as error:
            del self._signal_handlers[sig]
            self._hear_nothing()
            raise refused(sig, error) from None

    def remove_signal_handler(self, sig: int) -> bool:
        """Do with ``sig`` what is done by default. False if there was no handler.

        Raises ValueError outside the main thread, and changes nothing then.
        """
        check_signal(sig)
        if sig not in self._signal_handlers:
            return False
        try:
            signal.signal(sig, default_of(sig))
        except OSError as error:
            raise refused(sig, error) from None
        del self._signal_handlers[sig]
        self._hear_nothing()
        return True

    def _hear_nothing(self) -> None:
        """With no handler left, a loop that does not run need not be told of signals."""
        if self.is_running():
            return
        try:
            self._stop_hearing()
        except (ValueError, OSError) as error:
            logger.info("set_wakeup_fd(-1) failed: %s", error)

    def _stop_hearing(self) -> None:
        """With a handler, a signal that comes from now on waits for the next run; without, nobody waits for it here."""
        if not self._signal_handlers:
            super()._stop_hearing()

    def _signal_came(self, sig: int) -> None:
        handle = self._signal_handlers.get(sig)
        if handle is None:
            return
        if handle.cancelled():
            self.remove_signal_handler(sig)
        else:
            # A handle of its own: a signal that came three times in a turn is handled three times.
            self.call_soon(handle._callback, *handle._args, context=handle._context)  # type: ignore[arg-type, misc]

    def close(self) -> None:
        """Close the loop; its signals do again what they do by default.

        Raises ValueError outside the main thread if there are handlers, and the loop stays open: they can't be taken
        away there, and Python would write signals to whatever file gets the number of the waker's.
        """
        if not self.is_running():
            if sys.is_finalizing() and self._signal_handlers:
                text = f"Closing the loop {self!r} on interpreter shutdown stage, skipping signal handlers removal"
                warnings.warn(text, ResourceWarning, source=self, stacklevel=2)
                self._signal_handlers.clear()
            for sig in list(self._signal_handlers):
                self.remove_signal_handler(sig)
        super().close()

    def _leave_to_parent(self) -> None:
        """In a forked child nobody reads the loop's waker: signals do what they do by default, such as ending it."""
        for sig in self._signal_handlers:
            signal.signal(sig, default_of(sig))
        self._signal_handlers.clear()
        super()._leave_to_parent()


def default_of(sig: int) -> Any:
    """What Python does on ``sig`` unless it is told otherwise."""
    return signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL


def ignore(sig: int, frame: object) -> None:
    """The handler that Python runs: the loop does the work."""


def refused(sig: int, error: OSError) -> Exception:
    """What to raise when the system does: RuntimeError for a signal that can't be caught, else ``error`` itself."""
    return RuntimeError(f"sig {sig} cannot be caught") if error.errno == errno.EINVAL else error


def check_signal(sig: object) -> None:
    """Raise TypeError or ValueError for what is no signal."""
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")
