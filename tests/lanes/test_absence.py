"""Whether workers are there, and who is told that none are, on virtual time and without a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rota.errors import UsageError
from rota.lanes.absence import SAY_NO_WORKERS, Absence, Unattended
from rota.lanes.errors import ClusterLost

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Scheduler:
    """In place of a connection: ``width`` is what it last told, ``now`` what it would tell."""

    address = "there:8786"

    def __init__(self, width: int = 0, now: int | Exception = 0) -> None:
        self.width = width
        self.now = now

    async def ask_width(self) -> int:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def apart(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.create_task(work)


class Counting(Scheduler):
    """Counts how often it is asked; a hundred times are too many."""

    looks = 0

    async def ask_width(self) -> int:
        self.looks += 1
        assert self.looks < 100
        return await super().ask_width()


async def wait(absence: Absence, name: str, patience: float | None, seconds: float) -> float:
    """Work, for so many seconds, or until there is nobody to do it; returns for how many it was."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with contextlib.suppress(Unattended):
        async with absence.waits(name, patience):
            await asyncio.sleep(seconds)
    return loop.time() - began


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.name == "rota"]


def test_all_who_wait_are_named_in_one_line_and_again_when_all_have_gone_again(
    run: Run, said: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        there = Scheduler()
        absence = Absence(there)  # type: ignore[arg-type]
        names = ["f", "f", "g", "h", "i", "j"]
        waiting = [asyncio.create_task(wait(absence, name, None, 100)) for name in names]
        await asyncio.sleep(SAY_NO_WORKERS - 1)
        assert said() == []
        await asyncio.sleep(50)
        (line,) = said()
        assert line == (
            "the cluster at there:8786 has no workers; waiting for one: f, g, h, and 2 more. Start some (dask worker "
            "there:8786), or give a timeout= to what can't wait"
        )
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        await wait(absence, "later", 50, 100)
        assert len(said()) == 1
        there.now = 1
        seen = asyncio.create_task(wait(absence, "seen", None, 100))
        await asyncio.sleep(50)
        there.now = 0
        await asyncio.sleep(40)
        assert len(said()) == 2
        seen.cancel()

    run(main())


def test_who_was_served_or_finds_somebody_has_the_next_absence_told(run: Run, said: Callable[[], list[str]]) -> None:
    async def main() -> None:
        there = Scheduler()
        absence = Absence(there)  # type: ignore[arg-type]
        await wait(absence, "served in the end", None, 50)
        await wait(absence, "f", 50, 100)
        assert len(said()) == 2
        there.width = 2
        await wait(absence, "served at once", 50, 0)
        there.width = 0
        await wait(absence, "f", 50, 100)
        assert len(said()) == 3

    run(main())


def test_who_can_not_wait_is_told_after_that_long_and_not_earlier(run: Run) -> None:
    async def main() -> list[float]:
        absence = Absence(Scheduler())  # type: ignore[arg-type]
        impatient = [asyncio.create_task(wait(absence, "f", patience, 100)) for patience in (3, 0.125, None, 60)]
        await asyncio.sleep(10)
        impatient.append(asyncio.create_task(wait(absence, "f", 0.125, 100)))
        return await asyncio.gather(*impatient)

    assert run(main()) == pytest.approx([3, 0.125, 100, 60, 0.125])


def test_patience_is_for_the_time_without_workers_alone(run: Run) -> None:
    async def main() -> list[float]:
        there = Scheduler(now=1)
        absence = Absence(there)  # type: ignore[arg-type]
        waiting = asyncio.create_task(wait(absence, "f", 10, 100))
        await asyncio.sleep(30)
        there.now = 0
        await asyncio.sleep(8)
        there.now = 1
        await asyncio.sleep(2)
        there.now = 0
        return [await waiting]

    assert run(main()) == pytest.approx([50], abs=1)


def test_what_the_scheduler_said_a_while_ago_is_asked_again(run: Run) -> None:
    async def main() -> float:
        return await wait(Absence(Scheduler(width=0, now=1)), "f", 1, 100)  # type: ignore[arg-type]

    assert run(main()) == pytest.approx(100)


@pytest.mark.parametrize("error", [OSError("gone"), ClusterLost("lost"), UsageError("closed")], ids=repr)
def test_of_a_connection_that_breaks_nothing_is_known(
    run: Run, said: Callable[[], list[str]], error: Exception
) -> None:
    async def main() -> float:
        return await wait(Absence(Scheduler(now=error)), "f", 1, 100)  # type: ignore[arg-type]

    assert run(main()) == pytest.approx(100)
    assert said() == []


def test_where_nobody_can_be_asked_any_more_patience_runs_out_and_looks_have_their_time(run: Run) -> None:
    there = Counting()

    async def main() -> list[float]:
        absence = Absence(there)  # type: ignore[arg-type]
        waiting = [asyncio.create_task(wait(absence, "f", patience, 20)) for patience in (None, 10)]
        await asyncio.sleep(1)
        there.now = OSError("gone")
        return await asyncio.gather(*waiting)

    assert run(main()) == pytest.approx([20, 10])
    assert 10 < there.looks < 50


def test_who_was_told_and_takes_its_time_to_end_is_not_looked_after(run: Run) -> None:
    there = Counting()

    async def main() -> None:
        with contextlib.suppress(Unattended):
            async with Absence(there).waits("f", 1):  # type: ignore[arg-type]
                try:
                    await asyncio.sleep(100)
                finally:
                    await asyncio.sleep(10)

    run(main())
    assert there.looks < 50


def test_nobody_counts_while_nobody_waits(run: Run, said: Callable[[], list[str]]) -> None:
    class Slow(Scheduler):
        async def ask_width(self) -> int:
            await asyncio.sleep(1)
            return self.now  # type: ignore[return-value]

    async def main() -> None:
        absence = Absence(Slow())  # type: ignore[arg-type]
        await wait(absence, "f", None, 0.5)
        await asyncio.sleep(100)
        await wait(absence, "f", None, SAY_NO_WORKERS - 1)

    run(main())
    assert said() == []


def test_a_timeout_of_the_work_itself_is_none_of_ours(run: Run) -> None:
    async def main() -> None:
        absence = Absence(Scheduler())  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            async with absence.waits("f", 5):
                raise TimeoutError
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), absence.waits("f", 1):
                await asyncio.sleep(100)

    run(main())
