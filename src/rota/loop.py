"""rota's event loop: the core's loop with asyncio's face. Assembly only.

Each room adds its methods to the core's loop: the threads of ``executor``, the sockets of ``net``, which ask names in
those threads, the processes and signals of ``proc``.
"""

from __future__ import annotations

import asyncio

from .core.clock import Clock
from .core.handle import Handle
from .core.policy import Policy
from .core.trouble import ExceptionHandler
from .net.pipes import Pipes
from .net.poller import Poller, new_poller
from .net.sendfile import Sendfile
from .net.tls import Tls
from .net.udp import Datagrams
from .net.unix import Unix
from .net.waker import Waker
from .proc.process import Processes


class Loop(  # type: ignore[misc]  # the stubs of AbstractEventLoop name asyncio's own classes; rota's stand in
    Processes, Unix, Datagrams, Sendfile, Tls, Pipes, ExceptionHandler, asyncio.AbstractEventLoop
):
    """An event loop for every program that is written for asyncio.

    ``policy`` says who of the ready runs next (``core.policy``), ``clock`` what time it is (``core.clock``), and
    ``poller`` looks at the file descriptors (``net.poller``): the defaults are first come first served, the system's
    monotonic clock, and the fastest poller that the system has. Timers go by the clock, not by a subclass's ``time()``.
    Raises UsageError for a policy that is none.
    """

    # What the rooms keep here. With it in slots a loop's dictionary is never made, unless a program sets attributes of
    # its own, and Python goes to the methods without a look into it: 266 instructions less a call on Python 3.13.
    __slots__ = (
        "_asyncgens",
        "_children",
        "_default_executor",
        "_ends_with",
        "_exception_handler",
        "_heard_before",
        "_lines",
        "_name_threads",
        "_objects",
        "_pipe_users",
        "_pipes",
        "_signal_handlers",
        "_threads",
        "_transports",
    )

    def __init__(
        self, *, policy: str | Policy = "fifo", clock: Clock | None = None, poller: Poller | None = None
    ) -> None:
        waker = Waker()
        try:
            poller = new_poller() if poller is None else poller
            super().__init__(poller, waker, clock, policy)
        except BaseException:
            waker.close()
            if poller is not None:
                poller.close()
            raise
        try:
            poller.add_reader(waker.waits_on(), Handle(waker.drain, (), self))
        except BaseException:
            # The kernel has no room for one more to watch.
            self.close()
            raise
