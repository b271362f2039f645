"""The shape of single modules: small, importable alone, and the same in ``.py`` and ``.pxd``."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rota

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "rota"
MODULES = sorted(SRC.rglob("*.py"))
PAIRS = sorted(path for path in SRC.rglob("*.pxd") if path.stem not in ("libssl", "native", "syscalls"))
LONGEST_MODULE = 800
LONGEST_FUNCTION = 80


def hot_modules() -> list[str]:
    """The list in setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "HOT":
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise AssertionError("setup.py has no HOT")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_module_imports_alone() -> None:
    """In a fresh interpreter each, so that none counts on what another has imported."""
    names = [
        ".".join(("rota", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")
        for path in MODULES
        if path.stem != "__main__"
    ]
    program = (
        "import importlib, os, sys\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            importlib.import_module(name)\n"
        "        except BaseException as error:\n"
        "            print(f'{name}: {error!r}', flush=True)\n"
        "            os._exit(1)\n"
        "        os._exit(0)\n"
        "    if os.waitpid(child, 0)[1]:\n"
        "        print(f'{name}: the import ended its process')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_hot_modules_and_pxd_files_are_the_same() -> None:
    assert sorted(hot_modules()) == sorted(
        ".".join(("rota", *path.relative_to(SRC).with_suffix("").parts)) for path in PAIRS
    )


def test_this_run_is_what_it_says() -> None:
    """A compiled run that quietly fell back to plain Python would test nothing new."""
    expected = os.environ.get("ROTA_EXPECT_COMPILED")
    if expected is not None:
        assert (expected == "1") == rota.COMPILED
    if os.environ.get("ROTA_PURE") == "1":
        assert not rota.COMPILED


def classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}


def declared(path: Path) -> dict[str, tuple[set[str], set[str]]]:
    """class -> (attributes, methods) of a ``.pxd``."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    current: tuple[set[str], set[str]] | None = None
    for line in path.read_text().splitlines():
        if match := re.match(r"cdef class (\w+)", line):
            current = found[match[1]] = (set(), set())
        elif line and not line.startswith((" ", ")", "#")):
            current = None
        elif current is not None:
            if match := re.match(r"    (?:cdef|cpdef) [\w ]*?(\w+)\(", line):
                current[1].add(match[1])
            elif match := re.match(r"    cdef [\w ]*?(\w+)$", line):
                current[0].add(match[1])
    return found


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: str(path.relative_to(SRC)))
def test_py_and_pxd_agree(path: Path) -> None:
    """Each class has the same attributes in both, and each declared method exists."""
    source = classes(path.with_suffix(".py"))
    for name, (attributes, methods) in declared(path).items():
        node = source[name]
        slots: set[str] = set()
        defined = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        for item in node.body:
            if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "__slots__":
                slots = set(ast.literal_eval(item.value))
        unnamed = {"__weakref__", "__dict__"}
        assert attributes - unnamed == slots - unnamed, f"{name}: attributes and __slots__ differ"
        assert methods <= defined, f"{name}: declared and not defined: {methods - defined}"


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: str(path.relative_to(SRC)))
def test_a_pxd_says_nothing_that_is_ignored(path: Path) -> None:
    """freelist and no_gc in a ``.pxd`` are parsed and have no effect."""
    assert not re.search(r"freelist|no_gc", path.read_text())


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: str(path.relative_to(SRC)))
def test_hot_modules_hold_nothing_that_compiles_badly(path: Path) -> None:
    """Compiled, an ``async def`` is slower and shows no line numbers."""
    for node in ast.walk(ast.parse(path.with_suffix(".py").read_text())):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.Yield, ast.YieldFrom))


def test_c_arrays_have_the_sizes_of_limits() -> None:
    from rota import limits

    for file, names in (
        ("syscalls.pxd", ["POLL_EVENTS", "READ_SIZE", "TLS_READ_SIZE", "WRITE_BUFFERS", "DATAGRAM_SIZE"]),
        ("libssl.pxd", ["READ_SIZE", "TLS_READ_SIZE", "TLS_RECORD"]),
    ):
        sizes = dict(re.findall(r"#define ROTA_(\w+) (.+)", (SRC / "net" / file).read_text()))
        for name in names:
            assert eval(sizes[name]) == getattr(limits, name), name


def test_no_room_is_called_by_a_word_that_says_nothing() -> None:
    for path in MODULES:
        assert path.stem not in {"utils", "util", "base", "helpers", "helper", "common", "manager", "misc"}
