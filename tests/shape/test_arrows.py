"""Imports point one way. This test is the architecture diagram."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "rota"

LEAVES = {"errors", "limits", "version"}
DOOR = {"rota", "run", "loop"}  # what a program sees

#: room -> the rooms that it may import
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "limits": set(),
    "version": set(),
    "pure": set(),
    "subinterpreter": set(),
    "core": LEAVES,
    "threads": LEAVES | {"core"},
    "executor": LEAVES | {"core", "threads"},
    "net": LEAVES | {"core", "executor"},
    "proc": LEAVES | {"core"},
    "loop": LEAVES | {"core", "executor", "net", "proc"},
    "run": LEAVES | {"core", "loop"},
    "program": LEAVES,
    "watch": LEAVES,  # what it sees of core it reads through probes and readonly attributes
    "lanes": LEAVES | DOOR | {"threads", "watch"},
    "bench": LEAVES | DOOR,
    "fetch": LEAVES | DOOR | {"lanes"},
    "cli": LEAVES | DOOR | {"program", "lanes", "bench", "fetch"},
    "rota": LEAVES | {"core", "lanes", "net", "loop", "run", "pure", "subinterpreter"},  # __init__, the public door
    "__main__": {"cli"},
}

#: What the clockwork must not know: sockets, threads that it starts, what time it is (clock and native ask for it).
FORBIDDEN_IN_CORE = {"socket", "selectors", "select", "ssl", "subprocess", "concurrent"}


def room_of(parts: tuple[str, ...]) -> str:
    return "rota" if len(parts) < 2 else parts[1]


def module_of(path: Path) -> tuple[str, ...]:
    parts = ("rota", *path.relative_to(SRC).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Each module of rota that ``path`` imports or cimports, as its parts."""
    package = ("rota", *path.relative_to(SRC).parts[:-1])
    found: list[tuple[int, str, list[str]]] = []
    if path.suffix == ".pxd":
        for dots, module, names in re.findall(r"^from\s+(\.*)([\w.]*)\s+cimport\s+([\w, ]+)", path.read_text(), re.M):
            found.append((len(dots), module, [name.strip() for name in names.split(",")]))
    else:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.append((node.level, node.module or "", [alias.name for alias in node.names]))
            elif isinstance(node, ast.Import):
                found.extend((0, alias.name, [""]) for alias in node.names)
    for level, module, names in found:
        base = package[: len(package) - level + 1] if level else ()
        for name in names:
            parts = (*base, *filter(None, module.split(".")))
            if parts[:1] != ("rota",):
                continue
            inside = SRC.joinpath(*parts[1:], name)
            yield (*parts, name) if name and (inside.is_dir() or inside.with_suffix(".py").is_file()) else parts


SOURCES = sorted([*SRC.rglob("*.py"), *SRC.rglob("*.pxd")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_one_way(path: Path) -> None:
    mine = room_of(module_of(path))
    assert mine in ROOMS, f"{path.relative_to(SRC)} stands in no room: say in this test what it may import"
    wrong = {room_of(parts) for parts in imports(path)} - ROOMS[mine] - {mine}
    assert not wrong, f"{mine} must not import {', '.join(sorted(wrong))}"


def test_no_modules_go_round_in_a_circle() -> None:
    """A transport knows what is beneath it, and what is above it only by what they share."""
    knows: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for path in SOURCES:
        knows.setdefault(module_of(path), set()).update(set(imports(path)) - {module_of(path)})
    graphlib.TopologicalSorter(knows).prepare()


def test_the_clockwork_knows_no_sockets_and_starts_no_threads() -> None:
    for path in (SRC / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [(node.module or "").split(".")[0]]
            assert not FORBIDDEN_IN_CORE.intersection(names), f"{path.name} imports {names}"
            if isinstance(node, ast.Attribute):
                assert node.attr != "Thread", f"{path.name} starts a thread"


def test_optional_libraries_are_imported_only_when_they_are_used() -> None:
    """The core has no dependencies: nothing outside the standard library at the top of a module of the loop."""
    optional = {"aiohttp", "blazio", "cloudpickle", "distributed", "numpy", "requests", "rloop", "uvloop", "yarl"}
    for room in ("core", "net", "proc", "lanes", "watch", "bench", "cli"):
        for path in (SRC / room).rglob("*.py"):
            if path.parent.name == "jobs":  # programs for `rota compare`, which says what they need
                continue
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.Import):
                    assert not optional & {alias.name.split(".")[0] for alias in node.names}, path
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    assert (node.module or "").split(".")[0] not in optional, path
