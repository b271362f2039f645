from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import rota
from rota.errors import UsageError
from rota.fetch.lines import BLOCK, LONGEST_LINE, Lines, after


def read(path: object) -> list[str]:
    async def main() -> list[str]:
        return [line async for line in lines]

    with closing(Lines(str(path))) as lines:
        return rota.run(main())


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo", ["one", "two"]),
        (b"\n# comment\n  \n  one  \n#\n", ["one"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        ("é\n".encode(), ["é"]),
        (b"\xff\n", ["\ufffd"]),
    ],
)
def test_a_line_is_a_url_but_for_blanks_and_comments(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    assert read(path) == lines


def test_lines_over_many_blocks(tmp_path: Path) -> None:
    path = tmp_path / "list"
    wanted = [f"http://host/{number}" for number in range(3 * BLOCK // 16)]
    path.write_text("\n".join(wanted))
    assert read(path) == wanted


def test_a_file_that_is_no_list_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"x" * (LONGEST_LINE + 2 * BLOCK))
    with pytest.raises(UsageError, match="is it a list of URLs"):
        read(path)


def test_what_can_not_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'/nowhere/list': No such file"):
        Lines("/nowhere/list")
    with pytest.raises(UsageError, match="it is a folder"):
        Lines(str(tmp_path))


@contextmanager
def fifo(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe with a name, and its writing end."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    # Opened for reading too, so that neither open waits for the other.
    end = os.open(path, os.O_RDWR)
    try:
        yield path, end
    finally:
        os.close(end)


def test_a_pipe_gives_each_line_as_it_comes_and_the_loop_goes_on(tmp_path: Path) -> None:
    async def main(lines: Lines, end: int) -> list[str]:
        first = asyncio.ensure_future(anext(lines))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not first.done()
        os.write(end, b"one\nhal")
        got = [await first]
        second = asyncio.ensure_future(anext(lines))
        os.write(end, b"f\n")
        return [*got, await second]

    with fifo(tmp_path) as (path, end), closing(Lines(str(path))) as lines:
        assert rota.run(main(lines, end)) == ["one", "half"]


def test_waiting_for_a_pipe_can_be_cancelled(tmp_path: Path) -> None:
    async def main(lines: Lines) -> None:
        waiting = asyncio.ensure_future(anext(lines))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with fifo(tmp_path) as (path, _), closing(Lines(str(path))) as lines:
        rota.run(main(lines))


def test_a_pipe_that_is_closed_ends_the_list(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"one\ntwo",))
    writer.start()
    try:
        assert read(path) == ["one", "two"]
    finally:
        writer.join()


def test_a_device_that_never_waits_is_read_as_it_is() -> None:
    assert read("/dev/null") == []


@pytest.mark.parametrize("content", [b"", b"a\nb\n", b"a\n#\n\nb", b"#\n"])
def test_the_count_is_exact_when_all_is_read(tmp_path: Path, content: bytes) -> None:
    async def main() -> tuple[int, int | None]:
        assert lines.total is None
        await lines.count()
        return len([line async for line in lines]), lines.total

    path = tmp_path / "list"
    path.write_bytes(content)
    with closing(Lines(str(path))) as lines:
        read_lines, total = rota.run(main())
    assert total == read_lines


def test_a_file_on_standard_input_counts_from_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"read before\none\ntwo\n")
    with path.open("rb", buffering=0) as file:
        file.read(len(b"read before\n"))
        monkeypatch.setattr("os.dup", lambda fd, dup=os.dup: dup(file.fileno()))
        lines = Lines("-")
    with closing(lines):
        rota.run(lines.count())
        assert lines.total == 2


def test_a_pipe_has_no_count(tmp_path: Path) -> None:
    with fifo(tmp_path) as (path, _), closing(Lines(str(path))) as lines:
        rota.run(lines.count())
        assert lines.total is None


def test_urls_come_before_the_list(tmp_path: Path) -> None:
    async def main() -> list[str]:
        return [url async for url in after(["zero"], lines)]

    path = tmp_path / "list"
    path.write_text("one\n")
    with closing(Lines(str(path))) as lines:
        assert rota.run(main()) == ["zero", "one"]
