"""Every benchmark runs: one figure of each script, from a tenth of its operations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

#: script, peer, case, and the program or header that it needs
FIGURES = [
    ("clockwork.py", "rota", "step", None),
    ("clockwork.py", "plain", "executor", None),
    ("echo.py", "rota", "protocol 1 KiB x10", "gcc"),
    ("echo.py", "C", "udp 1 KiB x10", "gcc"),
    ("echo.py", "plain", "streams 1 KiB x10", "gcc"),
    ("secured.py", "rota", "protocol 1 KiB x10", "openssl/ssl.h"),
    ("secured.py", "C", "streams 64 KiB x10", "openssl/ssl.h"),
    ("streams.py", "rota", "1 KiB, 50", None),
    ("web.py", "rota", "uvicorn", "wrk"),
    ("web.py", "rota", "own streams", "wrk"),
    ("web.py", "rota", "aiohttp client", "gcc"),
    ("convoy.py", "rota", "50 connections", "gcc"),
    ("memory.py", "rota", "streams", None),
    ("memory.py", "rota", "task, asleep", None),
    ("startup.py", "rota", "run", None),
    ("syscalls.py", "rota", "protocol x10", "strace"),
    ("timers.py", "rota", "sleep(2.1 ms)", None),
    ("lanes.py", "rota", "thread, 100 at once", None),
    ("lanes.py", "rota", "tiny map", None),
    ("lanes.py", "asyncio", "thread, CPU", None),
    ("lanes.py", "concurrent.futures", "process", None),
]


def python(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        env={**os.environ, "ROTA_BENCH_SHARE": "0.1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def is_installed(name: str) -> bool:
    if not name.endswith(".h"):
        return shutil.which(name) is not None
    command = ["gcc", "-E", "-include", name, "-x", "c", os.devnull]
    return shutil.which("gcc") is not None and not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize(("script", "peer", "case", "program"), FIGURES, ids=lambda value: str(value))
def test_a_script_has_a_figure(script: str, peer: str, case: str, program: str | None) -> None:
    if program and not is_installed(program):
        pytest.skip(f"{program} is not installed")
    done = python(script, "--one", peer, case)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for figure in found.values() if isinstance(found, dict) else [found]:
        assert figure >= 0
    assert done.stderr == ""


def test_every_script_that_measures_is_here() -> None:
    measuring = {path.name for path in BENCHMARKS.glob("*.py") if "peers.run(" in path.read_text()}
    assert measuring == {script for script, *_ in FIGURES}


def test_a_lane_is_chosen_and_what_it_costs_is_said() -> None:
    done = python("choosing.py", "--one", "sleep", "alone")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["lane"] == "threads"
    assert set(json.loads(python("choosing.py", "--cost").stdout)) == {"metered", "unmetered"}


def test_two_writes_of_one_turn_leave_in_one_call() -> None:
    """Three calls an echo: wait, read, and one for both writes."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    assert float(python("syscalls.py", "--one", "rota", "two writes x1").stdout) == pytest.approx(3, abs=0.1)


def test_a_table_has_all_its_forms(tmp_path: Path) -> None:
    only = ["--only", "1 KiB, 1", "--peer", "asyncio", "--rounds", "1"]
    saved = tmp_path / "streams.json"
    text = python("streams.py", *only, "--save", str(saved))
    assert text.returncode == 0, text.stderr
    assert "asyncio" in text.stdout
    assert json.loads(saved.read_text())["rows"]["1 KiB, 1"]["rota"]["figure"] > 0
    markdown = python("streams.py", *only, "--markdown").stdout
    assert "| | rota | asyncio | rota and the best peer |" in markdown
    assert json.loads(python("streams.py", *only, "--json").stdout)["columns"] == ["rota", "asyncio"]


def test_a_peer_that_fails_costs_its_own_figure(tmp_path: Path) -> None:
    """A script that raises for asyncio still has rota's, and says why it has not the other's."""
    script = tmp_path / "broken.py"
    script.write_text(
        "import peers, sys\n"
        "def measure(peer, case):\n"
        "    if peer == 'asyncio':\n"
        "        sys.exit('no such luck')\n"
        "    return {'rate': 2.0, 'time': 2.0}\n"
        "peers.run(__file__, 'A test.', 'units', ['case'], measure, more_is_better=('rate',))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "--rounds", "1", "--peer", "asyncio"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "case, rate, case, time: asyncio has none: `no such luck`" in done.stdout, done.stderr


def test_operations_whose_instructions_are_counted_run() -> None:
    done = python("instructions.py", "--operate", ROTA_PURE="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_slip_is_one_line() -> None:
    program = "import instructions; print(instructions.slips({'step': 106, 'wake': 105}, {'step': 100, 'wake': 100}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['step slipped from 100 to 106 instructions (+6.0%; the margin is 5%)']", done.stderr


def test_where_nothing_can_be_counted_it_says_so() -> None:
    done = python("instructions.py", ROTA_PURE="1")
    assert done.returncode == 0
    assert done.stdout == "instructions: not checked: rota runs without its compiled modules\n"
