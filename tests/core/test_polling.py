"""How often the loop looks at the waiting while somebody is always ready."""

import asyncio
import os
import signal
import socket
import threading

import pytest
from tests.clocks import VirtualClock, virtual_rota_loop

import rota
from rota import limits


@pytest.fixture
def loop():
    """On virtual time, which stands still while tasks are ready: only the count of turns makes the loop look."""
    loop = virtual_rota_loop()
    yield loop
    loop.close()


@pytest.fixture
def ends():
    hears, says = socket.socketpair()
    hears.setblocking(False)
    with hears, says:
        yield hears, says


def spin_until(future):
    async def spin():
        turns = 0
        while not future.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    return spin()


def test_a_socket_is_seen_while_tasks_spin(loop, ends):
    hears, says = ends
    seen = loop.create_future()

    async def main():
        loop.add_reader(hears, lambda: seen.done() or seen.set_result(hears.recv(1)))
        says.send(b"x")
        return await asyncio.gather(spin_until(seen), spin_until(seen))

    turns = loop.run_until_complete(main())
    loop.remove_reader(hears)
    assert max(turns) <= limits.POLL_EVERY_TURNS + 2
    assert seen.result() == b"x"


def test_polls_are_skipped_while_tasks_spin(loop):
    async def main():
        before = loop._polls
        for _ in range(10 * limits.POLL_EVERY_TURNS):
            await asyncio.sleep(0)
        return loop._polls - before

    assert loop.run_until_complete(main()) in (9, 10, 11)


def test_time_makes_the_loop_look_too():
    """A turn that takes long is followed by a look, whatever the count."""
    clock = VirtualClock()
    loop = rota.Loop(clock=clock)

    async def main():
        before = loop._polls
        for _ in range(5):
            clock.now += 2 * limits.POLL_EVERY_SECONDS
            await asyncio.sleep(0)
        return loop._polls - before

    assert loop.run_until_complete(main()) == 5
    loop.close()


def test_a_due_timer_needs_no_look(loop):
    """A call after no time at all comes in the next turn, as it does on asyncio."""
    order = []

    async def main():
        loop.call_later(0, order.append, "timer")
        loop.call_soon(order.append, "soon")
        polls = loop._polls
        await asyncio.sleep(0)
        assert loop._polls == polls
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert order == ["soon", "timer"]


def test_a_call_from_this_thread_by_the_threadsafe_door_needs_no_look(loop):
    order = []

    async def main():
        loop.call_soon_threadsafe(order.append, "threadsafe")
        polls = loop._polls
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert loop._polls == polls

    loop.run_until_complete(main())
    assert order == ["threadsafe"]


def test_time_does_not_pass_while_a_threadsafe_call_waits(loop):
    heard = []

    async def main():
        loop.call_soon_threadsafe(lambda: heard.append(loop.time()))
        began = loop.time()
        await asyncio.sleep(10)
        return began

    assert heard == [loop.run_until_complete(main())]


def test_a_thread_is_heard_while_tasks_spin():
    loop = rota.new_event_loop()
    heard = loop.create_future()

    async def main():
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(heard.set_result, "heard"))
        thread.start()
        await asyncio.gather(spin_until(heard), spin_until(heard))
        thread.join()
        return heard.result()

    assert loop.run_until_complete(main()) == "heard"
    loop.close()


def test_ctrl_c_is_heard_while_tasks_spin():
    """The interrupt comes from the process itself, in the middle of a spin that would never end."""
    loop = rota.new_event_loop()

    async def spin():
        while True:
            await asyncio.sleep(0)

    async def main():
        loop.call_soon(os.kill, os.getpid(), signal.SIGINT)
        await asyncio.gather(spin(), spin())

    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(main())
        assert not loop.is_running()
        left = asyncio.all_tasks(loop)
        assert len(left) == 3
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left))
    finally:
        loop.close()


def test_ctrl_c_cancels_a_spinning_main():
    heard = []

    async def main():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            while True:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        rota.run(main())
    assert heard == ["cancelled"]


def test_a_signal_handler_is_called_while_tasks_spin():
    async def main():
        loop = asyncio.get_running_loop()
        heard = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, heard.set_result, "usr1")
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.gather(spin_until(heard), spin_until(heard))
        loop.remove_signal_handler(signal.SIGUSR1)
        return heard.result()

    assert rota.run(main()) == "usr1"


def test_a_loop_that_sleeps_is_woken_once_for_the_calls_of_a_thread(monkeypatch):
    class Deaf(rota.loop.Waker):
        """Counts how often it is to wake the loop, and does not."""

        asked = 0

        def wake(self):
            self.asked += 1
            return True

    monkeypatch.setattr(rota.loop, "Waker", Deaf)
    loop = rota.new_event_loop()
    waker = loop._waker
    heard = []
    asked = []

    def call():
        while not waker.asked:  # until it sleeps
            loop.call_soon_threadsafe(heard.append, "before")
        for number in range(50):
            loop.call_soon_threadsafe(heard.append, number)
        asked.append((waker.asked, loop._polls + 1))
        loop.call_soon_threadsafe(loop.stop)
        super(Deaf, waker).wake()

    thread = threading.Thread(target=call)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()
    ((times, sleeps),) = asked
    assert times <= sleeps < 10
    assert heard[-50:] == list(range(50))


def test_a_wake_up_that_the_kernel_refuses_is_tried_again_by_the_next_call(monkeypatch):
    class Refused(rota.loop.Waker):
        refusals = 3

        def wake(self):
            self.refusals -= 1
            return self.refusals < 0 and super().wake()

    monkeypatch.setattr(rota.loop, "Waker", Refused)
    loop = rota.new_event_loop()
    heard = []

    def call():
        while loop._waker.refusals >= 0:
            loop.call_soon_threadsafe(heard.append, "not heard yet")
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=call)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()
    assert len(heard) >= 3


def test_no_call_of_a_thread_is_left_asleep():
    loop = rota.new_event_loop()
    late = []

    def call():
        for number in range(2000):
            heard = threading.Event()
            loop.call_soon_threadsafe(heard.set)
            if not heard.wait(10):
                late.append(number)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=call)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()
    assert late == []
