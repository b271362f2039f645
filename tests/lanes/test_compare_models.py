"""What each model does with a job file: every item once, the right number at once, failures by name."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rota.errors import UsageError
from rota.lanes.compare import Comparison, Report, Watcher, compare
from rota.lanes.compare.parent import started
from rota.lanes.compare.report import Run

ALL = ("sync", "threads", "processes", "asyncio", "rota", "auto")

RECORDING = """
import asyncio, json, os, threading
items = [f"item-{n}" for n in range(12)]
concurrency = 4
FOLDER = os.path.dirname(os.path.abspath(__file__))
MODEL_LOG = os.path.join(FOLDER, "log")
def note(item):
    with open(MODEL_LOG, "a") as file:
        file.write(json.dumps([item, os.getpid(), threading.get_ident()]) + "\\n")
def job(item): note(item)
async def job_async(item):
    await asyncio.sleep(0)
    with open(MODEL_LOG, "a") as file:
        file.write(json.dumps([item, os.getpid(), id(asyncio.current_task())]) + "\\n")
"""


def report_of(
    folder: Path, source: str, *models: str, items: int | None = None, concurrency: int | None = None
) -> Report:
    file = folder / "job.py"
    file.write_text(source)
    return compare(str(file), models=models or ALL, items=items, concurrency=concurrency)


def compared(
    folder: Path, source: str, *models: str, items: int | None = None, concurrency: int | None = None
) -> Comparison:
    return report_of(folder, source, *models, items=items, concurrency=concurrency).comparisons[0]


@pytest.mark.parametrize("model", ALL)
def test_every_item_runs_once_and_on_no_more_than_the_slots(tmp_path: Path, model: str) -> None:
    (run,) = compared(tmp_path, RECORDING, model).runs
    noted = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(item for item, _, _ in noted) == sorted(f"item-{n}" for n in range(12))
    assert (run.done, run.failures, run.error) == (12, 0, None)
    assert run.figures is not None
    assert run.figures.in_flight <= (1 if model == "sync" else 4)
    if model != "auto":  # whose threads come and go: how many are there is their own affair
        workers = {(process, worker) for _, process, worker in noted}
        assert len(workers) <= (1 if model == "sync" else 4)


@pytest.mark.parametrize("model", ["threads", "asyncio", "rota", "auto"])
def test_concurrency_is_how_many_run_at_once(tmp_path: Path, model: str) -> None:
    source = """
import asyncio, threading
items = range(9)
concurrency = 2
barrier = threading.Barrier(3)
waiting = []
def job(item): barrier.wait()
async def job_async(item):
    waiting.append(asyncio.get_running_loop().create_future())
    if len(waiting) == 3:
        for future in waiting: future.set_result(None)
        waiting.clear()
    else:
        await waiting[-1]
"""
    (run,) = compared(tmp_path, source, model, concurrency=3).runs
    assert run.done == 9
    assert run.figures is not None
    assert run.figures.in_flight == 3


@pytest.mark.parametrize("model", ["threads", "processes", "rota", "auto"])
def test_a_job_that_raises_is_counted_and_named_and_stops_nobody(tmp_path: Path, model: str) -> None:
    source = """
items = ["a", "b", "c"]
def job(item):
    if item == "b":
        raise ValueError("no such letter")
async def job_async(item):
    job(item)
"""
    report = report_of(tmp_path, source, model)
    (run,) = report.comparisons[0].runs
    assert (run.done, run.failures) == (3, 1)
    assert run.error == f"item 1 ('b'): {tmp_path / 'job.py'}:5: ValueError: no such letter"
    assert report.failed


@pytest.mark.parametrize("model", ["processes", "rota", "auto"])
def test_whatever_a_job_raises_is_a_failure_of_its_item(tmp_path: Path, model: str) -> None:
    source = """
import asyncio
class DoesNotUnpickle(Exception):
    def __init__(self, first, second): super().__init__("one argument")
items = range(4)
def job(item):
    if item == 1: raise SystemExit(3)
    if item == 2: raise asyncio.CancelledError
    if item == 3: raise DoesNotUnpickle(1, 2)
async def job_async(item): job(item)
"""
    (run,) = compared(tmp_path, source, model).runs
    assert (run.done, run.failures) == (4, 3)


@pytest.mark.parametrize("model", ["sync", "threads", "processes", "rota", "auto"])
def test_what_nothing_survives_is_named(tmp_path: Path, model: str) -> None:
    source = """
class Bad(BaseException): pass
items = range(1)
def job(item): raise Bad("no way on")
async def job_async(item): job(item)
"""
    (run,) = compared(tmp_path, source, model).runs
    assert run.figures is None
    assert run.error is not None
    assert run.error.endswith("Bad: no way on ended the run after 0 of 1 items")


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        ("return 'two\\n  lines'", "item 0 (two lines): {file}:5: ValueError: first"),
        ("raise OSError", "item 0 (<Item>): {file}:5: ValueError: first"),
    ],
)
def test_an_item_is_named_in_one_line_whatever_its_repr_does(tmp_path: Path, shown: str, line: str) -> None:
    source = f"""
class Item:
    def __repr__(self): {shown}
items = [Item()]
def job(item): raise ValueError("\\nfirst\\nsecond")
"""
    (run,) = compared(tmp_path, source, "sync").runs
    assert run.error == line.format(file=tmp_path / "job.py")


def test_an_error_that_can_not_be_shown_is_named_by_its_type(tmp_path: Path) -> None:
    source = """
items = [1]
class Mute(Exception):
    def __str__(self): raise OSError
def job(item): raise Mute
"""
    (run,) = compared(tmp_path, source, "sync").runs
    assert run.error == f"item 0 (1): {tmp_path / 'job.py'}:5: Mute"


def test_a_child_that_dies_before_it_has_read_anything_is_told_by_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def dead(module: str) -> Iterator[subprocess.Popen[bytes]]:
        with started("no_such_module") as child:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            yield child

    monkeypatch.setattr("rota.lanes.compare.parent.started", dead)
    with pytest.raises(UsageError, match="its process ended with exit code 1"):
        compared(tmp_path, "items = [1]\ndef job(item): pass\n", "sync")


@pytest.mark.parametrize("model", ["threads", "processes", "rota", "auto"])
def test_a_job_that_ends_its_process_is_one_line(tmp_path: Path, model: str) -> None:
    source = """
import os
items = range(4)
def job(item):
    if item == 2: os._exit(7)
async def job_async(item): job(item)
"""
    (died,) = compared(tmp_path, source, model).runs
    assert died.figures is None
    assert died.error is not None
    if model == "processes":
        assert died.error.startswith("a worker process died after ")
    else:
        assert died.error.startswith("the process ended with exit code 7 after ")


def test_after_a_model_that_died_the_others_run(tmp_path: Path) -> None:
    source = """
import os
items = range(4)
def job(item): pass
async def job_async(item): os.kill(os.getpid(), 9)
"""
    loop, sync = compared(tmp_path, source, "rota", "sync").runs
    assert loop.error == "the process was killed by SIGKILL after 0 of 4 items"
    assert (sync.done, sync.error) == (4, None)


def test_a_plain_job_leaves_the_loops_out_and_says_why(tmp_path: Path) -> None:
    comparison = compared(tmp_path, "items = range(2)\ndef job(item): pass\n")
    assert [run.model for run in comparison.runs] == ["sync", "threads", "processes", "auto"]
    assert comparison.notices == (
        "asyncio, rota left out: no async def job, and a plain one would hold the loop until it returns",
    )


def test_an_async_job_leaves_threads_and_processes_out_and_says_why(tmp_path: Path) -> None:
    comparison = compared(tmp_path, "items = range(2)\nasync def job(item): pass\n")
    assert [run.model for run in comparison.runs] == ["sync", "asyncio", "rota", "auto"]
    assert comparison.notices[0] == "threads, processes left out: no plain def job to call there"
    sync = comparison.runs[0].figures
    assert sync is not None
    assert sync.in_flight == 1


def test_no_model_that_can_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model left to run: rota left out: no async def job"):
        compared(tmp_path, "items = range(2)\ndef job(item): pass\n", "rota")


def test_what_the_file_defines_passes_between_processes(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 3\n")
    source = """
import beside
class Thing:
    def __init__(self, number): self.number = number
items = [Thing(n) for n in range(5)]
def job(thing): return Thing(thing.number * beside.FACTOR)
"""
    (run,) = compared(tmp_path, source, "processes").runs
    assert (run.done, run.failures) == (5, 0)
    assert run.figures is not None
    assert 1 <= run.figures.in_flight <= 5


def test_what_does_not_pickle_fails_in_processes_only(tmp_path: Path) -> None:
    source = "items = [(lambda: 1), (lambda: 2)]\ndef job(item): return item()\n"
    threads, processes = compared(tmp_path, source, "threads", "processes").runs
    assert threads.failures == 0
    assert (processes.done, processes.failures) == (2, 2)
    assert "pickle" in (processes.error or "")


def test_the_job_cannot_get_between_parent_and_child(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    source = """
import os, sys
items = range(3)
def job(item):
    print("printed by the job")
    os.write(1, b'{"run": "written by the job"}\\n')
    assert sys.stdin.read() == ""
"""
    runs = compared(tmp_path, source, "sync", "threads", "processes").runs
    assert [(run.done, run.failures) for run in runs] == [(3, 0)] * 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("printed by the job\n") == err.count("written by the job") == 9


def test_close_is_awaited_on_the_loop_after_the_last_item(tmp_path: Path) -> None:
    source = """
import asyncio, pathlib
items = range(3)
done = []
async def job(item): done.append((item, asyncio.get_running_loop()))
async def close():
    assert all(loop is asyncio.get_running_loop() for _, loop in done)
    (pathlib.Path(__file__).parent / "closed").write_text(str(len(done)))
"""
    compared(tmp_path, source, "rota")
    assert (tmp_path / "closed").read_text() == "3"


def test_a_close_that_raises_is_one_line(tmp_path: Path) -> None:
    source = "items = [1]\nasync def job(item): pass\nasync def close(): raise OSError('gone')\n"
    (run,) = compared(tmp_path, source, "rota").runs
    assert run.error == f"close() raised {tmp_path / 'job.py'}:3: OSError: gone"


def test_threads_left_behind_by_the_job_do_not_keep_the_run_alive(tmp_path: Path) -> None:
    source = """
import threading
items = [1]
def job(item): threading.Thread(target=threading.Event().wait).start()
"""
    (run,) = compared(tmp_path, source, "sync").runs
    assert run.done == 1


def test_items_may_be_a_callable_or_endless(tmp_path: Path) -> None:
    endless = "import itertools\nitems = itertools.count\ndef job(item): pass\n"
    comparison = compared(tmp_path, endless, "sync", items=7)
    assert (comparison.items, comparison.notices) == (7, ())
    few = compared(tmp_path, "items = range(3)\ndef job(item): pass\n", "sync", items=10**23)
    assert few.items == 3
    comparison = compared(tmp_path, endless, "sync")
    assert comparison.items == 1000
    assert comparison.notices == ("only the first 1000 items: there are more, --items N takes N of them",)


def test_a_list_is_taken_whole_and_a_short_generator_without_a_notice(tmp_path: Path) -> None:
    assert compared(tmp_path, "items = range(1500)\ndef job(item): pass\n", "sync").items == 1500
    comparison = compared(tmp_path, "items = (n for n in range(3))\ndef job(item): pass\n", "sync")
    assert (comparison.items, comparison.notices) == (3, ())


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    compared(tmp_path, "items = [1]\ndef job(item): pass\n", "processes")
    assert [path.name for path in tmp_path.iterdir()] == ["job.py"]


def test_a_module_in_the_current_directory_does_not_stand_in_for_the_standard_librarys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("raise ImportError('not this one')\n")
    monkeypatch.chdir(elsewhere)
    (run,) = compared(tmp_path, "items = [1]\ndef job(item): pass\n", "processes").runs
    assert run.done == 1


def test_a_watcher_sees_the_job_every_run_and_the_comparison(tmp_path: Path) -> None:
    seen: list[str] = []

    class Watching(Watcher):
        def job(self, title: str, notices: object) -> None:
            seen.append(title)

        def ended(self, run: Run, total: int) -> None:
            seen.append(f"{run.model} {run.done} of {total}")

        def compared(self, comparison: Comparison) -> None:
            seen.append(comparison.job)

    file = tmp_path / "job.py"
    file.write_text("items = range(2)\ndef job(item): pass\n")
    compare(str(file), watcher=Watching(), models=["threads", "sync", "threads"])
    assert seen == ["job.py", "threads 2 of 2", "sync 2 of 2", "job.py"]


def test_uvloop_is_left_out_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    comparison = compared(tmp_path, "items = range(2)\nasync def job(item): pass\n", "rota", "uvloop")
    assert [run.model for run in comparison.runs] == ["rota"]
    assert comparison.notices == ("uvloop left out: not installed (pip install uvloop)",)


#: What makes auto send a job to processes from the first item on.
TOLD = "import rota\nrota.cpu(job)\n"


def test_in_the_workers_of_auto_the_file_is_what_it_is_here(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 3\n")
    source = """
import beside, threading
lock = threading.Lock()  # would not pickle
class Thing:
    def __init__(self, number): self.number = number
    def __repr__(self): return f"number {self.number}"
items = [Thing(n) for n in range(5)]
def job(thing):
    if thing.number == 3: raise ValueError("no such thing")
    with lock: return Thing(thing.number * beside.FACTOR)
"""
    (run,) = compared(tmp_path, source + TOLD, "auto").runs
    assert (run.done, run.failures, run.lane, run.in_lane) == (5, 1, "processes", 5)
    assert run.error == f"item 3 (number 3): {tmp_path / 'job.py'}:9: ValueError: no such thing"


def test_items_that_look_alike_are_not_told_apart(tmp_path: Path) -> None:
    source = "items = 'aba'\ndef job(item): assert item == 'b'\n"
    (run,) = compared(tmp_path, source, "auto").runs
    assert run.error == f"an item ('a'): {tmp_path / 'job.py'}:2: AssertionError"


def test_a_worker_that_dies_takes_its_item_and_no_other(tmp_path: Path) -> None:
    source = "import os\nitems = range(4)\ndef job(item):\n    if item == 2: os._exit(7)\n"
    (run,) = compared(tmp_path, source + TOLD, "auto").runs
    assert (run.done, run.failures) == (4, 1)
    assert run.figures is not None
    assert run.error is not None
    assert run.error.startswith("the worker that ran rota_job.job(2) ")
    assert "exit code 7" in run.error
