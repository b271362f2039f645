"""Explain: why a function runs where it runs, and the state of all lanes, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .function import is_async, name_of
from .profile import Profile, Profiles
from .word import Word, word_of
from .wording import seconds

#: The reason where the lane was never rota's to choose.
SENT = "the program has said each time where it runs; on auto the first calls run in a thread, and are measured"


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a function's calls with arguments of one order of size.

    ``calls`` were made, of which ``measured`` were; ``cpu``, ``wall``, ``queued`` and ``blocked`` are the seconds of
    one: computing, by the clock, waiting for a core, and waiting for something outside. ``lane`` is where the next one
    goes, ``width`` how many at once make sense there, and ``reason`` why.
    """

    size: str
    calls: int
    measured: int
    cpu: float
    wall: float
    queued: float
    blocked: float
    lane: str
    width: int
    reason: str

    def __str__(self) -> str:
        size = f" with {self.size}" if self.size else ""
        times = "1 call" if self.calls == 1 else f"{self.calls:,} calls"
        if not self.measured:
            return f"{times}{size}, none of them measured"
        figures = f"{seconds(self.cpu)} computing, {seconds(self.blocked)} waiting, {seconds(self.wall)} in all"
        return f"{times}{size}, of {figures}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where ``function`` runs and why; ``rows`` has the figures, one row for each order of size of its arguments."""

    function: str
    lane: str
    reason: str
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        lines = [f"{self.function}: {self.lane}: {self.reason}"]
        for row in self.rows:
            same = (row.lane, row.reason) == (self.lane, self.reason)
            other = "" if same else f"; {row.lane}: {row.reason}"
            lines.append(f"    {row}{other}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ThreadsState:
    """How many threads there are, how many have a call, and how many calls wait for one."""

    threads: int
    busy: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ProcessesState:
    """The same for worker processes."""

    processes: int
    busy: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster, the threads that its workers have, and the address of its dashboard."""

    address: str
    width: int
    dashboard: str | None


@dataclass(frozen=True, slots=True)
class State:
    """The state of all lanes of a loop: what ``print(rota.lanes())`` shows."""

    threads: ThreadsState
    processes: ProcessesState
    clusters: tuple[ClusterState, ...]
    functions: tuple[Explanation, ...]

    def __str__(self) -> str:
        threads, processes = self.threads, self.processes
        lines = [
            f"threads:   {threads.threads} ({threads.busy} busy), {threads.waiting} calls wait",
            f"processes: {processes.processes} ({processes.busy} busy), {processes.waiting} calls wait",
        ]
        for cluster in self.clusters:
            where = f", {cluster.dashboard}" if cluster.dashboard else ""
            lines.append(f"cluster:   {cluster.address}, {cluster.width} threads{where}")
        lines.extend(map(str, self.functions))
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        return asdict(self)


def explain(profiles: Profiles | None, fn: Callable[..., Any]) -> Explanation:
    """Where ``fn`` runs on ``auto``, by what ``profiles`` know of it."""
    name = name_of(fn)
    rows = () if profiles is None else rows_of(profiles.find(fn))
    if is_async(fn):
        return Explanation(name, "loop", "it is a coroutine function", ())
    word = word_of(fn)
    if word is not None:
        return told(name, word, rows)
    if not rows:
        return Explanation(
            name, "threads", "it has not been called yet: the first calls run in a thread, and are measured", ()
        )
    return explanation(name, rows)


def explain_all(profiles: Profiles, words: Mapping[Profile, Word]) -> tuple[Explanation, ...]:
    """The same for each function that was called; ``words`` are those of the profiles that have one."""
    groups: dict[tuple[str, Word | None], list[Profile]] = {}
    for profile in profiles.all():
        groups.setdefault((profile.name, words.get(profile)), []).append(profile)
    found = []
    for (name, word), group in groups.items():
        rows = rows_of(group)
        if word is not None:
            found.append(told(name, word, rows))
        elif rows:
            found.append(explanation(name, rows))
    return tuple(found)


def told(name: str, word: Word, rows: tuple[Row, ...]) -> Explanation:
    """What the program has said of it; the figures lead to nothing."""
    most = f", at most {word.limit} at once" if word.limit is not None else ""
    lane = "processes" if word.kind == "cpu" else "threads"
    reason = f"the program says so: @rota.{word.kind}{most}"
    return Explanation(name, lane, reason, tuple(replace(row, lane=lane, reason=reason) for row in rows))


def explanation(name: str, rows: tuple[Row, ...]) -> Explanation:
    """What most of the calls lead to; each row may be another."""
    return Explanation(name, rows[0].lane, rows[0].reason, rows)


def rows_of(profiles: list[Profile]) -> tuple[Row, ...]:
    """A row for each of a function's profiles, the one with the most calls first."""
    return tuple(row_of(each) for each in sorted(profiles, key=lambda each: -each.calls) if each.calls)


def row_of(profile: Profile) -> Row:
    decision = profile.decision
    return Row(
        size_of(profile.magnitude),
        profile.calls,
        profile.measured,
        profile.cpu,
        profile.wall,
        profile.queued,
        profile.blocked,
        decision.lane,
        decision.width,
        decision.reason if profile.measured or profile.decided else SENT,
    )


def size_of(magnitude: int) -> str:
    """The sizes that belong together, for a person."""
    if not magnitude:
        return ""
    return f"arguments of {8**magnitude // 2:,} to {8 ** (magnitude + 1) // 2 - 1:,}"
