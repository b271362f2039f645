"""What becomes of a suite that runs in processes of its own, which may crash or hang.

A process adds lines of JSON to a file: ``{"test": name, "outcome": "began", "text": ""}`` before each test, the same
with "passed", "skipped" or "failed" and why after it, and "ended" at last. One that dies before that costs the test
that was running, and a new process goes on with the rest.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from pathlib import Path

MAY_DIE = 6  # so many crashes and hangs in one suite, and the rest of it is not run


@dataclasses.dataclass
class Outcome:
    """Tests by their names, with the text of why."""

    passed: set[str] = dataclasses.field(default_factory=set)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        self.passed |= other.passed
        self.failed |= other.failed
        self.skipped |= other.skipped

    def text(self) -> str:
        """All of it, for :meth:`read`."""
        return json.dumps({"passed": sorted(self.passed), "failed": self.failed, "skipped": self.skipped})

    @classmethod
    def read(cls, text: str) -> Outcome:
        known = json.loads(text)
        return cls(set(known["passed"]), known["failed"], known["skipped"])

    def note(self, results: Path) -> str | None:
        """Add the lines of ``results``. Returns which test was running at the end: "" if none was, None if it never
        came to that.
        """
        running = None
        if not results.exists():
            return None
        for line in results.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            name, text = entry["test"], entry["text"]
            match entry["outcome"]:
                case "began":
                    running = name
                case "ended":
                    return ""
                case "passed" if name not in self.failed:
                    self.passed.add(name)
                case "skipped":
                    self.passed.discard(name)
                    self.skipped[name] = text
                case "failed":
                    self.passed.discard(name)
                    self.failed[name] = text
        return running


def run(
    command: list[str], order: dict[str, object], environment: dict[str, str], cwd: Path | None, longest: float
) -> Outcome:
    """Run ``command`` until all of ``order`` is done, ``longest`` seconds at most each time. It finds the order, with
    ``results`` (the file to write) and ``leave`` (patterns, and tests that are done) in it, as JSON on its stdin.
    """
    outcome = Outcome()
    leave: list[object] = [*order["leave"]]  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        for attempt in range(MAY_DIE):
            results = Path(folder) / str(attempt)
            text = json.dumps({**order, "leave": leave, "results": str(results)})
            code, last_words = say(command, text, environment, cwd or Path(folder), longest)
            running = outcome.note(results)
            if running == "":
                return outcome
            if running is None:
                outcome.failed["the suite"] = f"could not be begun (exit {code}):\n{last_words}"
                return outcome
            outcome.failed[running] = f"hung or crashed (exit {code}):\n{last_words}"
            leave += [running, *outcome.passed, *outcome.failed, *outcome.skipped]
    outcome.failed["the suite"] = f"{MAY_DIE} of its tests hung or crashed; the others were not run"
    return outcome


def say(command: list[str], text: str, environment: dict[str, str], cwd: Path, longest: float) -> tuple[object, str]:
    """Run ``command`` with ``text`` on its stdin; its exit code and the end of what it printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            code: object = subprocess.run(
                command,
                input=text,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                cwd=cwd,
                env=environment,
                timeout=longest,
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"none in {longest:.0f} s"
        said.seek(0)
        return code, said.read()[-6000:]
