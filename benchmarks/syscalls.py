"""System calls per echo.

    python benchmarks/syscalls.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

The servers of ``echo.py`` with 1 KiB, and the client in C. A figure is the server's system calls by the echoes of half
a second, with all connections open before and after. ``two writes`` is a protocol that answers in two writes, a head
and a body, in one ``data_received``. The last column, ``C``, is a server of one ``recv`` and one ``send`` an echo. A
call of io_uring may do the work of many of these.

The kernel counts them (``perf stat``, a tracepoint), which slows nobody, where that is permitted: mostly to root. If
not, ``strace`` counts, and the table says so: it makes a server many times slower, which then finds more to do each
time that it looks. That changes little for protocols and streams, but ``sock`` tries to read before it waits, and under
strace finds what it would have waited for.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import echo
import peers
from server import Server, client, in_c

SIZE = 1024
WARM_UP, SECONDS = 0.1, 0.6
KINDS = ["protocol", "streams", "sock", "udp"]
CASES = [f"{kind} x{many}" for kind in KINDS for many in (1, 10, 50 if kind == "udp" else 200)]
CASES += ["two writes x1", "two writes x200"]

PERF = ["perf", "stat", "--field-separator", ",", "--event", "raw_syscalls:sys_enter"]
STRACE = ["strace", "--follow-forks", "--summary-only", "--summary-columns=calls,name"]


@functools.cache
def counter() -> list[str]:
    """The command that counts; nothing where there is none."""
    if shutil.which("perf") and subprocess.run([*PERF, "true"], capture_output=True, check=False).returncode == 0:
        return PERF
    return STRACE if shutil.which("strace") else []


@contextlib.contextmanager
def counted(pid: int) -> Iterator[list[int]]:
    """Fills a list with the number of system calls of a process and its threads."""
    found: list[int] = []
    if not counter():
        sys.exit("neither perf may count system calls nor is strace installed (apt-get install strace)")
    command = [*counter(), "-p", str(pid)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(0.3)  # until it counts; the server sleeps
        try:
            yield found
        finally:
            time.sleep(0.1)  # until the server has had its last word
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
    # perf: a line with the count first; strace: a table with the total last
    numbers = [
        line.replace(",", " ").split()[0] for line in said.splitlines() if "sys_enter" in line or "total" in line
    ]
    if not numbers or not numbers[-1].isdecimal():
        sys.exit(said.strip().splitlines()[-1] if said.strip() else f"{command[0]} said nothing")
    found.append(int(numbers[-1]))


def measure(peer: str, case: str) -> float:
    """System calls for an echo."""
    kind, connections = case.split(" x")
    network = "udp" if kind == "udp" else "tcp"
    command = [in_c(), "server", network] if peer == "C" else [sys.executable, echo.__file__, "--serve", peer, kind]
    with Server(command) as server, client(network, server.port, int(connections), SIZE) as other:
        other.talk(WARM_UP * peers.SHARE)
        with counted(server.pid) as found:
            echoes = other.talk(SECONDS * peers.SHARE)[0]
    return found[0] / echoes


if __name__ == "__main__":
    assert __doc__
    unit = f"system calls per echo, counted by {(counter() or ['nothing'])[0]}"
    sys.exit(peers.run(__file__, __doc__, unit, CASES, measure, more=("C",)))
