"""Runs one file of CPython's ``test.test_asyncio`` on a chosen loop, in a process of its own.

    python stdlib_child.py < order.json

The order is ``{"file": "test_events", "loop": "rota", "only": [patterns], "leave": [patterns], "results": path}``;
patterns are those of :mod:`fnmatch` on names such as ``test_events::PollEventLoopTests::test_close``. What becomes of
each test is written to ``results`` as ``outcome`` says. A test that takes longer than ``LONGEST`` ends the process,
with the stacks of its threads on stderr.

On rota, besides the loop (``disguise``), what the tests take for asyncio's C classes are rota's Task and Future;
streams, ``gather`` and ``sleep`` are rota's; and the loop with scripted time in the tests' own ``utils`` is rota's with
a scripted clock.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import json
import sys
import unittest
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, TextIO

import disguise

LONGEST = 30  # seconds; the slowest test takes a third of that on a busy machine


class Recorder(unittest.TestResult):
    """Writes down what becomes of each test as it happens."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self._file = file
        self._ended: set[str] = set()

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self._write(test, "began")
        faulthandler.dump_traceback_later(LONGEST, exit=True)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._write(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self._write(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self._write(test, "skipped", "expected to fail")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._write(test, "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self._write(test, "failed", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    addError = addFailure  # noqa: N815

    def addSubTest(self, test: unittest.TestCase, subtest: Any, err: Any) -> None:  # noqa: N802
        if err is not None:
            self._write(test, "failed", f"{subtest}\n{self._exc_info_to_string(err, test)}")  # type: ignore[attr-defined]

    def _write(self, test: unittest.TestCase, outcome: str, text: str = "") -> None:
        print(json.dumps({"test": name_of(test), "outcome": outcome, "text": text}), file=self._file, flush=True)


def name_of(test: unittest.TestCase) -> str:
    """``test_events::PollEventLoopTests::test_close``; for a class that can't be set up, what unittest calls it."""
    parts = test.id().split(".")
    return "::".join(parts[-3:]) if len(parts) >= 3 and "(" not in test.id() else test.id()


def tests_of(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from tests_of(entry)
        else:
            yield entry


def offer_rota() -> None:
    """Where CPython's tests look for its classes, let them find rota's."""
    from asyncio import base_events, futures, tasks

    from test.test_asyncio import utils

    import rota

    loop: Any = asyncio.SelectorEventLoop
    loop._run_once = run_once
    asyncio.BaseEventLoop = base_events.BaseEventLoop = loop  # type: ignore[misc]
    tasks._CTask = rota.Task  # type: ignore[attr-defined]
    futures._CFuture = rota.Future  # type: ignore[attr-defined]
    for name in OWN:
        setattr(asyncio, name, getattr(rota, name))
    utils.TestLoop = scripted_loop(loop)
    for module, names in SEEN.items():
        for name in names:
            setattr(importlib.import_module(module), name, Seen(name))


def run_once(loop: asyncio.AbstractEventLoop) -> None:
    """What many tests call the private ``_run_once`` for: whoever is ready has run."""
    loop.call_soon(loop.stop)
    loop.run_forever()


#: What rota has in place of asyncio's, beside the loop.
OWN = (
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "gather",
    "open_connection",
    "open_unix_connection",
    "sleep",
    "start_server",
    "start_unix_server",
)

#: The tests patch what asyncio's modules import: ``logger`` to see what is said, the others to make them fail. rota's
#: modules look through those.
SEEN = {
    "rota.core.debugging": ("logger",),
    "rota.core.lifecycle": ("signal",),
    "rota.core.trouble": ("logger",),
    "rota.net.binding": ("logger", "socket"),
    "rota.net.dns": ("socket",),
    "rota.net.tcp": ("socket",),
    "rota.net.udp": ("socket",),
    "rota.net.unix": ("logger", "socket"),
    "rota.proc.signals": ("logger", "signal", "sys"),
}


class Seen:
    """What ``name`` is in asyncio's modules at the moment: the one that was patched, if one was."""

    def __init__(self, name: str) -> None:
        places = [module for module in (asyncio.base_events, asyncio.unix_events) if hasattr(module, name)]
        self._places = [(module, name, getattr(module, name)) for module in places]

    def __getattr__(self, name: str) -> Any:
        for module, patched, original in self._places:
            current = getattr(module, patched)
            if current is not original:
                break
        return getattr(current, name)


def scripted_loop(base: Any) -> type:
    """rota's counterpart of ``test_asyncio.utils.TestLoop``: a generator is told when each timer that was asked for
    is due, and answers by how much time moves on once those who were ready have run.
    """
    import rota

    class ScriptedClock(rota.Clock):
        now = 0.0
        at_turn_end: Any = None

        def time(self) -> float:
            if self.at_turn_end is not None:
                self.at_turn_end()
            return self.now

        def until(self, when: float) -> float:
            if when - self.now < 1e-9:  # sums of floats; the tests' own loop takes as much for due
                self.now = when
            return 0.0

    class TestLoop(base):  # type: ignore[misc]
        def __init__(self, gen: Any = None) -> None:
            self._scripted = ScriptedClock()
            rota.Loop.__init__(self, clock=self._scripted)
            self._asked: list[float] = []
            self._script = gen() if gen is not None else None
            self._script_error: BaseException | None = None
            if self._script is not None:
                next(self._script)
            self.observe(self)

        def call_at(self, when: float, *args: Any, **kwargs: Any) -> Any:
            self._asked.append(when)
            return super().call_at(when, *args, **kwargs)

        def call_later(self, delay: float, *args: Any, **kwargs: Any) -> Any:
            return self.call_at(self.time() + delay, *args, **kwargs)

        def advance_time(self, advance: float) -> None:
            self._scripted.now += advance or 0

        # Observed, a loop asks what time it is when it runs somebody, and once more at the end of the turn.

        def before_run(self, runnable: object) -> None:
            self._scripted.at_turn_end = None

        def after_run(self, runnable: object) -> None:
            self._scripted.at_turn_end = self._follow_script

        def _follow_script(self) -> None:
            self._scripted.at_turn_end = None
            asked, self._asked = self._asked, []
            for when in asked if self._script is not None else ():
                try:
                    self.advance_time(self._script.send(when))
                except BaseException as error:
                    self._script_error = error

        def close(self) -> None:
            super().close()
            script, self._script = self._script, None
            if self._script_error is not None:
                raise AssertionError("the script of time failed") from self._script_error
            if script is not None:
                try:
                    script.send(0)
                except StopIteration:
                    pass
                else:
                    raise AssertionError("Time generator is not finished")

    return TestLoop


def main() -> None:
    order = json.load(sys.stdin)
    disguise.wear(order["loop"])
    if order["loop"] == "rota":
        offer_rota()
    module = importlib.import_module(f"test.test_asyncio.{order['file']}")
    chosen = unittest.TestSuite()
    for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module)):
        name = name_of(test)
        if any(fnmatchcase(name, only) for only in order["only"]) and not any(
            fnmatchcase(name, leave) for leave in order["leave"]
        ):
            chosen.addTest(test)
    # As after any test that came before: some of them count on it.
    asyncio.set_event_loop(None)
    with open(order["results"], "a", encoding="utf-8") as file:
        chosen.run(Recorder(file))
        print(json.dumps({"test": None, "outcome": "ended", "text": ""}), file=file, flush=True)
    faulthandler.dump_traceback_later(LONGEST, exit=True)


if __name__ == "__main__":
    main()
