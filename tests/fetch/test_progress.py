from __future__ import annotations

import asyncio
import io

import pytest

import rota
from rota.fetch.progress import BAR, ERASE, Progress, bar_characters
from rota.fetch.result import Result, Tally


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, tally: Tally, total: int | None, columns: int = 100) -> str:
    async def main() -> str:
        async with Progress(stream, tally, lambda: total) as progress:
            await asyncio.sleep(0)  # the first look
            return progress.line(columns)

    return rota.run(main())


def test_the_line_counts_and_draws_the_share() -> None:
    line = shown(Terminal(), Tally(saved=1, skipped=1, failed=2, received=1_500_000), 8)
    assert line == "━" * 12 + "─" * 12 + "  50%  4/8, 1 skipped, 2 failed, 1.5 MB, 0 bytes/s, 0.0/s"


def test_without_a_total_there_is_no_bar() -> None:
    assert shown(Terminal(), Tally(saved=1200), None) == "1,200 saved, 0 bytes, 0 bytes/s, 0.0/s"


def test_an_empty_list_is_no_division_by_zero() -> None:
    assert shown(Terminal(), Tally(), 0) == "0/0, 0 bytes, 0 bytes/s, 0.0/s"


@pytest.mark.parametrize("columns", [1, 10, 33, 40, 48, 60, 200])
def test_the_line_fits_any_width_and_gives_up_the_bar_first(columns: int) -> None:
    line = shown(Terminal(), Tally(saved=1), 2, columns)
    assert len(line) <= columns
    assert line.endswith("0.0/s") or "0.0/s".startswith(line[-1]) or columns < 33
    assert (line.count("━") + line.count("─")) in range(BAR + 1)


def test_on_a_terminal_the_bar_goes_for_lines_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("rota.fetch.progress.DRAW_EVERY", 0.0)
    stream = Terminal()

    async def main() -> None:
        async with Progress(stream, Tally(), lambda: None) as progress:
            while ERASE not in stream.getvalue():
                await asyncio.sleep(0)
            progress.clear()
            assert stream.getvalue().endswith(ERASE)
            drawn = len(stream.getvalue())
            while len(stream.getvalue()) == drawn:
                await asyncio.sleep(0)

    rota.run(main())
    assert stream.getvalue().endswith(ERASE)
    assert "\n" not in stream.getvalue()


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO, "xterm"), (Terminal, "dumb")])
def test_elsewhere_it_is_plain_lines(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], term: str) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("rota.fetch.progress.SAY_EVERY", 0.0)
    out = stream()

    async def main() -> None:
        async with Progress(out, Tally(saved=3), lambda: None):
            while not out.getvalue():
                await asyncio.sleep(0)

    rota.run(main())
    assert out.getvalue().splitlines()[0] == "rota: 3 saved, 0 bytes, 0 bytes/s, 0.0/s"
    assert "\x1b" not in out.getvalue()


def test_what_runs_beside_it_ends_with_it() -> None:
    ended = False

    async def endless() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async def main() -> None:
        async with Progress(io.StringIO(), Tally(), lambda: None) as progress:
            progress.also(endless())
            await asyncio.sleep(0)

    rota.run(main())
    assert ended


def test_the_bar_is_plain_where_blocks_can_not_be_written() -> None:
    assert bar_characters("utf-8") == ("━", "─")
    assert bar_characters("ascii") == ("#", ".")
    assert bar_characters("no such encoding") == ("#", ".")


def test_the_tally_tells_saved_skipped_and_failed_apart() -> None:
    tally = Tally(started=4)
    tally.add(Result("http://a/", 200, "a", 10, tries=1))
    tally.add(Result("http://b/", path="b"))
    tally.add(Result("http://c/", 404, tries=1, error="HTTP 404 Not Found", kind="HTTP 404"))
    assert (tally.done, tally.running) == (3, 1)
    summary = tally.summary(2.0)
    assert (summary.saved, summary.skipped, summary.failed, summary.bytes) == (1, 1, 1, 10)
    assert summary.errors == {"HTTP 404": 1}
