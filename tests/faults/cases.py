"""A scenario that is played again and again while the calls of one function fail, one after the other.

Run in a process with ``injector.c`` preloaded. A scenario's ``play`` makes the calls and its ``judge`` says what went
wrong; what must hold of every scenario is judged here: each protocol is told of its end once, and no file stays open.
"""

from __future__ import annotations

import asyncio
import collections
import ctypes
import errno
import gc
import json
import logging
import os
from collections.abc import Callable
from typing import Any

import rota

LONGEST = 5.0  # seconds until somebody hangs

#: Nothing is lost: try again.
SOFT = {errno.EINTR, errno.EAGAIN}

#: How often protocols were told what: "made", "lost", and what must not be.
Ends = collections.Counter[str]


class Scenario:
    """What is played; a new loop plays it each time."""

    #: Whether the calls count from before the loop is made; else from when ``play`` calls ``arm``.
    armed_at_once = True

    async def play(self, arm: Callable[[], None], disarm: Callable[[], None], ends: Ends) -> Any:
        """Do it, with ``disarm()`` before what no fault should touch; returns what ``judge`` is given."""
        raise NotImplementedError

    def judge(self, found: Any, number: int, fell: bool) -> list[str]:
        """What was wrong. ``number`` is the errno of the call that failed, if one did: ``fell``."""
        raise NotImplementedError


class Cases:
    """One function that fails in one scenario on one kind of loop."""

    def __init__(self, kind: str, function: str, scenario: Scenario) -> None:
        self.make = rota.new_event_loop if kind == "rota" else asyncio.SelectorEventLoop
        self.name = function
        self.function = function.encode()
        self.scenario = scenario
        self.injector = ctypes.CDLL(None)
        self.injector.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long, ctypes.c_int]
        self.injector.fault_disarm.restype = ctypes.c_long
        self.calls = 0
        self.reports: list[str] = []

    def disarm(self) -> None:
        if not self.calls:
            self.calls = self.injector.fault_disarm()

    def run(self, first: int, number: int) -> list[str]:
        """What went wrong with call ``first`` failing with errno ``number``."""

        def arm() -> None:
            self.injector.fault_arm(self.function, first, 1, number)

        self.calls = 0
        self.reports = []
        ends: Ends = collections.Counter()
        files = open_files()
        found: Any = None
        setup = None
        if self.scenario.armed_at_once:
            arm()
        try:
            loop = self.make()
            try:
                loop.set_exception_handler(lambda loop, context: self.reports.append(repr(context)))
                found = loop.run_until_complete(self.scenario.play(arm, self.disarm, ends))
            finally:
                self.disarm()
                loop.close()
        except OSError as error:
            setup = error  # the scenario could not begin, and whoever wanted it knows
        finally:
            self.disarm()
        loop = None
        gc.collect()
        wrong = []
        if files != open_files():
            wrong.append(f"{open_files() - files} files left open")
        if ends["lost"] != ends["made"] or ends["lost twice"] or ends["data after the end"]:
            wrong.append(f"protocols were told {dict(ends)}")
        if setup is not None:
            if setup.errno != number:
                wrong.append(f"raised {setup!r}")
            if number in SOFT:
                wrong.append(f"raised for nothing: {setup!r}")
            return wrong
        if len(self.reports) > (number not in SOFT):
            wrong.append(f"reported: {self.reports}")
        return wrong + self.scenario.judge(found, number, self.calls > first)

    def all(self, numbers: list[int], every: int) -> dict[str, Any]:
        """Let each call in ``every`` fail with each of ``numbers``: how many calls there are, how many cases were
        tried, and what was wrong with which.
        """
        wrong: dict[str, list[str]] = {}
        found = self.run(1 << 40, 0)
        if found:
            return {"calls": self.calls, "cases": 1, "wrong": {f"{self.name}, no fault": found}}
        calls = self.calls
        most = 0
        for number in numbers:
            first = 0
            while first <= self.calls or first < calls:
                found = self.run(first, number)
                if found:
                    wrong[f"{self.name} call {first}, {errno.errorcode[number]}"] = found
                most = max(most, first)
                first += every
                if len(wrong) > 10:
                    return {"calls": calls, "cases": len(wrong), "wrong": wrong}
        return {"calls": calls, "cases": (most // every + 1) * len(numbers), "wrong": wrong}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def errnos(names: list[str]) -> list[int]:
    return [int(getattr(errno, name)) for name in names]


def sweep(scenario: Scenario, arguments: list[str]) -> None:
    """Try what the command line names, ``SCRIPT KIND SCENARIO EVERY FUNCTION=ERRNO,... ...``, and print what was found
    as JSON, by function.
    """
    _, kind, _, every, *faults = arguments
    logging.disable()
    found = {}
    for fault in faults:
        function, names = fault.split("=")
        found[function] = Cases(kind, function, scenario).all(errnos(names.split(",")), int(every))
    print(json.dumps(found, indent=1))
