"""Each system call of a small echo fails, one after the other: one connection is told, and nothing else breaks.

``echo.py`` says what must hold after each fault. By default some of the calls are tried, evenly; ``ROTA_FAULTS=every``
tries each one. The faults are injected below Python (``injector.c``), so compiled rota, plain rota and asyncio are held
to the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ECHO = Path(__file__).with_name("echo.py")
ROOT = ECHO.parents[2]

#: What each call can really answer, and how many of them the scenario makes at least on TCP.
FAULTS: dict[str, tuple[list[str], int]] = {
    "recv": (["EINTR", "EAGAIN", "ECONNRESET", "ETIMEDOUT", "ENOMEM", "ENOBUFS"], 20),
    "send": (["EINTR", "EAGAIN", "EPIPE", "ECONNRESET", "ETIMEDOUT", "ENOMEM", "ENOBUFS"], 20),
    "accept4": (["EINTR", "EAGAIN", "ECONNABORTED", "EPROTO", "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"], 4),
    "epoll_wait": (["EINTR"], 10),
    "epoll_ctl": (["ENOMEM", "ENOSPC"], 10),
    "epoll_create1": (["EMFILE", "ENFILE", "ENOMEM"], 1),
    "socket": (["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"], 4),
    "socketpair": (["EMFILE", "ENFILE"], 1),
    "connect": (["ECONNREFUSED", "ENETUNREACH", "ENOMEM"], 3),
    "getsockopt": (["ENOBUFS"], 3),
    "setsockopt": (["ENOMEM"], 6),
    "getsockname": (["ENOBUFS"], 6),
    "getpeername": (["ENOTCONN"], 3),
}

#: Of so many calls one fails, by the wire. A TLS handshake takes long.
EVERY = {"tcp": 3, "unix": 5, "tls": 9}

#: asyncio leaves a client waiting for ever (epoll_ctl, setsockopt), leaves a file open (socketpair) or says that it
#: could not bind when there was no file descriptor to be had (socket); and it knows no connection that the network took
#: back before it was accepted but ECONNABORTED's.
ASYNCIO_FAILS = ("epoll_ctl", "epoll_create1", "setsockopt", "socketpair", "socket")

CASES = [("rota", wire, function) for wire in EVERY for function in FAULTS] + [
    ("asyncio", "tcp", function) for function in FAULTS if function not in ASYNCIO_FAILS
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "wire", "function"), CASES)
def test_a_system_call_that_fails(injector, kind, wire, function):
    errors, least = FAULTS[function]
    if kind == "asyncio":
        errors = [name for name in errors if name != "EPROTO"]
    every = 1 if os.environ.get("ROTA_FAULTS") == "every" else EVERY[wire]
    command = [sys.executable, "-W", "error", str(ECHO), kind, wire, function, ",".join(errors), str(every)]
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {injector}".strip(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == {}
    assert "Exception ignored" not in done.stderr
    if wire == "tcp":
        assert found["calls"] >= least, "the scenario does not come by here: nothing was tested"
