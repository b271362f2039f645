"""Random programs on rota and on asyncio: all that can be seen of them must be the same.

``program.py`` says what a program is, ``interpreter.py`` what is seen of one. The programs here are the same in every
run; ``make fuzz`` draws new ones for as long as one likes.
"""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.clocks import VirtualSelectorLoop, virtual_rota_loop
from tests.parity.interpreter import RING, trace_of
from tests.parity.program import programs

import rota

#: Tasks that await one another in a ring die with their loop, and a TaskGroup that is broken off so says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PROGRAMS = 1000

SECONDS = float(os.environ.get("ROTA_FUZZ_SECONDS", "0"))


def check(program):
    """Run ``program`` on both loops and compare what was seen."""
    theirs = trace_of(program, VirtualSelectorLoop, asyncio)
    ours = trace_of(program, virtual_rota_loop, rota)
    if RING in (*ours[-1:], *theirs[-1:]):
        length = min(len(ours), len(theirs)) - 1
        ours, theirs = ours[:length], theirs[:length]
    if ours != theirs:
        raise AssertionError(difference(program, theirs, ours))


def difference(program, theirs, ours):
    number = next(
        (n for n, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours))
    )
    lines = [json.dumps(program), *map(repr, theirs[:number])]
    lines.append(f"asyncio: {theirs[number] if number < len(theirs) else 'nothing more'}")
    lines.append(f"rota:    {ours[number] if number < len(ours) else 'nothing more'}")
    return "\n".join(lines)


COMMON = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate, Phase.shrink],
}


@pytest.mark.timeout(300)  # on a busy machine
@settings(max_examples=PROGRAMS, derandomize=True, **COMMON)
@given(programs)
def test_both_loops_do_the_same(program):
    check(program)


@pytest.mark.skipif(not SECONDS, reason="runs for ROTA_FUZZ_SECONDS: make fuzz")
@pytest.mark.timeout(0)
def test_both_loops_do_the_same_for_long():
    end = time.monotonic() + SECONDS
    ran = 0

    @settings(max_examples=5000, **COMMON)
    @given(programs)
    def some(program):
        nonlocal ran
        ran += 1
        if time.monotonic() < end:
            check(program)

    while time.monotonic() < end:
        some()
        print(f"{ran} programs", flush=True)
