"""End the loop's sleep from another thread or from a signal: one byte into a socket pair.

Python's C signal handler writes the number of each signal to the same end (:func:`signal.set_wakeup_fd`), so whoever
drains the other end learns which signals came.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from . import syscalls

DRAIN = 4096  # bytes at once: more wake-ups than that have one effect all the same


class Waker:
    """A socket pair; the loop waits for one end and everybody else writes to the other.

    Compiled, the GIL is kept meanwhile: who wakes the loop would otherwise wait for it to have it back.
    """

    __slots__ = ("_hears", "_hears_fd", "_says", "_says_fd", "on_signal")

    def __init__(self) -> None:
        self._hears, self._says = socket.socketpair()
        self._hears.setblocking(False)
        self._says.setblocking(False)
        self._hears_fd = self._hears.fileno()
        self._says_fd = self._says.fileno()
        #: Called on the loop with the number of each signal that came; None when nobody handles them there.
        self.on_signal: Callable[[int], object] | None = None

    def fileno(self) -> int:
        """The end to write to, for the signal handler; -1 after ``close``."""
        return self._says_fd

    def waits_on(self) -> int:
        """The end that the loop waits for."""
        return self._hears_fd

    def wake(self) -> bool:
        """End the sleep. From any thread, and after ``close`` too. False if the kernel has refused: the next call is
        to try again.
        """
        try:
            syscalls.send_one(self._says, self._says_fd, b"\0")  # full: it is awake already
        except OSError:
            return False
        return True

    def drain(self) -> None:
        """Read what woke the loop, and tell ``on_signal`` of the signals among it."""
        said = syscalls.recv_some(self._hears, self._hears_fd, DRAIN)
        if said and self.on_signal is not None:
            for number in said:
                if number:
                    self.on_signal(number)

    def close(self) -> None:
        self.on_signal = None  # a method of the loop, which has this waker
        self._hears_fd = self._says_fd = -1
        self._hears.close()
        self._says.close()
