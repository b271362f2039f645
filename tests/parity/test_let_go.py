"""What a program has caught and dropped is gone at once: nothing of the loop's holds it until the garbage collector
comes, and with it all that its traceback leads to.
"""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

import rota
from rota.net.streams import StreamReader, StreamReaderProtocol, StreamWriter


class WorkError(Exception):
    """An exception that can be referred to weakly."""


@pytest.fixture(autouse=True)
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def caught(awaitable):
    """What ``awaitable`` raises: a weak reference to it."""
    try:
        await awaitable
    except WorkError as failure:
        return weakref.ref(failure)
    finally:
        del awaitable  # which has it, and it has this frame
    raise AssertionError("nothing was raised")


async def fail():
    await asyncio.sleep(0)
    raise WorkError


def test_what_a_future_raises(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(WorkError())
        found = await caught(future)
        del future
        return found

    assert run(main())() is None


@pytest.mark.parametrize("gather", [asyncio.gather, rota.gather])
def test_what_is_raised_by_whom_a_task_waits_for(run, gather):
    """Thrown into the coroutine, which goes on."""

    async def main():
        found = await caught(asyncio.create_task(fail()))
        await asyncio.sleep(0)
        assert found() is None
        found = await caught(gather(fail(), asyncio.sleep(0)))
        await asyncio.sleep(0)
        assert found() is None

    run(main())


def test_what_a_thread_raises(run_real):
    def work():
        raise WorkError

    async def main():
        found = await caught(asyncio.get_running_loop().run_in_executor(None, work))
        await asyncio.sleep(0)
        return found

    assert run_real(main())() is None


def test_a_reader_whose_read_was_given_up(run):
    async def main():
        reader = StreamReader()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await reader.readexactly(10)
        found = weakref.ref(reader)
        del reader
        return found

    assert run(main())() is None


def test_what_broke_a_stream(run):
    async def main():
        reader = StreamReader()
        protocol = StreamReaderProtocol(reader)
        writer = StreamWriter(Closed(), protocol, reader, asyncio.get_running_loop())
        protocol.connection_lost(WorkError())
        found = await caught(writer.wait_closed())
        del reader, protocol, writer
        return found

    class Closed(asyncio.Transport):
        def is_closing(self):
            return True

    assert run(main())() is None
