from __future__ import annotations

import asyncio
import signal

import pytest

import rota
from rota.fetch.attend import STOPPING, attend


def test_work_that_ends_has_ended() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    assert rota.run(attend(work())) is True


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_the_work_after_it_has_cleaned_up(number: signal.Signals) -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        signal.raise_signal(number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    before = signal.getsignal(number)
    assert rota.run(attend(work())) is False
    assert cleaned
    assert signal.getsignal(number) == before


def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rota.run(attend(work()))


def test_a_cancellation_from_elsewhere_is_no_signal() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(attend(asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    rota.run(main())


def test_a_second_signal_does_not_cut_the_cleaning_up_short() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        signal.raise_signal(signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            signal.raise_signal(signal.SIGTERM)
            for _ in range(100):  # far more turns than a loop in a hurry takes between two looks at its signals
                await asyncio.sleep(0)
            cleaned = True

    assert rota.run(attend(work())) is False
    assert cleaned
