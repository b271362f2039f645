"""The ready list: a ring that keeps order, grows and can be looked at while it changes."""

import asyncio
import dis
import gc
import signal
import sys

import pytest
from tests.clocks import virtual_rota_loop

import rota
from rota.core import ready


@pytest.fixture
def loop():
    loop = virtual_rota_loop()
    yield loop
    loop.close()


def turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.parametrize("count", [0, 1, ready.RING - 1, ready.RING, ready.RING + 1, 5 * ready.RING + 3])
def test_order_is_kept_however_many_there_are(loop, count):
    order = []
    for number in range(count):
        loop.call_soon(order.append, number)
    assert len(loop._ready) == count
    turn(loop)
    assert order == list(range(count))
    assert len(loop._ready) == 0


def test_order_is_kept_when_the_ring_wraps(loop):
    """The head moves on by a number that shares no factor with the ring, so that it grows at every offset."""
    order = []
    expected = []
    number = 0
    for burst in (7, 40, 61, 64, 63, 90, 127, 5, 128, 129, 300):
        for _ in range(burst):
            loop.call_soon(order.append, number)
            expected.append(number)
            number += 1
        turn(loop)
        assert order == expected


def test_it_grows_while_a_turn_takes_from_it(loop):
    order = []

    def two_more(number):
        order.append(number)
        if 2 * number + 1 < 1000:
            loop.call_soon(two_more, 2 * number)
            loop.call_soon(two_more, 2 * number + 1)

    loop.call_soon(two_more, 1)
    while len(loop._ready):
        turn(loop)
    assert order == list(range(1, 1000))


def test_looking_at_it_is_a_copy_in_order(loop):
    handles = [loop.call_soon(print, number) for number in range(ready.RING + 5)]
    looking = iter(loop._ready)
    handles.append(loop.call_soon(print))
    assert list(looking) == handles[:-1]
    assert list(loop._ready) == handles
    for handle in handles:
        handle.cancel()
    turn(loop)
    assert list(loop._ready) == []


def test_whoever_is_ready_knows_it(loop):
    async def child():
        await asyncio.sleep(0)

    task = loop.create_task(child())
    assert task._queued
    assert list(loop._ready) == [task]
    loop.run_until_complete(task)
    assert not task._queued


def test_a_closed_loop_takes_nobody():
    loop = virtual_rota_loop()
    ran = []
    loop.call_soon(ran.append, 1)
    future = loop.create_future()
    future.add_done_callback(ran.append)
    loop.close()
    assert len(loop._ready) == 0
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_soon(ran.append, 2)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        future.set_result(None)
    assert len(loop._ready) == 0
    assert ran == []


def test_the_handles_of_a_closed_loop_are_let_go():
    import gc
    import weakref

    class Callback:
        def __call__(self):
            pass

    loop = virtual_rota_loop()
    callbacks = [Callback(), Callback(), Callback()]
    gone = [weakref.ref(callback) for callback in callbacks]
    loop.call_soon(callbacks[0])
    loop.call_later(1, callbacks[1])
    loop.call_soon_threadsafe(callbacks[2])
    callbacks.clear()
    loop.close()
    gc.collect()
    assert [each() for each in gone] == [None, None, None]


class Ring:
    """In a cycle with itself: the garbage collector ends it, and it makes a call as it ends."""

    def __init__(self, call):
        self.itself = self
        self.call = call

    def __del__(self):
        self.call()


@pytest.mark.parametrize("pushed", [1, ready.RING])
def test_a_collection_while_it_grows_may_push(loop, pushed):
    """Python 3.11 collects wherever memory is asked for, in the middle of growing too; later ones between two lines."""
    order = []

    def collected():
        gc.disable()
        for number in range(pushed):
            loop.call_soon(order.append, f"collected {number}")

    async def waits():
        await done
        order.append("waited")

    done = loop.create_future()
    task = loop.create_task(waits())
    turn(loop)
    for number in range(ready.RING):
        loop.call_soon(order.append, number)
    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()
    kept = [[] for _ in range(100)]  # Python hands out again the lists that were let go; to make a new one can collect
    try:
        Ring(collected)
        gc.set_threshold(1)
        gc.enable()
        done.set_result(None)
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
    del kept
    gc.collect()
    loop.run_until_complete(task)
    assert order[: ready.RING] == list(range(ready.RING))
    assert sorted(map(str, order[ready.RING :])) == sorted([f"collected {n}" for n in range(pushed)] + ["waited"])


@pytest.mark.skipif(rota.COMPILED, reason="a compiled module does not look for signals")
@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="3.12 traces no instructions of a function that begins")
def test_a_signal_handler_that_calls_while_the_list_changes_loses_nobody():
    """Python runs signal handlers after a call, when it goes back in a loop, and as a function begins."""

    def looks_for_signals(frame):
        """Whether Python has just done so, or is about to."""
        before = None
        for instruction in dis.get_instructions(frame.f_code):
            if instruction.offset == frame.f_lasti:
                return instruction.opname == "JUMP_BACKWARD" or "CALL" in (before or "CALL")
            if instruction.opname != "CACHE":
                before = instruction.opname
        return False

    async def main(moment):
        """A signal at one such moment of the ready list, the ``moment``th; how many there were."""
        loop = asyncio.get_running_loop()
        called = []
        moments = 0

        def handler(*_):
            loop.call_soon_threadsafe(called.append, "signal")

        def trace(frame, event, arg):
            nonlocal moments
            if frame.f_code.co_filename != ready.__file__:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode" and looks_for_signals(frame):
                moments += 1
                if moments == moment:
                    signal.raise_signal(signal.SIGUSR1)
            return trace

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            for number in range(ready.RING - 2):
                loop.call_soon(called.append, number)
            sys.settrace(trace)
            for number in range(ready.RING - 2, ready.RING + 2):
                loop.call_soon(called.append, number)
        finally:
            sys.settrace(None)
            signal.signal(signal.SIGUSR1, before)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for number in range(ready.RING + 2, 5 * ready.RING):  # from another head on, and growing again
            loop.call_soon(called.append, number)
        await asyncio.sleep(0)
        if moment <= moments:
            called.remove("signal")
        assert called == list(range(5 * ready.RING))
        return moments

    moment = moments = 1
    while moment <= moments:
        with asyncio.Runner(loop_factory=virtual_rota_loop) as runner:
            moments = runner.run(main(moment))
        moment += 1
    assert moments >= 3
