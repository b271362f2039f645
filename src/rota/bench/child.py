"""Child: one figure, in a process of its own.

    python -m rota.bench.child LOOP OPERATION SECONDS

Prints the seconds of CPU time per operation. It ends when stdin does, with all that it has started.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from . import echo, operations
from .machine import stay_on
from .peers import maker


def main() -> None:
    loop, operation, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    threading.Thread(target=end_with_parent, name="parent watch", daemon=True).start()
    if operation in echo.ECHOES:
        kind, _ = echo.ECHOES[operation]
        figure = echo.measure(loop, kind, seconds)
    else:
        stay_on(1)
        figure = operations.measure(maker(loop), operation, seconds)
    sys.stdout.write(f"{figure}\n")


def end_with_parent() -> None:
    """The parent holds the other end of stdin for as long as it waits."""
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
