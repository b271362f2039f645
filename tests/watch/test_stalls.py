"""A step that holds the loop is told of while it does, and nothing else is."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
import traceback

import pytest

import rota
from rota.errors import UsageError
from rota.watch import stalls
from rota.watch.stalls import LESS_OFTEN, QUIET, RESTS, Stall, Stalls

THRESHOLD = 0.05
LONGEST = 10.0  # seconds until a test that waits for a report gives up


class Heard:
    """Keeps the reports, and lets a step wait for one in the way that is tested: without letting go of the loop."""

    def __init__(self) -> None:
        self.stalls: list[Stall] = []
        self.came = threading.Event()

    def __call__(self, stall: Stall) -> None:
        self.stalls.append(stall)
        self.came.set()

    def block(self) -> None:
        assert self.came.wait(LONGEST)

    def compute(self) -> None:
        end = time.monotonic() + LONGEST
        while not self.came.is_set():
            assert time.monotonic() < end


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watched(heard):
    """Runs a coroutine on a loop that is watched."""
    with asyncio.Runner(loop_factory=rota.new_event_loop) as runner:
        watching = Stalls(runner.get_loop(), THRESHOLD, heard)
        watching.start()
        yield runner.run
        watching.stop()


# -- on a real loop -------------------------------------------------------------------------------------------------


def test_a_task_that_blocks_is_told_of_while_it_does(watched, heard):
    async def inner():
        heard.block()
        return "went on"

    async def outer():
        return await inner()

    async def main():
        return await asyncio.create_task(outer(), name="blocker")

    assert watched(main()) == "went on"
    [stall] = heard.stalls
    assert stall.task == "blocker"
    assert stall.coroutine.endswith("outer")
    assert THRESHOLD <= stall.seconds < LONGEST
    assert not stall.computing
    assert not stall.late
    assert [frame.name for frame in stall.stack][:3] == ["outer", "inner", "block"]
    assert "in a thread" in stall.text()


def test_a_task_that_computes_is_told_of_while_it_does(watched, heard):
    async def main():
        heard.compute()

    watched(main())
    [stall] = heard.stalls
    assert stall.computing
    assert [frame.name for frame in stall.stack][:2] == ["main", "compute"]
    assert "where it belongs" in stall.text()


def test_a_callback_is_told_of_too(watched, heard):
    def on_message():
        heard.block()

    async def main():
        asyncio.get_running_loop().call_soon(on_message)
        await asyncio.sleep(0.001)

    watched(main())
    [stall] = heard.stalls
    assert stall.task is None
    assert stall.coroutine.endswith("on_message")
    assert stall.stack[0].name == "on_message"


def test_a_call_that_keeps_the_interpreter_is_told_of_when_it_is_over(watched, heard):
    def count(number):
        began = time.thread_time()
        sum(itertools.repeat(1, number))
        return time.thread_time() - began

    async def main():
        # Six times the threshold, on this machine as it is now.
        number = int(1_000_000 * 6 * THRESHOLD / min(count(1_000_000) for _ in range(5)))
        await asyncio.sleep(2 * THRESHOLD)  # it is looked at
        count(number)
        heard.block()

    watched(main())
    stall = heard.stalls[0]
    assert stall.late
    assert stall.computing
    assert stall.stack[-1].name == "count"
    assert stall.stack[-1].line == "sum(itertools.repeat(1, number))"
    assert "told late" in stall.text()


def test_nobody_is_told_of_many_short_steps(watched, heard):
    async def short():
        for _ in range(3):
            end = time.thread_time() + THRESHOLD / 100
            while time.thread_time() < end:
                pass
            await asyncio.sleep(0)

    async def main():
        # Three turns, each of twice the threshold.
        await asyncio.gather(*[short() for _ in range(200)])

    watched(main())
    assert not heard.stalls


def test_nobody_is_told_of_a_loop_that_sleeps(watched, heard):
    watched(asyncio.sleep(4 * THRESHOLD))
    assert not heard.stalls


def test_nobody_is_told_of_between_two_runs(watched, heard):
    watched(asyncio.sleep(0))
    time.sleep(3 * THRESHOLD)
    watched(asyncio.sleep(0))
    assert not heard.stalls


def test_a_callback_written_in_c_has_no_stack(watched, heard):
    async def main():
        asyncio.get_running_loop().call_soon(time.sleep, 4 * THRESHOLD)
        await asyncio.sleep(0.001)

    watched(main())
    [stall] = heard.stalls
    assert (stall.task, stall.coroutine, stall.stack) == (None, "written in C", [])


def test_the_log_is_told_unless_somebody_else_is(caplog):
    async def main():
        watching = Stalls(asyncio.get_running_loop(), THRESHOLD)
        watching.start()
        end = time.monotonic() + LONGEST
        while not caplog.records and time.monotonic() < end:
            time.sleep(0.001)
        watching.stop()

    with caplog.at_level(logging.WARNING, "rota"):
        rota.run(main())
    [record] = caplog.records
    assert (record.name, record.levelname) == ("rota", "WARNING")
    lines = record.getMessage().splitlines()
    assert "task 'Task-" in lines[0]
    assert "await rota.call(fn, ...)" in lines[0]
    assert lines[-1].strip() == "time.sleep(0.001)"
    assert not [line for line in lines if "rota/core" in line]


def test_a_report_that_fails_is_logged_and_the_next_is_made(caplog):
    came = threading.Semaphore(0)
    places = []

    def report(stall):
        places.append({frame.name for frame in stall.stack} & {"one", "other"})
        came.release()
        raise ZeroDivisionError

    def one():
        assert came.acquire(timeout=LONGEST)

    def other():
        assert came.acquire(timeout=LONGEST)

    async def main():
        watching = Stalls(asyncio.get_running_loop(), THRESHOLD, report)
        watching.start()
        one()
        await asyncio.sleep(0.001)
        other()
        watching.stop()

    rota.run(main())
    assert places == [{"one"}, {"other"}]
    assert [record.getMessage() for record in caplog.records] == ["the report of a stall failed"] * 2


# -- its life -------------------------------------------------------------------------------------------------------


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rota-stalls"]


def test_one_thread_that_ends_with_stop_and_may_begin_again():
    with asyncio.Runner(loop_factory=rota.new_event_loop) as runner:
        watching = Stalls(runner.get_loop())
        watching.stop()
        for _ in range(2):
            watching.start()
            watching.start()
            [thread] = threads()
            assert thread.daemon
            watching.stop()
            watching.stop()
            assert not threads()


def test_it_ends_with_the_loop_that_is_closed():
    loop = rota.new_event_loop()
    Stalls(loop, 0.01).start()
    [thread] = threads()
    loop.close()
    thread.join(LONGEST)
    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
def test_it_keeps_no_loop_that_nobody_has_any_more():
    Stalls(rota.new_event_loop(), 0.01).start()
    [thread] = threads()
    gc.collect()
    thread.join(LONGEST)
    assert not thread.is_alive()


def test_a_report_may_stop_it():
    came = threading.Event()

    def report(stall):
        watching.stop()
        came.set()

    async def main():
        nonlocal watching
        watching = Stalls(asyncio.get_running_loop(), THRESHOLD, report)
        watching.start()
        [thread] = threads()
        assert came.wait(LONGEST)
        thread.join(LONGEST)
        assert not thread.is_alive()

    watching: Stalls
    rota.run(main())


def test_a_process_ends_while_it_is_watched():
    program = (
        "import asyncio, rota\n"
        "from rota.watch.stalls import Stalls\n"
        "async def main():\n"
        "    Stalls(asyncio.get_running_loop()).start()\n"
        "rota.run(main())\n"
        "print('ended')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert (done.stdout, done.stderr, done.returncode) == ("ended\n", "", 0)


def test_other_loops_can_not_be_watched():
    loop = asyncio.SelectorEventLoop()
    try:
        with pytest.raises(UsageError, match=r"EventLoop can't be watched for stalls: .*rota\.Loop"):
            Stalls(loop)
    finally:
        loop.close()


@pytest.mark.parametrize("threshold", [0, -1, 0.001, float("nan"), float("inf")])
def test_a_threshold_that_makes_no_sense(threshold):
    loop = rota.new_event_loop()
    try:
        with pytest.raises(UsageError, match=rf"threshold is {threshold}: it must be .* 0\.01 or more"):
            Stalls(loop, threshold)
    finally:
        loop.close()


# -- look by look ---------------------------------------------------------------------------------------------------


class Ready:
    """First come first served, as far as anybody looks."""

    _head = 0

    def __len__(self):
        return 0


class Pretended:
    """A loop in a step of this thread, and the clocks of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._thread_id: int | None = threading.get_ident()
        self._parked = False
        self._turns = self._polls = 0
        self._ready = Ready()
        self.closed = False
        self.now = 1000.0
        self.cpu = self.queued = self.others = 0.0
        self.heard: list[Stall] = []
        monkeypatch.setattr(stalls, "cpu_of", lambda loop: self.cpu)
        monkeypatch.setattr(Stalls, "_queued", lambda watching, thread: self.queued)
        monkeypatch.setattr(time, "process_time", lambda: self.cpu + self.others)
        # Here the loop's thread is the one that looks.
        rows_of = stalls.rows_of
        monkeypatch.setattr(
            stalls, "rows_of", lambda thread: [row for row in rows_of(thread) if row.module != stalls.__name__]
        )
        self.watching = Stalls(self, 0.1, self.heard.append)
        self.nap = 0.1
        self.look()

    def is_closed(self) -> bool:
        return self.closed

    def look(self, late: float = 0.0, cpu: float = 0.0, queued: float = 0.0, others: float = 0.0) -> None:
        """The next look, after its time (and ``late``), of which the thread had the ``cpu`` or waited for a core."""
        self.now += self.nap + late
        self.cpu += cpu * (self.nap + late)
        self.queued += queued * (self.nap + late)
        self.others += others * (self.nap + late)
        nap = self.watching._look(self.now, late)
        assert nap is not None
        self.nap = nap

    def another_step(self) -> None:
        self._ready._head += 1


@pytest.fixture
def pretended(monkeypatch):
    return Pretended(monkeypatch)


def test_a_step_is_told_of_once_when_it_has_had_its_time(pretended):
    for _ in range(10):
        pretended.look()
    [stall] = pretended.heard
    assert stall.seconds == pytest.approx(0.1)
    assert stall.stack[-2].name == "look"


def test_who_runs_in_its_own_order_is_seen_by_its_place(pretended):
    for _ in range(20):
        pretended.look()
        pretended.another_step()
    assert not pretended.heard


@pytest.mark.parametrize(
    ("shares", "kind"),
    [
        ({}, "blocks"),
        ({"cpu": 0.01}, "blocks"),
        ({"cpu": 0.1}, "blocks"),
        ({"cpu": 0.9}, "computes"),
        ({"cpu": 0.3}, "computes"),
        ({"cpu": 0.1, "queued": 0.8}, "computes"),
        ({"cpu": 0.1, "late": 0.02, "others": 0.8}, "waits for the interpreter"),
        ({"cpu": 0.002, "late": 0.02, "others": 0.8}, "waits for the interpreter"),
        ({"late": 0.02, "others": 0.8}, "blocks"),
    ],
)
def test_what_it_does_is_told_by_the_clocks(pretended, shares, kind):
    for _ in range(20):
        pretended.look(**shares)
    [stall] = pretended.heard
    assert f"it {kind}" in stall.text()


def test_a_process_that_was_stopped_is_not_to_blame(pretended):
    for _ in range(5):
        pretended.look(late=60.0)
        pretended.another_step()
    assert not pretended.heard
    pretended.look(late=60.0)
    for _ in range(4):
        pretended.look()
    [stall] = pretended.heard
    assert stall.seconds < 0.2


def test_nor_is_who_waits_for_a_core(pretended):
    for _ in range(5):
        for _ in range(3):
            pretended.look(cpu=0.02, queued=0.98)
        pretended.another_step()
    assert not pretended.heard


def test_nor_is_the_loop_to_blame_when_another_thread_keeps_the_interpreter(pretended):
    for _ in range(5):
        pretended.look(late=0.5, cpu=0.3, others=0.4)
        pretended.another_step()
    assert not pretended.heard


def test_who_kept_the_interpreter_is_told_of_though_it_began_after_the_last_look(pretended):
    pretended.another_step()
    pretended.look(late=0.5, cpu=0.9)
    for _ in range(5):
        pretended.look()
    [stall] = pretended.heard
    assert stall.late
    assert stall.seconds == pytest.approx(0.9 * 0.55)


def test_a_loop_that_sleeps_or_does_not_run_is_looked_at_less_often(pretended):
    pretended.look()
    assert pretended.nap < 0.1
    pretended._parked = True
    for _ in range(5):
        pretended.look()
        assert pretended.nap == 0.1
    pretended._thread_id = None
    rests_until = pretended.now + RESTS
    while pretended.now < rests_until:
        pretended.look()
    assert pretended.nap == 0.1 * LESS_OFTEN
    pretended._polls += 1
    pretended.look()
    assert pretended.nap == 0.1
    assert not pretended.heard


@pytest.mark.parametrize(
    ("files", "cpu", "told"),
    [
        (["/app.py"], 0, True),
        (["{rota}lanes/flight.py", "/app.py", "{python}socket.py"], 0, True),
        (["{rota}lanes/flight.py", "{rota}threads.py", "{python}threading.py"], 0, False),
        (["{python}site-packages/library.py", "{rota}threads.py", "{python}threading.py"], 0, False),
        (["/app.py", "{rota}core/turn.py"], 0.9, True),
        (["{rota}lanes/flight.py"], 0.9, False),
        (["{python}threading.py"], 0, True),
        ([], 0, True),
    ],
)
def test_what_is_rotas_own_nobody_could_mend(pretended, monkeypatch, files, cpu, told):
    python = f"{os.path.dirname(os.__file__)}/"
    code = (lambda: None).__code__
    files = [file.format(rota=stalls.ROTA, python=python) for file in reversed(files)]
    rows = [stalls.Row(code.replace(co_filename=file), 1, "", None) for file in files]
    monkeypatch.setattr(stalls, "below_the_loop", lambda _: rows)
    for _ in range(5):
        pretended.look(cpu=cpu)
    assert len(pretended.heard) == told


def test_one_place_is_told_of_now_and_then_and_the_others_are_counted(pretended):
    def stall():
        pretended.another_step()
        for _ in range(4):
            pretended.look()

    for _ in range(7):
        stall()
    assert len(pretended.heard) == 1
    pretended.now += QUIET
    stall()
    stall()
    assert [stall.more for stall in pretended.heard] == [0, 6]
    assert "6 times more" in pretended.heard[-1].text()


def test_the_places_that_are_remembered_are_bounded(pretended, monkeypatch):
    monkeypatch.setattr(stalls, "PLACES", 3)
    for number in range(10):
        monkeypatch.setattr(stalls, "place_of", lambda rows, number=number: ("file", str(number)))
        pretended.another_step()
        for _ in range(4):
            pretended.look()
    assert len(pretended.heard) == 10
    assert len(pretended.watching._places) == 3


def traced(pretended):
    """As pdb.set_trace() does it."""
    sys._getframe().f_trace = lambda *_: None
    look_often(pretended)


def in_bdb(pretended):
    names = {"__name__": "bdb", "look_often": look_often, "pretended": pretended}
    exec("look_often(pretended)", names)


def attached(pretended):
    """As debugpy does it, for threads to come."""
    threading.settrace(lambda *_: None)
    try:
        look_often(pretended)
    finally:
        threading.settrace(None)


def monitored(pretended):
    """As debugpy does it since Python 3.12."""
    if sys.version_info < (3, 12):
        pytest.skip("sys.monitoring is new in Python 3.12")
    sys.monitoring.use_tool_id(sys.monitoring.DEBUGGER_ID, "debugger")
    try:
        look_often(pretended)
    finally:
        sys.monitoring.free_tool_id(sys.monitoring.DEBUGGER_ID)


def look_often(pretended):
    for _ in range(10):
        pretended.look()


@pytest.mark.parametrize("debugger", [traced, in_bdb, attached, monitored])
def test_a_step_in_a_debugger_is_nobodys_fault(pretended, debugger):
    debugger(pretended)
    # Nor when the debugger lets it go on.
    look_often(pretended)
    assert not pretended.heard


def test_the_end_of_the_loop_is_the_end(pretended):
    pretended.closed = True
    assert pretended.watching._look(pretended.now) is None


# -- its words ------------------------------------------------------------------------------------------------------


def test_the_text_says_who_how_long_why_and_what_to_do():
    stack = [traceback.FrameSummary("/app.py", 7, "handler", line="time.sleep(1)")]
    assert Stall("Task-3", "handler", 0.123, False, stack).text() == (
        "task 'Task-3' (handler) has held the loop for 0.12 s, and nobody else runs: it blocks; "
        "await rota.call(fn, ...) runs it in a thread\n"
        "Stack (most recent call last):\n"
        '  File "/app.py", line 7, in handler\n'
        "    time.sleep(1)"
    )
    assert Stall(None, "written in C", 2.0, True, [], more=1).text() == (
        "callback written in C has held the loop for 2.00 s, and nobody else runs: it computes; "
        "await rota.call(fn, ...) runs it where it belongs\n"
        "(once more at this place since it was last told of)"
    )
