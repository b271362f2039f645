"""A limiter lets in as many as it may, in the order in which they came, whoever gives up meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from rota.lanes.limiter import JAMMED, Limiter, Permit


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


# -- calls that nobody waits for any more ------------------------------------------------------------------------------


def jams(caplog):
    return [record.message for record in caplog.records if record.name == "rota"]


async def given_up(limiter, name="work"):
    """The permit of a call that runs on though nobody waits for it."""
    permit = Permit()
    await permit.take(limiter)
    permit.abandon(name)
    return permit


def test_a_jam_of_calls_that_were_given_up_is_told_once(run, caplog):
    async def main():
        limiter = Limiter(2)
        first, second = await given_up(limiter), await given_up(limiter, "slow")
        waiting = [asyncio.ensure_future(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(JAMMED / 2)
        assert jams(caplog) == []
        await asyncio.sleep(10 * JAMMED)
        assert jams(caplog) == [
            "calls wait: all 2 that run at once were given up, but go on in their threads; the last is of slow"
        ]
        first.release()
        second.release()
        await asyncio.gather(*waiting[:2])
        await asyncio.sleep(10 * JAMMED)
        limiter.release()
        limiter.release()
        await waiting[2]
        limiter.release()
        assert len(jams(caplog)) == 1
        left = [await given_up(limiter), await given_up(limiter)]
        waiting = [asyncio.ensure_future(limiter.acquire())]
        await asyncio.sleep(3 * JAMMED)
        assert len(jams(caplog)) == 2  # another one
        for permit in left:
            permit.release()
        await waiting[0]
        limiter.release()
        assert limiter.running == 0

    run(main())


def test_of_a_jam_that_moves_nothing_is_said(run, caplog):
    async def main():
        limiter = Limiter(1)
        permit = await given_up(limiter)
        waiting = [asyncio.ensure_future(given_up(limiter)) for _ in range(20)]
        for following in waiting:
            await asyncio.sleep(JAMMED * 0.6)
            permit.release()
            permit = await following
        await asyncio.sleep(3 * JAMMED)  # nobody waits any more
        permit.release()
        assert (limiter.running, jams(caplog)) == (0, [])

    run(main())


@pytest.mark.parametrize("gives_up", [True, False])
def test_who_no_longer_waits_is_not_in_a_jam(run, caplog, gives_up):
    async def main():
        limiter = Limiter(1)
        permit = await given_up(limiter)
        waiting = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(0)
        if gives_up:
            waiting.cancel()
        else:
            limiter.most = 2
        await asyncio.sleep(5 * JAMMED)
        assert jams(caplog) == []
        permit.release()

    run(main())


def test_who_waits_for_another_that_is_awaited_is_not_in_a_jam(run, caplog):
    async def main():
        limiter = Limiter(2)
        await limiter.acquire()
        permit = await given_up(limiter)
        waiting = asyncio.ensure_future(limiter.acquire(2))
        await asyncio.sleep(5 * JAMMED)
        assert jams(caplog) == []
        limiter.release()  # from now on there is room for one, and two are wanted
        await asyncio.sleep(5 * JAMMED)
        assert len(jams(caplog)) == 1
        permit.release()
        await waiting

    run(main())


def test_whose_end_was_seen_is_forgotten(run, caplog):
    """Nor does anything look for jams any more."""

    async def main():
        limiter = Limiter(1)
        for _ in range(3):
            (await given_up(limiter)).release()
        await limiter.acquire()
        waiting = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(5 * JAMMED)
        assert jams(caplog) == []
        limiter.release()
        await waiting

    run(main())
