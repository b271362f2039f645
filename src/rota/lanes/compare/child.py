"""Child: one run in a process of its own, so that no figure holds what another run left behind.

    python -m rota.lanes.compare.child

The first line on stdin is the spec as JSON; lines of JSON on stdout say how far the run is and at last what
it took. Stdin stays open: when it ends, the parent has gone, and this process ends with its workers.

The job's own prints go to stderr, and its stdin is empty: neither can get between parent and child.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from ...errors import RotaError, UsageError
from .job import Source, describe, load
from .models import run_in
from .report import Figures, Run
from .tally import Tally


def main() -> None:
    """Answer the spec on stdin: the fields of the job's Source, ``model``, and the cluster that it is ``on`` if it
    is one. No model asks what the job is.
    """
    began = time.monotonic()
    parent, answers = take_streams()
    spec = json.loads(parent.readline())
    threading.Thread(target=end_with, args=(parent,), name="parent watch", daemon=True).start()

    def say(**message: Any) -> None:
        os.write(answers, json.dumps(message).encode() + b"\n")

    try:
        job = load(Source(**spec["source"]))
    except UsageError as mistake:
        say(mistake=str(mistake))
        return
    if spec["model"] is None:
        say(
            items=len(job.items),
            concurrency=job.concurrency,
            call=job.call is not None,
            call_async=job.call_async is not None,
            notices=job.notices,
        )
        return
    tally = Tally(lambda done: say(done=done))
    try:
        spent = run_in(spec["model"], job, tally, spec["on"])
    except RotaError as broken:
        run = Run(spec["model"], tally.done, tally.failures, str(broken), None)
    except BaseException as error:
        why = f"{describe(error, job.path)} ended the run after {tally.done} of {len(job.items)} items"
        run = Run(spec["model"], tally.done, tally.failures, why, None)
    else:
        figures = Figures(
            wall=spent.wall,
            start=spent.began - began,
            cpu=spent.cost.cpu,
            queued=spent.cost.queued,
            memory=spent.memory,
            in_flight=tally.in_flight,
            voluntary=spent.cost.voluntary,
            involuntary=spent.cost.involuntary,
        )
        run = Run(spec["model"], tally.done, tally.failures, tally.error, figures, spent.lane, spent.in_lane)
    say(run=asdict(run))


def take_streams() -> tuple[Any, int]:
    """Keep stdin and stdout for the parent and give the job an empty stdin and stderr for its prints."""
    parent = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # Nobody flushes at os._exit, or when the job dies; and lines come in the order of those on stderr.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return parent, answers


def end_with(parent: Any) -> None:
    """Wait for the end of stdin, then end this process and its workers: they are one process group."""
    while parent.read(1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
    # The job may have left threads that never end; what was asked for has been said.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
