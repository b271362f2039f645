"""Out of memory at one allocation after the other: the process stands, and the next loop works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("_testcapi", reason="this Python has no _testcapi, whose hook makes allocations fail")

MEMORY = Path(__file__).with_name("memory.py")
ROOT = MEMORY.parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [0, 1, 2])
def test_no_allocation_that_fails_is_the_end(first):
    """Each in twelve, from three starts. Without a check, one of them once made NoneType's class None."""
    command = [sys.executable, "-X", "faulthandler", str(MEMORY), str(first), "900", "12"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 70
