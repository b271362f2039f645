"""The meter's readings and the tally's counts."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from rota.lanes.compare.meter import Cost, Meter, peak_memory
from rota.lanes.compare.tally import Tally, most_at_once
from rota.lanes.compare.units import in_lines, megabytes, seconds


def spin(cpu: float) -> None:
    enough = time.thread_time() + cpu
    while time.thread_time() < enough:
        pass


def test_a_meter_counts_the_cpu_of_every_thread() -> None:
    with Meter() as meter:
        threads = [threading.Thread(target=spin, args=(0.03,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert meter.cost.cpu >= 0.06
    assert meter.wall >= 0.03


def test_a_meter_counts_waiting_as_wall_and_not_as_cpu() -> None:
    with Meter() as meter:
        time.sleep(0.05)
    assert meter.wall >= 0.05
    assert meter.cost.cpu < 0.05
    assert meter.cost.voluntary >= 1


def test_a_meter_counts_children_that_were_waited_for() -> None:
    with Meter() as meter:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-SEc", "import time\nwhile time.process_time() < 0.05: pass"],
            {},
        )
        os.waitpid(child, 0)
    assert meter.cost.cpu >= 0.05


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a thread waited for a core")
def test_the_wait_for_a_core_is_read_on_linux_and_never_negative() -> None:
    with Meter() as meter:
        ending = threading.Thread(target=spin, args=(0.01,))
        ending.start()
        ending.join()
    assert meter.cost.queued is not None
    assert meter.cost.queued >= 0


def test_costs_add_and_a_missing_wait_stays_missing() -> None:
    cost = Cost(1.0, 0.5, 3, 4) + Cost(2.0, 0.25, 1, 1)
    assert cost == Cost(3.0, 0.75, 4, 5)
    assert cost - Cost(1.0, 0.5, 3, 4) == Cost(2.0, 0.25, 1, 1)
    assert (cost + Cost(0.0, None, 0, 0)).queued is None
    assert (cost - Cost(0.0, None, 0, 0)).queued is None


def test_peak_memory_follows_an_allocation() -> None:
    before = peak_memory()
    block = bytearray(64_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory() >= min(before, 64_000_000) + 32_000_000


def test_a_tally_counts_items_under_way_ends_and_failures() -> None:
    tally = Tally(lambda done: None)
    tally.began()
    tally.began()
    tally.ended()
    tally.began()
    tally.ended("item 1: first")
    tally.ended("item 2: second")
    assert (tally.done, tally.failures, tally.in_flight, tally.error) == (3, 2, 2, "item 1: first")


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([(0.0, 1.0)], 1),
        ([(0.0, 1.0), (1.0, 2.0)], 1),
        ([(0.0, 3.0), (1.0, 2.0), (1.5, 4.0)], 3),
    ],
)
def test_spans_that_overlap(spans: list[tuple[float, float]], most: int) -> None:
    assert most_at_once(spans) == most


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (1.25e-5, "12.5 us"),
        (0.25, "250 ms"),
        (0.0999, "99.9 ms"),
        (2.5, "2.50 s"),
        (125.0, "125 s"),
    ],
)
def test_seconds_as_a_person_reads_them(value: float, text: str) -> None:
    assert seconds(value) == text


def test_megabytes() -> None:
    assert megabytes(23_456_789) == "23.5 MB"


def test_a_number_and_its_unit_stay_on_one_line() -> None:
    assert in_lines("it took 4.07 s, on 12.5 us of CPU", 12) == ["it took", "4.07 s, on", "12.5 us of", "CPU"]
