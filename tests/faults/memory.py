"""Run out of memory at one allocation after the other, while a loop does a little of everything.

    python memory.py FIRST LAST STEP

Python's own hook (``_testcapi.set_nomemory``) fails the allocation; nobody promises what becomes of the work that
needed it, but the process goes on, and so does a loop that is made afterwards. Prints how many allocations failed.
"""

from __future__ import annotations

import _testcapi
import asyncio
import gc
import logging
import socket
import sys
import warnings

import rota


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def little_of_everything(loop):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await loop.create_connection(Echo, sock=ours)
    future = loop.create_future()
    timer = loop.call_later(0.0001, future.set_result, 1)
    loop.call_soon_threadsafe(timer.when)
    theirs.send(b"x" * 300)
    task = loop.create_task(asyncio.sleep(3600))
    await rota.gather(asyncio.sleep(0), asyncio.sleep(0), future)
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    loop.call_later(10, print).cancel()
    transport.write(b"y" * 100)
    transport.writelines([b"1", b"2", b"3"])
    await asyncio.sleep(0.001)
    transport.close()
    theirs.close()
    await asyncio.sleep(0)


def run(first):
    """Whether there was a ``first`` allocation to fail."""
    loop = rota.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    # Whatever hangs because its wake-up could not be allocated ends with the loop.
    loop.call_later(0.05, loop.stop)
    hooked = True
    try:
        main = loop.create_task(little_of_everything(loop))
        main.add_done_callback(lambda task: loop.stop())
        _testcapi.set_nomemory(first, first + 1)
        try:
            loop.run_forever()
        finally:
            _testcapi.remove_mem_hooks()
            hooked = False
    except (MemoryError, RuntimeError, SystemError):
        pass
    finally:
        if hooked:
            _testcapi.remove_mem_hooks()
        loop.close()


def main(first, last, step):
    logging.disable()
    sys.unraisablehook = lambda unraisable: None
    warnings.simplefilter("ignore")
    with asyncio.Runner(loop_factory=rota.new_event_loop) as runner:
        # What is imported when it is first used is imported now: how the start of an extension module takes a lack of
        # memory is Cython's affair.
        runner.run(little_of_everything(runner.get_loop()))
    for number in range(first, last, step):
        run(number)
    gc.collect()
    assert rota.run(asyncio.sleep(0, "still here")) == "still here"
    print((last - first) // step)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
