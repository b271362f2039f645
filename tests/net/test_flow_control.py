"""The protocol is told when it writes too much, and when it may go on."""

from __future__ import annotations

import asyncio
import math
import sys

import pytest

from .recorder import Recorder, fill, read_all, troubles, turns


def test_the_protocol_is_paused_above_the_high_mark_and_resumed_at_the_low_one(run_real, pair):
    sizes = []

    class Sizes(Recorder):
        def pause_writing(self):
            super().pause_writing()
            sizes.append(self.transport.get_write_buffer_size())

        def resume_writing(self):
            super().resume_writing()
            sizes.append(self.transport.get_write_buffer_size())

    async def main():
        ours, theirs = pair
        transport, protocol = await asyncio.get_running_loop().create_connection(Sizes, sock=ours)
        left = await fill(transport)
        transport.set_write_buffer_limits(high=left + 10, low=left // 2)
        assert transport.get_write_buffer_limits() == (left // 2, left + 10)
        transport.write(bytes(10))
        assert protocol.events == ["made"]
        transport.write(b"1")
        assert protocol.events == ["made", "pause"]
        transport.write(bytes(1000))
        assert protocol.events == ["made", "pause"]
        while "resume" not in protocol.events:
            before = transport.get_write_buffer_size()
            theirs.recv(1000)
            await turns(3)
        assert sizes[0] == left + 11
        assert sizes[1] <= left // 2 < before
        assert protocol.events == ["made", "pause", "resume"]
        transport.abort()
        await protocol.lost
        assert protocol.events == ["made", "pause", "resume", "lost"]

    run_real(main())


def test_lower_limits_pause_at_once_what_is_above_them(run_real, pair):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        left = await fill(transport)
        transport.set_write_buffer_limits(high=left)
        assert protocol.events == ["made"]
        transport.set_write_buffer_limits(high=left - 1)
        assert protocol.events == ["made", "pause"]
        transport.abort()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, (16 * 1024, 64 * 1024)),
        ({"high": 1000}, (250, 1000)),
        ({"low": 1000}, (1000, 4000)),
        ({"high": 0}, (0, 0)),
        ({"high": 7, "low": 7}, (7, 7)),
    ],
)
def test_one_limit_follows_from_the_other(run_real, pair, given, limits):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(**given)
        assert transport.get_write_buffer_limits() == limits
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("given", [{"high": math.inf, "low": 0}, {"low": sys.maxsize}, {"high": 1e12, "low": 0}])
def test_limits_out_of_reach(run_real, pair, given):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        transport.set_write_buffer_limits(**given)
        transport.write(bytes(4_000_000))
        assert transport.get_write_buffer_size() > 0
        assert protocol.events == ["made"]
        transport.abort()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"high": 0, "low": 1}, "high (0) must be >= low (1) must be >= 0"),
        ({"high": -1}, "high (-1) must be >= low (-1) must be >= 0"),
        ({"low": -1}, "high (-4) must be >= low (-1) must be >= 0"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(run_real, pair, given, text):
    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        with pytest.raises(ValueError) as raised:
            transport.set_write_buffer_limits(**given)
        assert str(raised.value) == text
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.close()
        await protocol.lost

    run_real(main())


@pytest.mark.parametrize("high", [0, 10, 100_000])
def test_a_protocol_that_writes_when_it_may_go_on_sends_all(run_real, pair, high):
    """Out of resume_writing, which may come at any place of a turn; then the loop has nothing but to sleep."""

    class Producer(Recorder):
        rest = 200

        def produce(self):
            while self.rest and self.events[-1] != "pause":
                self.rest -= 1
                self.transport.write(b"x" * 1000)

        def resume_writing(self):
            super().resume_writing()
            self.produce()

    def take():
        theirs = pair[1]
        theirs.settimeout(5)
        found = 0
        while found < 200_000:
            found += len(theirs.recv(1000))
        return found

    async def main():
        transport, protocol = await asyncio.get_running_loop().create_connection(Producer, sock=pair[0])
        transport.set_write_buffer_limits(high=high)
        protocol.produce()
        assert await asyncio.to_thread(take) == 200_000
        transport.close()
        assert await protocol.lost is None

    run_real(main())


@pytest.mark.parametrize("where", ["in the call", "when it is looked for"])
@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
def test_a_flow_control_callback_that_raises_is_reported_and_the_connection_goes_on(run_real, pair, name, where):
    """Looked for: a protocol may have none, or ``__getattr__``."""

    def fail(self):
        raise ZeroDivisionError(name)

    async def main():
        told = troubles()
        ours, theirs = pair
        factory = type("Broken", (Recorder,), {name: fail if where == "in the call" else property(fail)})
        transport, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        await fill(transport)
        transport.set_write_buffer_limits(high=100)
        transport.close()
        while not protocol.lost.done():
            read_all(theirs)
            await asyncio.sleep(0)
        assert [trouble["message"] for trouble in told] == [f"protocol.{name}() failed"]
        assert told[0]["transport"] is transport
        assert told[0]["protocol"] is protocol
        assert protocol.lost.result() is None

    run_real(main())
