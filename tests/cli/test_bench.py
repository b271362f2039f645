"""``rota bench`` from the command line: what it prints where, and its exit codes. No figure is judged."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import rota
from rota.bench.measure import known, missing
from rota.bench.rounds import NoFigure
from rota.cli.main import main

#: As little as can be measured: one round of a millisecond.
LITTLE = ["--rounds", "1", "--seconds", "0.001"]

COMMAND = [sys.executable, "-m", "rota", "bench"]


def figures(monkeypatch: pytest.MonkeyPatch, **by_loop: float) -> None:
    """Have each loop take so long; none is run. One without a figure can't do it."""

    def ask(command: Sequence[str]) -> str:
        loop = command[-3]
        if loop not in by_loop:
            raise NoFigure(f"{loop} is broken")
        return str(by_loop[loop])

    monkeypatch.setattr("rota.bench.measure.ask", ask)


@pytest.mark.parametrize("operation", known())
def test_each_operation_can_be_measured(operation: str, capsys: pytest.CaptureFixture[str]) -> None:
    if why := missing(operation):
        pytest.skip(why)
    assert main(["bench", "--only", operation, "--loops", "asyncio", "--json", *LITTLE]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["name"] == operation
    assert list(row["cells"]) == ["rota", "asyncio"]
    assert all(cell["figure"] > 0 and cell["why"] == "" for cell in row["cells"].values())


def test_bars_on_stdout_and_what_is_coming_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "step, wake", "--loops", "asyncio", *LITTLE]) == 0
    out, err = capsys.readouterr()
    how = "compiled" if rota.COMPILED else "plain"
    assert f"rota {rota.__version__} ({how}), asyncio 3." in out
    assert ("rota is not compiled here" in out) == (not rota.COMPILED)
    names = [line.split()[0] for line in out.splitlines() if line]
    for expected in (["step", "rota", "asyncio"], ["wake", "rota", "asyncio"]):
        first = names.index(expected[0])
        assert names[first : first + 3] == expected
    assert re.search(r"rota is behind in (\d|none) of 2 operations", out)
    assert re.fullmatch(r"rota bench: 4 figures, about \d+ s\n", err)
    assert "\033" not in out + err


def test_json_is_the_only_thing_on_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figures(monkeypatch, rota=2e-7, asyncio=1e-7)
    assert main(["bench", "--only", "step,spawn", "--loops", "asyncio", "--json", "--rounds", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: report[name] for name in ("rota", "compiled", "rounds", "seconds", "left_out")} == {
        "rota": rota.__version__,
        "compiled": rota.COMPILED,
        "rounds": 2,
        "seconds": 0.1,
        "left_out": {},
    }
    assert set(report) == {"rota", "compiled", "python", "machine", "loops", "rounds", "seconds", "left_out", "rows"}
    assert list(report["loops"]) == ["rota", "asyncio"]
    assert report["rows"][0] == {
        "name": "step",
        "what": known()["step"],
        "cells": {
            "rota": {"figure": 2e-7, "ratio": 1.0, "range": [1.0, 1.0], "why": ""},
            "asyncio": {"figure": 1e-7, "ratio": 0.5, "range": [0.5, 0.5], "why": ""},
        },
        "behind": ["asyncio"],
    }


def test_where_rota_is_behind_is_in_plain_sight(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures(monkeypatch, rota=2e-7, asyncio=1e-7)
    assert main(["bench", "--only", "step", "--loops", "asyncio"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"rota +█+ +200 ns  <- behind\n", out)
    assert re.search(r"asyncio +▒+ +100 ns  0.50x\n", out)
    assert "rota is behind in 1 of 1 operations: step (asyncio 0.50x)." in out


def test_what_rota_can_not_do_is_exit_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figures(monkeypatch, asyncio=1e-7)
    assert main(["bench", "--only", "step", "--loops", "asyncio"]) == 1
    out, err = capsys.readouterr()
    assert "  rota     -  rota is broken\n" in out
    assert err.splitlines()[-1] == "rota: step was not measured: rota is broken"


def test_what_another_loop_can_not_do_is_a_dash_and_why(tmp_path: Path) -> None:
    (tmp_path / "rloop.py").write_text("def new_event_loop():\n    raise NotImplementedError('not on this machine')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [*COMMAND, "--only", "step,echo", "--loops", "rloop", *LITTLE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0
    assert done.stdout.count("  rloop  -  NotImplementedError: not on this machine\n") == 2


def test_plain_rota_says_so_first_and_what_to_do() -> None:
    command = [*COMMAND, "--only", "step", "--loops", "asyncio", *LITTLE]
    environment = os.environ | {"ROTA_PURE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0
    assert done.stdout.startswith("rota is not compiled here: ")
    assert "unset it" in done.stdout
    assert f"rota {rota.__version__} (plain), " in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, env=environment)
    assert json.loads(done.stdout)["compiled"] is False
    assert "\nrota is not compiled here: " in done.stderr


def test_the_list_has_every_operation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list"]) == 0
    out = capsys.readouterr().out
    for name, what in known().items():
        assert re.search(rf"^  {re.escape(name)}  +{re.escape(what)}$", out, re.M)
        assert what


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--only", "trot"], "no operation is called 'trot': rota bench --list names them"),
        (["--only", ""], "nothing to measure: rota bench --list names the operations"),
        (["--loops", "trio"], "no loop is called 'trio': choose from rota, asyncio, uvloop, rloop, blazio"),
        (["--rounds", "0"], "rounds must be at least 1, not 0"),
        (["--seconds", "0"], "seconds must be above 0 and at most 10, not 0"),
        (["--seconds", "nan"], "seconds must be above 0 and at most 10, not nan"),
        (["--seconds", "11"], "seconds must be above 0 and at most 10, not 11"),
    ],
)
def test_a_mistake_is_one_line_and_measures_nothing(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr() == ("", f"rota: {line}\n")


def test_a_loop_that_is_not_installed_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rota.bench.peers.installed", lambda: ["rota", "asyncio"])
    assert main(["bench", "--loops", "uvloop"]) == 2
    assert capsys.readouterr().err == "rota: uvloop is not installed: pip install uvloop\n"


def test_without_openssl_tls_is_left_out_or_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures(monkeypatch, rota=1e-7, asyncio=1e-7)
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["bench", "--loops", "asyncio"]) == 0
    out = capsys.readouterr().out
    assert "\necho-tls is left out: it needs the openssl command, to make a certificate\n" in out
    assert not re.search("^echo-tls  ", out, re.M)
    assert main(["bench", "--only", "echo-tls"]) == 2
    assert capsys.readouterr().err.startswith("rota: echo-tls can't be measured here: it needs the openssl command")


def in_session(leader: int) -> list[str]:
    """The processes of a session that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                state, _, _, session = file.read().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(name)
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no way to look for processes")
@pytest.mark.parametrize(("operation", "processes"), [("step", 2), ("echo", 3)])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_or_a_kill_leaves_no_process_behind(operation: str, processes: int, how: signal.Signals) -> None:
    command = [*COMMAND, "--only", operation, "--loops", "rota", "--seconds", "10"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as bench:
        while len(in_session(bench.pid)) < processes:
            assert bench.poll() is None
        bench.send_signal(how)
        assert bench.stderr is not None
        err = bench.stderr.read()
    # They would go on for ten seconds. Where the signal came while one was being started, it ends itself.
    end = time.monotonic() + 5
    while in_session(bench.pid):
        assert time.monotonic() < end
        time.sleep(0.01)
    if how == signal.SIGINT:
        assert bench.returncode == 130
        assert err.splitlines()[1:] == ["rota: interrupted"]
    else:
        assert bench.returncode == -how


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_progress_comes_and_goes_and_the_lines_fit(columns: int, colour: bool) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {} if colour else {"NO_COLOR": "1"}
    command = [*COMMAND, "--only", "step", "--loops", "asyncio", *LITTLE]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as bench:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:
            pass  # Linux's way to say that the other side is closed
        finally:
            os.close(ours)
    assert bench.returncode == 0
    text = shown.decode()
    assert "1 of 2" in text
    assert ("\033[32m" in text or "\033[33m" in text) == colour
    for line in re.sub(r"\033\[\d*m", "", text).split("\r\n"):
        drawn = re.split(r"\r", line.replace("\033[K", ""))
        assert max(map(len, drawn)) <= columns


def test_help_names_the_exit_codes_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    out = capsys.readouterr().out
    assert "exit codes: 0 " in out
    assert max(map(len, out.splitlines())) <= 110
