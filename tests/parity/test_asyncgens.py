"""Async generators that are left half-way are closed by the loop."""

import asyncio
import gc
import threading

import pytest


async def count(log, cleanup=None):
    try:
        for number in range(10):
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")
        if cleanup is not None:
            raise cleanup


def test_one_that_is_dropped_is_closed_soon(run):
    async def main():
        log = []
        numbers = count(log)
        assert await anext(numbers) == 0
        del numbers
        gc.collect()
        assert log == []
        for _ in range(5):
            await asyncio.sleep(0)
        return log

    assert run(main()) == ["closed"]


def test_those_that_are_left_are_closed_with_the_program(run):
    log = []
    kept = []

    async def main():
        for _ in range(3):
            numbers = count(log)
            await anext(numbers)
            kept.append(numbers)
        assert log == []

    run(main())
    assert log == ["closed"] * 3


def test_one_that_ran_to_its_end_is_left_alone(run):
    async def main():
        log = []
        found = [number async for number in count(log)]
        await asyncio.get_running_loop().shutdown_asyncgens()
        return len(found), log

    assert run(main()) == (10, ["closed"])


def test_one_that_fails_to_close_is_reported(loop, reports):
    log = []
    error = OSError("while closing")
    kept = []

    async def main():
        numbers = count(log, error)
        kept.append(numbers)
        await anext(numbers)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    (report,) = reports
    assert report["message"].startswith("an error occurred during closing of asynchronous generator <async_generator")
    assert report["exception"] is error
    assert report["asyncgen"] is kept[0]


def test_one_begun_after_the_shutdown_is_warned_about(loop):
    log = []

    async def main():
        await loop.shutdown_asyncgens()
        numbers = count(log)
        with pytest.warns(ResourceWarning, match=r"was scheduled after loop\.shutdown_asyncgens\(\) call"):
            await anext(numbers)
        await numbers.aclose()

    loop.run_until_complete(main())
    assert log == ["closed"]


def test_the_hooks_are_those_of_before_when_the_loop_has_run(loop):
    import sys

    before = sys.get_asyncgen_hooks()

    async def main():
        assert sys.get_asyncgen_hooks() != before

    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == before


def test_one_that_is_dropped_in_another_thread_is_closed_on_the_loop(run_real):
    closed_in = []

    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed_in.append(threading.get_ident())

    async def main():
        generator = numbers()
        await anext(generator)
        held = [generator]
        del generator
        await asyncio.to_thread(held.clear)
        async with asyncio.timeout(5):
            while not closed_in:
                await asyncio.sleep(0.001)

    run_real(main())
    assert closed_in == [threading.get_ident()]


def test_one_that_is_dropped_after_the_loop_was_closed_troubles_nobody(new_virtual_loop):
    loop = new_virtual_loop()
    log = []

    async def main():
        numbers = count(log)
        await anext(numbers)
        return numbers

    numbers = loop.run_until_complete(main())
    loop.close()
    del numbers
    gc.collect()
    assert log == []


def test_many_are_closed_together(loop):
    """Each may wait for another: they are closed at the same time."""
    order = []

    async def numbers(mine, other):
        try:
            yield 1
        finally:
            mine.set()
            await other.wait()
            order.append("closed")

    async def main():
        first, second = asyncio.Event(), asyncio.Event()
        generators = [numbers(first, second), numbers(second, first)]
        for generator in generators:
            await anext(generator)
        await loop.shutdown_asyncgens()
        return order

    assert loop.run_until_complete(main()) == ["closed", "closed"]
