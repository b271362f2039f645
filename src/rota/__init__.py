"""rota: an async runtime for Python. It says whose turn it is.

The public door: every name that programs use, from the room where it lives.

    core/       the clockwork: future, task, handle, the ready list, timers, the turn
    executor    blocking functions in threads; threads the pool of a loop
    net/        what waits on file descriptors: sockets, TLS, pipes, servers, names
    proc/       child processes and signals
    loop, run   the loop with asyncio's face, and how to run a program on it
    program     a program found and run as __main__, for the command line
    lanes/      where work runs best: call and map; compare
    watch/      the inspector: stalls
    bench/      what operations cost, beside other loops
    fetch/      the downloader
    cli/        the command line: run, compare, fetch, bench
    errors      exceptions and their wording
    limits      numbers, each with the sentence that justifies it

Arrows point one way:
errors, limits <- core <- threads <- executor <- net, proc <- loop, run <- lanes <- fetch <- cli.
Lanes know watch, and cli knows bench.

The names that asyncio has mean what they mean there. Those that rota does not (yet) make itself are asyncio's own,
which run on rota's futures and tasks.
"""

import importlib as _importlib
import os as _os
import typing as _typing

if _os.environ.get("ROTA_PURE", "") not in ("", "0"):
    from . import pure as _pure

    _pure.install()
else:
    from . import subinterpreter as _subinterpreter

    _subinterpreter.refuse_compiled()

from asyncio import (
    TaskGroup,
    create_task,
    to_thread,
)

from .core import turn as _turn
from .core.clock import Clock
from .core.future import Future
from .core.handle import Handle, TimerHandle
from .core.policy import Policy
from .core.sleep import sleep
from .core.task import Task
from .errors import MissingExtra, RotaError, UsageError
from .loop import Loop
from .run import EventLoopPolicy, install, new_event_loop, run
from .version import VERSION as __version__

if _typing.TYPE_CHECKING:
    from .core.gather import gather
    from .core.timeout import Timeout, timeout, timeout_at
    from .lanes.door import call, explain, map  # noqa: A004 - rota.map is what it is
    from .lanes.errors import ClusterError, ClusterLost, RemoteError, RemoteTraceback, ShippingError, WorkerDied
    from .lanes.lanes import Lanes
    from .lanes.shipping import share
    from .lanes.word import cpu, io
    from .net.streams import (
        StreamReader,
        StreamReaderProtocol,
        StreamWriter,
        open_connection,
        open_unix_connection,
        start_server,
        start_unix_server,
    )

#: Names that are looked up when they are first asked for (:pep:`562`): a program that runs on rota and uses asyncio's
#: does not wait for them at its start.
_LATER = {
    ".core.gather": ("gather",),
    ".core.timeout": ("Timeout", "timeout", "timeout_at"),
    ".lanes.door": ("call", "explain", "map"),
    ".lanes.errors": ("ClusterError", "ClusterLost", "RemoteError", "RemoteTraceback", "ShippingError", "WorkerDied"),
    ".lanes.lanes": ("Lanes",),
    ".lanes.shipping": ("share",),
    ".lanes.word": ("cpu", "io"),
    ".net.streams": (
        "StreamReader",
        "StreamReaderProtocol",
        "StreamWriter",
        "open_connection",
        "open_unix_connection",
        "start_server",
        "start_unix_server",
    ),
}


def __getattr__(name: str) -> object:
    if name == "lanes":
        return _importlib.import_module(".lanes", __name__)
    for module, names in _LATER.items():
        if name in names:
            found = getattr(_importlib.import_module(module, __name__), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


#: Whether the hot modules run compiled.
COMPILED = not str(_turn.__file__).endswith(".py")

__all__ = [
    "COMPILED",
    "Clock",
    "ClusterError",
    "ClusterLost",
    "EventLoopPolicy",
    "Future",
    "Handle",
    "Lanes",
    "Loop",
    "MissingExtra",
    "Policy",
    "RemoteError",
    "RemoteTraceback",
    "RotaError",
    "ShippingError",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimerHandle",
    "UsageError",
    "WorkerDied",
    "__version__",
    "call",
    "cpu",
    "create_task",
    "explain",
    "gather",
    "install",
    "io",
    "lanes",
    "map",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "run",
    "share",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
]
