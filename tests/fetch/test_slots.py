from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

import rota
from rota.fetch.address import Address, parse
from rota.fetch.slots import LOOK_AHEAD, fill


async def addresses(urls: Iterator[str] | list[str]) -> AsyncIterator[Address]:
    for url in urls:
        yield parse(url)


def test_a_long_list_is_pulled_only_as_slots_become_free() -> None:
    pulled = done = furthest = 0

    def urls() -> Iterator[str]:
        nonlocal pulled
        for number in range(50_000):
            pulled += 1
            yield f"http://host{number % 500}/{number}"

    async def work(address: Address, followed: bool) -> None:
        nonlocal done, furthest
        furthest = max(furthest, pulled - done)
        await asyncio.sleep(0)
        done += 1

    rota.run(fill(addresses(urls()), work, concurrency=20, per_host=6))
    assert done == 50_000
    assert furthest <= 20 + LOOK_AHEAD + 1


def test_never_more_at_a_time_than_asked_nor_of_one_host() -> None:
    running: Counter[str] = Counter()
    most_in_all = 0
    most_of_host: Counter[str] = Counter()

    async def work(address: Address, followed: bool) -> None:
        nonlocal most_in_all
        running[address.host] += 1
        most_in_all = max(most_in_all, running.total())
        most_of_host[address.host] = max(most_of_host[address.host], running[address.host])
        for _ in range(3):
            await asyncio.sleep(0)
        running[address.host] -= 1

    urls = [f"http://h{number // 50}/{number}" for number in range(200)]
    rota.run(fill(addresses(urls), work, concurrency=7, per_host=2))
    assert most_in_all == 7
    assert set(most_of_host.values()) == {2}


def test_a_slow_host_does_not_hold_up_the_others() -> None:
    done: list[str] = []

    async def main() -> None:
        gate = asyncio.Event()

        async def work(address: Address, followed: bool) -> None:
            if address.host == "slow:80":
                await gate.wait()
            done.append(address.host)
            if done.count("fast:80") == 50:
                gate.set()

        urls = [f"http://slow/{n}" for n in range(30)] + [f"http://fast/{n}" for n in range(50)]
        await fill(addresses(urls), work, concurrency=5, per_host=2)

    rota.run(main())
    assert done == ["fast:80"] * 50 + ["slow:80"] * 30


def test_the_urls_of_a_host_keep_their_order() -> None:
    order: list[str] = []

    async def work(address: Address, followed: bool) -> None:
        order.append(address.url.path)

    urls = [f"http://host/{number}" for number in range(100)]
    rota.run(fill(addresses(urls), work, concurrency=4, per_host=1))
    assert order == [f"/{number}" for number in range(100)]


def test_one_failure_ends_the_rest_and_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def work(address: Address, followed: bool) -> None:
        if address.url.path == "/3":
            raise ZeroDivisionError("three")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(address.url.path)

    with pytest.raises(ZeroDivisionError, match="three"):
        rota.run(fill(addresses([f"http://h{n}/{n}" for n in range(4)]), work, concurrency=4, per_host=1))
    assert sorted(ended) == ["/0", "/1", "/2"]


def test_a_failing_list_ends_the_run() -> None:
    def urls() -> Iterator[str]:
        yield "http://host/"
        raise OSError("the list broke")

    async def work(address: Address, followed: bool) -> None:
        await asyncio.Event().wait()

    with pytest.raises(OSError, match="the list broke"):
        rota.run(fill(addresses(urls()), work, concurrency=4, per_host=1))


def test_an_empty_list_is_done_at_once() -> None:
    async def work(address: Address, followed: bool) -> None:
        raise AssertionError

    rota.run(fill(addresses([]), work, concurrency=4, per_host=1))


def test_each_is_told_whether_another_of_its_host_follows() -> None:
    told: dict[str, bool] = {}

    async def work(address: Address, followed: bool) -> None:
        told[address.url.path] = followed
        await asyncio.sleep(0)

    urls = ["http://a/1", "http://b/2", "http://a/3", "http://a/4"]
    rota.run(fill(addresses(urls), work, concurrency=4, per_host=1))
    assert told == {"/1": True, "/2": False, "/3": True, "/4": False}
