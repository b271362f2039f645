"""Parent: start one child process, hand it its spec, hear its progress, and see that it ends.

A child and its workers are one process group, which a terminal's Ctrl-C does not reach: whatever ends ``ask``
early, an interrupt or an error, ends the whole group with it, and a parent that is killed outright takes them
along through the end of their stdin.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from typing import Any

from ...errors import UsageError
from .job import Source
from .report import Figures, Run

#: Seconds between two looks at the clock while a child says nothing, so that the elapsed time on screen
#: moves.
TICK = 0.1

CHILD = "rota.lanes.compare.child"

Message = dict[str, Any]


def ask(source: Source, model: str | None, on: str | None = None) -> Generator[Message | None, None, None]:
    """Run a child and yield each of its messages, and None every TICK while there are none.

    It runs the job in the model (``on`` a cluster if that is one), or says what the job is if that is None.
    The last message is ``{"ended": how}``: None after an orderly end, else how the process died, in words.
    """
    with started(CHILD) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        spec = {"source": asdict(source), "model": model, "on": on}
        with suppress(BrokenPipeError):  # of a child that died already, its end tells
            child.stdin.write(json.dumps(spec).encode() + b"\n")
        for line in lines(child.stdout.fileno()):
            yield None if line is None else json.loads(line)
        yield {"ended": how_ended(child.wait())}


def describe_job(source: Source) -> Message:
    """What the job is: its numbers and which functions it has. Raises UsageError if the file holds none."""
    said: Message = {}
    with closing(ask(source, None)) as messages:
        for message in messages:
            said |= message or {}
    if "mistake" in said:
        raise UsageError(said["mistake"])
    if "items" not in said:
        raise UsageError(f"the job file {source.path} can't be imported: its process {said['ended']}")
    return said


def run_of(model: str, done: int, total: int, message: Message) -> Run | None:
    """The Run that a message brings: the child's own account, or what is known of one that died without."""
    if "run" in message:
        fields = message["run"]
        figures = fields.pop("figures")
        return Run(**fields, figures=None if figures is None else Figures(**figures))
    if "mistake" in message:
        return Run(model, done, 0, message["mistake"], None)
    if "ended" in message:
        how = message["ended"] or "ended early"
        return Run(model, done, 0, f"the process {how} after {done} of {total} items", None)
    return None


@contextmanager
def started(module: str) -> Iterator[subprocess.Popen[bytes]]:
    """The module run by a Python of its own, with pipes to its stdin and stdout.

    It leads a process group of its own; when the block ends, so does the whole group.
    """
    child = subprocess.Popen(
        # -P: what lies in the current directory must not stand in for a module of the standard library
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        process_group=0,
    )
    try:
        yield child
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)  # also what outlived its leader
        except ProcessLookupError:
            pass
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def lines(stream: int) -> Iterator[bytes | None]:
    """Whole lines from a pipe until it ends, and None every TICK in which nothing came."""
    kept = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(TICK):
                yield None
                continue
            data = os.read(stream, 65536)
            if not data:
                return
            *whole, kept = (kept + data).split(b"\n")
            yield from whole


def how_ended(code: int) -> str | None:
    if code == 0:
        return None
    if code > 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
