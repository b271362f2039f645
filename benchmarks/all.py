"""All benchmarks, one after the other: their results are saved, and the page of figures is written from them.

    python benchmarks/all.py [NAME ...] [--rounds N]

A run takes about an hour with five loops installed; name some to run only these. Each result goes to
``benchmarks/results/PYTHON/NAME.json`` as soon as it is there, and ``page.py`` writes the tables of
``docs/benchmarks.md`` from what is there, other Pythons' too. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import page

import rota

HERE = Path(__file__).resolve().parent
ROUNDS = 5
QUIET = 0.3  # of a core, over the last minute: more is somebody else's work

#: Plain rota is for where there is no compiler, and so beside what else is there: asyncio.
BESIDE_ASYNCIO = ["--peer", "asyncio"]

#: name -> (script, its arguments, whether rota is to run without its compiled modules)
RUNS: dict[str, tuple[str, list[str], bool]] = {
    "clockwork": ("clockwork.py", [], False),
    "echo": ("echo.py", [], False),
    "syscalls": ("syscalls.py", [], False),
    "secured": ("secured.py", [], False),
    "streams": ("streams.py", [], False),
    "web": ("web.py", [], False),
    "convoy": ("convoy.py", [], False),
    "memory": ("memory.py", [], False),
    "timers": ("timers.py", [], False),
    "startup": ("startup.py", [], False),
    "lanes": ("lanes.py", [], False),
    "choosing": ("choosing.py", [], False),
    "clockwork-plain": ("clockwork.py", BESIDE_ASYNCIO, True),
    "echo-plain": ("echo.py", BESIDE_ASYNCIO, True),
}


def run(name: str, rounds: int | None) -> int:
    """Run one and save what it finds; its exit code."""
    script, arguments, plain = RUNS[name]
    saved = page.RESULTS / f"{sys.version_info.major}.{sys.version_info.minor}" / f"{name}.json"
    command = [sys.executable, str(HERE / script), *arguments, "--save", str(saved)]
    if rounds is not None:
        command += ["--rounds", str(rounds)]
    print(f"\n== {name}", flush=True)
    return subprocess.run(command, check=False, env={**os.environ, "ROTA_PURE": str(int(plain))}).returncode


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)}; all when none is named")
    parser.add_argument("--rounds", type=int, help=f"more than {ROUNDS}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(RUNS):
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(RUNS)}")
    if options.rounds is not None and options.rounds < ROUNDS:
        parser.error(f"--rounds {options.rounds}: at least {ROUNDS} for what is published; a script alone takes fewer")
    if not rota.COMPILED and not all(RUNS[name][2] for name in options.names or RUNS):
        parser.error(
            "rota is not compiled here, and its figures would be plain rota's: build it first (ROTA_BUILD=require)"
        )
    if (load := os.getloadavg()[0]) > QUIET:
        print(f"this machine is not idle (load {load:.1f}): read the ratios, and publish no figure", file=sys.stderr)
    failed = [name for name in options.names or RUNS if run(name, options.rounds)]
    page.main([])
    if failed:
        print(f"no figures from {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
