"""The choice of a lane through the public door: what computes goes to processes, if that changes nothing else."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import threading

import pytest
from tests.lanes import work

import rota
from rota.lanes.errors import NoWorkers
from rota.lanes.pools import measure_of
from rota.lanes.processes import Processes, Ran

ROUNDS = 600_000  # some 30 ms

#: A decision takes so many calls at most, where the machine is busy with others, and a look at the function.
CALLS = 64


async def move(lanes, fn, *args):
    """Call ``fn`` until it has moved to a process."""
    for _ in range(CALLS):
        await lanes.call(fn, *args)
        if lanes.explain(fn).lane == "processes":
            return
    pytest.fail(f"not moved: {lanes.explain(fn)}")


@pytest.fixture
def decided(run_real):
    """Calls a function until rota has decided, and returns the explanation and where the next call ran."""

    def decided(fn, *args):
        async def main():
            async with rota.Lanes(processes=1) as lanes:
                for _ in range(CALLS):
                    await lanes.call(fn, *args)
                    if "first" not in (found := lanes.explain(fn)).reason:
                        break
                return found, await lanes.call(fn, *args)

        return run_real(main())

    return decided


def test_what_computes_with_the_gil_goes_to_a_process(decided):
    found, pid = decided(work.compute_and_say_where, ROUNDS)
    assert found.lane == "processes"
    assert "holds the GIL" in found.reason
    assert pid != os.getpid()
    assert found.rows[0].cpu > 0.005


def test_what_stores_a_global_stays(decided):
    found, _ = decided(work.count_up, ROUNDS)
    assert found.lane == "threads"
    assert "counter" in found.reason


def test_what_has_an_argument_that_does_not_pickle_stays(decided):
    found, pid = decided(work.compute_beside, ROUNDS, threading.Lock())
    assert found.lane == "threads"
    assert pid == os.getpid()
    assert "lock" in found.reason


def test_what_has_a_result_that_does_not_pickle_stays(decided):
    found, result = decided(work.compute_and_make_lock, ROUNDS)
    assert found.lane == "threads"
    assert type(result) is type(threading.Lock())


def test_a_method_of_what_it_may_change_stays(decided):
    account = work.Account()
    found, balance = decided(account.compute_and_add, ROUNDS)
    assert found.lane == "threads"
    assert account.balance == balance


def test_what_reads_a_context_variable_stays(decided):
    found, _ = decided(work.compute_and_read_variable, ROUNDS)
    assert found.lane == "threads"
    assert "variable" in found.reason


def test_what_waits_stays_in_threads(decided):
    found, _ = decided(work.sleep, 0.02)
    assert found.lane == "threads"
    assert "waits" in found.reason


def test_what_is_tiny_stays_in_threads(decided):
    found, _ = decided(work.double, 2)
    assert found.lane == "threads"


def test_a_map_moves_while_it_runs(run_real):
    """Until it has: how many items that takes is the machine's affair."""

    async def main():
        async with rota.Lanes(processes=1) as lanes:
            results = aiter(lanes.map(work.compute_and_say_where, itertools.repeat(ROUNDS)))
            async with contextlib.aclosing(results):
                first = await anext(results)
                async for last in results:
                    if last != first:
                        break
                return first, last

    first, last = run_real(main())
    assert first == os.getpid() != last


def test_an_argument_that_can_t_be_sent_after_all_runs_here(run_real):
    """The decision was made with other arguments; nothing has run when it turns out."""

    async def main():
        async with rota.Lanes(processes=1) as lanes:
            await move(lanes, work.compute_beside, ROUNDS, None)
            assert await lanes.call(work.compute_beside, ROUNDS, threading.Lock()) == os.getpid()
            items = [ROUNDS, ROUNDS]
            assert await lanes.map(work.compute_and_say_where, items)

    run_real(main())


def test_without_workers_it_runs_here_and_is_said_once(run_real, monkeypatch, caplog):
    async def none(*_):
        raise NoWorkers("no worker process can be started: the table is full")

    async def main():
        async with rota.Lanes(processes=1) as lanes:
            await move(lanes, work.compute_and_say_where, ROUNDS)
            monkeypatch.setattr(Processes, "run", none)
            assert await lanes.call(work.compute_and_say_where, ROUNDS) == os.getpid()
            assert await lanes.map(work.compute_and_say_where, [ROUNDS] * 3) == [os.getpid()] * 3
            assert lanes.explain(work.compute_and_say_where).lane == "threads"
            with pytest.raises(NoWorkers):
                await lanes.call(work.pid, on="processes")

    run_real(main())
    said = [record for record in caplog.records if "no worker process" in record.message]
    assert len([record for record in said if record.levelno == logging.WARNING]) == 1


def test_an_exception_that_does_not_travel_is_one_call_s(run_real):
    async def main():
        async with rota.Lanes(processes=1) as lanes:
            await move(lanes, work.compute_beside, ROUNDS, None)
            profile = lanes._own().profiles.find(work.compute_beside)[0]
            told = []
            monkeypatched = profile.refuse
            profile.refuse = lambda reason: (told.append(reason), monkeypatched(reason))

            async def fail(*_):
                return Ran([(False, rota.RemoteError("f", "Odd", "one"))], 0.0, 0.0, 0.0, 0)

            lanes._own().processes().run = fail
            with pytest.raises(rota.RemoteError):
                await lanes.call(work.compute_beside, ROUNDS, None)
            assert len(told) == 1

    run_real(main())


def test_the_wait_for_a_core_is_no_wait_outside():
    cost = measure_of(Ran([(True, None)] * 2, 2.0, 10.0, 6.0, 0))
    assert cost == (1.0, 5.0, 3.0, 1.0)


def test_the_lanes_show_the_program_s_word(run_real):
    async def main():
        await rota.call(rota.cpu(functools.partial(work.double)), 2)
        (found,) = rota.lanes().functions
        assert found.lane == "processes"
        assert "@rota.cpu" in found.reason

    run_real(main())


def test_a_decision_is_logged_once(decided, caplog):
    with caplog.at_level(logging.INFO, "rota"):
        decided(work.count_up, ROUNDS)
    said = [record.message for record in caplog.records if "count_up" in record.message]
    assert len(said) == 1
    assert "counter" in said[0]


def test_what_has_not_been_called_is_explained_too(run_real):
    async def main():
        assert "not been called yet" in str(rota.explain(work.compute))
        assert rota.explain(work.add_later).lane == "loop"
        assert rota.explain(rota.cpu(abs)).lane == "processes"
        assert str(rota.explain(rota.io(limit=3)(abs))).endswith("@rota.io, at most 3 at once")

    run_real(main())
    assert rota.explain(work.compute).rows == ()  # without a loop, too


def test_figures_are_for_programs_too(run_real):
    async def main():
        await rota.call(work.double, 2)
        figures = rota.explain(work.double).as_json()
        assert figures["rows"][0]["calls"] == 1
        assert figures["lane"] == "threads"

    run_real(main())
