"""Real small jobs of every kind, through the door: the verdict finds the kind, on a busy machine too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.lanes.compare import Comparison, compare

SLOW = """
import time
items = range(6)
def job(item): time.sleep(0.05)
"""

FAST = """
import socket
items = range(20)
ours, theirs = socket.socketpair()
ours.settimeout(0.004)
def job(item):
    try:
        ours.recv(1)
    except TimeoutError:
        pass
"""

CPU = """
items = range(6)
def job(item): return sum(range(300_000))
"""

MIXED = """
import time
items = range(6)
def job(item):
    enough = time.thread_time() + 0.01
    while time.thread_time() < enough:
        pass
    time.sleep(0.01)
"""

SPINNING = """
import time
items = range(4)
def job(item):
    enough = time.process_time() + 0.1
    while time.process_time() < enough:
        pass
"""

#: What takes the choice from auto: it sends the job to processes from the first item on.
TOLD = "import rota\nrota.cpu(job)\n"

KINDS = [(SLOW, "io", "asyncio"), (FAST, "io", "threads"), (CPU, "cpu", "processes"), (MIXED, "mixed", None)]


def compared(folder: Path, source: str, *models: str) -> Comparison:
    file = folder / "job.py"
    file.write_text(source)
    report = compare(str(file), models=models)
    assert not report.failed, report
    return report.comparisons[0]


@pytest.fixture
def hogs() -> Iterator[None]:
    """Four processes that compute for as long as the test runs, and never longer than their stdin is open."""
    spin = "import os, sys, threading\n"
    spin += "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()\n"
    spin += "while True: pass"
    hogs = [subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE) for _ in range(4)]
    yield
    for hog in hogs:
        hog.communicate()


@pytest.mark.parametrize(("source", "kind", "rule"), KINDS, ids=["slow", "fast", "cpu", "mixed"])
def test_the_kind_of_a_real_job(tmp_path: Path, source: str, kind: str, rule: str | None) -> None:
    verdict = compared(tmp_path, source, "sync").verdict
    assert (verdict.kind, verdict.rule) == (kind, rule), verdict


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a thread waited for a core")
@pytest.mark.parametrize(("source", "kind", "rule"), KINDS[1:], ids=["fast", "cpu", "mixed"])
def test_the_kind_of_a_real_job_beside_other_work(
    tmp_path: Path, hogs: None, source: str, kind: str, rule: str | None
) -> None:
    verdict = compared(tmp_path, source, "sync").verdict
    assert (verdict.kind, verdict.rule) == (kind, rule), verdict


def test_the_figures_of_waiting(tmp_path: Path) -> None:
    source = SLOW + "import asyncio\nasync def job_async(item): await asyncio.sleep(0.05)\n"
    runs = {run.model: run for run in compared(tmp_path, source, "sync", "threads", "asyncio", "rota").runs}
    assert {model: run.figures.in_flight for model, run in runs.items() if run.figures} == {
        "sync": 1,
        "threads": 6,
        "asyncio": 6,
        "rota": 6,
    }
    sync = runs["sync"].figures
    assert sync is not None
    assert sync.wall >= 6 * 0.05
    assert sync.cpu < sync.wall / 2
    assert sync.voluntary >= 6
    for run in runs.values():
        assert run.done == 6
        assert run.figures is not None
        assert run.figures.memory > 5_000_000


@pytest.mark.parametrize("model", ["processes", "auto"])
def test_the_cpu_of_worker_processes_is_counted_and_their_memory_too(tmp_path: Path, model: str) -> None:
    sync, processes = compared(tmp_path, SPINNING + TOLD, "sync", model).runs
    assert sync.figures is not None
    assert processes.figures is not None
    assert processes.figures.cpu >= 0.4
    assert processes.figures.memory > sync.figures.memory * 1.5
    assert processes.figures.start > 0


def test_auto_starts_in_threads_and_goes_on_in_processes_with_what_computes(tmp_path: Path) -> None:
    source = SPINNING.replace("range(4)", "range(24)").replace("process_time", "thread_time") + "concurrency = 4\n"
    (auto,) = compared(tmp_path, source, "auto").runs
    assert auto.lane == "processes"
    assert auto.in_lane is not None
    assert 0 < auto.in_lane < 24
    assert auto.figures is not None
    assert auto.figures.cpu >= 24 * 0.1
    assert 2 <= auto.figures.in_flight <= 8


@pytest.mark.parametrize(
    ("source", "lane"),
    [
        (SLOW, "threads"),
        (SLOW.replace("def job", "async def job").replace("time.sleep", "await asyncio.sleep"), "loop"),
        (CPU + TOLD, "processes"),
    ],
    ids=["slow", "async", "told"],
)
def test_where_auto_sends_a_job(tmp_path: Path, source: str, lane: str) -> None:
    sync, auto = compared(tmp_path, "import asyncio\n" + source, "sync", "auto").runs
    assert (sync.lane, sync.in_lane) == (None, None)
    assert (auto.lane, auto.in_lane) == (lane, 6)
