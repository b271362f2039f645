"""Patience: the longest that a process of ``rota bench`` lives."""

from __future__ import annotations

import signal

#: Seconds: several times what the longest figure takes, with ``MOST_SECONDS``, on a slow machine.
PATIENCE = 60


def be_patient() -> None:
    """Have the system end this process if it is still there after a minute: it stands still, or nobody waits for it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
