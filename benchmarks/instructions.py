"""Instructions per operation, which noise can't move: they fail when an operation slips.

    python benchmarks/instructions.py [--update]

``valgrind --tool=callgrind`` counts the instructions of a process in which compiled rota does an operation N times and
then 3 N times; the difference over 2 N is the operation's, without what it takes to start. The counts are compared with
those of ``instructions.json``, recorded for this Python, its compiler and its kind of machine: more than 5% above is a
slip, told in a line, and the exit code is 1. ``--update`` records the counts of now. Where there is no record for this
Python, no valgrind or no compiled rota, nothing is judged, and it says so.

Step, wake, spawn and call_soon are those of ``rota bench``. An echo is 64 bytes from one asyncio.Protocol to another
over a socket pair, and back: two reads and two writes. Under valgrind a turn takes longer than the loop lets polls
wait, on any machine, so each turn of these has a poll in it, and the counts don't depend on the machine's speed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import peers

from rota.bench import operations

RECORDS = Path(__file__).with_suffix(".json")
MARGIN = 0.05

#: Ends each count: callgrind writes what it has counted when this is called, a function of the C library that nobody
#: else calls. One process, which starts once, gives all counts in 15 s; a process for each would take a minute.
MARK = "getloadavg"


class Ball(asyncio.Protocol):
    """Throws back what it catches, until it has been thrown often enough."""

    def __init__(self, count: int, done: asyncio.Future[None]) -> None:
        self.left = count
        self.done = done

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left >= 0:
            self.transport.write(data)
        elif not self.done.done():
            self.done.set_result(None)


async def echo(count: int) -> int:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transports = []
    for end in socket.socketpair():
        transport, protocol = await loop.create_connection(lambda: Ball(count, done), sock=end)
        transports.append(transport)
    protocol.transport.write(b"x" * 64)
    await done
    for transport in transports:
        transport.close()
    await asyncio.sleep(0)
    return count


#: name -> (what runs, how many)
OPERATIONS: dict[str, tuple[Callable[[int], Coroutine[Any, Any, int]], int]] = {
    "step": (operations.step, 4000),
    "wake": (operations.wake, 4000),
    "spawn": (operations.spawn, 4000),
    "call_soon": (operations.call_soon, 4000),
    "echo": (echo, 1000),
}


async def operate() -> None:
    """Everything that is counted, with a mark before and after."""
    for work, count in OPERATIONS.values():
        await work(count)  # caches, free lists, lazy imports
        gc.collect()
        for many in (count, 3 * count):
            os.getloadavg()
            await work(many)
            os.getloadavg()


def count() -> dict[str, float]:
    """Instructions for each operation, counted in a process under valgrind."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        valgrind = ["valgrind", "--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={out}"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "ROTA_PURE": "0"}
        command = [*valgrind, sys.executable, __file__, "--operate"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            words = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("==")]
            sys.exit(words[-1] if words else f"valgrind ended with {done.returncode}")
        dumps = sorted(Path(folder).glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        totals = [int(found[1]) for path in dumps if (found := re.search(r"^totals: (\d+)", path.read_text(), re.M))]
    # Of each four marks the second and the fourth end a count; the others end what is between.
    counts = {}
    for place, (name, (_, many)) in enumerate(OPERATIONS.items()):
        _, once, _, thrice = totals[4 * place : 4 * place + 4]
        counts[name] = (thrice - once) / (2 * many)
    return counts


def this_build() -> str:
    """What instruction counts depend on, besides rota."""
    optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    words = [f"CPython {platform.python_version()}", platform.python_compiler(), platform.machine()]
    return ", ".join([*words, "optimized" if optimized else "not optimized"])


def slips(counted: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """A line for each operation that takes more than was recorded, the margin aside."""
    return [
        f"{name} slipped from {recorded[name]:,.0f} to {counted[name]:,.0f} instructions"
        f" ({counted[name] / recorded[name] - 1:+.1%}; the margin is {MARGIN:.0%})"
        for name in counted
        if name in recorded and counted[name] > recorded[name] * (1 + MARGIN)
    ]


def unable() -> str:
    """Why nothing can be counted here; nothing where it can."""
    import rota

    if not rota.COMPILED:
        return "rota runs without its compiled modules"
    return "" if shutil.which("valgrind") else "valgrind is not installed (apt-get install valgrind)"


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help=f"record the counts of now in {RECORDS.name}")
    parser.add_argument("--records", type=Path, default=RECORDS, metavar="FILE", help="others than the repository's")
    parser.add_argument("--operate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.operate:
        with asyncio.Runner(loop_factory=peers.maker("rota")) as runner:
            runner.run(operate())
        return 0
    if why := unable():
        print(f"instructions: not checked: {why}")
        return 0
    build = this_build()
    records: dict[str, dict[str, float]] = json.loads(options.records.read_text()) if options.records.exists() else {}
    recorded = records.get(build, {})
    if not recorded and not options.update:
        print(f"instructions: not checked: {options.records.name} has no record of {build} (--update makes one)")
        return 0
    counted = count()
    print(f"instructions per operation, {build}")
    for name, instructions in counted.items():
        was = f"{recorded[name]:10,.0f} recorded  {instructions / recorded[name] - 1:+.1%}" if name in recorded else ""
        print(f"{name:12}{instructions:10,.0f}{was}".rstrip())
    if options.update:
        records[build] = {name: round(instructions) for name, instructions in counted.items()}
        options.records.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
        return 0
    if any(counted[name] < recorded[name] * (1 - MARGIN) for name in counted if name in recorded):
        print("less than was recorded: --update, or a slip back to it goes unseen")
    found = slips(counted, recorded)
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
