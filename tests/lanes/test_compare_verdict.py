"""The verdict on given figures: every branch of the rule, and what the runs say about it."""

from __future__ import annotations

import pytest

from rota.lanes.compare.report import Figures, Run, Verdict
from rota.lanes.compare.verdict import decide

ITEMS = 10


def run(
    model: str,
    wall: float,
    cpu: float,
    *,
    queued: float | None = 0.0,
    start: float = 0.0,
    failures: int = 0,
    lane: str | None = None,
    in_lane: int = ITEMS,
) -> Run:
    figures = Figures(wall, start, cpu, queued, 10**7, 1, 0, 0)
    error = "item 0" if failures else None
    return Run(model, ITEMS, failures, error, figures, lane, None if lane is None else in_lane)


def died(model: str) -> Run:
    return Run(model, 3, 0, "the process died", None)


def verdict(*runs: Run, call_async: bool = True) -> Verdict:
    return decide(runs, call_async)


def test_slow_io_goes_to_asyncio_and_names_the_fastest_loop() -> None:
    said = verdict(
        run("sync", 1.0, 0.02),
        run("threads", 0.13, 0.05),
        run("asyncio", 0.12, 0.02),
        run("rota", 0.105, 0.01),
    )
    assert (said.kind, said.rule, said.pick, said.winner) == ("io", "asyncio", "rota", "rota")
    assert said.agrees
    assert said.blocked == pytest.approx(0.098)
    assert said.sentence == (
        "I/O-bound and slow: an item computes for 2.00 ms and waits for 98.0 ms, so 50 at once fill a core; "
        "the rule says asyncio and, measured, it holds: asyncio on rota in 105 ms against one by one in "
        "1.00 s, 9.5 times as fast."
    )


def test_fast_io_goes_to_threads() -> None:
    said = verdict(run("sync", 0.02, 0.002), run("threads", 0.004, 0.003), run("rota", 0.008, 0.003))
    assert (said.kind, said.rule, said.winner, said.agrees) == ("io", "threads", "threads", True)
    assert said.sentence.startswith("I/O-bound and fast: an item computes for 200 us and waits for 1.80 ms")


def test_cpu_goes_to_processes_and_says_what_starting_them_took() -> None:
    said = verdict(run("sync", 4.0, 3.96), run("threads", 4.1, 4.1), run("processes", 2.0, 4.0, start=0.6))
    assert (said.kind, said.rule, said.winner, said.agrees) == ("cpu", "processes", "processes", True)
    assert said.sentence.endswith("2.0 times as fast (once its workers are up, which took 600 ms).")


def test_a_mixed_job_goes_to_what_won() -> None:
    said = verdict(run("sync", 1.0, 0.5), run("threads", 0.6, 0.5), run("processes", 0.4, 0.5))
    assert (said.kind, said.rule, said.pick, said.winner) == ("mixed", None, None, "processes")
    assert not said.agrees
    assert "Mixed" in said.sentence
    assert "the rule has no answer for that; measured, processes in 400 ms" in said.sentence


@pytest.mark.parametrize(
    ("cpu", "kind"),
    [(0.0, "io"), (0.29, "io"), (0.31, "mixed"), (0.79, "mixed"), (0.81, "cpu"), (1.0, "cpu")],
)
def test_the_cuts_between_the_kinds(cpu: float, kind: str) -> None:
    assert verdict(run("sync", 1.0, cpu)).kind == kind


@pytest.mark.parametrize(("blocked", "rule"), [(0.0099, "threads"), (0.0101, "asyncio")])
def test_the_cut_between_fast_and_slow(blocked: float, rule: str) -> None:
    assert verdict(run("sync", blocked * ITEMS, 0.0)).rule == rule


@pytest.mark.parametrize(("cpu", "blocked", "kind"), [(0.02, 0.98, "io"), (1.0, 0.0, "cpu"), (0.5, 0.5, "mixed")])
@pytest.mark.parametrize("queued", [0.0, 0.3, 5.0])
def test_waiting_for_a_core_changes_nothing(cpu: float, blocked: float, kind: str, queued: float) -> None:
    said = verdict(run("sync", cpu + blocked + queued, cpu, queued=queued))
    assert said.kind == kind
    assert said.blocked == pytest.approx(blocked / ITEMS)


def test_a_system_that_does_not_tell_the_wait_for_a_core() -> None:
    assert verdict(run("sync", 1.0, 0.99, queued=None)).kind == "cpu"


def test_more_cpu_than_wall_is_cpu_bound() -> None:
    assert verdict(run("sync", 1.0, 1.9)).busy == 1.0


def test_a_faster_model_than_the_rules_is_named_with_the_figures_of_both() -> None:
    said = verdict(run("sync", 0.05, 0.004), run("threads", 0.02, 0.03), run("rota", 0.01, 0.005))
    assert (said.rule, said.pick, said.winner, said.agrees) == ("threads", "threads", "rota", False)
    assert said.sentence.endswith(
        "the rule says threads, but here asyncio on rota in 10.0 ms beat threads in 20.0 ms, "
        "taking 5.00 ms of CPU against 30.0 ms."
    )


def test_within_ten_percent_the_least_cpu_wins() -> None:
    said = verdict(run("sync", 1.0, 0.01), run("threads", 0.100, 0.09), run("rota", 0.109, 0.01))
    assert said.winner == "rota"
    said = verdict(run("sync", 1.0, 0.01), run("threads", 0.100, 0.09), run("rota", 0.111, 0.01))
    assert said.winner == "threads"


def test_cpu_decides_only_where_it_differs_by_more_than_ten_percent() -> None:
    said = verdict(run("sync", 1.0, 0.01), run("threads", 0.100, 0.0107), run("rota", 0.109, 0.010))
    assert said.winner == "threads"
    assert "threads in 100 ms was level with asyncio on rota in 109 ms." in said.sentence


def test_a_pick_that_is_only_level_with_one_by_one_gained_nothing() -> None:
    said = verdict(run("sync", 1.05, 1.05), run("processes", 1.0, 1.0))
    assert (said.winner, said.agrees) == ("processes", True)
    assert said.sentence.endswith(
        "the rule says processes, but here it gained nothing: processes in 1.00 s was level with one by one in 1.05 s."
    )


@pytest.mark.parametrize(("queued", "busy"), [(None, False), (0.9, False), (1.1, True)])
def test_a_winner_that_waited_long_for_a_core_is_said_to(queued: float | None, busy: bool) -> None:
    said = verdict(run("sync", 2.0, 2.0), run("processes", 1.0, 2.0, queued=queued))
    assert said.sentence.endswith(" (the cores were busy: it waited 1.10 s for one).") == busy


def test_level_with_the_rules_pick_is_not_called_a_defeat() -> None:
    said = verdict(run("sync", 1.0, 0.01), run("threads", 0.100, 0.01), run("rota", 0.101, 0.09))
    assert said.winner == "threads"
    assert "threads in 100 ms was level with asyncio on rota in 101 ms" in said.sentence


def test_one_by_one_may_win() -> None:
    said = verdict(run("sync", 0.001, 0.001), run("threads", 0.01, 0.01), run("processes", 0.02, 0.01))
    assert (said.winner, said.agrees) == ("sync", False)
    assert "the rule says processes, but here one by one in 1.00 ms beat processes" in said.sentence


def test_without_an_async_def_the_sentence_says_what_asyncio_needs() -> None:
    said = verdict(run("sync", 1.0, 0.01), run("threads", 0.1, 0.01), call_async=False)
    assert (said.rule, said.pick, said.winner) == ("asyncio", None, "threads")
    assert "the rule says asyncio, which needs an async def; of what ran, threads" in said.sentence


def test_a_rule_whose_model_was_not_asked_for() -> None:
    said = verdict(run("sync", 1.0, 1.0), run("threads", 1.2, 1.2))
    assert "the rule says processes, which did not run; of what ran, one by one" in said.sentence


def test_without_the_run_one_by_one_only_the_fastest_is_named() -> None:
    said = verdict(run("threads", 0.5, 0.1), run("rota", 0.2, 0.1))
    assert (said.kind, said.busy, said.rule, said.winner) == ("unknown", None, None, "rota")
    assert said.sentence.startswith("Fastest: asyncio on rota in 200 ms.")


def test_a_run_that_died_or_failed_more_does_not_win() -> None:
    said = verdict(
        run("sync", 1.0, 0.01, failures=1),
        run("threads", 0.2, 0.01, failures=1),
        run("asyncio", 0.1, 0.01, failures=9),
        died("rota"),
    )
    assert said.winner == "threads"


@pytest.mark.parametrize("runs", [[died("sync")], [run("sync", 1.0, 0.1, failures=ITEMS)], []])
def test_no_verdict_where_nothing_worked(runs: list[Run]) -> None:
    said = verdict(*runs)
    assert (said.kind, said.winner) == ("unknown", None)
    assert said.sentence == "No verdict: none of the models to choose from ran all the items."


CHOSEN = [
    (1.0, "threads", ITEMS, "auto chose threads and was level with processes."),
    (1.19, "processes", 6, "auto chose processes for 6 of the 10 items and took 1.2 times as long as processes."),
    (0.5, "processes", ITEMS, "auto chose processes and was 2.0 times as fast as processes."),
    (3.0, "loop", ITEMS, "auto stayed on the loop and took 3.0 times as long as processes."),
]


@pytest.mark.parametrize(("wall", "lane", "in_lane", "said"), CHOSEN)
def test_auto_is_told_by_how_close_it_came_and_is_no_advice(wall: float, lane: str, in_lane: int, said: str) -> None:
    basic = run("sync", 2.0, 2.0), run("processes", 1.0, 2.0)
    without = verdict(*basic)
    with_auto = verdict(*basic, run("auto", wall, 2.0, lane=lane, in_lane=in_lane))
    assert with_auto.sentence == f"{without.sentence} {said}"
    assert (with_auto.winner, with_auto.pick, with_auto.rule) == ("processes", "processes", "processes")


def test_the_cluster_is_told_beside_the_best_too() -> None:
    said = verdict(run("sync", 2.0, 2.0), run("auto", 2.0, 2.0, lane="threads"), run("dask", 0.5, 2.0, queued=None))
    assert said.winner == "sync"
    assert said.sentence.endswith(
        "auto chose threads and was level with one by one. dask was 4.0 times as fast as one by one."
    )


@pytest.mark.parametrize("auto", [died("auto"), run("auto", 0.1, 0.1, failures=2, lane="threads")])
def test_of_an_auto_that_did_less_nothing_is_said(auto: Run) -> None:
    basic = run("sync", 2.0, 2.0), run("processes", 1.0, 2.0)
    assert verdict(*basic, auto) == verdict(*basic)


AUTO, DASK = run("auto", 1.0, 1.0, lane="threads"), run("dask", 1.0, 1.0, queued=None)


@pytest.mark.parametrize(
    ("runs", "who"), [([AUTO], "auto is"), ([died("dask")], "dask is"), ([AUTO, DASK], "auto and dask are")]
)
def test_without_a_model_to_choose_from_the_sentence_says_what_to_add(runs: list[Run], who: str) -> None:
    said = verdict(*runs)
    assert (said.kind, said.winner) == ("unknown", None)
    assert said.sentence == f"No verdict: {who} not judged; add sync, threads or asyncio."


def test_where_only_auto_worked_the_others_are_said_to_have_failed() -> None:
    said = verdict(died("sync"), AUTO)
    assert said.sentence == "No verdict: none of the models to choose from ran all the items."
