"""In this room no test leaves a child, running or not."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings

import pytest


def python(code, *arguments, **options):
    """Start this Python on ``code``, without its site packages: it starts faster."""
    return asyncio.create_subprocess_exec(sys.executable, "-S", "-E", "-c", code, *arguments, **options)


@pytest.fixture(autouse=True)
def no_zombies():
    """No child is left, running or not."""
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture(autouse=True)
def quiet_watchers():
    """asyncio's child watchers are deprecated, and some of them say so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="asyncio")
        yield
