"""A server in a process and on a core of its own, and the other ends in C (``echo.c``, ``secured.c``)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import peers

SERVERS_CORE = 1
CLIENTS_CORE = 0


class Server:
    """A command that prints its port when it listens. Leaving the ``with`` ends it."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            [*peers.on_core(SERVERS_CORE), *command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        self.pid = self._process.pid
        self.port = ""

    def __enter__(self) -> Server:
        assert self._process.stdout is not None
        self.port = self._process.stdout.readline().strip()
        if not self.port:  # it has said why
            self.__exit__()
            raise SystemExit(1)
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def cpu(self) -> float:
        """Seconds that it has run, all its threads, by the scheduler's own count."""
        time.sleep(0.05)  # until it has seen that the clients are gone
        total = 0
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        return total / 1e9


def in_c(program: str = "echo", *libraries: str) -> str:
    """The program in C, built with ``libraries`` if it is not yet."""
    source = Path(__file__).with_name(f"{program}.c")
    built = Path(tempfile.gettempdir()) / f"rota-{program}-{os.getuid()}-{source.stat().st_mtime_ns}"
    if not built.exists():
        half = built.with_suffix(f".{os.getpid()}")
        try:
            subprocess.run(["gcc", "-O2", "-o", str(half), str(source), *libraries], check=True)
        except FileNotFoundError:
            sys.exit("gcc is not installed: it builds the other end of the echoes (apt-get install gcc)")
        half.rename(built)
    return str(built)


def talk(network: str, port: str, connections: int, size: int, seconds: float) -> tuple[int, float, float]:
    """Send ``size`` bytes on each connection, and again once they are back: echoes, their median and p99 in µs."""
    command = [in_c(), "client", network, port, str(connections), str(size), str(seconds)]
    echoes, median, p99 = answer_of(command, seconds + 60)
    return int(echoes), float(median), float(p99)


def answer_of(client: list[str], patience: float) -> list[str]:
    """The words that a client prints, run on a core of its own for ``patience`` seconds at most."""
    command = [*peers.on_core(CLIENTS_CORE), *client]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience)
    if done.returncode:
        sys.exit(done.stderr.strip() or f"the client ended with {done.returncode}")
    return done.stdout.split()
