"""Profile: what is known of a function, and the lane that follows from it.

A function has one for each magnitude of its first argument's size: to sort ten numbers is another thing than to sort a
million. The first calls are measured, later ones now and then, and the decision follows the figures; it only moves to
another lane when that gains enough, and not soon again.

All methods are called in the loop's thread.
"""

from __future__ import annotations

import array
import functools
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, NamedTuple

from .choose import PROCESSES, THREADS, Decision, Figures, asks_for_gil, choose, gain
from .function import key_of, name_of
from .meter import Held, Measure, Metered
from .safety import process_safe, result_ships, size_of
from .sampler import Sampler, gil_is_enabled

#: So many calls are measured before the first decision ...
FIRST = 8

#: ... or two, if each took so many seconds: their figures are far above what disturbs them.
LONG = 0.1

#: ... and at most this many, where nobody has yet seen enough of what they hold.
PATIENCE = 40

#: A sampler must have had so many chances to meet a call that computes without the GIL: by then it has met one.
CHANCES = 1.5

#: ... and who met one may have met something else, a file that is read: then there must be so many ...
CHANCES_AFTER_ONE = 5.0

#: ... and so many before a first decision, where what was met is neither little nor most.
CHANCES_UNCLEAR = 10.0
LITTLE, MUCH = 0.2, 0.7

#: What was seen longer ago than so many chances counts less and less.
CHANCES_KEPT = 8.0

#: Of the calls measured later, one in so many is looked at as closely.
CLOSELY = 4

#: Afterwards one call in so many is measured.
EVERY = 16

#: What a new call weighs against all before.
WEIGHT = 0.2

#: The decision is looked at again so often, in seconds ...
AGAIN = 0.5

#: ... it stays at least this long ...
DWELL = 10.0

#: ... and changes for nothing less than this many times less cost.
GAIN = 1.5

#: As long as nothing is known, so many calls of a map at once: what a program has in threads by asyncio's own default.
UNDECIDED = 32

#: A function that was not called for so long, in seconds, takes nothing of the GIL.
STALE = 10.0

#: What it costs to ship a call, in seconds, until it is known: a round trip ...
ROUND_TRIP = 0.000_3

#: ... and each byte, pickled and unpickled.
BYTE = 4e-9

#: So many profiles are kept; then those go that were not called for the longest time, so many at once.
MOST = 1024
LEAVE = 64

#: A function whose call could not be sent is tried again after so many seconds, after the next time twice as many ...
REFUSED = 60.0

#: ... and so on, up to this.
REFUSED_LONGEST = 3600.0

#: Before all that a clock says.
NEVER = -math.inf

Sizer = Callable[[Any], int]

#: What has a length that costs nothing to ask for. A length of the user's may be a question to a database.
SIZERS: dict[type, Sizer] = dict.fromkeys(
    (str, bytes, bytearray, list, tuple, dict, set, frozenset, deque, memoryview, array.array, range), len
)


class Profile:
    """One function's figures, and the decision.

    ``calls`` came; ``measured`` of them were. ``cpu``, ``wall``, ``queued``, ``blocked`` are seconds a call, the last
    one without waits for the GIL; ``held`` is the share of its CPU time with the GIL, None if unknown; ``rate``, calls
    that come in a second; ``ship``, seconds that one call takes to be sent to a process and back.

    The ``decision`` is of the figures once it is ``decided``. Who would go to a process is a ``candidate`` until a
    ``Verdict`` says that it may, or why it is ``unsafe``.
    """

    def __init__(self, name: str, owner: Profiles, subject: Any = None, magnitude: int = 0) -> None:
        self.name = name
        self.magnitude = magnitude  # of the first argument's size, in powers of eight
        self.subject = subject  # kept, as its id is the key
        self.calls = self.measured = 0
        self.cpu = self.wall = self.queued = self.blocked = self.rate = 0.0
        self.held: float | None = None
        self.ship = ROUND_TRIP
        self.shipped_calls = 0
        self.decided = False
        self.candidate = False
        self.unsafe: str | None = None
        self._owner = owner
        self._judged = False
        self._verdict: str | None = None  # what the look at it has found, whatever was refused since
        self._refused_until: float | None = None
        self._refused_for = REFUSED
        self._asked = 0  # to be measured
        self._next = EVERY  # the call that is measured whatever is known
        self._first: deque[Measure] = deque(maxlen=PATIENCE)
        self._chances = self._free = self._gil = self._outside = 0.0
        self._blind = False  # whether nobody could look
        self._last = self._counted = owner.clock()
        self._counted_calls = self._seen_calls = 0
        self._chosen = self._moved = NEVER
        self.decision = self._waiting()

    # -- for each call ------------------------------------------------------------------------------------------

    def wants_meter(self) -> bool:
        """Count a call that came, and say whether it is to be measured."""
        self.calls = calls = self.calls + 1
        # Not by the remainder: calls may come, and be counted, sixteen at a time.
        if calls >= self._next:
            self._next = calls + EVERY
        elif self.decided or self._asked - self.measured >= FIRST:
            # Of a burst that comes before any call has ended, the first few.
            return False
        self._asked += 1
        return True

    def miss(self) -> None:
        """A call that was to be measured was cancelled: there is nothing to ``add``."""
        self._asked -= 1

    def meter(self) -> Metered:
        """What measures a call in a thread."""
        if self.decided and self.decision.tiny:
            return Metered()  # it is over before anybody has looked, and to wake who looks costs more than the call
        return Metered(self._owner.sampler, not self.decided or not self.measured % CLOSELY)

    def add(self, measure: Measure, held: Held | None, where: str) -> None:
        """A call was measured in a lane: ``Metered.measure`` and ``Metered.held``, or what a worker sent back."""
        self.measured += 1
        self._last = now = self._owner.clock()
        outside = measure.blocked
        if where == PROCESSES and not measure.queued:
            # Who does not say how long it waited for a core may have waited for nothing else.
            outside = self.blocked
        elif where == THREADS:
            self._see(held)
            outside *= self._outside_share()
            if not self.decided:
                self._first.append(measure)
                self._weigh(measure, outside, 1 / len(self._first))
        if self.decided:
            self._weigh(measure, outside, WEIGHT)
            if now - self._chosen >= AGAIN:
                self._count(now)
                self._decide(now)
            return
        if self.candidate:
            return  # all is known, but whether it is safe
        if self._has_enough():
            self._settle()
            if self._is_known():
                self._count(now)
                self._decide(now)
                return
        self.decision = self._waiting()

    def conclude(self, verdict: Verdict) -> None:
        """It is known now whether the function may move to a process."""
        self.candidate, self._judged = False, True
        self.unsafe = self._verdict = verdict.unsafe
        if not self.shipped_calls:
            self.ship = ROUND_TRIP + verdict.size * BYTE
        if self.decided or self._is_known():  # as it was before: calls that ended meanwhile may say otherwise
            self._decide(self._owner.clock())

    def refuse(self, reason: str) -> None:
        """A call could not be sent, or its result not sent back, for ``reason``: threads from now on, for a minute. If
        it happens again, for two, and so on.
        """
        now = self._owner.clock()
        if self._refused_until is None:
            # Many calls may be on their way there at once, and all come back.
            self._refused_until = now + self._refused_for
            self._refused_for = min(2 * self._refused_for, REFUSED_LONGEST)
        if not self._judged:
            self._verdict = reason  # nobody has looked, and now nobody needs to
        self.candidate, self._judged, self.unsafe = False, True, reason
        if self.decided:
            self._moved = NEVER
            self._decide(now)

    def shipped(self, seconds: float) -> None:
        """What it took to ship one call there and its result back, beside the call itself."""
        self.shipped_calls += 1
        self.ship = seconds if self.shipped_calls == 1 else self.ship + (seconds - self.ship) * WEIGHT

    @property
    def last(self) -> float:
        """When it was last found to be in use."""
        if self.calls != self._seen_calls:
            self._seen_calls, self._last = self.calls, self._owner.clock()
        return self._last

    # -- figures ------------------------------------------------------------------------------------------------

    def figures(self) -> Figures:
        return Figures(self.cpu, self.wall, self.blocked, self.held, self.rate, self.ship)

    def demand(self, now: float) -> float:
        """The share of the GIL that its calls in threads take."""
        if not self.decided or self.decision.lane != THREADS or now - self._last > STALE:
            return 0.0
        return self.rate * self.cpu if self.figures().holds else 0.0

    def _see(self, held: Held | None) -> None:
        """What a sampler saw of one call more."""
        if held is None:
            self._blind = self._blind or not self.decided
            return
        self._blind = False
        fade = 1 - WEIGHT if self.decided else 1.0
        self._gil = self._gil * fade + held.gil
        self._outside = self._outside * fade + held.outside
        chances, free = self._chances + held.chances, self._free + held.free
        if self.decided and chances > CHANCES_KEPT:
            chances, free = CHANCES_KEPT, free * CHANCES_KEPT / chances
        self._chances, self._free = chances, free
        if chances >= self._chances_needed():
            self.held = self._held_share()
        elif not self.decided:
            # Later looks have met what the first ones had not: it is not known after all.
            self.held = None

    def _chances_needed(self) -> float:
        """Until it may be said what it holds."""
        if not self._free or (self.decided and self._free != 1):
            return CHANCES
        met = self._free / max(self._chances, 1e-9)
        return CHANCES_AFTER_ONE if self.decided or not LITTLE < met < MUCH else CHANCES_UNCLEAR

    def _held_share(self) -> float:
        return min(1.0, max(0.0, 1 - self._free / self._chances))

    def _outside_share(self) -> float:
        """Of the time blocked, what was not for the GIL. Before anybody has looked that is all of it."""
        return (self._outside + 1) / (self._gil + self._outside + 1)

    def _settle(self) -> None:
        """The first figures: the middle of the first calls, of which one may have had to import or fill a cache. When
        patience ends, what was seen by then is what they hold.
        """
        columns = zip(*self._first, strict=True)
        self.cpu, self.wall, self.queued, blocked = (statistics.median(column) for column in columns)
        self.blocked = blocked * self._outside_share()
        is_over = len(self._first) >= PATIENCE and not self._blind
        if self.held is None and is_over and self._chances >= CHANCES_AFTER_ONE:
            self.held = self._held_share()

    def _weigh(self, measure: Measure, outside: float, weight: float) -> None:
        self.cpu += (measure.cpu - self.cpu) * weight
        self.wall += (measure.wall - self.wall) * weight
        self.queued += (measure.queued - self.queued) * weight
        self.blocked += (outside - self.blocked) * weight

    def _count(self, now: float) -> None:
        """Calls that came in a second."""
        passed = now - self._counted
        if passed <= 0:
            return
        rate = (self.calls - self._counted_calls) / passed
        self.rate = rate if not self.decided else self.rate + (rate - self.rate) * 0.5
        self._counted, self._counted_calls = now, self.calls

    # -- the decision -------------------------------------------------------------------------------------------

    def _has_enough(self) -> bool:
        """Whether enough calls were measured to decide."""
        first = self._first
        if len(first) < FIRST:
            return len(first) >= 2 and min(each.cpu + each.blocked for each in first) > LONG
        return True

    def _is_known(self) -> bool:
        """Whether what they hold is known, or does not matter, or nobody will ever see it."""
        if self.held is not None or self._blind or len(self._first) >= PATIENCE:
            return True
        return not asks_for_gil(self.figures())

    def _waiting(self) -> Decision:
        reason = f"{self.measured} of the first {FIRST} calls measured so far"
        if self.measured >= FIRST:
            reason = f"the first {self.measured} calls measured, what they hold was not seen yet"
        return Decision(THREADS, UNDECIDED, False, reason)

    def _decide(self, now: float) -> None:
        owner = self._owner
        if self._refused_until is not None and now >= self._refused_until:
            self._refused_until, self.unsafe = None, self._verdict
        figures = self.figures()
        gil = gil_is_enabled()
        demand = own = figures.rate * figures.cpu
        foremost = True
        if self.decision.lane == THREADS and asks_for_gil(figures):
            others = [other.demand(now) for other in owner.all() if other is not self]
            demand += sum(others)
            foremost = own >= max(others, default=0.0)
        chosen = choose(
            figures,
            unsafe=self.unsafe,
            cores=owner.cores,
            most=owner.most,
            processes_allowed=owner.processes_allowed,
            gil=gil,
            gil_demand=demand,
            foremost=foremost,
        )
        if chosen.lane == PROCESSES and not self._judged:
            self.candidate = True
            if self.decided:
                self._chosen = now
            return
        self._chosen = now
        if self.decided and chosen.lane != self.decision.lane and not self._may_move(figures, chosen, gil, now):
            return
        if not self.decided or chosen.lane != self.decision.lane:
            self._moved = now
        self.decided = True
        self._first.clear()
        self.decision = chosen

    def _may_move(self, figures: Figures, chosen: Decision, gil: bool, now: float) -> bool:
        if chosen.lane == THREADS and self.unsafe is not None:
            return True
        if now - self._moved < DWELL:
            return False
        return gain(figures, self.decision.lane, chosen.lane, self._owner.cores, gil) >= GAIN


class Verdict(NamedTuple):
    """Whether a function may move to a process: ``unsafe`` says why not, and ``size`` how many bytes a call ships."""

    unsafe: str | None
    size: int


def examine(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Verdict:
    """Look at ``fn``, and at a call of it that has just returned ``result``, or None where it raised. Takes a
    millisecond or two, and for a long function with those that it calls up to fifty: for a thread.
    """
    unsafe = process_safe(fn, args, kwargs) or result_ships(result)
    return Verdict(unsafe, sum(map(size_of, args)) + sum(map(size_of, kwargs.values())) + size_of(result))


class Profiles:
    """All profiles of one program's lanes.

    ``cores`` is how many calls compute at once, ``most`` how many wait; without ``processes_allowed`` none goes there.
    ``sampler`` looks at the measured ones, and ``clock`` gives seconds.
    """

    def __init__(
        self,
        cores: int = 1,
        most: int = 500,
        processes_allowed: bool = True,
        sampler: Sampler | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cores = cores
        self.most = most
        self.processes_allowed = processes_allowed
        self.sampler = sampler
        self.clock = clock
        self._profiles: dict[Hashable, Profile] = {}

    def of(self, fn: Callable[..., Any], args: tuple[Any, ...] = ()) -> Profile:
        """The profile of ``fn`` for positional arguments like these."""
        magnitude = 0
        if args:
            first = args[0]
            sizer = SIZERS.get(type(first))
            if sizer is not None:
                magnitude = sizer(first).bit_length() // 3
            elif hasattr(type(first), "nbytes"):
                magnitude = magnitude_of_array(first)
        # As subject_of has it, in a third of the time where that is easy.
        key: Hashable
        kind = type(fn)
        if kind is FunctionType:
            key = id(fn.__code__), magnitude
        elif kind is MethodType and type(fn.__func__) is FunctionType:  # type: ignore[attr-defined]
            key = id(fn.__func__.__code__), type(fn.__self__), magnitude  # type: ignore[attr-defined]
        else:
            key = (*subject_of(fn)[1], magnitude)
        profile = self._profiles.get(key)
        return profile if profile is not None else self._add(fn, key, magnitude)

    def _add(self, fn: Callable[..., Any], key: Hashable, magnitude: int) -> Profile:
        if len(self._profiles) >= MOST:
            last = sorted(self._profiles, key=lambda known: self._profiles[known].last)
            for known in last[:LEAVE]:
                del self._profiles[known]
        profile = self._profiles[key] = Profile(name_of(fn), self, subject_of(fn)[0], magnitude)
        return profile

    def find(self, fn: Callable[..., Any]) -> list[Profile]:
        """All of ``fn``, of each magnitude."""
        key = subject_of(fn)[1]
        return [profile for known, profile in self._profiles.items() if known[:-1] == key]  # type: ignore[index]

    def all(self) -> list[Profile]:
        return list(self._profiles.values())


def subject_of(fn: Callable[..., Any]) -> tuple[Any, tuple[Hashable, ...]]:
    """What figures are kept of, and its key: the code, and for what is bound, the type of that. Whether a method may
    move depends on what it is bound to. Code is known by its id: its hash is that of all its instructions.
    """
    if isinstance(fn, functools.partial):
        return subject_of(fn.func)
    bound: Any
    if isinstance(fn, BuiltinFunctionType):
        bound = type(fn.__self__)
        return None, (fn.__module__, fn.__name__, bound)
    code = key_of(fn)
    # A tuple is the name of a method of C, of which each look makes a new one.
    part: Hashable = code if isinstance(code, tuple) else id(code)
    if isinstance(fn, FunctionType | type):
        return code, (part,)
    bound = type(fn.__self__ if isinstance(fn, MethodType) else fn)
    return code, (part, bound)


def magnitude_of_array(value: Any) -> int:
    """Of a numpy array's size in bytes, or its like's."""
    size = getattr(value, "nbytes", 0)
    return size.bit_length() // 3 if isinstance(size, int) else 0
