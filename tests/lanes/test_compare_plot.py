"""The picture and the table of a report: all is there, nothing overlaps, and nothing is half written."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rota.errors import RotaError, UsageError
from rota.lanes.compare.plot import WIDTH, check_writable, svg, write
from rota.lanes.compare.report import Comparison, Figures, Report, Run
from rota.lanes.compare.table import table
from rota.lanes.compare.verdict import decide

#: The widest a character of the picture's text gets on average, in pixels: 13 px bold in a wide font.
CHARACTER = 9.0


def run(model: str, wall: float, cpu: float, failures: int = 0) -> Run:
    error = "item 1 ('<b>'): ValueError: a & b" if failures else None
    return Run(model, 10, failures, error, Figures(wall, 0.1, cpu, 0.01, 50_000_000, 4, 10, 2))


def report(*runs: Run) -> Report:
    comparison = Comparison("job.py", "job <1> & more", 10, 4, (), runs, decide(runs, True))
    return Report("0.1.0", True, "3.13.0", 2, (comparison, comparison))


FULL = report(
    run("sync", 10.0, 0.1),
    run("threads", 1.0, 12.0, failures=3),
    Run("processes", 3, 0, "a worker process died after 3 of 10 items <&>", None),
    run("asyncio", 1.2, 0.1),
    run("rota", 0.000_01, 0.000_01),
    replace(run("auto", 9.0, 12.0), lane="processes", in_lane=7),
)


def test_the_picture_is_xml_and_holds_every_model_with_its_figures() -> None:
    root = ElementTree.fromstring(svg(FULL))
    text = " ".join(root.itertext())
    for words in (
        "sync",
        "threads",
        "10.0 s",
        "12.0 s CPU",
        "3 failed",
        "died after 3 of 10 items <&>",
        "7 of 10 in processes",
    ):
        assert words in text
    assert text.count("job <1> & more") >= 2
    assert "best" in text
    assert "the rule's pick" in text
    assert FULL.comparisons[0].verdict.sentence in text


def test_rows_do_not_overlap_and_bars_and_words_stay_inside() -> None:
    root = ElementTree.fromstring(svg(FULL))
    space = "{http://www.w3.org/2000/svg}"
    rows = [float(text.attrib["y"]) for text in root.iter(f"{space}text") if text.attrib["class"] != "soft"]
    assert len(rows) > 10
    lines = sorted(set(rows))
    assert min(later - earlier for earlier, later in pairwise(lines)) >= 14
    for bar in root.iter(f"{space}rect"):
        assert float(bar.attrib.get("x", 0)) + float(bar.attrib["width"]) <= WIDTH
    for text in root.iter(f"{space}text"):
        if text.attrib["class"].startswith("value"):
            assert float(text.attrib["x"]) + CHARACTER * len("".join(text.itertext())) <= WIDTH


def test_it_follows_light_and_dark_mode_and_can_be_read_aloud() -> None:
    picture = svg(FULL)
    assert "prefers-color-scheme: dark" in picture
    assert 'role="img"' in picture
    assert "<desc" in picture


def test_writing_replaces_what_is_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.svg"
    target.write_text("old")
    write(FULL, str(target))
    assert target.read_text() == svg(FULL)
    assert [path.name for path in tmp_path.iterdir()] == ["out.svg"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.svg"
    (target / "full").mkdir(parents=True)
    with pytest.raises(RotaError, match="can't write the plot to"):
        write(FULL, str(target))
    assert [path.name for path in tmp_path.iterdir()] == ["out.svg"]


def test_a_path_that_no_picture_fits_is_known_before(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "out.svg"))
    check_writable("out.svg")
    with pytest.raises(UsageError, match="it is a directory"):
        check_writable(str(tmp_path))
    with pytest.raises(UsageError, match="there is no directory"):
        check_writable(str(tmp_path / "nowhere" / "out.svg"))


def test_the_table_aligns_and_marks_the_best_and_the_rules_pick() -> None:
    said = decide((run("sync", 1.0, 0.01), run("threads", 0.05, 0.01), run("rota", 0.2, 0.01)), True)
    runs = (run("sync", 1.0, 0.01), run("threads", 0.05, 0.01), run("rota", 0.2, 0.01))
    text = table(Comparison("job.py", "job.py", 10, 4, (), runs, said), style=False)
    head, sync, threads, rota, *_ = text.splitlines()
    assert len(head) == len(sync)
    assert threads.endswith("<- best")
    assert rota.endswith("<- the rule's pick")
    assert "20.0x" in threads
    assert said.sentence in " ".join(text.split())
    assert "\033" not in text


def test_the_table_has_dashes_for_a_run_that_died_and_counts_failures() -> None:
    text = table(FULL.comparisons[0], style=True)
    assert "7, 3 failed" in text
    (died,) = (line for line in text.splitlines() if line.startswith("  processes  "))
    assert died.split() == ["processes", *["-"] * 8, "3"]
    assert "\033[" in text
