"""Signal handlers that run on the loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture(autouse=True)
def signals_as_before():
    """After each test every signal does what it did before, and nobody is told of them."""
    before = {number: signal.getsignal(number) for number in (USR1, USR2, signal.SIGCHLD, signal.SIGINT)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    told = signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before
    assert told == -1, "a closed loop is still told of signals"


def send(number):
    os.kill(os.getpid(), number)


def until(condition):
    async def wait():
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)

    return wait()


def test_a_handler_runs_on_the_loop_with_its_arguments(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        calls = []

        def handle(*args):
            calls.append((args, asyncio.get_running_loop() is loop, threading.current_thread()))

        loop.add_signal_handler(USR1, handle, 1, "two")
        send(USR1)
        assert calls == []
        await until(lambda: calls)
        assert calls == [((1, "two"), True, threading.main_thread())]
        assert loop.remove_signal_handler(USR1) is True
        assert loop.remove_signal_handler(USR1) is False

    run_real(main())


def test_a_handler_wakes_a_loop_that_sleeps(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        loop.add_signal_handler(USR1, came.set_result, "came")
        sender = threading.Thread(target=lambda: (time.sleep(0.01), send(USR1)))
        sender.start()
        async with asyncio.timeout(5):
            assert await came == "came"
        sender.join()
        loop.remove_signal_handler(USR1)

    run_real(main())


def test_the_last_handler_replaces_the_one_before(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        calls = []
        loop.add_signal_handler(USR1, calls.append, "first")
        loop.add_signal_handler(USR1, calls.append, "second")
        loop.add_signal_handler(USR2, calls.append, "other")
        send(USR1)
        await until(lambda: calls)
        send(USR2)
        await until(lambda: len(calls) == 2)
        assert calls == ["second", "other"]
        loop.remove_signal_handler(USR1)
        loop.remove_signal_handler(USR2)

    run_real(main())


def test_a_removed_handler_leaves_the_default(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(USR1, print)
        loop.add_signal_handler(signal.SIGINT, print)
        assert loop.remove_signal_handler(USR1)
        assert signal.getsignal(USR1) is signal.SIG_DFL
        assert loop.remove_signal_handler(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    before = signal.getsignal(USR1)
    run_real(main())
    signal.signal(USR1, before)


def test_a_handler_for_ctrl_c_takes_the_interrupt(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        calls = []
        loop.add_signal_handler(signal.SIGINT, calls.append, "interrupted")
        send(signal.SIGINT)
        await until(lambda: calls)
        send(signal.SIGINT)
        await until(lambda: len(calls) == 2)
        loop.remove_signal_handler(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    run_real(main())
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("while_running", [False, True])
def test_a_signal_that_comes_while_the_loop_does_not_run_waits_for_it(new_loop, while_running):
    """Wherever its handler was added."""
    loop = new_loop()
    calls = []

    async def add():
        loop.add_signal_handler(USR1, calls.append, "came")

    if while_running:
        loop.run_until_complete(add())
    else:
        loop.add_signal_handler(USR1, calls.append, "came")
    send(USR1)
    assert calls == []
    loop.run_until_complete(until(lambda: calls))
    assert calls == ["came"]
    send(USR1)
    loop.run_until_complete(until(lambda: len(calls) == 2))
    loop.close()
    assert signal.getsignal(USR1) is signal.SIG_DFL


@pytest.mark.parametrize("while_running", [False, True])
def test_a_loop_whose_last_handler_is_gone_is_told_no_more(new_loop, while_running):
    loop = new_loop()

    async def remove():
        loop.remove_signal_handler(USR1)

    loop.add_signal_handler(USR1, print)
    if while_running:
        loop.run_until_complete(remove())
    else:
        loop.remove_signal_handler(USR1)
    loop.close()


def test_closing_the_loop_takes_its_handlers_away(new_loop):
    loop = new_loop()
    loop.add_signal_handler(USR1, print)
    loop.add_signal_handler(USR2, print)
    loop.close()
    assert signal.getsignal(USR1) is signal.SIG_DFL
    assert signal.getsignal(USR2) is signal.SIG_DFL
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.add_signal_handler(USR1, print)


@pytest.mark.parametrize("kind", ["rota"])
def test_off_the_main_thread_a_loop_with_handlers_stays_open(new_loop):
    """asyncio's is closed then, and Python writes signals to whatever file gets the number that it had."""
    loop = new_loop()
    loop.add_signal_handler(USR1, print)
    found = []

    def close():
        with pytest.raises(ValueError, match="signal only works in main thread") as raised:
            loop.close()
        found.append(raised)

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert found
    assert not loop.is_closed()
    loop.close()
    assert signal.getsignal(USR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (signal.SIGKILL, RuntimeError, f"sig {signal.SIGKILL:d} cannot be caught"),
        (signal.SIGSTOP, RuntimeError, f"sig {signal.SIGSTOP:d} cannot be caught"),
        (signal.NSIG + 1, ValueError, f"invalid signal number {signal.NSIG + 1}"),
        (0, ValueError, "invalid signal number 0"),
        ("SIGINT", TypeError, "sig must be an int, not 'SIGINT'"),
    ],
)
def test_what_is_no_signal_to_handle_is_refused(new_loop, number, error, text):
    loop = new_loop()
    with pytest.raises(error) as raised:
        loop.add_signal_handler(number, print)
    # A signal's name or its number, as this Python writes it.
    assert str(raised.value) in (text, text.replace(f"{number}", repr(number)), f"sig {number} cannot be caught")
    if error is not RuntimeError:
        with pytest.raises(error) as raised:
            loop.remove_signal_handler(number)
        assert str(raised.value) == text
    loop.close()


def test_a_coroutine_is_no_handler(new_loop):
    async def handle():
        pass

    loop = new_loop()
    with pytest.raises(TypeError, match=r"^coroutines cannot be used with add_signal_handler\(\)$"):
        loop.add_signal_handler(USR1, handle)
    loop.close()


def test_off_the_main_thread_there_are_no_handlers(new_loop):
    found = []

    def work():
        async def main():
            with pytest.raises(RuntimeError) as raised:
                asyncio.get_running_loop().add_signal_handler(USR1, print)
            found.append(str(raised.value))

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["set_wakeup_fd only works in main thread of the main interpreter"]


@pytest.mark.parametrize("kind", ["rota"])
def test_a_storm_of_signals_is_heard(run_real):
    """Each at least once; like the kernel, the loop may make one of several that are alike. asyncio complains that
    there are too many.
    """

    async def main():
        loop = asyncio.get_running_loop()
        calls = []
        loop.add_signal_handler(USR1, calls.append, 1)
        loop.add_signal_handler(USR2, calls.append, 2)
        for _ in range(5000):
            send(USR1)
            send(USR2)
        await until(lambda: len(set(calls)) == 2)
        count = len(calls)
        send(USR1)
        await until(lambda: len(calls) > count)
        loop.remove_signal_handler(USR1)
        loop.remove_signal_handler(USR2)

    run_real(main())


def test_the_end_of_children_is_a_signal_like_any_other(run_real):
    """And processes are still waited for."""

    async def main():
        loop = asyncio.get_running_loop()
        calls = []
        loop.add_signal_handler(signal.SIGCHLD, calls.append, "child")
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0
        await until(lambda: calls)
        loop.remove_signal_handler(signal.SIGCHLD)

    run_real(main())


def test_a_handler_that_raises_is_reported(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        told = []
        loop.set_exception_handler(lambda loop, context: told.append(context))
        loop.add_signal_handler(USR1, lambda: 1 / 0)
        send(USR1)
        await until(lambda: told)
        assert isinstance(told[0]["exception"], ZeroDivisionError)
        loop.remove_signal_handler(USR1)

    run_real(main())


def test_two_loops_one_after_the_other(new_loop):
    """The one that is open but does not run keeps its handler."""
    first, second = new_loop(), new_loop()
    calls = []
    first.add_signal_handler(USR1, calls.append, "first")

    async def other():
        second.add_signal_handler(USR2, calls.append, "second")
        send(USR2)
        await until(lambda: calls)
        second.remove_signal_handler(USR2)

    second.run_until_complete(other())
    second.close()
    assert calls == ["second"]
    first.close()


@pytest.mark.parametrize("kind", ["rota"])
def test_closing_one_loop_while_another_runs_leaves_that_one_its_signals(new_loop):
    """asyncio's close() makes the other one deaf."""
    first, second = new_loop(), new_loop()
    calls = []
    first.add_signal_handler(USR1, calls.append, "first")

    async def other():
        second.add_signal_handler(USR2, calls.append, "second")
        first.close()
        send(USR2)
        await until(lambda: calls)
        second.remove_signal_handler(USR2)

    second.run_until_complete(other())
    second.close()
    assert calls == ["second"]


def test_pythons_own_handlers_run_at_once_while_the_loop_sleeps(run_real):
    """A handler of signal.signal() that stops the loop's sleep by a callback from the signal."""

    async def main():
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        signal.signal(USR1, lambda number, frame: loop.call_soon_threadsafe(came.set_result, number))
        sender = threading.Thread(target=lambda: (time.sleep(0.01), send(USR1)))
        sender.start()
        async with asyncio.timeout(5):
            assert await came == USR1
        sender.join()

    before = signal.getsignal(USR1)
    run_real(main())
    signal.signal(USR1, before)


def test_a_handler_runs_in_the_context_in_which_it_was_added(run_real):
    variable = contextvars.ContextVar("variable", default="unset")

    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        variable.set("added")
        loop.add_signal_handler(USR1, lambda: seen.append(variable.get()))
        variable.set("later")
        send(USR1)
        await until(lambda: seen)
        assert seen == ["added"]
        loop.remove_signal_handler(USR1)

    run_real(main())


# -- others who want to be told of signals ----------------------------------------------------------------------------


@pytest.fixture
def others():
    """A socket pair of somebody who called signal.set_wakeup_fd(): the number to tell, and what it was told."""
    hears, says = socket.socketpair()
    for end in (hears, says):
        end.setblocking(False)
    signal.set_wakeup_fd(says.fileno())
    yield says.fileno(), lambda: hears.recv(100)
    signal.set_wakeup_fd(-1)
    hears.close()
    says.close()


def test_who_was_told_of_signals_before_the_run_is_told_after_it(run_real, others):
    fd, told = others
    run_real(asyncio.sleep(0))
    assert signal.set_wakeup_fd(fd) == fd
    before = signal.signal(USR1, lambda number, frame: None)
    send(USR1)
    signal.signal(USR1, before)
    assert told() == bytes([USR1])


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("while_running", [False, True])
def test_who_was_told_of_signals_before_a_handler_is_told_after_it(new_loop, others, while_running):
    """After asyncio's nobody is."""
    fd, _ = others
    loop = new_loop()

    async def add():
        loop.add_signal_handler(USR1, print)

    if while_running:
        loop.run_until_complete(add())
    else:
        loop.add_signal_handler(USR1, print)
    assert signal.set_wakeup_fd(fd) != fd
    # Ours again, as it was.
    loop.add_signal_handler(USR1, print)
    loop.run_until_complete(asyncio.sleep(0))
    loop.remove_signal_handler(USR1)
    assert signal.set_wakeup_fd(fd) == fd
    loop.close()


def test_who_takes_over_while_the_loop_runs_is_told_from_then_on(run_real, others):
    fd, _ = others
    signal.set_wakeup_fd(-1)

    async def main():
        signal.set_wakeup_fd(fd)

    run_real(main())
    assert signal.set_wakeup_fd(fd) == fd


def test_a_number_that_has_become_another_files_is_not_told(run_real, others):
    """It was closed while the loop ran, and opened again: signals would be written into a stranger's connection."""
    fd, _ = others
    hears, says = socket.socketpair()
    hears.setblocking(False)
    says.setblocking(False)
    number = says.fileno()
    signal.set_wakeup_fd(number)

    async def main():
        # Where the loop itself does not ask to be told, nobody would have noticed before it.
        asyncio.get_running_loop().add_signal_handler(USR2, print)
        os.dup2(fd, number)
        asyncio.get_running_loop().remove_signal_handler(USR2)

    run_real(main())
    assert signal.set_wakeup_fd(-1) == -1
    hears.close()
    says.close()


def test_a_program_that_is_stopped_and_continued_goes_on():
    """As from a terminal, with handlers that say goodbye and hello."""
    program = """
        import asyncio, os, signal, sys
        import rota

        async def main():
            loop = asyncio.get_running_loop()
            going_on = asyncio.Event()
            def stop():
                print("stop", flush=True)
                os.kill(os.getpid(), signal.SIGSTOP)
            loop.add_signal_handler(signal.SIGTSTP, stop)
            loop.add_signal_handler(signal.SIGCONT, going_on.set)
            print("ready", flush=True)
            await going_on.wait()
            await asyncio.sleep(0.001)
            print("end", flush=True)

        (rota if sys.argv[1] == "rota" else asyncio).run(main())
    """
    for kind in ("rota", "asyncio"):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with child:
            assert child.stdout.readline() == b"ready\n"
            child.send_signal(signal.SIGTSTP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED)
            child.send_signal(signal.SIGCONT)
            assert child.communicate() == (b"stop\nend\n", b"")
        assert child.returncode == 0


def test_a_stop_in_the_middle_of_a_sleep_is_no_end_of_it():
    """Without handlers the loop sees nothing but a system call that was interrupted."""
    program = """
        import asyncio, sys
        import rota

        async def main():
            read = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            print("ready", flush=True)
            print(await read, end="", flush=True)

        (rota if sys.argv[1] == "rota" else asyncio).run(main())
    """
    for kind in ("rota", "asyncio"):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with child:
            assert child.stdout.readline() == b"ready\n"
            for _ in range(5):
                child.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, child.pid, os.WSTOPPED)
                child.send_signal(signal.SIGCONT)
                os.waitid(os.P_PID, child.pid, os.WCONTINUED)
            assert child.communicate(b"line\n") == (b"line\n", b"")
        assert child.returncode == 0
