"""Verdict: from the figures of the runs to one sentence that says which model to use.

The rule of thumb, as every Python programmer learns it:

    if io_bound:    if io_slow: asyncio    else: threads
    elif cpu_bound: processes

The run one by one says what kind of job it is, since nothing else was under way. Of its wall time an item had
a core for some, waited for a core for some, and for the rest it was ``blocked``, waiting for something
outside. ``busy`` is the first as a share of the first and the last. The wait for a core counts on neither
side: it says how much else the machine had to do, not what kind of job this is.

Then the runs say whether the rule holds here, and where it doesn't, the sentence says that too. ``auto`` is no
model to advise but a choice among them, and ``dask`` is other machines: each gets a sentence of its own, on how it
stands to the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .report import Figures, Run, Verdict
from .units import seconds

#: Up to this share of busy a job is I/O-bound, from CPU_BOUND on it is CPU-bound, and between them it is
#: mixed. On two cores, idle or beside six spinning processes alike, computing reads 1.00, sleeping 3 ms 0.02,
#: sleeping 50 ms 0.00, and 10 ms of each 0.50: the cuts stand far from all of them.
IO_BOUND = 0.3
CPU_BOUND = 0.8

#: Seconds for which an item of slow I/O is blocked, at least. Python spends about a millisecond on a request,
#: so at 10 ms ten threads keep a core busy and any pool has those; at 100 ms it takes a hundred and at a
#: second a thousand, each with its own stack, start and switches, where a task costs a few kilobytes.
SLOW_IO = 0.010

#: Two wall times, or two CPU times, this close are the same on a shared machine.
LEVEL = 0.10

#: A run that waited for a core for more than this share of what it computed had too few: what else the machine had
#: to do, or its own threads, kept them busy.
CROWDED = 0.5

FAMILIES = {
    "sync": "sync",
    "threads": "threads",
    "processes": "processes",
    "asyncio": "asyncio",
    "uvloop": "asyncio",
    "rota": "asyncio",
}

#: What auto did, by the lane that it chose.
CHOSE = {"loop": "stayed on the loop", "threads": "chose threads", "processes": "chose processes"}

#: What a model is called in a sentence.
SPOKEN = {
    "sync": "one by one",
    "asyncio": "asyncio on its own loop",
    "uvloop": "asyncio on uvloop",
    "rota": "asyncio on rota",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One item, run alone: its seconds on the clock, on a core, and waiting for a core."""

    wall: float
    cpu: float
    queued: float

    @property
    def blocked(self) -> float:
        return max(0.0, self.wall - self.cpu - self.queued)

    @property
    def busy(self) -> float:
        return self.cpu / (self.cpu + self.blocked) if self.cpu > 0 else 0.0

    @property
    def kind(self) -> str:
        if self.busy <= IO_BOUND:
            return "io"
        return "cpu" if self.busy >= CPU_BOUND else "mixed"

    @property
    def rule(self) -> str | None:
        """The family that the rule of thumb picks; None for a mixed job, where it has no answer."""
        if self.kind == "cpu":
            return "processes"
        if self.kind == "mixed":
            return None
        return "asyncio" if self.blocked >= SLOW_IO else "threads"


def decide(runs: Sequence[Run], call_async: bool) -> Verdict:
    """The verdict on these runs of one job; ``call_async``: whether it has an ``async def`` for the loops."""
    fair = comparable([run for run in runs if run.model in FAMILIES])
    profile = profile_of(fair)
    best = winner_of(fair)
    rule = None if profile is None else profile.rule
    family = [run for run in fair if FAMILIES[run.model] == rule]
    pick = winner_of(family)
    return Verdict(
        kind="unknown" if profile is None else profile.kind,
        busy=None if profile is None else profile.busy,
        blocked=None if profile is None else profile.blocked,
        rule=rule,
        pick=None if pick is None else pick.model,
        winner=None if best is None else best.model,
        agrees=best is not None and FAMILIES[best.model] == rule,
        sentence=no_verdict(runs)
        if best is None
        else sentence(profile, rule, pick, best, fair, call_async) + beside(runs, best),
    )


def comparable(runs: Sequence[Run]) -> list[Run]:
    """The runs that did the same work: all items, with as few failures as any, and not only failures."""
    whole = [run for run in runs if run.figures is not None and run.done > run.failures]
    fewest = min((run.failures for run in whole), default=0)
    return [run for run in whole if run.failures == fewest]


def profile_of(runs: Sequence[Run]) -> Profile | None:
    for run in runs:
        if run.model == "sync":
            figures = measured(run)
            return Profile(figures.wall / run.done, figures.cpu / run.done, (figures.queued or 0.0) / run.done)
    return None


def winner_of(runs: Sequence[Run]) -> Run | None:
    """The fastest; of those level with it, the fastest of the ones that took the least CPU."""
    if not runs:
        return None
    least = min(measured(run).wall for run in runs)
    level = [run for run in runs if measured(run).wall <= least * (1 + LEVEL)]
    least_cpu = min(measured(run).cpu for run in level)
    frugal = [run for run in level if measured(run).cpu <= least_cpu * (1 + LEVEL)]
    return min(frugal, key=lambda run: measured(run).wall)


def measured(run: Run) -> Figures:
    assert run.figures is not None
    return run.figures


def sentence(
    profile: Profile | None,
    rule: str | None,
    pick: Run | None,
    best: Run,
    runs: Sequence[Run],
    call_async: bool,
) -> str:
    if profile is None:
        return f"Fastest: {took(best)}. What kind of job it is, only the sync model tells."
    start = character(profile)
    if rule is None:
        text = f"{start}; the rule has no answer for that; measured, {took(best)} {against(best, runs)}"
    elif FAMILIES[best.model] == rule:
        result = ", but here it gained nothing" if gained_nothing(best, runs) else " and, measured, it holds"
        text = f"{start}; the rule says {rule}{result}: {took(best)} {against(best, runs)}"
    elif pick is not None:
        text = f"{start}; the rule says {rule}, but here {took(best)} {beat(best, pick)}"
    else:
        why_not = absent(rule, call_async)
        text = f"{start}; the rule says {rule}, {why_not}; of what ran, {took(best)} was best"
    return text + starting(best) + crowded(best) + "."


def no_verdict(runs: Sequence[Run]) -> str:
    """Why there is none: no model to choose from was asked for, or none could do the job."""
    others = [run.model for run in runs if run.model not in FAMILIES]
    if others and len(others) == len(runs):
        are = "is" if len(others) == 1 else "are"
        return f"No verdict: {' and '.join(others)} {are} not judged; add sync, threads or asyncio."
    return "No verdict: none of the models to choose from ran all the items."


def beside(runs: Sequence[Run], best: Run) -> str:
    """How those that are not to be advised stand to the best; nothing of one that did not do the same work."""
    said = ""
    for run in runs:
        if run.model in FAMILIES or run.figures is None or run.failures > best.failures:
            continue
        chose = "" if run.lane is None else f" {CHOSE[run.lane]}{some_of(run)} and"
        said += f" {run.model}{chose} {stood(run, best)}."
    return said


def some_of(run: Run) -> str:
    return "" if run.in_lane == run.done else f" for {run.in_lane} of the {run.done} items"


def stood(run: Run, best: Run) -> str:
    ratio = measured(run).wall / measured(best).wall
    name = SPOKEN.get(best.model, best.model)
    if 1 / (1 + LEVEL) < ratio < 1 + LEVEL:
        return f"was level with {name}"
    if ratio < 1:
        return f"was {1 / ratio:.1f} times as fast as {name}"
    return f"took {ratio:.1f} times as long as {name}"


def character(profile: Profile) -> str:
    """What kind of job it is, with the figures that say so."""
    item = f"an item computes for {seconds(profile.cpu)} and waits for {seconds(profile.blocked)}"
    if profile.kind == "cpu":
        return f"CPU-bound: {item}"
    if profile.kind == "mixed":
        return f"Mixed: {item}"
    speed = "slow" if profile.blocked >= SLOW_IO else "fast"
    at_once = f", so {1 / profile.busy:.0f} at once fill a core" if profile.busy else ""
    return f"I/O-bound and {speed}: {item}{at_once}"


def took(run: Run) -> str:
    return f"{SPOKEN.get(run.model, run.model)} in {seconds(measured(run).wall)}"


def against(best: Run, runs: Sequence[Run]) -> str:
    """How the winner stands to the run one by one, or to the next best where it is that itself."""
    others = [run for run in runs if FAMILIES[run.model] != FAMILIES[best.model]]
    sync = next((run for run in others if run.model == "sync"), None)
    other = sync or winner_of(others)
    if other is None:
        return "was the only one"
    ratio = measured(other).wall / measured(best).wall
    if ratio < 1 + LEVEL:
        return level_with(best, other)
    return f"against {took(other)}, {ratio:.1f} times as fast"


def beat(best: Run, pick: Run) -> str:
    """How a winner that the rule did not pick stands to the model that it did."""
    ratio = measured(pick).wall / measured(best).wall
    if ratio < 1 + LEVEL:
        return level_with(best, pick)
    return f"beat {took(pick)}, taking {cpu(best)} of CPU against {cpu(pick)}"


def level_with(best: Run, other: Run) -> str:
    text = f"was level with {took(other)}"
    if measured(other).cpu <= measured(best).cpu * (1 + LEVEL):
        return text
    return f"{text}, on {cpu(best)} of CPU instead of {cpu(other)}"


def gained_nothing(best: Run, runs: Sequence[Run]) -> bool:
    """Whether the winner is only level with the run one by one."""
    return any(run.model == "sync" and measured(run).wall < measured(best).wall * (1 + LEVEL) for run in runs)


def cpu(run: Run) -> str:
    return seconds(measured(run).cpu)


def absent(rule: str, call_async: bool) -> str:
    if rule == "asyncio" and not call_async:
        return "which needs an async def"
    return "which did not run"


def starting(best: Run) -> str:
    """Processes take their time to start; a job that ends before that has won nothing yet."""
    figures = measured(best)
    if best.model != "processes" or figures.start < figures.wall * LEVEL:
        return ""
    return f" (once its workers are up, which took {seconds(figures.start)})"


def crowded(best: Run) -> str:
    """A winner that waited long for a core is faster where the cores are free."""
    figures = measured(best)
    queued = figures.queued or 0.0
    if queued <= figures.cpu * CROWDED or queued <= figures.wall * LEVEL:
        return ""
    return f" (the cores were busy: it waited {seconds(queued)} for one)"
