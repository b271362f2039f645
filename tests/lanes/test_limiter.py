"""A limiter lets in as many as it may, in the order in which they came, whoever gives up meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from rota.lanes.limiter import Limiter, Permit


def test_first_come_first_served(run):
    async def main():
        limiter, order = Limiter(2), []

        async def one(number):
            async with limiter:
                order.append(number)
                assert limiter.running <= 2
                await asyncio.sleep(1)

        await asyncio.gather(*map(one, range(6)))
        assert order == list(range(6))
        assert (limiter.running, limiter.waiting) == (0, 0)

    run(main())


def test_who_gives_up_takes_no_place(run):
    async def main():
        limiter = Limiter(1)
        await limiter.acquire()
        tasks = [asyncio.ensure_future(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        limiter.release()
        await tasks[1]
        assert (limiter.running, limiter.waiting) == (1, 1)
        tasks[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[2]
        assert limiter.waiting == 0

    run(main())


def test_who_is_let_in_and_cancelled_at_once_leaves_again(run):
    async def main():
        limiter = Limiter(1)
        await limiter.acquire()
        first, second = (asyncio.ensure_future(limiter.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        limiter.release()  # the first is let in ...
        first.cancel()  # ... and never hears of it
        await second
        assert (limiter.running, limiter.waiting) == (1, 0)
        with pytest.raises(asyncio.CancelledError):
            await first

    run(main())


def test_the_number_may_grow_while_they_wait(run):
    async def main():
        limiter = Limiter(1)
        tasks = [asyncio.ensure_future(limiter.acquire()) for _ in range(4)]
        await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [True, False, False, False]
        limiter.most = 3
        await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [True, True, True, False]
        limiter.most = 1
        for _ in range(3):
            limiter.release()
        await tasks[3]
        assert limiter.running == 1

    run(main())


def test_who_stands_for_several_takes_so_many_places(run):
    async def main():
        limiter = Limiter(3)
        await limiter.acquire(2)
        two, one = (asyncio.ensure_future(limiter.acquire(places)) for places in (2, 1))
        await asyncio.sleep(0)
        assert not two.done()
        assert not one.done()  # it came later
        two.cancel()
        await one
        assert limiter.running == 3
        limiter.release(2)
        limiter.release()
        await limiter.acquire(7)  # more than there will ever be: alone
        assert not limiter.take()
        limiter.release(7)
        assert limiter.running == 0

    run(main())


def test_a_permit_is_given_back_once(run):
    async def main():
        limiters = Limiter(1), Limiter(1)
        permit = Permit()
        for limiter in limiters:
            await permit.take(limiter)
        permit.release()
        permit.release()
        assert [limiter.running for limiter in limiters] == [0, 0]

    run(main())
