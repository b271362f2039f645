"""Mistakes in a job file or in what is asked for: one line that says what and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from rota.errors import MissingExtra, UsageError
from rota.lanes.compare import compare

JOB = "def job(item): pass\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module\n", "{file}:1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("items = [1]\n\n1 / 0\n", "{file}:3: ZeroDivisionError: division by zero"),
        ("items = [1\n", "{file}:1: SyntaxError: '[' was never closed"),
        ("import sys\nsys.exit('told to')\n", "{file}:2: SystemExit: told to"),
        ("raise ValueError('first line\\nsecond line')\n", "{file}:1: ValueError: first line"),
        ("import os\nos._exit(9)\n", "its process ended with exit code 9"),
        (JOB, "{file} defines no items: write items = "),
        ("items = [1]\n", "{file} defines no job: write def job(item) or async def job(item)"),
        ("items = [1]\njob = 5\n", "{file} defines no job"),
        ("items = 5\n" + JOB, "the items of {file} can't be read: TypeError: 'int' object is not iterable"),
        ("items = []\n" + JOB, "{file}: items is empty"),
        ("def items():\n    raise OSError('no list')\n" + JOB, "{file}:2: OSError: no list"),
        ("def items():\n    yield 1\n    raise OSError('torn')\n" + JOB, "{file}:3: OSError: torn"),
        (
            "items = [1]\nconcurrency = 0\n" + JOB,
            "{file}: concurrency must be a whole number of at least 1, not 0",
        ),
        (
            "items = [1]\nconcurrency = 'x'\n" + JOB,
            "concurrency must be a whole number of at least 1, not 'x'",
        ),
        ("items = [1]\ndef job_async(item): pass\n" + JOB, "{file}: job_async must be an async def"),
        ("items = [1]\ndef close(): pass\n" + JOB, "{file}: close must be an async def"),
        (
            "items = [1]\nasync def job(item): pass\nasync def job_async(item): pass\n",
            "{file}: job is async already",
        ),
    ],
)
def test_a_file_that_is_no_job(tmp_path: Path, source: str, message: str) -> None:
    file = tmp_path / "work.py"
    file.write_text(source)
    with pytest.raises(UsageError) as caught:
        compare(str(file))
    assert message.format(file=file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't read the job file .*nope.py: No such file or directory"):
        compare(str(tmp_path / "nope.py"))
    with pytest.raises(UsageError, match=r"can't read the job file .*: Is a directory"):
        compare(str(tmp_path))


def test_a_model_that_is_none_lists_those_that_are(tmp_path: Path) -> None:
    known = "no model is called 'trio': choose from sync, threads, processes, asyncio, uvloop, rota, auto"
    with pytest.raises(UsageError, match=known):
        compare(str(tmp_path / "nope.py"), models=["sync", "trio"])
    with pytest.raises(UsageError, match="no model to compare: choose from sync, "):
        compare(str(tmp_path / "nope.py"), models=[])


@pytest.mark.parametrize("number", [0, -1])
def test_numbers_that_make_no_sense(tmp_path: Path, number: int) -> None:
    with pytest.raises(UsageError, match=f"items must be at least 1, not {number}"):
        compare(str(tmp_path / "nope.py"), items=number)
    with pytest.raises(UsageError, match=f"concurrency must be at least 1, not {number}"):
        compare(str(tmp_path / "nope.py"), concurrency=number)


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "tcp://127.0.0.1:8786", "dask://127.0.0.1", "dask://:8786", ""])
def test_an_address_that_is_no_clusters(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match=r"a Dask cluster is given as 'dask://host:port'"):
        compare(str(tmp_path / "nope.py"), on=address)


def test_the_cluster_takes_an_address_a_job_file_and_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"dask takes the address of a cluster: --on dask://host:port"):
        compare(str(tmp_path / "nope.py"), models=["sync", "dask"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(UsageError, match=r"on='dask://127.0.0.1:1' takes a job file"):
        compare(None, on="dask://127.0.0.1:1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs distributed: pip install 'rota\[cluster\]'"):
        compare(str(tmp_path / "nope.py"), on="dask://127.0.0.1:1")
