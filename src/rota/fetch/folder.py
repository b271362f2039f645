"""The folder that files are saved into: who may have which name, and files that appear only when complete.

A name is claimed by creating ``NAME.part``, which fails if it is there, and then seeing that ``NAME`` is not:
of any number of downloads, in this process or another, one gets it, and nothing that exists is ever written
over. The names that are taken stand on the disk alone, so a run of millions keeps none in memory. Everything
goes through the folder's file descriptor: it stays the same folder, whatever happens to its path.

A ``.part`` that a killed run left behind is not touched, and its name counts as taken.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from types import TracebackType
from typing import Self

from ..errors import RotaError, UsageError
from .name import PART, numbered

#: File systems stamp files with the kernel's coarse clock, which moves 100 to 1,000 times a second. After
#: this many seconds, a file made now is stamped later than one made before.
CLOCK_STEP = 0.01

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


class DiskError(RotaError):
    """The disk did not take a file: it is full, or may not be written to.

    ``path`` says where, ``error`` is the system's own error. No URL is to blame, and the next one would fare no
    better: the run ends.
    """

    def __init__(self, path: str, error: OSError) -> None:
        self.path = path
        self.error = error
        super().__init__(f"can't write {path!r}: {error.strerror}")


class Folder:
    """A folder to save into, made if it is not there. ``UsageError`` if ``path`` is something else,
    ``DiskError`` if it can't be made or written to."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            os.makedirs(path, exist_ok=True)
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{path!r} is not a folder: name one, or a new one, to save into") from error
        except OSError as error:
            raise DiskError(path, error) from error
        try:
            with tempfile.TemporaryFile(dir=path) as probe:
                self._opened = os.fstat(probe.fileno()).st_ctime_ns
        except OSError as error:
            os.close(self._fd)
            raise DiskError(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)

    async def settle(self) -> None:
        """Wait until a file made from now on is stamped later than those that were there: ``had`` tells by that."""
        await asyncio.sleep(CLOCK_STEP)

    def had(self, name: str) -> bool:
        """Whether ``name`` was there before the folder was opened: a file saved after ``settle`` is another URL's."""
        try:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except OSError:
            return False
        return found.st_ctime_ns <= self._opened

    def part(self, name: str) -> Part:
        """A new file that will be ``name``, or the first of ``NAME-2``, ``NAME-3`` ... that is free.

        ``DiskError``, but for too many open files: that passes, and is raised as the ``OSError`` it is.
        """
        number = 1
        while (part := self._claim(numbered(name, number))) is None:
            number = self._free_number(name)
        return part

    def path_of(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _claim(self, name: str) -> Part | None:
        try:
            fd = os.open(name + PART, _NEW_FILE, 0o666, dir_fd=self._fd)
        except FileExistsError:
            return None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            raise DiskError(self.path_of(name + PART), error) from error
        # In this order: whoever had the name before us renames first and only then is there no .part.
        if self._is_there(name):
            os.close(fd)
            os.unlink(name + PART, dir_fd=self._fd)
            return None
        return Part(self, self._fd, fd, name)

    def _free_number(self, name: str) -> int:
        """A number whose file is not there, the lowest if there are no gaps.

        Found by doubling and halving: the ten-thousandth ``index.html`` must not look at all the others.
        """
        free = 2
        while self._is_taken(numbered(name, free)):
            free *= 2
        taken = free // 2
        while free - taken > 1:
            middle = (free + taken) // 2
            if self._is_taken(numbered(name, middle)):
                taken = middle
            else:
                free = middle
        return free

    def _is_taken(self, name: str) -> bool:
        return self._is_there(name) or self._is_there(name + PART)

    def _is_there(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DiskError(self.path_of(name), error) from error
        return True


class Part:
    """A file on its way: ``NAME.part`` until ``keep`` names it ``NAME``; left without that, it is removed."""

    def __init__(self, folder: Folder, folder_fd: int, fd: int, name: str) -> None:
        self._folder = folder
        self._folder_fd = folder_fd
        self._fd: int | None = fd
        self._name = name
        self._kept = False
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._kept:
            return
        try:
            try:
                self._close()
            finally:
                os.unlink(self._name + PART, dir_fd=self._folder_fd)
        except OSError as problem:
            raise DiskError(self._folder.path_of(self._name + PART), problem) from problem

    def write(self, data: bytes) -> None:
        """Append ``data``; ``DiskError`` if the disk does not take all of it."""
        assert self._fd is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise DiskError(self._folder.path_of(self._name + PART), error) from error
        self.size += len(data)

    def keep(self) -> str:
        """The file is complete: give it its name, and return its path."""
        path = self._folder.path_of(self._name)
        try:
            # Closed first: some file systems say only then that the disk was full.
            self._close()
            os.rename(self._name + PART, self._name, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        except OSError as error:
            raise DiskError(path, error) from error
        self._kept = True
        return path

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)
