"""System calls per echo, counted by ``strace``.

    python benchmarks/syscalls.py [--rounds 3] [--only CASE] [--peer LOOP] [--markdown]

The servers of ``echo.py`` with 1 KiB, and the client in C. A figure is the difference between a long and a short
conversation, system calls by echoes: so what connections cost to open and close is not in it. Under ``strace`` a server
is many times slower, and finds more to do each time that it polls; with one connection that changes nothing.
``two writes`` is a protocol that answers in two writes, a head and a body, in one ``data_received``. The last column,
``C``, is a server of one ``recv`` and one ``send`` an echo. A call of io_uring may do the work of many of these.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import echo
import peers
from server import Server, in_c, talk

SIZE = 1024
SHORT, LONG = 0.2, 1.5  # seconds of conversation
KINDS = ["protocol", "streams", "sock", "udp"]
CASES = [f"{kind} x{connections}" for kind in KINDS for connections in (1, 10, 200)] + [
    "two writes x1",
    "two writes x200",
]


@contextlib.contextmanager
def counted(pid: int) -> Iterator[list[int]]:
    """Fills a list with the number of system calls of a process and its threads."""
    if not shutil.which("strace"):
        sys.exit("strace is not installed: it counts the system calls (apt-get install strace)")
    found: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table"
        command = ["strace", "-f", "-c", "-U", "calls,name", "-o", str(table), "-p", str(pid)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            first = strace.stderr.readline()
            if "attached" not in first:
                sys.exit(first.strip())
            try:
                yield found
            finally:
                time.sleep(0.1)  # until the server has seen that the client is gone
                strace.send_signal(signal.SIGINT)
                strace.communicate()
        lines = [line.split() for line in table.read_text().splitlines()]
        found.append(next((int(line[0]) for line in lines if line[-1:] == ["total"]), 0))


def measure(peer: str, case: str) -> float:
    """System calls for an echo."""
    kind, connections = case.split(" x")
    network = "udp" if kind == "udp" else "tcp"
    command = [in_c(), "server", network] if peer == "C" else [sys.executable, echo.__file__, "--serve", peer, kind]
    with Server(command) as server:
        talk(network, server.port, int(connections), SIZE, SHORT)
        calls, echoes = [], []
        for seconds in (SHORT, LONG):
            with counted(server.pid) as found:
                echoes.append(talk(network, server.port, int(connections), SIZE, seconds * peers.SHARE)[0])
            calls.append(found[0])
    return (calls[1] - calls[0]) / (echoes[1] - echoes[0])


if __name__ == "__main__":
    assert __doc__
    sys.exit(peers.run(__file__, __doc__, "system calls per echo", CASES, measure, more=("C",), rounds=3))
