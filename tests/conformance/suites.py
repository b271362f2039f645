"""Run other projects' tests of their asyncio code, and CPython's of asyncio itself, on asyncio, uvloop and rota.

    python -m tests.conformance.suites [--suite aiohttp ...] [--loop rota ...] [--afresh]

Makes ``.venvs/conformance``, fetches each project's sdist at the version that pip chooses and keeps it there, and
writes ``docs/conformance.md``. What asyncio and uvloop do with a suite is kept there too, and run again only for other
versions or with ``--afresh``: that saves an hour. A test that fails on rota and passes on asyncio is run again alone on
both. The bar: none fails on rota that passes on asyncio. Exit code 1 when it is broken, with the tests named.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from typing import Any

from . import stdlib
from .outcome import Outcome
from .outcome import run as run_order

ROOT = stdlib.ROOT
HOME = ROOT / ".venvs" / "conformance"
PYTHON = HOME / "bin" / "python"
SDISTS = HOME / "sdists"
KEPT = HOME / "outcomes"
PAGE = ROOT / "docs" / "conformance.md"
ALWAYS = ("pytest", "pytest-timeout", "uvloop")
LONGEST = 1500  # seconds for one suite on one loop; aiohttp's 4,000 tests take 300

#: The columns: what it is called, the loop, and ROTA_PURE.
COLUMNS = {
    "asyncio": ("asyncio", "0"),
    "uvloop": ("uvloop", "0"),
    "rota": ("rota", "0"),
    "rota, plain": ("rota", "1"),
}


#: Those whose loop does not change when rota does.
PEERS = ("asyncio", "uvloop")


@dataclasses.dataclass
class Suite:
    """One project's tests."""

    name: str
    version: str
    excluded: list[str]
    only: list[str]
    arguments: list[str] = dataclasses.field(default_factory=list)

    def run(self, column: str, only: list[str] | None = None) -> Outcome:
        """All of it, or ``only`` some, on the loop of ``column``."""
        loop, pure = COLUMNS[column]
        command = [str(PYTHON), "-X", "faulthandler", "-m", "pytest", "-p", "recorder", "-o", "addopts=", "-q"]
        command += ["--timeout=60", "--timeout-method=thread", "-p", "no:cacheprovider", *self.arguments, "tests"]
        environment = {**os.environ, "ROTA_PURE": pure, "PYTHONPATH": str(stdlib.INSIDE)}
        order: dict[str, object] = {"loop": loop, "only": only or self.only, "leave": self.excluded}
        return run_order(command, order, environment, SDISTS / f"{self.name}-{self.version}", LONGEST)

    def outcome(self, column: str, afresh: bool) -> Outcome:
        """Of all of it on ``column``: what was kept of a peer's, unless ``afresh``."""
        versions = [platform.python_version(), *map(version_of, ALWAYS)]
        asked = json.dumps([versions, self.excluded, self.only, self.arguments])
        name = f"{self.name}-{self.version}-{column}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}.json"
        if column in PEERS and not afresh and (KEPT / name).exists():
            return Outcome.read((KEPT / name).read_text(encoding="utf-8"))
        outcome = self.run(column)
        if column in PEERS:
            KEPT.mkdir(exist_ok=True)
            (KEPT / name).write_text(outcome.text(), encoding="utf-8")
        return outcome


class OfCPython(Suite):
    """``test.test_asyncio``, file by file."""

    def run(self, column: str, only: list[str] | None = None) -> Outcome:
        loop, pure = COLUMNS[column]
        outcome = Outcome()
        for file in stdlib.files():
            mine = [name for name in only or self.only if name == "*" or name.startswith(f"{file}::")]
            if mine:
                outcome.add(stdlib.run(file, loop, mine, self.excluded, python=str(PYTHON), pure=pure))
        return outcome


def install(needs: list[str]) -> None:
    """The environment, with rota in it as users install it."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    pip("install", str(ROOT), *needs)


def pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", *arguments, "-qq", "--disable-pip-version-check"]
    subprocess.run(command, check=True, env={**os.environ, "ROTA_BUILD": "require"})


def fetch(name: str) -> str:
    """Unpack the tests of ``name``'s sdist, at the version that is installed; returns the version. Without the package
    itself: the one that is installed is tested.
    """
    version = version_of(name)
    folder = f"{name}-{version}"
    if not (SDISTS / folder).exists():
        SDISTS.mkdir(exist_ok=True)
        pip("download", "--no-binary", ":all:", "--no-deps", "--dest", str(SDISTS), f"{name}=={version}")
        # Whole or not at all, if this is broken off.
        with (
            tarfile.open(SDISTS / f"{folder}.tar.gz") as archive,
            tempfile.TemporaryDirectory(dir=SDISTS) as unpacked,
        ):
            inside = [member for member in archive.getmembers() if is_wanted(member.name)]
            archive.extractall(unpacked, members=inside, filter="data")
            os.rename(os.path.join(unpacked, folder), SDISTS / folder)
    return version


def version_of(name: str) -> str:
    """Which version of ``name`` is installed."""
    program = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([str(PYTHON), "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def is_wanted(path: str) -> bool:
    parts = path.split("/")
    return len(parts) > 1 and (parts[1] in ("tests", "examples", "docs") or len(parts) == 2)


def suites(names: list[str] | None) -> list[Suite]:
    """CPython's, and those of ``suites.toml`` if their sdists can be had."""
    table = tomllib.loads((stdlib.HERE / "suites.toml").read_text(encoding="utf-8"))["suite"]
    wanted = [entry for entry in table if not names or entry["name"] in names]
    found: list[Suite] = []
    install(list(ALWAYS))
    if stdlib.files() and (not names or "CPython" in names):
        excluded = stdlib.patterns("elsewhere") + stdlib.patterns("excluded", plain=True)
        found.append(OfCPython("CPython", platform.python_version(), excluded, ["*"]))
    try:
        install([*ALWAYS, *(need for entry in wanted for need in [entry["name"], *entry["needs"]])])
        for entry in wanted:
            found.append(suite_of(entry, fetch(entry["name"])))
    except subprocess.CalledProcessError as error:
        print(f"conformance: the index can't be reached ({' '.join(error.cmd[-3:])} failed): CPython's tests alone")
    return found


def suite_of(entry: dict[str, Any], version: str) -> Suite:
    excluded = [test for group in entry.get("excluded", []) for test in group["tests"]]
    return Suite(entry["name"], version, excluded, entry.get("only", ["*"]), entry.get("arguments", []))


def breaches(suite: Suite, outcomes: dict[str, Outcome]) -> dict[str, str]:
    """The tests that fail on rota and pass on asyncio, twice: the second time alone. By column and name, with why."""
    found = {}
    for column, outcome in outcomes.items():
        if not column.startswith("rota") or "asyncio" not in outcomes:
            continue
        suspects = [name for name in outcome.failed if name not in outcomes["asyncio"].failed]
        for name in suspects:
            again = suite.run(column, [name])
            if name in again.passed:
                outcome.passed.add(name)
                del outcome.failed[name]
            elif name in suite.run("asyncio", [name]).passed or name not in outcomes["asyncio"].passed:
                found[f"{column}: {suite.name}: {name}"] = outcome.failed[name]
    return found


def cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not run"
    failed = f", **{len(outcome.failed)} failed**" if outcome.failed else ""
    return f"{len(outcome.passed)} passed{failed}"


def table(ran: list[tuple[Suite, dict[str, Outcome]]]) -> str:
    lines = [f"| suite | {' | '.join(COLUMNS)} | excluded |", "|---" * (len(COLUMNS) + 2) + "|"]
    for suite, outcomes in ran:
        cells = " | ".join(cell(outcomes.get(column)) for column in COLUMNS)
        lines.append(f"| {suite.name} {suite.version} | {cells} | {len(suite.excluded)} |")
    return "\n".join(lines)


def page(ran: list[tuple[Suite, dict[str, Outcome]]], broken: dict[str, str]) -> str:
    """``docs/conformance.md``."""
    absent = tomllib.loads((stdlib.HERE / "suites.toml").read_text(encoding="utf-8"))["absent"]
    reasons = "\n".join(f"- {entry['name']}: {entry['reason']}." for entry in absent)
    verdict = "\n\n" + "\n".join(f"- {name}" for name in broken) if broken else " none."
    return PAGE_TEXT.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        uvloop=version_of("uvloop"),
        table=table(ran),
        verdict=verdict,
        absent=reasons,
    )


PAGE_TEXT = """# Conformance: other people's tests

Written by `make conformance` on {date}, with CPython {python} on {system}, uvloop {uvloop}.

{table}

Fails on rota and passes on asyncio:{verdict}

What fails on all loops fails for want of something in the machine, for the most part: a name for IPv6's own address, a
user whom permissions stop. A test that skips itself is not counted: three of CPython's do on rota, which count the
descriptors of asyncio's own loop.

How: each suite runs from its project's sdist against the released package, unchanged, on each loop. The loop stands
where asyncio hands out its own (`tests/conformance/inside/disguise.py`), so nothing of a test knows of it. A test that
fails on rota and passes on asyncio is run again alone on both. What fails on uvloop alone is left as it is found: some
suites ask for what it does not have; CPython's read attributes that are private to asyncio's loop, which rota has; and
anyio's tests share a runner, which is closed for the rest when uvloop calls an eager task factory with an argument that
the factory does not take.

CPython's are the tests of `test.test_asyncio`, on rota with its Task, Future, streams, `gather` and `sleep` in place of
asyncio's. Each test that is excluded, by its name or a pattern, has its reason in `tests/conformance/exclusions.toml`
or `suites.toml`: it tests what is private to asyncio, or a difference that is meant. It is left out on all loops alike.

Not run:

{absent}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--suite", action="append", help="this suite only (may be repeated): CPython, aiohttp, ...")
    parser.add_argument("--loop", action="append", choices=COLUMNS, help="this loop only (may be repeated)")
    parser.add_argument("--afresh", action="store_true", help="run asyncio and uvloop though their outcomes are kept")
    options = parser.parse_args()
    # Ignored in the background of a shell, and by children then; CPython's tests send it to themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ran: list[tuple[Suite, dict[str, Outcome]]] = []
    broken: dict[str, str] = {}
    for suite in suites(options.suite):
        outcomes: dict[str, Outcome] = {}
        ran.append((suite, outcomes))
        for column in options.loop or COLUMNS:
            outcomes[column] = suite.outcome(column, options.afresh)
            print(f"{suite.name} {suite.version} on {column}: {cell(outcomes[column])}", flush=True)
        broken |= breaches(suite, outcomes)
    print(table(ran))
    if not options.suite and not options.loop:
        PAGE.write_text(page(ran, broken), encoding="utf-8")
        print(f"written to {PAGE.relative_to(ROOT)}")
    for name, why in broken.items():
        print(f"\nfails on rota and passes on asyncio: {name}\n{why}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
