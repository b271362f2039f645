"""Each system call of a small echo fails, one after the other: one connection is told, and nothing else breaks. The
same for pipes and datagrams.

``echo.py``, ``pipes.py`` and ``datagrams.py`` say what must hold after each fault. By default some of the calls are
tried, evenly; ``ROTA_FAULTS=every`` tries each one. The faults are injected below Python (``injector.c``), so compiled
rota, plain rota and asyncio are held to the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

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


#: The same for what is no stream. Every scenario is one process for all of its functions.
PIPE_FAULTS = {
    "read": (["EINTR", "EAGAIN", "EIO", "ENOMEM"], 10),
    "write": (["EINTR", "EAGAIN", "EPIPE", "EIO", "ENOMEM"], 10),
    "epoll_ctl": (["ENOMEM", "ENOSPC"], 6),
}
DATAGRAM_FAULTS = {
    "recvfrom": (["EINTR", "EAGAIN", "ECONNREFUSED", "ENOMEM", "ENOBUFS"], 60),
    "sendto": (["EINTR", "EAGAIN", "ENOBUFS", "ECONNREFUSED", "EMSGSIZE", "ENOMEM"], 40),
    "send": (["EINTR", "EAGAIN", "ENOBUFS", "ECONNREFUSED", "EMSGSIZE", "ENOMEM"], 20),
}
OTHERS = {
    # script and scenario: (faults, of so many calls one fails)
    ("pipes.py", "pipes"): (PIPE_FAULTS, 2),
    ("pipes.py", "children"): (PIPE_FAULTS, 3),
    ("datagrams.py", "udp"): (DATAGRAM_FAULTS, 7),
    ("datagrams.py", "unix"): (DATAGRAM_FAULTS, 11),
}


def play(injector: Path, script: str, *arguments: str) -> Any:
    """What a script says that it found, with the injector beneath it."""
    command = [sys.executable, "-W", "error", str(HERE / script), *arguments]
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {injector}".strip(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
    return json.loads(done.stdout)


def one_in(number: int) -> str:
    return "1" if os.environ.get("ROTA_FAULTS") == "every" else str(number)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "wire", "function"), CASES)
def test_a_system_call_that_fails(injector, kind, wire, function):
    errors, least = FAULTS[function]
    if kind == "asyncio":
        errors = [name for name in errors if name != "EPROTO"]
    found = play(injector, "echo.py", kind, wire, function, ",".join(errors), one_in(EVERY[wire]))
    assert found["wrong"] == {}
    if wire == "tcp":
        assert found["calls"] >= least, "the scenario does not come by here: nothing was tested"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("script", "scenario"), OTHERS)
def test_a_system_call_that_fails_for_a_pipe_or_a_datagram(injector, kind, script, scenario):
    faults, every = OTHERS[script, scenario]
    asked = {function: fault for function, fault in faults.items() if kind == "rota" or function not in ASYNCIO_FAILS}
    table = [f"{function}={','.join(errors)}" for function, (errors, _) in asked.items()]
    for function, found in play(injector, script, kind, scenario, one_in(every), *table).items():
        assert found["wrong"] == {}
        assert found["calls"] >= asked[function][1], f"{function} is not called here: nothing was tested"
