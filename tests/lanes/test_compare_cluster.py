"""The job on a Dask cluster beside the other models: a real scheduler and its worker, over loopback."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.cli.main import main
from rota.lanes.compare import Comparison, compare

pytest.importorskip("distributed", reason="the cluster's library is not installed (rota[cluster])")

from tests.lanes.test_cluster import dask

JOB = """
import time
FACTOR = 3
class Thing:
    def __init__(self, number): self.number = number
    def __repr__(self): return f"number {self.number}"
items = [Thing(n) for n in range(12)]
def job(thing):
    if thing.number == 5: raise ValueError("no such thing")
    enough = time.thread_time() + 0.01
    while time.thread_time() < enough:
        pass
    return Thing(thing.number * FACTOR)
"""

WAITING = "import asyncio\nitems = range(12)\nasync def job(item): await asyncio.sleep(0.1)\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dask(tmp_path_factory.mktemp("dask"), workers=1) as (address, _):
        yield address


def compared(folder: Path, source: str, address: str, *models: str) -> Comparison:
    file = folder / "job.py"
    file.write_text(source)
    return compare(str(file), models=models, on=address).comparisons[0]


def test_a_job_runs_there_by_value_as_it_does_here(tmp_path: Path, address: str) -> None:
    comparison = compared(tmp_path, JOB, address, "sync")
    sync, run = comparison.runs
    assert (run.model, run.done, run.failures, run.lane) == ("dask", 12, 1, None)
    assert run.error == sync.error == f"item 5 (number 5): {tmp_path / 'job.py'}:9: ValueError: no such thing"
    assert run.figures is not None
    assert run.figures.cpu >= 11 * 0.01
    assert run.figures.in_flight == 1
    assert run.figures.queued is None
    assert comparison.verdict.winner == "sync"
    assert " dask " in comparison.verdict.sentence
    assert comparison.notices[-1].startswith("dask: of the cluster only the items' own CPU is counted")


def test_many_items_of_an_async_job_run_at_once_there(tmp_path: Path, address: str) -> None:
    comparison = compared(tmp_path, WAITING, address, "dask")
    (run,) = comparison.runs
    assert (run.done, run.failures) == (12, 0)
    assert run.figures is not None
    assert run.figures.in_flight > 1
    assert comparison.notices == ("dask: of the cluster no CPU is counted; memory and switches are this program's",)


def test_what_can_not_be_sent_there_is_one_line(tmp_path: Path, address: str) -> None:
    source = "import threading\nitems = range(3)\nlock = threading.Lock()\ndef job(item):\n    with lock: pass\n"
    (run,) = compared(tmp_path, source, address, "dask").runs
    assert run.figures is None
    assert run.error is not None
    assert run.error.startswith("rota_job.job: the function can't be sent: TypeError: cannot pickle ")


def test_where_nobody_answers_the_others_run_and_the_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    file = tmp_path / "job.py"
    file.write_text("items = range(3)\ndef job(item): pass\n")
    command = ["compare", str(file), "--models", "sync", "--json", "--on", f"dask://127.0.0.1:{port}"]
    assert main(command) == 1
    out, err = capsys.readouterr()
    sync, run = json.loads(out)["comparisons"][0]["runs"]
    assert sync["error"] is None
    assert run["error"].startswith(f"no Dask scheduler answers at 127.0.0.1:{port} ")
    assert err.splitlines()[-1] == f"rota: job.py: dask: {run['error']}"
