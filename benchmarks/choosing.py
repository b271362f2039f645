"""Choosing: whether rota finds the lane where a function belongs, on an idle machine and on busy ones.

    python benchmarks/choosing.py [--rounds 3] [--only KIND] [--beside CONDITION] [--save FILE]

Each function of ``kinds.py`` is called a few times with ``rota.call``, which is told nothing of it; then
``rota.explain`` says the lane. Each case has a process of its own: alone, beside four processes that compute and have
the cores as often as it has (``outside``), and beside two threads of its own process that hold the GIL whenever they
can (``inside``).

The last lines are what choosing costs a call, in microseconds, in a process without other work: the profile looked up
and the decision read, and for a call that is measured its clocks, its figures and the decision made anew.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kinds import KINDS

import rota
from rota.bench.machine import machine
from rota.bench.peers import title
from rota.bench.rounds import NoFigure, ask

#: So often a function is called, one after another: more than it takes to decide.
CALLS = 24

CONDITIONS = ("alone", "outside", "inside")
PROCESSES_OUTSIDE, THREADS_INSIDE = 4, 2

COMPUTE = """
number = 0
while True:
    number = (number * 3 + 1) % 1_000_003
"""


@contextlib.contextmanager
def beside(condition: str) -> Iterator[None]:
    """The other work on the machine."""
    processes = PROCESSES_OUTSIDE if condition == "outside" else 0
    threads = THREADS_INSIDE if condition == "inside" else 0
    others = [subprocess.Popen([sys.executable, "-c", COMPUTE]) for _ in range(processes)]
    code = compile(COMPUTE, "beside", "exec")
    for _ in range(threads):
        threading.Thread(target=exec, args=(code, {}), daemon=True).start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def one(name: str, condition: str) -> dict[str, Any]:
    """A case: the lane that was chosen, and why."""
    kind = KINDS[name]
    if kind.warm:
        kind.function(kind.size)

    async def main() -> dict[str, Any]:
        for _ in range(CALLS):
            await rota.call(kind.function, kind.size)
        found = rota.explain(kind.function)
        return {"lane": found.lane, "right": found.lane == kind.lane, "reason": found.reason}

    with beside(condition):
        return rota.run(main())


def cost() -> dict[str, float]:
    """Microseconds that choosing takes of a call."""
    from rota.lanes.profile import Profiles
    from rota.lanes.sampler import Sampler

    def call(x: int) -> int:
        return x

    profiles = Profiles(cores=2, sampler=Sampler())
    args, kwargs = (1,), {}  # type: tuple[int], dict[str, Any]

    def metered(count: int) -> None:
        for _ in range(count):
            profile = profiles.of(call, args)
            profile.wants_meter()
            metered = profile.meter()
            metered(call, args, kwargs)
            profile.add(metered.measure, metered.held, "threads")

    def unmetered(count: int) -> None:
        for _ in range(count):
            profile = profiles.of(call, args)
            profile.wants_meter()
            _ = profile.decision.lane

    found: dict[str, float] = {}

    def run() -> None:
        found.update(metered=best(metered), unmetered=best(unmetered))

    # Where calls are measured: the main thread would open its file anew each time.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


def best(work: Callable[[int], None], count: int = 5000, rounds: int = 7) -> float:
    """Microseconds a time, of the round that others disturbed least."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work(count)
        taken.append((time.perf_counter() - began) / count * 1e6)
    return min(taken)


def table(names: list[str], conditions: list[str], rounds: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """All cases, printed row by row: the lane, or the lanes where rounds differ, and what is wrong."""
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    print(f"{'':12}{'belongs in':12}" + "".join(f"{condition:24}" for condition in conditions))
    for name in names:
        print(f"{name:12}{KINDS[name].lane:12}", end="", flush=True)
        row = rows[name] = {}
        for condition in conditions:
            row[condition] = [case(name, condition) for _ in range(rounds)]
            print(f"{word(row[condition]):24}", end="", flush=True)
        print()
    return rows


def case(name: str, condition: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(ask([sys.executable, __file__, "--one", name, condition]))
    except NoFigure as reason:
        return {"lane": "none", "right": False, "reason": str(reason)}
    return found


def word(found: list[dict[str, Any]]) -> str:
    lanes = "/".join(sorted({each["lane"] for each in found}))
    wrong = sum(not each["right"] for each in found)
    if not wrong:
        return lanes
    return f"{lanes}  WRONG" if len(found) == 1 else f"{lanes}  {wrong} WRONG"


def report(rows: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, int]:
    """How many were right; prints why the others were not."""
    counts = {"cases": 0, "right": 0, "without the GIL": 0, "right without the GIL": 0}
    for name, row in rows.items():
        for condition, found in row.items():
            for each in found:
                counts["cases"] += 1
                counts["right"] += each["right"]
                if condition != "inside":
                    counts["without the GIL"] += 1
                    counts["right without the GIL"] += each["right"]
                if not each["right"]:
                    print(f"wrong: {name}, {condition}: {each['reason']}")
    print(
        f"\n{counts['right']} of {counts['cases']} right; "
        f"{counts['right without the GIL']} of {counts['without the GIL']} without others at the GIL"
    )
    return counts


def main() -> int:
    assert __doc__
    form = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form.add_argument("--rounds", type=int, default=3, help="how often each case is tried")
    form.add_argument("--only", action="append", choices=list(KINDS), help="this function (may be repeated)")
    form.add_argument("--beside", action="append", choices=CONDITIONS, help="this condition (may be repeated)")
    form.add_argument("--save", type=Path, metavar="FILE", help="write the cases, counts and costs to FILE, as JSON")
    form.add_argument("--one", nargs=2, metavar=("KIND", "CONDITION"), help="one case, as JSON")
    form.add_argument("--cost", action="store_true", help="what choosing costs a call, as JSON")
    options = form.parse_args()
    if options.one:
        print(json.dumps(one(*options.one)))
        return 0
    if options.cost:
        print(json.dumps(cost()))
        return 0
    print(machine(), "\n")
    rows = table(options.only or list(KINDS), options.beside or list(CONDITIONS), options.rounds)
    counts = report(rows)
    costs = json.loads(ask([sys.executable, __file__, "--cost"]))
    print(f"choosing costs a measured call {costs['metered']:.1f} µs, any other {costs['unmetered']:.2f} µs")
    if options.save:
        found = {
            "machine": machine(),
            "python": platform.python_version(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "version": title("rota"),
            "counts": counts,
            "cost": costs,
            "cases": rows,
        }
        options.save.parent.mkdir(parents=True, exist_ok=True)
        options.save.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
