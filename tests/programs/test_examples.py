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


@pytest.mark.parametrize("models", ["sync", "threads"])
def test_the_job_can_be_compared(models: str) -> None:
    command = [sys.executable, "-m", "rota", "compare", EXAMPLES / "job.py", "--items", "2", "--models", models]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"  {models}" in done.stdout
