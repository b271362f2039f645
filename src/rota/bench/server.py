"""Server: an echo server in a process of its own.

    python -m rota.bench.server LOOP KIND

Says its port on stdout, and for each line on stdin the seconds of CPU that it has used. It ends when stdin does, and so
never outlives who started it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

from .echo import serve
from .machine import stay_on
from .peers import maker


def main() -> None:
    loop, kind = sys.argv[1:]
    stay_on(1)
    with asyncio.Runner(loop_factory=maker(loop)) as runner:
        runner.run(serve(kind, begin))


def begin(port: int) -> None:
    say(port)
    threading.Thread(target=answer, daemon=True).start()


def answer() -> None:
    """It sleeps beside the loop: not every loop can watch a pipe."""
    for _ in sys.stdin:
        say(time.process_time())
    os._exit(0)


def say(what: float) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
