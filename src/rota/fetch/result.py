"""What became of one URL, and of all of them.

A ``Result`` is one URL's end, a ``Summary`` the whole run's; both are values. A ``Tally`` is the running
count that the summary is taken from: it grows by results, never by keeping them, so a million of them take no
more room than one. Whoever shows progress reads it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Result:
    """The end of one URL.

    ``url`` is as it was given, with a user name and password masked; ``status`` is the last HTTP status,
    ``None`` without an answer; ``path`` is the file, ``None`` unless ``ok``; ``bytes`` is its size;
    ``seconds`` counts from the first try, with the waits between; ``tries`` is 0 for a file that was there
    already and for a bad URL; ``error`` says in one line what went wrong and ``kind`` is its class, with few
    enough of them to be counted.
    """

    url: str
    status: int | None = None
    path: str | None = None
    bytes: int = 0
    seconds: float = 0.0
    tries: int = 0
    error: str | None = None
    kind: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def skipped(self) -> bool:
        return self.ok and self.tries == 0

    def as_json(self) -> str:
        """One line: url, status, ok, path, bytes, seconds, tries, error, kind."""
        fields = {
            "url": self.url,
            "status": self.status,
            "ok": self.ok,
            "path": self.path,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 6),
            "tries": self.tries,
            "error": self.error,
            "kind": self.kind,
        }
        return json.dumps(fields)


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run: how many URLs were ``saved``, ``skipped`` because their file was there, and ``failed``.

    ``errors`` counts the failed by kind; ``bytes`` were saved and ``seconds`` taken.
    """

    saved: int
    skipped: int
    failed: int
    bytes: int
    seconds: float
    errors: Mapping[str, int]


@dataclass(slots=True)
class Tally:
    """What has happened so far.

    ``received`` counts each byte of a body as it comes, also of tries that fail later; ``started`` counts the URLs
    that were begun.
    """

    started: int = 0
    saved: int = 0
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    received: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.saved + self.skipped + self.failed

    @property
    def running(self) -> int:
        return self.started - self.done

    def add(self, result: Result) -> None:
        if result.skipped:
            self.skipped += 1
        elif result.ok:
            self.saved += 1
            self.bytes += result.bytes
        else:
            self.failed += 1
            self.errors[result.kind or "unknown"] += 1

    def summary(self, seconds: float) -> Summary:
        return Summary(self.saved, self.skipped, self.failed, self.bytes, seconds, dict(self.errors))
