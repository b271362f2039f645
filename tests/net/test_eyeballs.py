"""Several connects at once: when each begins, who wins, and what is left of the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys

import pytest

from rota.net.eyeballs import race

from .conftest import ROTA
from .recorder import Recorder, troubles

FAILS = OSError("fails")


class Attempts:
    """``plan`` is (seconds, what it ends by) for each; writes down when each began and how it ended."""

    def __init__(self, *plan):
        self.plan = plan
        self.began = {}
        self.ended = {}

    async def attempt(self, index):
        loop = asyncio.get_running_loop()
        self.began[index] = round(loop.time() - self.zero, 3)
        seconds, end = self.plan[index]
        try:
            await asyncio.sleep(seconds)
            if isinstance(end, BaseException):
                raise end
            self.ended[index] = "done"
            return end
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.ended[index] = "cancelled"
            raise

    async def race(self, delay):
        loop = asyncio.get_running_loop()
        self.zero = loop.time()
        return await race([lambda index=index: self.attempt(index) for index in range(len(self.plan))], delay, loop)


def test_each_begins_after_the_delay_or_when_the_one_before_has_failed(run):
    async def main():
        attempts = Attempts((0.1, FAILS), (1, FAILS), (0.05, FAILS), (0.1, "fourth"), (0, "fifth"))
        assert await attempts.race(0.25) == "fourth"
        assert attempts.began == {0: 0, 1: 0.1, 2: 0.35, 3: 0.4}
        assert attempts.ended == {1: "cancelled", 3: "done"}

    run(main())


def test_an_older_one_may_win(run):
    async def main():
        attempts = Attempts((0.6, "first"), (1, "second"), (1, "third"), (1, "fourth"))
        assert await attempts.race(0.25) == "first"
        assert attempts.began == {0: 0, 1: 0.25, 2: 0.5}
        assert attempts.ended == {0: "done", 1: "cancelled", 2: "cancelled"}

    run(main())


def test_nobody_wins(run):
    async def main():
        attempts = Attempts((0.1, FAILS), (0.5, FAILS), (0.1, FAILS))
        assert await attempts.race(0.25) is None
        assert await Attempts().race(0.25) is None

    run(main())


def test_no_delay_begins_all_at_once(run):
    async def main():
        attempts = Attempts((1, "first"), (0.5, "second"), (2, "third"))
        assert await attempts.race(0) == "second"
        assert attempts.began == {0: 0, 1: 0, 2: 0}

    run(main())


def test_what_is_no_error_of_the_network_is_raised(run):
    async def main():
        attempts = Attempts((1, "first"), (0.1, ZeroDivisionError()))
        with pytest.raises(ZeroDivisionError):
            await attempts.race(0.25)
        assert attempts.ended == {0: "cancelled"}

    run(main())


def test_cancelled(run):
    async def main():
        attempts = Attempts((1, "first"), (1, "second"))
        racing = asyncio.ensure_future(attempts.race(0.25))
        await asyncio.sleep(0.5)
        racing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await racing
        assert attempts.ended == {0: "cancelled", 1: "cancelled"}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks come with Python 3.12")
def test_eager_tasks(run):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

        async def fail():
            raise FAILS

        async def succeed():
            return "at once"

        loop = asyncio.get_running_loop()
        assert await race([fail, succeed, fail], 0.25, loop) == "at once"
        assert await race([fail, fail], 0.25, loop) is None

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_second_winner_is_closed(run_real, monkeypatch):
    """Both connect in the same turn. On asyncio the loop's exception handler hears of an AssertionError."""

    async def main():
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect
        together = asyncio.Barrier(2)
        opened = []

        async def sock_connect(sock, address):
            opened.append(sock)
            await connect(sock, ("127.0.0.1", address[1]))
            await together.wait()

        async def getaddrinfo(host, port, **options):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number}", port)) for number in (1, 2)]

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            transport, protocol = await loop.create_connection(Recorder, "two.test", port, happy_eyeballs_delay=0.001)
            assert sorted(sock.fileno() == -1 for sock in opened) == [False, True]
            transport.close()
            await protocol.lost
            for _ in range(2):
                with contextlib.closing(listening.accept()[0]):
                    pass

    run_real(main())


def test_how_those_who_lose_end_is_no_news(run):
    """One fails in the turn in which another has won, and one when it is cancelled."""

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        start = loop.create_future()

        async def win():
            await start
            return "won"

        async def fail():
            await start
            raise FAILS

        async def fail_when_cancelled():
            try:
                await loop.create_future()
            except asyncio.CancelledError:
                raise FAILS from None

        loop.call_later(1, start.set_result, None)
        assert await race([win, fail, fail_when_cancelled], 0, loop) == "won"
        gc.collect()
        assert told == []

    run(main())
