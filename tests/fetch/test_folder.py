from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.errors import UsageError
from rota.fetch.folder import DiskError, Folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Folder(str(tmp_path)) as opened:
        yield opened


def save(folder: Folder, name: str, content: bytes = b"") -> str:
    with folder.part(name) as part:
        part.write(content)
        return part.keep()


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_a_file_has_its_name_only_when_it_is_whole(folder: Folder, tmp_path: Path) -> None:
    with folder.part("a.txt") as part:
        part.write(b"one ")
        part.write(b"two")
        assert names(tmp_path) == ["a.txt.part"]
        assert part.keep() == str(tmp_path / "a.txt")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"one two"


def test_a_file_that_is_not_kept_is_removed(folder: Folder, tmp_path: Path) -> None:
    with folder.part("a.txt") as part:
        part.write(b"one")
    assert names(tmp_path) == []


def test_equal_names_are_numbered(folder: Folder, tmp_path: Path) -> None:
    for _ in range(4):
        save(folder, "a.txt")
    with folder.part("a.txt"):
        assert names(tmp_path) == ["a-2.txt", "a-3.txt", "a-4.txt", "a-5.txt.part", "a.txt"]


def test_a_number_that_became_free_is_no_trouble(folder: Folder, tmp_path: Path) -> None:
    for _ in range(9):
        save(folder, "a")
    os.unlink(tmp_path / "a-4")
    before = set(names(tmp_path))
    save(folder, "a")
    assert len(set(names(tmp_path)) - before) == 1


def test_a_thousand_equal_names_look_at_few_files(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(1000):
        save(folder, "a")
    looks = 0
    look = os.stat

    def counted(*args: object, **named: object) -> os.stat_result:
        nonlocal looks
        looks += 1
        return look(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", counted)
    assert save(folder, "a").endswith("a-1001")
    assert looks < 60


def test_nothing_is_written_over_or_through_a_link(folder: Folder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (tmp_path / "a").symlink_to(outside)
    (tmp_path / "b.part").symlink_to(outside)
    save(folder, "a")
    save(folder, "b")
    assert not outside.exists()
    assert names(tmp_path) == ["a", "a-2", "b-2", "b.part"]


def test_two_runs_share_a_folder(folder: Folder, tmp_path: Path) -> None:
    with Folder(str(tmp_path)) as other, folder.part("a") as ours, other.part("a") as theirs:
        ours.write(b"ours")
        theirs.write(b"theirs")
        assert {ours.keep(), theirs.keep()} == {str(tmp_path / "a"), str(tmp_path / "a-2")}


def test_only_what_was_there_before_counts_as_had(tmp_path: Path) -> None:
    (tmp_path / "before").touch()
    with Folder(str(tmp_path)) as folder:
        asyncio.run(folder.settle())
        save(folder, "since")
        assert folder.had("before")
        assert not folder.had("since")
        assert not folder.had("never")


def test_files_get_the_rights_that_the_umask_leaves(folder: Folder, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save(folder, "a")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_the_folder_is_made_and_stays_the_same_folder(tmp_path: Path) -> None:
    with Folder(str(tmp_path / "x" / "y")) as folder:
        os.rename(tmp_path / "x", tmp_path / "z")
        save(folder, "a")
    assert names(tmp_path / "z" / "y") == ["a"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "file/deeper"):
        with pytest.raises(UsageError, match="is not a folder"):
            Folder(str(tmp_path / path))


def test_a_folder_that_can_not_be_made_is_the_disk_saying_no() -> None:
    with pytest.raises(DiskError, match=r"can't write '/proc/nowhere'"):
        Folder("/proc/nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DiskError, match="Permission denied"):
        Folder(str(tmp_path))


def test_a_full_disk_names_the_file_and_leaves_nothing(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskError, match=r"a\.part': No space left") as caught, folder.part("a") as part:
        part.write(b"one")
    assert caught.value.error.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_too_many_open_files_are_not_the_disks_fault(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", no)
        with pytest.raises(OSError, match="Too many open files"):
            folder.part("a")


def test_a_write_in_pieces_is_finished(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    save(folder, "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_part_that_somebody_removed_is_reported(folder: Folder, tmp_path: Path) -> None:
    part = folder.part("a")
    os.unlink(tmp_path / "a.part")
    with pytest.raises(DiskError):
        part.keep()
    with pytest.raises(DiskError), part:
        pass
