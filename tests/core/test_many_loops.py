"""Several loops in several threads, and loops by the thousand one after the other."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import weakref

import pytest

import rota

THREADS = 5
ROUNDS = 300


def test_loops_in_threads_talk_to_one_another(new_loop):
    """Each passes a token on to the next, ROUNDS times around: nothing lost, nothing doubled, all end."""
    loops = [new_loop() for _ in range(THREADS)]
    seen: list[list[int]] = [[] for _ in loops]
    all_there = threading.Barrier(THREADS)

    def take(place: int, token: int) -> None:
        assert asyncio.get_running_loop() is loops[place]
        seen[place].append(token)
        if token < THREADS * ROUNDS:
            following = (place + 1) % THREADS
            loops[following].call_soon_threadsafe(take, following, token + 1)
        else:
            for loop in loops:
                loop.call_soon_threadsafe(loop.stop)

    def work(place: int) -> None:
        all_there.wait()
        if place == 0:
            loops[0].call_soon_threadsafe(take, 0, 0)
        loops[place].run_forever()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for loop in loops:
        loop.close()
    assert sorted(token for tokens in seen for token in tokens) == list(range(THREADS * ROUNDS + 1))
    assert all(tokens == sorted(tokens) for tokens in seen)


def test_a_coroutine_on_the_loop_of_another_thread(new_loop):
    other = new_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()

    async def add(number):
        await asyncio.sleep(0)
        return number + 1

    async def main():
        waits = [asyncio.run_coroutine_threadsafe(add(number), other) for number in range(ROUNDS)]
        return [await asyncio.wrap_future(wait) for wait in waits]

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(main()) == list(range(1, ROUNDS + 1))
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


def test_signals_come_to_the_loop_of_the_main_thread_alone(new_loop):
    other = new_loop()
    refused = []

    def work():
        try:
            other.add_signal_handler(signal.SIGUSR1, print)
        except (RuntimeError, ValueError) as error:
            refused.append(error)
        other.run_forever()

    thread = threading.Thread(target=work)
    thread.start()

    async def main():
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(10):
            await heard.wait()
        loop.remove_signal_handler(signal.SIGUSR1)

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()
    assert len(refused) == 1


def test_ten_thousand_loops_leave_nothing():
    """Made, used and closed one after the other. The fixture of all tests counts their file descriptors."""

    async def use():
        await asyncio.sleep(0)

    def batch(count: int) -> int:
        for _ in range(count):
            loop = rota.new_event_loop()
            loop.run_until_complete(use())
            loop.close()
        del loop
        gc.collect()
        return sys.getallocatedblocks()

    batch(200)
    before = batch(1000)
    after = batch(9000)
    # A block per loop would be nine thousand.
    assert after - before < 500


@pytest.mark.parametrize("kind", ["rota"])
def test_a_loop_that_is_closed_is_gone_without_a_collection(new_loop):
    """Reference counts alone let go of it: a program that turns the collector off may make loops, too."""
    gc.disable()
    try:
        loop = new_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        gone = weakref.ref(loop)
        del loop
        assert gone() is None
    finally:
        gc.enable()
