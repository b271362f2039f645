"""Put another loop where asyncio has its own, so that tests which only know asyncio run on it.

:func:`wear` changes what asyncio itself hands out: ``asyncio.new_event_loop()``, ``asyncio.run()``, ``asyncio.Runner``,
``IsolatedAsyncioTestCase`` and a plain ``asyncio.SelectorEventLoop()`` then give the loop by that name. It must be
called before the tests are imported. Nothing of a test is changed.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

#: The names; "rota" is compiled or plain as ROTA_PURE says.
LOOPS = ("asyncio", "uvloop", "rota")


def wear(name: str) -> None:
    """Let asyncio hand out the loop called ``name``."""
    if name == "asyncio":
        return
    if name == "uvloop":
        import uvloop

        stand_in(uvloop.Loop)
    elif name == "rota":
        stand_in(rota_loop())
        forgive()
    else:
        raise SystemExit(f"{name!r} is not one of {', '.join(LOOPS)}")


#: Calls that blockbuster, under which some suites run, forgives asyncio by the names of asyncio's files. rota makes the
#: same ones from its own.
FORGIVEN = [
    ("os.read", "rota/proc/process.py", "_start_process"),
    ("os.sendfile", "rota/net/sendfile.py", "send_blocks"),
    ("os.stat", "rota/net/binding.py", "remove_stale"),
    ("os.stat", "rota/net/unix.py", "inode_of"),
    ("os.unlink", "rota/net/unix.py", "close"),
]


def forgive() -> None:
    """Let blockbuster, if it is there, know rota's files as it knows asyncio's."""
    try:
        from blockbuster import BlockBuster
    except ImportError:
        return
    made = BlockBuster.__init__

    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        for call, file, function in FORGIVEN:
            self.functions[call].can_block_in(file, function)

    BlockBuster.__init__ = make


def stand_in(loop: Any) -> None:
    """Put the class ``loop`` under every name by which asyncio knows its own."""
    names = ("SelectorEventLoop", "EventLoop")
    for module in (asyncio, asyncio.unix_events):
        for known in names:
            if hasattr(module, known):
                setattr(module, known, loop)
    asyncio.unix_events._UnixDefaultEventLoopPolicy._loop_factory = loop  # type: ignore[attr-defined]


def rota_loop() -> Any:
    """rota's loop with the signature of asyncio's: it may be given a selector."""
    import rota
    from rota.net.poller.selector import Selector

    class SelectorEventLoop(rota.Loop):
        def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
            if isinstance(selector, selectors.EpollSelector):
                # rota has its own for that.
                selector.close()
                selector = None
            super().__init__(poller=None if selector is None else Selector(selector))

    return SelectorEventLoop
