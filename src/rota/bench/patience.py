"""Patience: how long a process of ``rota bench`` lives."""

from __future__ import annotations

import os
import signal
import threading

#: Seconds: several times what the longest figure takes, with ``MOST_SECONDS``, on a slow machine.
PATIENCE = 60


def be_patient() -> None:
    """Have the system end this process if it is still there after a minute: it stands still."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)


def end_with_parent() -> None:
    """End this process and its group when stdin ends, which the parent holds open as long as it waits."""
    threading.Thread(target=wait_for_the_end, name="parent watch", daemon=True).start()


def wait_for_the_end() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)
