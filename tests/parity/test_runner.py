"""Whole programs: asyncio.Runner, rota.run, rota.install, and Ctrl-C."""

import asyncio
import contextvars
import os
import signal
import threading
import warnings

import pytest

import rota


@pytest.fixture
def start(new_loop, kind):
    """Runs a program from its outermost call."""

    def start(main, **options):
        if kind == "rota":
            return rota.run(main, **options)
        with asyncio.Runner(loop_factory=new_loop, **options) as runner:
            return runner.run(main)

    return start


def test_it_returns_what_main_returns(start):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert start(main()) is False
    assert start(main(), debug=True) is True


def test_it_raises_what_main_raises(start):
    async def main():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        start(main())


def test_tasks_that_are_left_are_cancelled_and_waited_for(start):
    heard = []

    async def child(name):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            heard.append(name)
            raise

    async def main():
        tasks.extend(asyncio.create_task(child(name)) for name in "ab")
        await asyncio.sleep(0)
        return "main"

    tasks = []
    assert start(main()) == "main"
    assert sorted(heard) == ["a", "b"]
    assert [task.cancelled() for task in tasks] == [True, True]


def test_a_task_that_fails_while_it_is_cancelled_is_reported(start, caplog):
    async def child():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("while leaving") from None

    async def main():
        tasks.append(asyncio.create_task(child()))
        await asyncio.sleep(0)

    tasks = []
    start(main())
    (record,) = caplog.records
    assert record.message.startswith("unhandled exception during asyncio.run() shutdown\n")
    assert str(record.exc_info[1]) == "while leaving"


def test_the_loop_is_closed_afterwards(start):
    async def main():
        return asyncio.get_running_loop()

    assert start(main()).is_closed()


def test_inside_a_loop_it_is_refused(run):
    """rota.run says so before it makes a loop, on whichever loop it is called."""

    async def main():
        inner = asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"^rota\.run\(\) cannot be called from a running event loop$"):
            rota.run(inner)
        inner.close()
        return "unharmed"

    assert run(main()) == "unharmed"


def test_what_is_no_coroutine_is_refused(start):
    with pytest.raises((TypeError, ValueError), match=r"a coroutine was expected, got 42|coroutine.*is required"):
        start(42)


def test_a_runner_runs_several_on_one_loop(new_loop):
    variable = contextvars.ContextVar("variable", default=0)

    async def main():
        variable.set(variable.get() + 1)
        return asyncio.get_running_loop(), variable.get()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        first, second = runner.run(main()), runner.run(main())
        assert first[0] is second[0] is runner.get_loop()
        assert (first[1], second[1]) == (1, 2)


def test_ctrl_c_cancels_main_and_is_raised(start):
    heard = []

    async def main():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            heard.append("cancelled, and cleaned up")
            raise

    with pytest.raises(KeyboardInterrupt):
        start(main())
    assert heard == ["cancelled, and cleaned up"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_the_loop_sleeps(start):
    """The signal is sent by a thread once the loop is in its poll."""
    heard = []

    async def main():
        thread = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            thread.join()
            heard.append("cancelled")

    with pytest.raises(KeyboardInterrupt):
        start(main())
    assert heard == ["cancelled"]


def test_a_main_that_swallows_ctrl_c_goes_on(start):
    async def main():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "went on"

    assert start(main()) == "went on"


def test_ctrl_c_without_a_runner_leaves_the_loop(new_loop):
    loop = new_loop()
    for ask in (signal.raise_signal, lambda number: os.kill(os.getpid(), number)):
        loop.call_soon(ask, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        assert not loop.is_running()
    thread = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    thread.join()
    loop.close()


def test_the_wakeup_fd_of_before_is_given_back(new_loop):
    before = signal.set_wakeup_fd(-1)
    loop = new_loop()
    loop.run_until_complete(asyncio.sleep(0))
    assert signal.set_wakeup_fd(before) == -1
    loop.close()


def test_install_makes_asyncios_own_door_give_rotas_loop():
    """rota only: it is what install is for."""

    async def main():
        return type(asyncio.get_running_loop())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        before = asyncio.get_event_loop_policy()
        try:
            rota.install()
            assert asyncio.run(main()) is rota.Loop
            loop = asyncio.new_event_loop()
            assert type(loop) is rota.Loop
            loop.close()
        finally:
            asyncio.set_event_loop_policy(before)


def test_rotas_own_door_is_asyncios(run):
    """The names that rota does not make itself."""
    assert rota.TaskGroup is asyncio.TaskGroup
    assert rota.create_task is asyncio.create_task
    assert rota.to_thread is asyncio.to_thread
    assert run(rota.sleep(0, "slept")) == "slept"
