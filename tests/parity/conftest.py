"""The classes and functions that belong to each kind of loop."""

from __future__ import annotations

import asyncio
from types import ModuleType

import pytest

import rota


@pytest.fixture
def library(kind: str) -> ModuleType:
    """Whose Future, Task, sleep and gather go with the loop: rota's or asyncio's."""
    return rota if kind == "rota" else asyncio


@pytest.fixture
def reports(loop: asyncio.AbstractEventLoop) -> list[dict[str, object]]:
    """What the loop's exception handler is told, in order."""
    heard: list[dict[str, object]] = []
    loop.set_exception_handler(lambda loop, context: heard.append(context))
    return heard
