"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_echo_server_answers_all() -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "echo_server.py"], capture_output=True, text=True, check=True)
    assert done.stdout == "100 answers, the last one 'client 99'\n"


def output_of(name: str) -> str:
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_thumbnails_are_made_and_the_lane_is_explained() -> None:
    said = output_of("thumbnails.py")
    assert said.startswith("48 thumbnails, ")
    assert "make_thumbnail: " in said


def test_sites_are_downloaded_by_coroutines_and_by_their_blocking_twin() -> None:
    said = output_of("download_sites.py").splitlines()
    assert said[0].startswith("download: 50 sites in ")
    assert said[1] == "download: loop: it is a coroutine function"
    assert said[2].startswith("download_blocking: 50 sites in ")
    assert said[3].startswith("download_blocking: threads: ")


@pytest.mark.parametrize("models", ["sync", "threads"])
def test_the_job_can_be_compared(models: str) -> None:
    command = [sys.executable, "-m", "rota", "compare", EXAMPLES / "job.py", "--items", "2", "--models", models]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"  {models}" in done.stdout
