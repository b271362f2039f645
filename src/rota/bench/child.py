"""Child: one figure, in a process of its own.

    python -m rota.bench.child LOOP OPERATION SECONDS

Prints the seconds of CPU time per operation. It ends when stdin does, with all that it has started.
"""

from __future__ import annotations

import sys

from . import echo, operations
from .machine import stay_on
from .patience import be_patient, end_with_parent


def main() -> None:
    loop, operation, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    be_patient()
    end_with_parent()
    if operation in echo.ECHOES:
        kind, _ = echo.ECHOES[operation]
        figure = echo.measure(loop, kind, seconds)
    else:
        stay_on(1)
        figure = operations.measure(loop, operation, seconds)
    sys.stdout.write(f"{figure}\n")


if __name__ == "__main__":
    main()
