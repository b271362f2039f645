"""CPython's own ``test.test_asyncio``, file by file, on a chosen loop: what passes, fails and is excluded.

Each file runs in a process of its own (``inside/stdlib_child.py``). ``exclusions.toml`` says which tests are not asked
of rota, and why.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import sys
import tomllib
from pathlib import Path

from .outcome import Outcome
from .outcome import run as run_order

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
INSIDE = HERE / "inside"  # what runs in the process of a suite; nothing else of ours is on its path
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LONGEST = 280  # seconds for one file; the longest takes 30


def files() -> list[str]:
    """The files of ``test.test_asyncio`` that say something about a loop. None if this Python comes without it."""
    package = importlib.util.find_spec("test.test_asyncio") if importlib.util.find_spec("test") else None
    if package is None or not package.submodule_search_locations:
        return []
    found = sorted(path.stem for path in Path(package.submodule_search_locations[0]).glob("test_*.py"))
    return [file for file in found if not is_excluded(f"{file}::*", patterns("elsewhere"))]


def patterns(table: str, *, plain: bool = os.environ.get("ROTA_PURE", "") not in ("", "0")) -> list[str]:
    """The tests that ``exclusions.toml`` names in ``table`` for this Python, those for ``plain`` rota among them."""
    with open(HERE / "exclusions.toml", "rb") as file:
        entries = tomllib.load(file)[table]
    mine = [entry for entry in entries if VERSION in entry.get("python", [VERSION])]
    return [test for entry in mine if plain or not entry.get("plain") for test in entry["tests"]]


def is_excluded(name: str, excluded: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in excluded)


def run(
    file: str, loop: str, only: list[str], leave: list[str], *, python: str = sys.executable, pure: str | None = None
) -> Outcome:
    """Run the tests of ``file`` on ``loop`` whose names match one of ``only`` and none of ``leave``."""
    return run_order(
        [python, "-X", "faulthandler", str(INSIDE / "stdlib_child.py")],
        {"file": file, "loop": loop, "only": only, "leave": leave},
        environment(pure),
        None,
        LONGEST,
    )


def environment(pure: str | None) -> dict[str, str]:
    """This process's, with the rota that it runs; or for the one that is installed, plain if ``pure`` is "1"."""
    if pure is not None:
        return {**os.environ, "ROTA_PURE": pure}
    import rota

    paths = [str(Path(rota.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
