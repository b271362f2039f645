"""Run one piece of work until it is done or a signal stops it, so that a command ends cleanly either way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

#: Ctrl-C, and what ``kill``, systemd and container runtimes send first.
STOPPING = (signal.SIGINT, signal.SIGTERM)


async def attend(work: Coroutine[Any, Any, object]) -> bool:
    """Run ``work``; on SIGINT or SIGTERM cancel it, wait until it has cleaned up, and return ``False``.

    More signals meanwhile change nothing.

    What ``work`` raises is raised. Only in the main thread, on the running loop.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)

    def stop() -> None:
        # Once: a second cancellation would cut the cleaning up short.
        if not task.cancelling():
            task.cancel()

    for number in STOPPING:
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled() or (current := asyncio.current_task()) is None or current.cancelling():
            raise
        return False
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
    return True
