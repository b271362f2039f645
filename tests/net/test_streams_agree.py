"""Random programs of bytes that come and reads that want them: rota's reader and asyncio's must give the same.

The bytes are few letters, so that separators come in parts and meet; the limits are small, so that they are reached.
One read waits at a time: what happens with two is where the readers differ, and stands in ``test_stream_reader``.
"""

from __future__ import annotations

import asyncio
import random
import sys

import pytest
from tests.clocks import VirtualSelectorLoop, virtual_rota_loop

import rota

SEEDS = 200
BATCH = 50
STEPS = 60
SEPARATORS = [b"\n", b"a", b"ab", b"aab", b"ba\n", b"abab"]


class Tap:
    """A transport that writes down what it is told, until the end: asyncio's reader doesn't always resume after it."""

    def __init__(self, log, reader):
        self.log = log
        self.reader = reader

    def pause_reading(self):
        self.log.append("pause")

    def resume_reading(self):
        if not self.reader._eof:
            self.log.append("resume")


async def following(reader):
    return await anext(reader)


def random_read(choose, reader):
    """One read, and what it is called."""
    kind = choose.choice(["read", "exactly", "until", "line", "several", "next"])
    if kind == "read":
        size = choose.choice([0, 1, 3, 10, 100, -1])
        return f"read({size})", reader.read(size)
    if kind == "exactly":
        size = choose.randrange(40)
        return f"readexactly({size})", reader.readexactly(size)
    if kind == "until":
        separator = choose.choice(SEPARATORS)
        return f"readuntil({separator})", reader.readuntil(separator)
    if kind == "several" and sys.version_info >= (3, 13):
        several = tuple(choose.sample(SEPARATORS, choose.randrange(1, 4)))
        return f"readuntil({several})", reader.readuntil(several)
    if kind == "next":
        return "next", following(reader)
    return "readline", reader.readline()


async def play(seed, streams):
    """Everything that one random program sees."""
    choose = random.Random(seed)
    log = []
    reader = streams.StreamReader(limit=choose.choice([1, 4, 10, 25]))
    if choose.random() < 0.8:
        reader.set_transport(Tap(log, reader))
    reading = None
    ended = False
    for _ in range(STEPS):
        what = choose.random()
        if what < 0.45 and not ended:
            for _ in range(choose.choice([1, 1, 2, 5])):
                data = bytes(choose.choices(b"aab\n", k=choose.choice([0, 1, 2, 7, 20])))
                reader.feed_data(choose.choice([bytes, bytearray, memoryview])(data))
        elif what < 0.9 and reading is None:
            name, read = random_read(choose, reader)
            log.append(name)
            reading = asyncio.ensure_future(read)
        elif what < 0.95 and reading is not None:
            reading.cancel()
        elif what > 0.985:
            reader.feed_eof()
            ended = True
        elif what > 0.98:
            reader.set_exception(ConnectionResetError("gone"))
        for _ in range(choose.choice([0, 3])):
            await asyncio.sleep(0)
        if reading is not None and reading.done():
            if reading.cancelled():
                log.append("cancelled")
            else:
                error = reading.exception()
                log.append(reading.result() if error is None else (repr(error), vars(error)))
            reading = None
        log.append((bytes(reader._buffer), reader.at_eof(), reader._paused and not ended))
    if reading is not None:
        reading.cancel()
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()
    return log


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_the_readers_give_the_same(first):
    for seed in range(first, first + BATCH):
        logs = []
        for streams, factory in (
            (asyncio, VirtualSelectorLoop),
            (rota, virtual_rota_loop),
            (asyncio, virtual_rota_loop),
            (rota, VirtualSelectorLoop),
        ):
            with asyncio.Runner(loop_factory=factory) as runner:
                logs.append(runner.run(play(seed, streams)))
        for log in logs[1:]:
            assert log == logs[0], seed
