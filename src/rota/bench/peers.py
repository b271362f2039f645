"""Peers: the loops that are measured beside one another, and how each is made."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable
from typing import Any

#: name -> the module that has new_event_loop
LOOPS = {"rota": "rota", "asyncio": "asyncio", "uvloop": "uvloop", "rloop": "rloop", "blazio": "blazio"}

#: The one that the others are compared with.
US = "rota"


def installed() -> list[str]:
    """The loops that this Python can make, rota first."""
    return [name for name, module in LOOPS.items() if importlib.util.find_spec(module)]


def maker(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop called ``name``."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    make: Callable[[], asyncio.AbstractEventLoop] = module(name).new_event_loop
    return make


def module(name: str) -> Any:
    """What a program that uses the loop called ``name`` imports."""
    return importlib.import_module(LOOPS[name])


def title(name: str) -> str:
    """What it is, with its version."""
    if name == "asyncio":
        return f"asyncio {platform.python_version()}"
    if name == "rota":
        from .. import COMPILED, __version__

        return f"rota {__version__} ({'compiled' if COMPILED else 'plain'})"
    try:
        return f"{name} {importlib.metadata.version(LOOPS[name])}"
    except importlib.metadata.PackageNotFoundError:  # a folder on the path, that pip knows nothing of
        return name
