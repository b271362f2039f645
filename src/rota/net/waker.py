"""End the loop's sleep from another thread or from a signal: one byte into a socket pair.

Python's C signal handler writes the number of each signal to the same end (:func:`signal.set_wakeup_fd`), so whoever
drains the other end learns which signals came.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

DRAIN = 4096  # bytes at once: more wake-ups than that have one effect all the same


class Waker:
    """A socket pair; the loop waits for one end and everybody else writes to the other."""

    def __init__(self) -> None:
        self._hears, self._says = socket.socketpair()
        self._hears.setblocking(False)
        self._says.setblocking(False)
        #: Called on the loop with the number of each signal that came; None when nobody handles them there.
        self.on_signal: Callable[[int], object] | None = None

    def fileno(self) -> int:
        """The end to write to, for the signal handler."""
        return self._says.fileno()

    def waits_on(self) -> int:
        """The end that the loop waits for."""
        return self._hears.fileno()

    def wake(self) -> None:
        """End the sleep. From any thread, and after ``close`` too."""
        try:
            self._says.send(b"\0")
        except OSError:
            # Full: it is awake already. Closed: there is nobody to wake.
            pass

    def drain(self) -> None:
        """Read what woke the loop, and tell ``on_signal`` of the signals among it."""
        try:
            said = self._hears.recv(DRAIN)
        except (BlockingIOError, InterruptedError):
            return
        if self.on_signal is not None:
            for number in said:
                if number:
                    self.on_signal(number)

    def close(self) -> None:
        self.on_signal = None  # a method of the loop, which has this waker
        self._hears.close()
        self._says.close()
