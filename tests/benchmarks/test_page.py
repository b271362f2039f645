"""The page of figures says what the saved runs say, the rows where rota is behind first of all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EMPTY = "<!-- figures: {0} -->\n<!-- end -->\n"


def page(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "page.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def cell(figure: float | None, ratio: float | None, why: str = "", between: Any = None) -> dict[str, Any]:
    return {"figure": figure, "ratio": ratio, "why": why, "range": between}


def save(folder: Path, name: str, rows: dict[str, Any], python: str = "3.13.0") -> None:
    saved = folder / "results" / python.rpartition(".")[0] / f"{name}.json"
    saved.parent.mkdir(parents=True, exist_ok=True)
    words = {"unit": "units", "machine": "a machine", "python": python, "date": "2026-01-01", "rounds": 5}
    columns = {"versions": ["rota 1"], "columns": ["rota", "quick", "floor"], "limits": ["floor"]}
    saved.write_text(json.dumps({**words, **columns, "rows": rows}))


def files(folder: Path) -> list[str]:
    """Where the page, the README and the runs of a test are."""
    readme = folder / "README.md"
    if not readme.exists():
        readme.write_text(EMPTY.format("overview"))
    return ["--page", str(folder / "page.md"), "--readme", str(readme), "--results", str(folder / "results")]


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a page with places for ``names`` from what was saved, and returns its text."""

    def write(*names: str) -> str:
        path = tmp_path / "page.md"
        path.write_text("Words.\n" + "".join(EMPTY.format(name) for name in names))
        done = page(*files(tmp_path))
        assert done.returncode == 0, done.stderr
        assert page("--check", *files(tmp_path)).returncode == 0
        return path.read_text()

    return write


def test_the_page_is_what_the_runs_say() -> None:
    done = page("--check")
    assert done.returncode == 0, done.stderr


def test_a_row_where_a_peer_is_ahead_is_in_two_places(tmp_path: Path, written: Any) -> None:
    ahead = {"rota": cell(2, 1), "quick": cell(1, 0.5, "", (0.4, 0.6)), "floor": cell(0.1, 0.05)}
    behind = {"rota": cell(2, 1), "quick": cell(4, 2.0), "floor": cell(0.1, 0.05)}
    save(tmp_path, "race", {"lost": ahead, "won": behind})
    text = written("machine", "behind", "race")
    assert "| race | 3.13.0 | lost | behind quick 0.50x (0.40 to 0.60) |" in text
    assert "| lost | 2 | 1 (0.50x) | 0.1 (0.05x) | **behind quick 0.50x (0.40 to 0.60)** |" in text
    assert "| won | 2 | 4 (2.00x) | 0.1 (0.05x) | 2.00x quick |" in text
    assert "In 1 of compiled rota's 2 rows" in text


def test_a_row_without_a_figure_of_rotas_is_one_where_it_is_behind(tmp_path: Path, written: Any) -> None:
    save(tmp_path, "race", {"fell": {"rota": cell(None, None, "fell over"), "quick": cell(1, None)}})
    text = written("machine", "behind", "race")
    assert "| race | 3.13.0 | fell | without a figure |" in text
    assert "fell: rota has none: `fell over`." in text


def test_each_python_has_its_table(tmp_path: Path, written: Any) -> None:
    for python in ("3.9.1", "3.13.0", "3.11.7"):
        save(tmp_path, "race", {"won": {"rota": cell(2, 1), "quick": cell(4, 2.0)}}, python)
    text = written("machine", "behind", "race")
    places = [text.index(f"on CPython {python},") for python in ("3.13.0", "3.11.7", "3.9.1")]
    assert places == sorted(places)
    assert "In none of compiled rota's 3 rows" in text


@pytest.mark.parametrize("names", [("machine", "race"), ("behind", "race"), ("machine", "behind")])
def test_no_place_can_be_forgotten(tmp_path: Path, names: tuple[str, ...]) -> None:
    save(tmp_path, "race", {"won": {"rota": cell(2, 1), "quick": cell(4, 2.0)}})
    path = tmp_path / "page.md"
    path.write_text("".join(EMPTY.format(name) for name in names))
    done = page(*files(tmp_path))
    assert done.returncode == 1
    assert "the page needs one place for" in done.stderr


def test_a_page_that_was_changed_by_hand_fails(tmp_path: Path, written: Any) -> None:
    save(tmp_path, "race", {"lost": {"rota": cell(2, 1), "quick": cell(1, 0.5)}})
    text = written("machine", "behind", "race")
    path = tmp_path / "page.md"
    path.write_text(text.replace("behind quick", "ahead of quick"))
    done = page("--check", *files(tmp_path))
    assert done.returncode == 1
    assert "run benchmarks/page.py" in done.stderr


def test_the_readme_has_the_ratios_of_the_newest_python(tmp_path: Path, written: Any) -> None:
    for python, ratio in (("3.11.7", 9.0), ("3.13.0", 3.0)):
        rows = {"step": {"rota": cell(2, 1), "quick": cell(6, ratio), "floor": cell(1, 0.5)}}
        others = ("wake", "spawn", "gather", "call_soon", "call_later", "timeout", "queue")
        rows |= {name: {"rota": cell(2, 1), "quick": cell(None, None, "fell over")} for name in others}
        save(tmp_path, "clockwork", rows, python)
    written("machine", "behind", "clockwork")
    text = (tmp_path / "README.md").read_text()
    assert "| | quick |" in text
    assert "| a task's step | 3.00x |" in text
    assert "| `call_soon` | - |" in text


def test_a_wrong_choice_is_shown_where_it_was_made(tmp_path: Path, written: Any) -> None:
    right, wrong = {"lane": "threads", "right": True}, {"lane": "processes", "right": False}
    counts = {"cases": 6, "right": 5, "without the GIL": 3, "right without the GIL": 3}
    found = {
        "version": "rota 1",
        "python": "3.13.0",
        "date": "2026-01-01",
        "counts": counts,
        "cost": {"metered": 6.61, "unmetered": 0.321},
        "cases": {"sleep": {"alone": [right, right, right], "inside": [right, wrong, right]}},
    }
    saved = tmp_path / "results" / "3.13" / "choosing.json"
    saved.parent.mkdir(parents=True)
    saved.write_text(json.dumps(found))
    text = written("machine", "behind", "choosing")
    assert "each case 3 times: 5 of 6 right, 3 of 3 without others at the GIL" in text
    assert "| sleep | threads | processes or threads **1 of 3 wrong** |" in text
