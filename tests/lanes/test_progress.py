"""How a map is getting on: the line on a terminal, and the function that is called."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable

import pytest

from rota.errors import UsageError
from rota.lanes.progress import BAR, ERASE, EVERY, RECENT, Progress, State, bar_characters


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What was drawn, one after the other."""
        return self.getvalue().split(ERASE)[1:]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def drawn(clock: Clock, terminal: Terminal) -> Callable[..., Progress]:
    """Makes one that draws."""

    def drawn(total: int | None, name: str = "shrink") -> Progress:
        return Progress(True, total, name, stream=terminal, clock=clock)

    return drawn


# -- the line -------------------------------------------------------------------------------------------------------


def test_the_line_counts_and_draws_the_share(clock, terminal, drawn):
    progress = drawn(1000)
    clock.now += 4
    progress.update(512, 3)
    progress.end()
    assert terminal.lines() == [
        f"shrink  {'─' * BAR}   0%  0/1,000, 0.0/s",
        f"shrink  {'━' * 12}{'─' * 12}  51%  512/1,000, 3 failed, 128/s, 0:04 left",
        f"shrink  {'━' * 12}{'─' * 12}  51%  512/1,000, 3 failed, 128/s, in 4.0 s\n",
    ]


def test_without_a_total_there_is_no_bar(clock, terminal, drawn):
    progress = drawn(None)
    clock.now += 0.5
    progress.update(3, 0)
    assert terminal.lines()[-1] == "shrink  3, 6.0/s"


def test_a_total_and_a_note_may_come_later(clock, terminal, drawn):
    progress = drawn(None)
    progress.total, progress.note = 4, "http://127.0.0.1:8787"
    clock.now += 1
    progress.update(2, 0)
    assert terminal.lines()[-1].endswith("  50%  2/4, 2.0/s, 0:01 left, http://127.0.0.1:8787")


def test_it_is_drawn_ten_times_a_second_however_many_items_there_are(clock, terminal, drawn):
    progress = drawn(10_000)
    for done in range(1, 10_001):
        clock.now += 0.0005
        progress.update(done, 0)
    progress.end()
    assert len(terminal.lines()) == pytest.approx(5 / EVERY, abs=2)
    assert "10,000/10,000, 2,000/s, in 5.0 s" in terminal.lines()[-1]


def test_the_rate_is_that_of_the_last_seconds_and_in_the_end_of_all(clock, terminal, drawn):
    progress = drawn(None)
    done = 0
    for each in [100] * 20 + [1] * 20:
        clock.now += 1
        done += each
        progress.update(done, 0)
    assert terminal.lines()[-1].endswith("1.0/s")
    assert RECENT < 20
    progress.end()
    assert terminal.lines()[-1] == "shrink  2,020, 50/s, in 40.0 s\n"


@pytest.mark.parametrize("columns", [0, 1, 10, 33, 40, 48, 60, 200])
def test_the_line_fits_any_width_and_gives_up_the_bar_first(clock, drawn, columns):
    progress = drawn(10)
    clock.now += 1
    progress.update(5, 0)
    line = progress.line(columns)
    assert len(line) <= columns
    assert "shrink  5/10, 5.0/s, 0:01 left".startswith(line) or line.endswith("5/10, 5.0/s, 0:01 left")


def test_more_than_the_total_and_a_total_of_nothing_are_no_trouble(clock, drawn):
    progress = drawn(2)
    clock.now += 1
    progress.update(3, 0)
    assert "100%  3/2, 3.0/s, 0:00 left" in progress.line(100)
    assert drawn(0).line(100) == "shrink  0/0, 0.0/s"


@pytest.mark.parametrize(("kind", "term"), [(io.StringIO, "xterm"), (Terminal, "dumb")])
def test_elsewhere_nothing_is_drawn(monkeypatch, clock, kind, term):
    monkeypatch.setenv("TERM", term)
    stream = kind()
    progress = Progress(True, 10, "shrink", stream=stream, clock=clock)
    clock.now += 1
    progress.update(5, 0)
    progress.end()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("target", [False, None])
def test_nobody_is_told_unless_asked_for(clock, terminal, target):
    progress = Progress(target, 10, "shrink", stream=terminal, clock=clock)
    clock.now += 1
    progress.update(5, 0)
    progress.end()
    assert terminal.getvalue() == ""


def test_it_draws_on_standard_error(monkeypatch, clock, terminal):
    monkeypatch.setattr("sys.stderr", terminal)
    Progress(True, 10, "shrink", clock=clock)
    assert len(terminal.lines()) == 1
    monkeypatch.setattr("sys.stderr", None)  # as under pythonw
    Progress(True, 10, "shrink", clock=clock).end()


def test_of_two_the_first_has_the_line_until_it_ends(clock, terminal, drawn):
    first, second = drawn(10, "first"), drawn(10, "second")
    third = drawn(10, "third")
    for progress in (second, first, third):
        clock.now += 1
        progress.update(5, 0)
    assert [line.split()[0] for line in terminal.lines()] == ["first", "first"]
    third.end()
    assert terminal.lines()[-1].endswith("\n")
    first.end()
    clock.now += 1
    second.update(6, 0)
    assert [line.split()[0] for line in terminal.lines()] == ["first", "first", "third", "first", "second"]


def test_one_that_is_forgotten_does_not_keep_the_line(clock, terminal, drawn):
    drawn(10, "first")
    gc.collect()
    drawn(10, "second")
    assert [line.split()[0] for line in terminal.lines()] == ["first", "second"]


def test_a_terminal_that_is_gone_ends_the_drawing_and_not_the_work(clock, terminal, drawn):
    progress = drawn(10)
    terminal.close()
    clock.now += 1
    progress.update(5, 0)
    progress.update(6, 0)
    progress.end()
    assert not Progress(True, 10, "shrink", stream=terminal, clock=clock)._stream


def test_names_can_not_move_the_cursor(drawn):
    assert drawn(None, "a\x1b[2J\nb").line(100) == "a?[2J?b  0, 0.0/s"


def test_the_bar_is_plain_where_blocks_can_not_be_written():
    assert bar_characters("utf-8") == ("━", "─")
    assert bar_characters("ascii") == ("#", ".")
    assert bar_characters("no such encoding") == ("#", ".")


# -- the function ---------------------------------------------------------------------------------------------------


def test_a_function_is_called_ten_times_a_second_and_at_the_end(clock):
    states: list[State] = []
    progress = Progress(states.append, 100, "shrink", note="somewhere", clock=clock)
    assert not states
    for done in range(1, 101):
        clock.now += 0.01
        progress.update(done, done // 10)
    progress.end()
    progress.end()
    assert len(states) in (10, 11)
    last = states[-1]
    assert (last.done, last.failed, last.total, last.note) == (100, 10, 100, "somewhere")
    assert (last.seconds, last.rate) == (pytest.approx(1.0), pytest.approx(100))
    assert [state.done for state in states] == sorted(state.done for state in states)


def test_the_end_is_told_of_however_short_the_work(clock):
    states: list[State] = []
    progress = Progress(states.append, None, "shrink", clock=clock)
    progress.update(1, 0)
    progress.end()
    assert states == [State(done=1, failed=0, total=None, seconds=0.0, rate=0.0, note=None)]


def test_what_the_function_raises_comes_out_and_it_is_not_called_again(clock):
    calls = 0

    def fail(state: State) -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    progress = Progress(fail, 10, "shrink", clock=clock)
    progress.update(1, 0)
    clock.now += 1
    with pytest.raises(ZeroDivisionError):
        progress.update(2, 0)
    clock.now += 1
    progress.update(3, 0)
    progress.end()
    assert calls == 1
    with pytest.raises(ZeroDivisionError):
        Progress(fail, 10, "shrink", clock=clock).end()


async def nobody_awaits(state: State) -> None:
    pass


@pytest.mark.parametrize("target", ["yes", 1, nobody_awaits])
def test_what_is_neither_is_refused(target):
    with pytest.raises(UsageError, match=r"^progress is "):
        Progress(target, 10, "shrink")
