"""Beside threads that compute, the loop shortens the interpreter's switch interval, and puts it back."""

import os
import sys

import pytest
from tests.clocks import VirtualClock

import rota
from rota import limits
from rota.core.interval import SwitchInterval
from rota.net.poller import new_poller

LONG = limits.SWITCH_LONG_WAIT
OURS = limits.SWITCH_INTERVAL


@pytest.fixture(autouse=True)
def the_interval_before():
    before = sys.getswitchinterval()
    yield before
    assert sys.getswitchinterval() == before


def test_after_some_long_waits_it_is_short_until_there_are_none(the_interval_before):
    interval = SwitchInterval()
    for _ in range(limits.SWITCH_OFTEN - 1):
        interval.slept(LONG)
    assert sys.getswitchinterval() == the_interval_before
    interval.slept(LONG)
    assert sys.getswitchinterval() == OURS
    for _ in range(limits.SWITCH_QUIET - 1):
        interval.slept(0.0)
    assert sys.getswitchinterval() == OURS
    interval.slept(0.0)
    assert sys.getswitchinterval() == the_interval_before


def test_a_long_wait_once_in_a_while_changes_nothing(the_interval_before):
    interval = SwitchInterval()
    for _ in range(limits.SWITCH_OFTEN * 2):
        interval.slept(1.0)
        for _ in range(limits.SWITCH_QUIET):
            interval.slept(0.0)
        assert sys.getswitchinterval() == the_interval_before


def test_what_the_program_sets_meanwhile_stays(the_interval_before):
    interval = SwitchInterval()
    for _ in range(limits.SWITCH_OFTEN):
        interval.slept(LONG)
    sys.setswitchinterval(0.25)
    interval.restore()
    assert sys.getswitchinterval() == 0.25
    sys.setswitchinterval(the_interval_before)


def test_a_program_that_has_it_shorter_keeps_it(the_interval_before):
    sys.setswitchinterval(OURS / 2)
    interval = SwitchInterval()
    for _ in range(limits.SWITCH_OFTEN):
        interval.slept(LONG)
    assert sys.getswitchinterval() == OURS / 2
    interval.restore()
    assert sys.getswitchinterval() == OURS / 2
    sys.setswitchinterval(the_interval_before)


def test_it_is_short_for_one_loop_when_another_has_ended(the_interval_before):
    first, second = SwitchInterval(), SwitchInterval()
    for interval in (first, second):
        for _ in range(limits.SWITCH_OFTEN):
            interval.slept(LONG)
    first.restore()
    assert sys.getswitchinterval() == the_interval_before
    second.slept(LONG)
    assert sys.getswitchinterval() == OURS
    second.restore()
    assert sys.getswitchinterval() == the_interval_before


def test_what_is_put_back_is_what_it_was_to_the_microsecond(the_interval_before):
    for microseconds in range(1000, 1100):
        sys.setswitchinterval((microseconds + 0.5) / 1e6)
        before = sys.getswitchinterval()
        interval = SwitchInterval()
        for _ in range(limits.SWITCH_OFTEN):
            interval.slept(LONG)
        interval.restore()
        assert sys.getswitchinterval() == before
    sys.setswitchinterval(the_interval_before + 0.5 / 1e6)


class Contended:
    """A poller beside threads that compute."""

    def __init__(self):
        self._poller = new_poller()

    def __getattr__(self, name):
        return getattr(self._poller, name)

    def poll(self, timeout, ready):
        self._poller.poll(timeout, ready)
        return LONG


def test_a_loop_has_it_short_while_it_runs(the_interval_before):
    loop = rota.Loop(clock=VirtualClock(), poller=Contended())
    seen = []
    for number in range(limits.SWITCH_OFTEN + 1):
        loop.call_later(number + 1, lambda: seen.append(sys.getswitchinterval()))
    loop.call_later(100, loop.stop)
    loop.run_forever()
    loop.close()
    assert seen[0] == the_interval_before
    assert seen[-1] == OURS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_the_programs(the_interval_before):
    loop = rota.Loop(clock=VirtualClock(), poller=Contended())
    reads, writes = os.pipe()

    def fork():
        if os.fork() == 0:
            os.write(writes, repr(sys.getswitchinterval()).encode())
            os._exit(0)
        os.wait()
        assert sys.getswitchinterval() == OURS
        loop.stop()

    for number in range(limits.SWITCH_OFTEN + 1):
        loop.call_later(number + 1, int)
    loop.call_later(100, fork)
    loop.run_forever()
    loop.close()
    assert os.read(reads, 100).decode() == repr(the_interval_before)
    os.close(reads)
    os.close(writes)
