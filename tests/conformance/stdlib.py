"""CPython's own ``test.test_asyncio``, file by file, on a chosen loop: what passes, fails and is excluded.

Each file runs in a process of its own. One that crashes or hangs costs the test that was running, and a new process
goes on with the rest. ``exclusions.toml`` says which tests are not asked of rota, and why.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = "%d.%d" % sys.version_info[:2]
MAY_DIE = 6  # so many crashes and hangs in one file, and the rest of it is not run


@dataclasses.dataclass
class Outcome:
    """What became of one file on one loop. Tests by their names, with the text of why."""

    passed: set[str] = dataclasses.field(default_factory=set)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def files() -> list[str]:
    """The files of ``test.test_asyncio`` that say something about a loop. None if this Python comes without it."""
    package = importlib.util.find_spec("test.test_asyncio") if importlib.util.find_spec("test") else None
    if package is None or not package.submodule_search_locations:
        return []
    found = sorted(path.stem for path in Path(package.submodule_search_locations[0]).glob("test_*.py"))
    return [file for file in found if not is_excluded(f"{file}::*", patterns("elsewhere"))]


def patterns(table: str) -> list[str]:
    """The tests that ``exclusions.toml`` names in ``table`` for this Python."""
    with open(HERE / "exclusions.toml", "rb") as file:
        entries = tomllib.load(file)[table]
    return [test for entry in entries if VERSION in entry.get("python", [VERSION]) for test in entry["tests"]]


def is_excluded(name: str, excluded: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in excluded)


def run(file: str, loop: str, only: list[str], leave: list[str]) -> Outcome:
    """Run the tests of ``file`` on ``loop`` whose names match one of ``only`` and none of ``leave``."""
    outcome = Outcome()
    leave = list(leave)
    with tempfile.TemporaryDirectory() as folder:
        for attempt in range(MAY_DIE):
            results = Path(folder) / str(attempt)
            order = {"file": file, "loop": loop, "only": only, "leave": leave}
            with open(Path(folder) / f"{attempt}.said", "w+", encoding="utf-8", errors="replace") as said:
                done = subprocess.run(
                    [sys.executable, "-X", "faulthandler", HERE / "stdlib_child.py", results],
                    input=json.dumps(order),
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    cwd=folder,
                    env=environment(),
                )
                said.seek(0)
                last_words = said.read()[-6000:]
            running = note(results, outcome)
            if running == "":
                return outcome
            if running is None:
                outcome.failed[file] = f"it could not be begun (exit {done.returncode}):\n{last_words}"
                return outcome
            outcome.failed[running] = f"hung or crashed (exit {done.returncode}):\n{last_words}"
            leave += [running, *outcome.passed, *outcome.failed, *outcome.skipped]
    outcome.failed[file] = f"{MAY_DIE} of its tests hung or crashed; the others were not run"
    return outcome


def note(results: Path, outcome: Outcome) -> str | None:
    """Add the lines of ``results`` to ``outcome``. Returns which test was running at the end: "" if none was, None
    if none began.
    """
    running = None
    if not results.exists():
        return None
    for line in results.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        name, text = entry["test"], entry["text"]
        match entry["outcome"]:
            case "began":
                running = name
            case "ended":
                return ""
            case "passed" if name not in outcome.failed:
                outcome.passed.add(name)
            case "skipped":
                outcome.skipped[name] = text
            case "failed":
                outcome.passed.discard(name)
                outcome.failed[name] = text
    return running


def environment() -> dict[str, str]:
    """rota is found where this process found it, and the tests get what regrtest would give them."""
    import rota

    paths = [str(Path(rota.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
