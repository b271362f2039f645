"""What CPython's own tests found in rota, held here on both loops."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import sys
import threading
import weakref

import pytest

import rota


def nothing():
    """A callback."""


def test_timers_are_ordered_by_time_and_equal_if_they_do_the_same(loop):
    first, same, later = (loop.call_at(when, nothing) for when in (5000, 5000, 6000))
    assert first == same
    assert hash(first) == hash(same)
    assert first != later
    assert first < later
    assert first <= same
    assert later > first
    assert later >= first
    same.cancel()
    assert first != same
    assert first.__lt__(3) is NotImplemented
    assert first.__eq__(3) is NotImplemented


def test_a_default_handler_that_fails_after_a_custom_one_says_so(loop, caplog):
    def fail(*_):
        raise ZeroDivisionError

    loop.set_exception_handler(fail)
    loop.default_exception_handler = fail
    loop.call_exception_handler({"message": "lost"})
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "Exception in default exception handler while handling an unexpected error in custom exception handler"
    ]


class Hollow:
    def __init__(self, **_):
        """Not the base's."""


@pytest.mark.parametrize(
    "use",
    [
        lambda future: future.get_loop(),
        lambda future: future.set_result(1),
        lambda future: future.set_exception(ZeroDivisionError()),
        lambda future: future.cancel(),
        lambda future: future.add_done_callback(nothing),
        lambda future: future.remove_done_callback(nothing),
    ],
)
def test_a_future_whose_init_was_not_called_says_so(loop, library, use):
    class Future(Hollow, library.Future):
        pass

    # In plain Python such a future has no fields to ask.
    raised = RuntimeError if rota.COMPILED or library is asyncio else (RuntimeError, AttributeError)
    words = r"(?i)future object is not initialized|uninitialized future object|no attribute '_"
    with pytest.raises(raised, match=words):
        use(Future(loop=loop))


def test_throw_into_the_iterator_of_a_future_takes_one_exception(loop):
    future = loop.create_future()
    with pytest.raises(ZeroDivisionError):
        iter(future).throw(ZeroDivisionError)
    if sys.version_info >= (3, 12):
        with pytest.warns(DeprecationWarning, match="signature of throw"), pytest.raises(ZeroDivisionError):
            iter(future).throw(ZeroDivisionError, ZeroDivisionError(), None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_throw_refuses_an_exception_and_a_value(loop):
    with pytest.raises(TypeError, match="separate value"):
        iter(loop.create_future()).throw(ZeroDivisionError(), ZeroDivisionError())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_a_task_that_ended_at_once_keeps_no_coroutine(run, kind, library):
    if kind == "asyncio" and sys.version_info < (3, 13):
        pytest.skip("asyncio: Python 3.12.1 dies of it")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.create_eager_task_factory(library.Task))
        task = loop.create_task(asyncio.sleep(0, "done"))
        assert task.get_coro() is not None
        assert await task == "done"
        at_once = loop.create_task(returned("at once"))
        assert at_once.get_coro() is None
        assert await at_once == "at once"

    async def returned(value):
        return value

    run(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_task_of_rota_finished_by_hand_is_told_of_at_its_next_step(loop, reports):
    # Only Python's own C task is a type whose base's set_result can be called on it.
    coro = asyncio.sleep(0)
    task = loop.create_task(coro)
    rota.Future.set_result(task, "by hand")
    assert loop.run_until_complete(task) == "by hand"
    assert [type(report["exception"]) for report in reports] == [asyncio.InvalidStateError]
    assert "step(): already done" in str(reports[0]["exception"])
    coro.close()


def test_who_called_from_another_thread_first_is_first(loop):
    order = []
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(order.append, "thread"))
    thread.start()
    thread.join()
    loop.call_soon(order.append, "loop")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert order == ["thread", "loop"]


@pytest.mark.parametrize(
    ("number", "raised", "text"),
    [(errno.EINVAL, RuntimeError, "cannot be caught"), (errno.EFAULT, OSError, "the system's")],
)
def test_a_signal_that_the_system_refuses(loop, monkeypatch, number, raised, text):
    real = signal.signal

    def refuse(sig, handler):
        if sig == signal.SIGUSR1:
            raise OSError(number, "the system's")
        return real(sig, handler)

    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", refuse)
        with pytest.raises(raised, match=text):
            loop.add_signal_handler(signal.SIGUSR1, nothing)
    loop.add_signal_handler(signal.SIGUSR1, nothing)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", refuse)
        with pytest.raises(raised, match=text):
            loop.remove_signal_handler(signal.SIGUSR1)
    real(signal.SIGUSR1, signal.SIG_DFL)


@pytest.fixture
def no_collector():
    """What goes must go by itself."""
    gc.disable()
    yield
    gc.enable()


def test_a_lost_task_is_told_of_without_the_collector(loop, reports, no_collector):
    async def fail():
        raise ZeroDivisionError

    async def main():
        asyncio.get_running_loop().create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]

    loop.run_until_complete(main())


def test_what_a_cancelled_coroutine_held_goes_without_the_collector(run, no_collector):
    class Held:
        """Something that can be referred to weakly."""

    async def hold(held):
        await asyncio.get_running_loop().create_future()

    async def main():
        held = Held()
        gone = weakref.ref(held)
        task = asyncio.get_running_loop().create_task(hold(held))
        del held
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        del task
        await asyncio.sleep(0)
        assert gone() is None

    run(main())
