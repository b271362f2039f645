"""Calls now and later: order, turns, times, cancelling, and calls from other threads."""

import asyncio
import threading

import pytest


def turn(loop):
    """Run what is ready, once."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_calls_come_in_order_with_their_arguments(loop):
    heard = []
    for number in range(5):
        loop.call_soon(lambda *args: heard.append(args), number, "more")
    turn(loop)
    assert heard == [(number, "more") for number in range(5)]


def test_a_threadsafe_call_from_the_loops_own_thread_has_its_place_among_the_others(loop):
    heard = []

    def call():
        loop.call_soon(heard.append, 1)
        loop.call_soon_threadsafe(heard.append, 2)
        loop.call_soon(heard.append, 3)

    loop.call_soon(call)
    turn(loop)
    turn(loop)
    assert heard == [1, 2, 3]


def test_a_threadsafe_call_before_the_loop_runs_has_its_place_among_timers_and_tasks(loop):
    heard = []

    async def task():
        heard.append("task")

    loop.call_later(0, heard.append, "timer")
    loop.call_soon_threadsafe(heard.append, "call")
    pending = loop.create_task(task())
    turn(loop)
    turn(loop)
    assert heard == ["call", "task", "timer"]
    assert pending.done()


def test_a_threadsafe_call_runs_before_a_timer_that_is_due_later(run_real):
    """Both find the loop busy: a result that came in time is there before its timeout."""

    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        timer = loop.call_later(0.01, heard.append, "timer")
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(heard.append, "call"))
        thread.start()
        thread.join()
        while loop.time() < timer.when():
            pass
        while len(heard) < 2:
            await asyncio.sleep(0)
        return heard

    assert run_real(main()) == ["call", "timer"]


def test_what_becomes_ready_in_a_turn_runs_in_the_next(loop):
    heard = []

    def again(left):
        heard.append(left)
        if left:
            loop.call_soon(again, left - 1)

    loop.call_soon(again, 3)
    turn(loop)
    assert heard == [3]
    turn(loop)
    assert heard == [3, 2]
    turn(loop)
    turn(loop)
    turn(loop)
    assert heard == [3, 2, 1, 0]


def test_a_cancelled_call_does_not_come(loop):
    heard = []
    handles = [loop.call_soon(heard.append, number) for number in range(3)]
    handles[1].cancel()
    handles[1].cancel()
    assert [handle.cancelled() for handle in handles] == [False, True, False]
    turn(loop)
    assert heard == [0, 2]
    handles[0].cancel()
    assert handles[0].cancelled()


def test_a_call_that_cancels_the_next_of_its_turn(loop):
    heard = []
    loop.call_soon(lambda: second.cancel())
    second = loop.call_soon(heard.append, "second")
    loop.call_soon(heard.append, "third")
    turn(loop)
    assert heard == ["third"]


def test_handles_are_asyncios_for_whoever_asks(loop):
    soon = loop.call_soon(print)
    later = loop.call_later(5, print)
    never = loop.call_later(0, print)
    assert isinstance(soon, asyncio.Handle)
    assert not isinstance(soon, asyncio.TimerHandle)
    assert isinstance(later, asyncio.TimerHandle)
    assert isinstance(later, asyncio.Handle)
    assert isinstance(never, asyncio.TimerHandle)
    assert later.when() == loop.time() + 5
    assert repr(soon) == "<Handle print()>"
    assert repr(later) == f"<TimerHandle when={later.when()} print()>"
    for handle in (soon, later, never):
        handle.cancel()
    assert repr(soon) == "<Handle cancelled>"
    assert repr(later) == f"<TimerHandle cancelled when={later.when()}>"


def test_a_cancelled_handle_lets_its_callback_go(loop):
    import weakref

    class Callback:
        def __call__(self, argument):
            pass

    for ask in (loop.call_soon, lambda *args: loop.call_later(5, *args)):
        callback, argument = Callback(), Callback()
        gone = weakref.ref(callback), weakref.ref(argument)
        handle = ask(callback, argument)
        handle.cancel()
        del callback, argument
        assert [each() for each in gone] == [None, None]


def test_timers_come_in_the_order_of_their_times(loop):
    heard = []
    for delay in (3, 1, 2, 0.5, 2.5):
        loop.call_later(delay, heard.append, delay)
    loop.run_until_complete(asyncio.sleep(5))
    assert heard == [0.5, 1, 2, 2.5, 3]


def test_a_timer_never_comes_early(loop):
    heard = []
    began = loop.time()
    for delay in (0.25, 0.000_001, 1 / 3, 1e-9):
        loop.call_later(delay, lambda delay=delay: heard.append((loop.time() - began) - delay))
    loop.run_until_complete(asyncio.sleep(5))
    assert len(heard) == 4
    assert min(heard) > -2e-9  # asyncio allows itself the resolution of the clock
    assert max(heard) < 1e-6


def test_a_time_that_is_past_comes_in_the_next_turn_earliest_first(loop):
    heard = []
    loop.call_later(-1, heard.append, -1)
    loop.call_at(loop.time() - 5, heard.append, -5)
    loop.call_later(0, heard.append, 0)
    loop.call_later(-3, heard.append, -3)
    turn(loop)
    assert heard == [-5, -3, -1, 0]


def test_a_cancelled_timer_does_not_come(loop):
    heard = []
    timers = [loop.call_later(delay, heard.append, delay) for delay in (1, 2, 3)]
    loop.call_later(1.5, timers[1].cancel)
    loop.run_until_complete(asyncio.sleep(5))
    assert heard == [1, 3]
    timers[0].cancel()
    timers[1].cancel()
    assert timers[0].cancelled()


def test_most_of_many_timers_cancelled(loop):
    heard = []
    timers = [loop.call_later(1 + (number * 37 % 500) / 512, heard.append, number * 37 % 500) for number in range(500)]
    for number, timer in enumerate(timers):
        if number % 10:
            timer.cancel()
    loop.run_until_complete(asyncio.sleep(5))
    assert heard == sorted(number * 37 % 500 for number in range(0, 500, 10))


def test_a_timer_set_by_a_timer(loop):
    heard = []
    began = loop.time()

    def again(left):
        heard.append(loop.time() - began)
        if left:
            loop.call_later(1, again, left - 1)

    loop.call_later(1, again, 3)
    loop.run_until_complete(asyncio.sleep(10))
    assert heard == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("method", "message"), [("call_later", "delay must not be None"), ("call_at", "when cannot be None")]
)
def test_no_time_is_refused(loop, method, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        getattr(loop, method)(None, print)


def test_calls_from_threads_all_come_in_the_order_of_each_thread(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        all_here = loop.create_future()

        def hear(thread, number):
            heard.append((thread, number))
            if len(heard) == 400:
                all_here.set_result(None)

        def call(thread):
            for number in range(100):
                loop.call_soon_threadsafe(hear, thread, number)

        threads = [threading.Thread(target=call, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        await all_here
        for thread in threads:
            thread.join()
        return [[number for name, number in heard if name == thread] for thread in "abcd"]

    assert run_real(main()) == [list(range(100))] * 4


def test_a_call_from_a_thread_wakes_a_sleeping_loop(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        thread = threading.Timer(0.01, loop.call_soon_threadsafe, (future.set_result, "woken"))
        thread.start()
        found = await future
        thread.join()
        return found

    assert run_real(main()) == "woken"


def test_run_coroutine_threadsafe(run_real):
    async def child():
        await asyncio.sleep(0)
        return threading.current_thread()

    async def main():
        loop = asyncio.get_running_loop()

        def ask():
            return asyncio.run_coroutine_threadsafe(child(), loop).result(10)

        return await asyncio.to_thread(ask) is threading.main_thread()

    assert run_real(main()) is True
