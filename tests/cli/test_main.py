"""The command line as a whole: what it says of itself, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import rota
from rota.cli import main as cli
from rota.errors import RotaError, UsageError


def test_the_version_says_how_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    how = "compiled" if rota.COMPILED else "plain Python"
    assert capsys.readouterr().out.startswith(f"rota {rota.__version__} ({how}) on CPython 3.")


def test_python_m_rota_is_rota() -> None:
    done = subprocess.run([sys.executable, "-m", "rota", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == cli.version_line() + "\n"


def test_no_command_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("run", "compare", "fetch", "bench"))


def test_an_unknown_command_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["frobnicate"])
    assert ended.value.code == 2
    assert "frobnicate" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "compare", "fetch", "bench"])
def test_each_command_explains_itself_and_its_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert "exit code" in capsys.readouterr().out


@pytest.mark.parametrize(("error", "code"), [(UsageError("wrong"), 2), (RotaError("failed"), 1)])
def test_a_mistake_is_one_line(
    error: RotaError, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr("rota.cli.fetch.run", fail)
    assert cli.main(["fetch"]) == code
    assert capsys.readouterr().err == f"rota: {error}\n"


def test_ctrl_c_is_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("rota.cli.fetch.run", interrupted)
    assert cli.main(["fetch"]) == 130
    assert capsys.readouterr().err == "rota: interrupted\n"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["compare", "--help"], []])
def test_a_reader_that_goes_away_is_no_traceback(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rota", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--version"], []])
def test_a_full_disk_under_the_output_is_one_line(arguments: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rota", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (1, "rota: can't write the output: No space left on device\n")


def test_ctrl_c_while_the_commands_are_loaded_is_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rota.cli.compare.add_parser", interrupted)
    assert cli.main(["--version"]) == 130
    assert capsys.readouterr().err == "rota: interrupted\n"


def test_looking_for_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from rota.cli.main import parser; parser();"
        "print([name for name in ('aiohttp', 'multiprocessing', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
