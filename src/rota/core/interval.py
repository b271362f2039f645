"""How soon a thread that computes gives the interpreter back to the loop.

A thread that has slept, as the loop does for a message, waits for the interpreter's lock until whoever computes has
had it for ``sys.getswitchinterval()``, 5 ms: beside one such thread a loop answers 200 times a second, however little
it has to do. So while its sleeps end with long waits, the loop asks for a shorter interval; there is no switch without
somebody who waits. The program's own interval is put back when that is over, and when the loop stops.
"""

from __future__ import annotations

import sys

from .. import limits

SHORTENED = limits.SWITCH_INTERVAL
LONG = limits.SWITCH_LONG_WAIT
OFTEN = limits.SWITCH_OFTEN
QUIET = limits.SWITCH_QUIET
MICROSECOND = 1e-6


class SwitchInterval:
    """The interpreter's switch interval, as one loop needs it."""

    __slots__ = ("_before", "_long", "_short")

    def __init__(self) -> None:
        self._before = 0.0  # the program's interval, while it is shortened
        self._long = 0  # long waits, without many short ones between them
        self._short = 0  # short waits since the last long one

    def slept(self, waited: float) -> None:
        """The loop has slept and then waited so many seconds for the interpreter."""
        if waited >= LONG:
            self._short = 0
            if self._long < OFTEN:
                self._long += 1
            # Again, when another loop has had it short, and has put it back.
            if self._long == OFTEN and not self._before:
                self._shorten()
        elif self._long:
            self._short += 1
            if self._short == QUIET:
                self.restore()

    def restore(self) -> None:
        """Put the program's interval back, unless it has set another one since."""
        self._long = 0
        self._short = 0
        if self._before:
            if sys.getswitchinterval() == SHORTENED:
                # Python cuts it to whole microseconds: what it has given, a float, may be a little less than that.
                sys.setswitchinterval(self._before + MICROSECOND / 2)
            self._before = 0.0

    def _shorten(self) -> None:
        interval = sys.getswitchinterval()
        if interval > SHORTENED:
            self._before = interval
            sys.setswitchinterval(SHORTENED)
