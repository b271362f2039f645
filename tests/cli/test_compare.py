"""``rota compare`` from the command line: what it prints where, and its exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.cli.main import main

GOOD = "items = range(3)\ndef job(item): pass\nasync def job_async(item): pass\n"

#: Tells by a file that it runs, and by a line for whoever reads along; then waits for ever.
STUCK = """
import pathlib, threading
items = range(8)
def job(item):
    pathlib.Path(__file__).with_name("runs").touch()
    print("runs", flush=True)
    threading.Event().wait()
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    file = tmp_path / "job.py"
    file.write_text(GOOD)
    return file


def test_a_table_and_a_verdict_on_stdout_and_progress_on_stderr(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(job), "--models", "sync, rota"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == job.name
    assert out.splitlines()[3].split()[:4] == ["model", "wall", "speed", "cpu"]
    assert "bound" in out or "Mixed" in out
    assert "Python" in out.splitlines()[-1]
    assert "3 of 3" in err
    assert "\033" not in out + err


def test_json_is_the_only_thing_on_stdout(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job.write_text(GOOD.replace("pass", "print('noise')"))
    assert main(["compare", str(job), "--json", "--models", "sync,threads,rota,auto", "--items", "2"]) == 0
    report = json.loads(capfd.readouterr().out)
    (comparison,) = report["comparisons"]
    assert comparison["items"] == 2
    assert [run["model"] for run in comparison["runs"]] == ["sync", "threads", "rota", "auto"]
    assert [(run["lane"], run["in_lane"]) for run in comparison["runs"]] == [(None, None)] * 3 + [("threads", 2)]
    for run in comparison["runs"]:
        assert run["done"] == 2
        assert set(run["figures"]) == {
            "wall",
            "start",
            "cpu",
            "queued",
            "memory",
            "in_flight",
            "voluntary",
            "involuntary",
        }
    assert set(comparison["verdict"]) == {
        "kind",
        "busy",
        "blocked",
        "rule",
        "pick",
        "winner",
        "agrees",
        "sentence",
    }


def test_a_plot_is_written(job: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.svg"
    assert main(["compare", str(job), "--models", "sync,threads", "--plot", str(picture)]) == 0
    assert picture.read_text().startswith("<svg")


def test_a_failing_job_is_named_with_its_model_and_item_and_the_code_is_1(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write_text("items = 'ab'\ndef job(item): assert item == 'a', 'not an a'\n")
    assert main(["compare", str(job), "--models", "sync,threads"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rota: ")]
    where = f"item 1 ('b'): {job}:2: AssertionError: not an a (1 of 2 items failed)"
    assert said == [f"rota: job.py: sync: {where}", f"rota: job.py: threads: {where}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "trio"], "no model is called 'trio'"),
        (["--items", "0"], "items must be at least 1, not 0"),
        (["--concurrency", "-3"], "concurrency must be at least 1, not -3"),
        (["--plot", "/nowhere/out.svg"], "there is no directory /nowhere"),
        (["--on", "tcp://127.0.0.1:8786"], "a Dask cluster is given as 'dask://host:port'"),
        (["--models", "sync,dask"], "dask takes the address of a cluster: --on dask://host:port"),
    ],
)
def test_wrong_arguments_are_one_line_and_run_nothing(
    job: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    job.write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n" + GOOD)
    assert main(["compare", str(job), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rota: ")
    assert message in err
    assert err.count("\n") == 1
    assert not job.with_name("ran").exists()


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path / "nope.py")]) == 2
    err = capsys.readouterr().err
    assert err == f"rota: can't read the job file {tmp_path / 'nope.py'}: No such file or directory\n"


@contextlib.contextmanager
def started(command: list[str], stdout: int) -> Iterator[subprocess.Popen[str]]:
    """Run ``command``, with a pipe from its stderr; a test that gives up does not wait for it."""
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as rota:
        try:
            yield rota
        except BaseException:
            rota.kill()
            raise


@pytest.mark.parametrize("model", ["sync", "processes", "auto"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_or_a_kill_leaves_no_process_behind(job: Path, model: str, how: signal.Signals) -> None:
    job.write_text(STUCK)
    # Everything that the command starts inherits this pipe as its stderr: it ends when the last of them has.
    command = [sys.executable, "-m", "rota", "compare", str(job), "--models", model]
    with started(command, stdout=subprocess.DEVNULL) as rota:
        assert rota.stderr is not None
        while not job.with_name("runs").exists():
            assert rota.stderr.readline()
        rota.send_signal(how)
        err = rota.stderr.read()
    if how == signal.SIGINT:
        assert rota.returncode == 130
        # The jobs write there too, several at once in threads: a word may come without its line's end.
        assert err.splitlines()[-1].endswith("rota: interrupted")
    else:
        assert rota.returncode == -signal.SIGKILL


def test_a_reader_that_goes_away_ends_it_quietly(job: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "rota", "compare", str(job), "--models", "sync,threads"]
    with started(command, stdout=writing) as rota:
        os.close(writing)
        assert rota.stderr is not None
        err = rota.stderr.read()
    assert rota.returncode == 141
    assert "Traceback" not in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_under_the_output_is_one_line(job: Path, form: list[str], unbuffered: str) -> None:
    command = [sys.executable, "-m", "rota", "compare", str(job), "--models", "sync", *form]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "rota: can't write the output: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
def test_closed_streams_are_written_to_nowhere(job: Path, closed: tuple[int, ...]) -> None:
    shut = " ".join(f"{number}>&-" for number in closed)
    command = (
        f"exec {shlex.quote(sys.executable)} -m rota compare {shlex.quote(str(job))} --models sync,processes {shut}"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == (1 not in closed)


def test_help_names_the_exit_codes_and_the_job_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    out = capsys.readouterr().out
    assert "exit codes: 0 " in out
    assert "async def job_async(item)" in out
    assert "--on dask://HOST:PORT" in out
