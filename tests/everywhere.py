"""Run the whole suite on each Python that is installed, compiled and plain.

    python3 tests/everywhere.py [--python 3.13] [--lane sanitize] [pytest's arguments]

For each Python a virtual environment in ``.venvs/`` gets rota as a user would install it, from the source folder, and
the suite runs against that twice: as built, and with ROTA_PURE=1. While some suites run the next Python is made ready,
for a third of their time is spent waiting. With a C compiler on the machine a
build that doesn't compile is a failure; without one, what is tested is plain Python, and it says so.

``--lane`` tests another build, once: ``sanitize`` with gcc's address and undefined-behaviour sanitizers, Python's
objects in malloc so that each is watched; ``nonecheck`` with a check of each use of what may be None.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
COMPILERS = ("cc", "gcc", "clang")

#: Builds that a user does not get: what setup.py is told, and what the tests run with.
LANES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "sanitize": (
        {"ROTA_SANITIZE": "1", "CC": "gcc"},
        {
            "PYTHONMALLOC": "malloc",
            # Python gives nothing back at its end: tests/soak counts leaks. What is too big is a MemoryError.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
    ),
    "nonecheck": ({"ROTA_NONECHECK": "1"}, {}),
}

#: How many suites run at once. They share nothing.
SIDE_BY_SIDE = (os.cpu_count() or 1) + 1

SLOW = ["-o", "timeout=600", "-o", "faulthandler_timeout=500"]  # a sanitizer takes its time


def interpreter(version: str) -> str | None:
    """A Python of ``version`` that runs: on the PATH, or where pyenv keeps its own."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [f"python{version}", "python3", *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True)]
    for place in places:
        try:
            answer = subprocess.run(
                [place, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            continue
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return place
    return None


def install(version: str, python: str, build: str, lane: str | None) -> Path:
    """A virtual environment with rota and all that its tests use; its python."""
    folder = ROOT / ".venvs" / (version if lane is None else f"{version}-{lane}")
    inside = folder / "bin" / "python"
    if not inside.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    environment = {**os.environ, "ROTA_BUILD": build, **(LANES[lane][0] if lane else {})}
    subprocess.run([*pip, f"{ROOT}[test]"], check=True, env=environment)
    return inside


def sanitizer() -> dict[str, str]:
    """What makes an uninstrumented python load the address sanitizer first."""
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return {"LD_PRELOAD": library.stdout.strip()}


@dataclasses.dataclass(frozen=True)
class Run:
    """The suite on one build for one Python."""

    name: str
    command: list[str]
    environment: dict[str, str]

    def __call__(self) -> int:
        """Print what pytest does, in one piece: others run at the same time. Returns its exit code."""
        done = subprocess.run(
            self.command,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        print(f"== {self.name}\n{done.stdout}", flush=True)
        return done.returncode


def runs(version: str, inside: Path, lane: str | None, compiled: bool, arguments: list[str]) -> list[Run]:
    """What is to run on one installation."""
    command = [str(inside), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    if lane is None:
        return [
            Run(
                f"Python {version}, {name}",
                command,
                {"ROTA_PURE": pure, "ROTA_EXPECT_COMPILED": "01"[compiled and pure == "0"]},
            )
            for name, pure in (("as built", "0"), ("plain", "1"))
        ]
    environment = {"ROTA_PURE": "0", "ROTA_EXPECT_COMPILED": "1", **LANES[lane][1]}
    if lane == "sanitize":
        environment |= sanitizer()
    return [Run(f"Python {version}, {lane}", command + SLOW, environment)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", choices=VERSIONS, help="this version only (may be repeated)")
    parser.add_argument("--lane", action="append", choices=LANES, help="this build instead (may be repeated)")
    options, arguments = parser.parse_known_args()
    build = "require" if any(map(shutil.which, [os.environ.get("CC", "cc"), *COMPILERS])) else "auto"
    begun: list[tuple[str, concurrent.futures.Future[int]]] = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        for version in options.python or VERSIONS:
            python = interpreter(version)
            if python is None:
                print(f"== Python {version} is not installed: not tested", flush=True)
                continue
            for lane in options.lane or [None]:
                print(f"== Python {version}{f', {lane}' if lane else ''}: installing rota", flush=True)
                inside = install(version, python, "require" if lane else build, lane)
                for run in runs(version, inside, lane, build == "require", arguments):
                    begun.append((run.name, pool.submit(run)))
    outcomes = [(name, done.result()) for name, done in begun]
    print("\n== all runs")
    for name, code in outcomes:
        print(f"{name}: {'passed' if code == 0 else f'FAILED (pytest exit {code})'}")
    if not outcomes:
        print(f"none of Python {', '.join(VERSIONS)} is installed: nothing was tested", file=sys.stderr)
        return 2
    return 1 if any(code for _, code in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
