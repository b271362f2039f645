"""Report: what ``rota compare`` found, as plain frozen values.

A ``Run`` is one job in one model, a ``Comparison`` one job in all of them with the verdict, a ``Report``
everything. Times are seconds, memory is bytes. ``as_json`` is the contract of ``rota compare --json``: the
fields by their names here, and nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run took.

    ``wall`` is the work alone; ``start`` is what came before it: importing the job, starting loop or
    processes. ``cpu`` and ``queued`` (ready, but waiting for a core; None where the system doesn't say) are
    sums over all threads and processes, ``memory`` is the sum of the processes' peaks, ``in_flight`` the most
    items under way at once. Of what ran on a cluster only ``cpu`` holds anything of its processes: what plain
    items computed.
    """

    wall: float
    start: float
    cpu: float
    queued: float | None
    memory: int
    in_flight: int
    voluntary: int
    involuntary: int


@dataclass(frozen=True, slots=True)
class Run:
    """One job in one model. ``done`` counts the items that ended, ``failures`` those of them that raised.

    ``error`` is one line: which item failed first and how, or how the whole run died; ``figures`` is None
    then. For ``auto``, ``lane`` is what it chose, "loop", "threads" or "processes", and ``in_lane`` is how many
    of the items ran there: the choice takes some.
    """

    model: str
    done: int
    failures: int
    error: str | None
    figures: Figures | None
    lane: str | None = None
    in_lane: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which model to use, and why.

    ``kind`` is "io", "cpu", "mixed" or "unknown" (no run one by one to tell by). ``blocked`` is the seconds
    in which an item waits for something outside, ``busy`` its share of computing in computing and being
    blocked. ``rule`` is the family that the rule of thumb picks ("asyncio", "threads" or "processes", None
    where it has no answer), ``pick`` the measured model of that family, ``winner`` the fastest of all,
    ``agrees`` whether the winner is of that family. ``auto`` and ``dask`` are none of them; how close the first
    came to the winner is the end of the ``sentence``.
    """

    kind: str
    busy: float | None
    blocked: float | None
    rule: str | None
    pick: str | None
    winner: str | None
    agrees: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One job in every model that could run it. ``notices`` are lines about what was left out, and why."""

    job: str
    title: str
    items: int
    concurrency: int
    notices: tuple[str, ...]
    runs: tuple[Run, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """Every comparison, with what it ran on: two reports from different machines don't compare."""

    rota: str
    compiled: bool
    python: str
    cores: int
    comparisons: tuple[Comparison, ...]

    @property
    def failed(self) -> bool:
        """Whether any item failed or any run died."""
        return any(run.error is not None for each in self.comparisons for run in each.runs)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
