"""A pytest plugin: the suite runs on the loop that the order on stdin names, and what becomes of each test is written
down as it happens (``outcome`` says how). Put first with ``-p recorder``, before any test is imported.

The order is ``{"loop": "rota", "only": [patterns], "leave": [patterns], "results": path}``.
"""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from typing import Any

import disguise
import pytest

ORDER: dict[str, Any] = json.load(sys.stdin)
disguise.wear(ORDER["loop"])
FILE = open(ORDER["results"], "a", encoding="utf-8")  # noqa: SIM115 - open as long as the tests run


def write(test: str | None, outcome: str, text: str = "") -> None:
    print(json.dumps({"test": test, "outcome": outcome, "text": text}), file=FILE, flush=True)


def named(name: str, patterns: list[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = [item for item in items if named(item.nodeid, ORDER["only"]) and not named(item.nodeid, ORDER["leave"])]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_runtest_logstart(nodeid: str) -> None:
    write(nodeid, "began")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        write(report.nodeid, "failed", f"{report.when}: {report.longreprtext[-3000:]}")
    elif report.skipped:
        write(report.nodeid, "skipped", report.longreprtext[-300:])
    elif report.when == "call":
        write(report.nodeid, "passed")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        write(report.nodeid, "failed", f"could not be collected: {report.longreprtext[-3000:]}")


def pytest_sessionfinish() -> None:
    write(None, "ended")
