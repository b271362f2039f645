"""A server in a process and on a core of its own, and the other ends in C (``echo.c``, ``secured.c``)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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
        """Seconds that it has run, all its threads."""
        time.sleep(0.05)  # until it sleeps, and what it has run is counted
        return sum(self.threads().values())

    def threads(self) -> dict[int, float]:
        """Seconds that each of its threads has run, by the scheduler's own count; the first is the main thread."""
        ran = {}
        for thread in sorted(map(int, os.listdir(f"/proc/{self.pid}/task"))):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                ran[thread] = int(Path(f"/proc/{self.pid}/task/{thread}/schedstat").read_text().split()[0]) / 1e9
        return ran


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


class Client:
    """A client in C on a core of its own, connected while the ``with`` lasts."""

    def __init__(self, command: list[str]) -> None:
        self._command = [*peers.on_core(CLIENTS_CORE), *command]

    def __enter__(self) -> Client:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process: subprocess.Popen[str] = subprocess.Popen(self._command, **pipes, text=True)
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.kill()
        self._process.communicate()

    def talk(self, seconds: float) -> list[float]:
        """Send a message on each connection, and again once it is back, for so long: its figures, the echoes first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(seconds, file=self._process.stdin, flush=True)
        said = self._process.stdout.readline()
        if not said:
            _, complaint = self._process.communicate()
            sys.exit(complaint.strip() or f"the client ended with {self._process.returncode}")
        return [float(word) for word in said.split()]


def client(network: str, port: str, connections: int, size: int) -> Client:
    """The one of ``echo.c``, with messages of ``size`` bytes: how many came back, their median and p99 in µs."""
    return Client([in_c(), "client", network, port, str(connections), str(size)])


def cost(server: Server, clients: Callable[[], Client], warm_up: float, seconds: float) -> float:
    """Microseconds of the server's CPU for an echo, with a client that was connected before and is so until after.

    Another crowd has come and gone by then: what it leaves free in the heap decides whether loops that take 256 KiB for
    each read have it mapped each time. A server that has run for a while has had such a crowd.
    """
    with clients() as first:
        first.talk(warm_up * peers.SHARE)
    with clients() as client:
        client.talk(warm_up * peers.SHARE)
        before = server.cpu()
        echoes = client.talk(seconds * peers.SHARE)[0]
        return (server.cpu() - before) / echoes * 1e6
