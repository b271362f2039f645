"""What a call cost its thread, and what a sampler sees of it."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rota.lanes import meter
from rota.lanes import sampler as sampler_module
from rota.lanes.meter import Held, Metered
from rota.lanes.sampler import Gil, Sampler, Watch, parse

linux = pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="needs /proc and its schedstat")


def compute(seconds: float) -> int:
    """Python code for so long by its own clock."""
    ends = time.thread_time() + seconds
    count = 0
    while time.thread_time() < ends:
        count += sum(range(200))
    return count


def digest(size: int) -> bytes:
    return hashlib.sha256(bytes(size)).digest()


def in_thread(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    (result,) = found
    return result


@pytest.fixture
def sampler() -> Any:
    sampler = Sampler()
    yield sampler
    sampler.close()


def test_a_call_returns_what_it_returns() -> None:
    assert Metered()(divmod, (7, 2), {}) == (3, 1)
    assert Metered()(sorted, ([1, 2],), {"reverse": True}) == [2, 1]


def test_a_call_raises_what_it_raises_and_is_measured() -> None:
    metered = Metered()
    with pytest.raises(ZeroDivisionError):
        metered(divmod, (7, 0), {})
    assert metered.measure.wall > 0
    assert metered.held is None


def test_a_sleep_is_blocked() -> None:
    metered = Metered()
    metered(time.sleep, (0.05,), {})
    cpu, wall, queued, blocked = metered.measure
    assert wall >= 0.05
    assert blocked > wall / 2
    assert blocked == pytest.approx(wall - cpu - queued)


def test_computing_is_cpu_whatever_the_clock_says() -> None:
    metered = Metered()
    metered(compute, (0.05,), {})
    assert 0.05 <= metered.measure.cpu < 0.2
    assert metered.measure.wall >= metered.measure.cpu * 0.99


@linux
def test_waiting_for_a_core_is_neither() -> None:
    """Two processes' worth of work for one core: half of the clock is a queue."""
    cores = os.sched_getaffinity(0)

    def work() -> Metered:
        child = os.posix_spawn(sys.executable, [sys.executable, "-c", "while True: pass"], os.environ)
        try:
            time.sleep(0.2)
            metered = Metered()
            metered(compute, (0.2,), {})
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
        return metered

    try:
        os.sched_setaffinity(0, {min(cores)})
        metered = in_thread(work)
    finally:
        os.sched_setaffinity(0, cores)
    assert metered.measure.queued > 0.02
    assert metered.measure.blocked < metered.measure.queued


@linux
def test_a_sampler_tells_who_computes_without_the_gil(sampler: Sampler) -> None:
    def held(call: Callable[[], Any]) -> tuple[float, int]:
        chances, free = 0.0, 0
        for _ in range(100):
            metered = Metered(sampler)
            metered(call, (), {})
            assert metered.held is not None
            chances += metered.held.chances
            free += metered.held.free
            if chances > 5:
                break
        return chances, free

    chances, free = in_thread(lambda: held(lambda: digest(10_000_000)))
    assert free > chances * 0.4
    chances, free = in_thread(lambda: held(lambda: compute(0.02)))
    assert chances > 1.5
    assert free < chances * 0.4


@linux
def test_a_sampler_tells_what_a_call_waits_for(sampler: Sampler) -> None:
    """A lock is something outside, although both are waited for in the same system call."""
    lock = threading.Lock()
    lock.acquire()
    calls = {"sleep": lambda: time.sleep(0.2), "lock": lambda: lock.acquire(timeout=0.2)}
    for name, call in calls.items():
        metered = Metered(sampler)
        in_thread(lambda metered=metered, call=call: metered(call, (), {}))
        assert metered.held is not None, name
        assert metered.held.outside > metered.held.gil, name
    assert metered.held.outside > 3


@linux
def test_a_sampler_tells_waits_for_the_gil(sampler: Sampler) -> None:
    ending = False

    def hog() -> None:
        while not ending:
            sum(range(100))

    hogs = [threading.Thread(target=hog) for _ in range(2)]
    for thread in hogs:
        thread.start()
    try:
        metered = Metered(sampler)
        in_thread(lambda: metered(compute, (0.1,), {}))
    finally:
        ending = True
        for thread in hogs:
            thread.join()
    assert metered.held is not None
    assert metered.held.gil > metered.held.outside


@linux
def test_many_calls_are_watched_at_once(sampler: Sampler) -> None:
    found: list[Held | None] = []

    def work() -> None:
        metered = Metered(sampler)
        metered(time.sleep, (0.2,), {})
        found.append(metered.held)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert sum(held.outside for held in found if held is not None) > 40


@linux
def test_threads_that_change_places_at_every_step_read_their_own(sampler: Sampler) -> None:
    measures: list[Any] = []

    def work() -> None:
        for _ in range(500):
            metered = Metered(sampler)
            metered(sum, (range(500),), {})
            measures.append(metered.measure)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(measures) == 2000
    assert all(min(each) >= 0 for each in measures)


def test_who_is_closed_sees_nothing(sampler: Sampler) -> None:
    sampler.close()
    metered = Metered(sampler)
    assert metered(int, ("7",), {}) == 7
    assert metered.held is None


def test_where_threads_can_not_be_seen_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "libc", None)
    monkeypatch.setattr(meter, "CAN_SAMPLE", False)

    def work() -> Metered:
        metered = Metered(Sampler())
        metered(time.sleep, (0.01,), {})
        return metered

    metered = in_thread(work)
    assert metered.held is None
    assert metered.measure.queued >= 0
    assert metered.measure.blocked > 0


def test_where_the_system_tells_nothing_of_queues_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    metered = Metered()
    in_thread(lambda: metered(time.sleep, (0.01,), {}))
    assert metered.measure.queued == 0


def test_without_a_gil_there_is_nothing_to_see(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    metered = Metered(sampler)
    metered(int, (), {})
    assert metered.held is None


@linux
def test_threads_that_end_leave_no_files() -> None:
    def open_files() -> int:
        gc.collect()
        return sum("schedstat" in link for link in links())

    before = open_files()
    for _ in range(3):
        threads = [threading.Thread(target=Metered(), args=(time.sleep, (0.01,), {})) for _ in range(100)]
        for thread in threads:
            thread.start()
        assert open_files() <= meter.KEPT_FILES
        for thread in threads:
            thread.join()
    assert open_files() == before


def links() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


@linux
def test_a_call_does_not_fail_for_want_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    metered = Metered()
    assert in_thread(lambda: metered(int, ("7",), {})) == 7
    assert metered.measure.wall > 0


@linux
def test_a_forked_child_measures_itself() -> None:
    program = (
        "import os, time\n"
        "from rota.lanes.meter import Metered\n"
        "from rota.lanes.sampler import Sampler\n"
        "sampler = Sampler()\n"
        "Metered(sampler)(time.sleep, (0.05,), {})\n"
        "child = os.fork()\n"
        "metered = Metered(sampler)\n"
        "metered(time.sleep, (0.3,), {})\n"
        "good = metered.held is not None and metered.held.outside > 0 and metered.measure.blocked > 0.1\n"
        "if child == 0: os._exit(0 if good else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", program], environment)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (b"202 0x7fb92d740c74 0x89 0x0 0x7fb927ffeb50 0x0 0xffffffff 0x7fb927ffea20 0x7fb92d0a3f16\n", True),
        (b"202 0x7fb92d740c70 0x189 0x0 0x0 0x0 0xffffffff 0x7fb926ffca70 0x7fb92d0a3f16\n", True),
        (b"202 0x5619485c43d0 0x189 0x0 0x0 0x0 0xffffffff 0x7fb926ffca70 0x7fb92d0a3f16\n", False),  # a lock
        (b"230 0x1 0x1 0x7fb92cca9bd0 0x0 0x0 0x0 0x7fb92cca9b90 0x7fb92d0ed545\n", False),
        (b"-1 0x7fb92cca9b90 0x7fb92d0ed545\n", False),
        (b"running\n", False),
        (b"", False),
    ],
)
def test_who_waits_for_the_gil_waits_at_its_address(status: bytes, found: bool) -> None:
    assert Gil(b"202", 0x7FB92D740C70).has(status) == found
    assert parse(b"running\n") == (b"", 0)


GIL = Gil(b"202", 0x7FB92D740C70)
WAITS_FOR_GIL = b"202 0x7fb92d740c74 0x89 0x0\n"


class Told(meter.Libc):
    """Says of each thread what it is told to say."""

    def __init__(self, status: bytes) -> None:
        self.status = status

    def read(self, path: bytes, buffer: Any) -> bytes:
        return self.status


@pytest.fixture
def look(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Look at a watch at a time when its clock says ``cpu``, and ``computed`` more after the moment."""

    def look(watch: Watch, now: float, cpu: float, computed: float, status: bytes, moment: float = 0.0002) -> None:
        sampler._watches = {watch: None}
        monkeypatch.setattr(sampler_module, "snapshot", lambda *_: (now, [cpu], moment, [cpu + computed]))
        sampler._look(Told(status), GIL, None)

    return look


@pytest.mark.parametrize(("moment", "free"), [(0.0002, 1), (1.0, 0)])
def test_a_moment_that_may_have_been_one_without_the_gil_shows_nothing(
    look: Callable[..., None], moment: float, free: int
) -> None:
    """In a second somebody else had it, and computed."""
    watch = Watch(meter.Here(), 1.0, 0.0, True)
    look(watch, 2.0, 2.0, moment * 0.9, b"running\n", moment)
    assert watch.free == free
    assert (watch.chances > 0) == bool(free)
    assert watch.cpu == 2.0 + moment * 0.9


def test_a_look_at_a_call_without_a_core_is_none(look: Callable[..., None]) -> None:
    """It may compute without the GIL as well as with it: the next look stands for all the time since the last."""
    watch = Watch(meter.Here(), 1.0, 0.0, True)
    look(watch, 1.0, 1.5, 0.0, b"running\n")
    assert (watch.chances, watch.free, watch.gil, watch.outside) == (0, 0, 0, 0)
    look(watch, 4.0, 2.0, 0.0, WAITS_FOR_GIL)
    assert (watch.chances, watch.free, watch.gil, watch.outside) == (0.25, 0, 0.75, 0)
    look(watch, 6.0, 3.0, 0.0001, b"")
    assert (watch.chances, watch.free) == (pytest.approx(0.75, rel=0.01), 1)


@pytest.mark.parametrize(("status", "chances"), [(b"running\n", 0.0), (WAITS_FOR_GIL, 1.5)])
def test_the_end_of_a_call_is_a_chance_unless_looks_at_it_saw_nothing(
    sampler: Sampler, look: Callable[..., None], status: bytes, chances: float
) -> None:
    watch = Watch(meter.Here(), 1.0, time.perf_counter() - 2.0, True)
    look(watch, watch.since + 2.0, 2.0, 0.0, status)
    held = sampler.end(watch, 1000.0)
    assert held is not None
    assert held.chances == pytest.approx(chances, rel=0.05)


def test_where_nobody_can_tell_what_a_call_waits_for_each_look_is_a_chance(look: Callable[..., None]) -> None:
    watch = Watch(meter.Here(), 1.0, 0.0, True)
    look(watch, 1.0, 1.5, 0.0, b"")
    assert (watch.chances, watch.gil, watch.outside) == (0.5, 0, 0)
