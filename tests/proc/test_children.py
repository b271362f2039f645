"""How the end of a child is learnt, beside others who want to know it, too."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest

import rota
from rota.net.poller.selector import Selector

from .conftest import python

PIPE = subprocess.PIPE

needs_watchers = pytest.mark.skipif(sys.version_info >= (3, 14), reason="child watchers end with Python 3.13")


@pytest.fixture
def no_pidfd(monkeypatch):
    """As on an old kernel, or in a sandbox."""

    def refuse(pid, flags=0):
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("way", ["a refusal", "no such function"])
def test_without_a_pidfd_a_thread_waits(run_real, monkeypatch, way, request):
    """asyncio chooses its watcher when it is imported."""
    if way == "a refusal":
        request.getfixturevalue("no_pidfd")
    else:
        monkeypatch.delattr(os, "pidfd_open")

    async def main():
        processes = [await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE) for _ in range(3)]
        waiters = [thread for thread in threading.enumerate() if thread.name.startswith("rota-waitpid-")]
        assert sorted(thread.name for thread in waiters) == sorted(f"rota-waitpid-{p.pid}" for p in processes)
        assert all(thread.daemon for thread in waiters)
        processes[0].kill()
        assert await processes[0].wait() == -signal.SIGKILL
        for process in processes[1:]:
            assert await process.communicate(b"x") == (b"x", None)
        processes[0].stdin.close()
        for thread in waiters:
            thread.join(5)

    run_real(main())


def test_without_a_pidfd_on_another_poller(no_pidfd):
    """As on macOS."""

    async def main():
        async with asyncio.timeout(5):
            process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            assert await process.communicate(b"x") == (b"x", None)
            assert process.returncode == 0

    with asyncio.Runner(loop_factory=lambda: rota.Loop(poller=Selector())) as runner:
        runner.run(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_without_a_pidfd_a_signal_does_not_cost_the_exit_code(run_real, no_pidfd, caplog):
    async def main():
        read, write = os.pipe()
        process = await python("import os, sys; sys.stdin.read(); os._exit(7)", stdin=read)
        os.close(read)
        os.close(write)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        assert await process.wait() == 7

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_real(main())
    assert caplog.messages == []


@pytest.mark.parametrize("kind", ["rota"])
def test_without_a_pidfd_and_with_sigchld_ignored(run_real, no_pidfd, caplog):
    async def main():
        return await (await python("import os; os._exit(7)")).wait()

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with caplog.at_level(logging.WARNING, "asyncio"):
            assert run_real(main()) == 255
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert [message.endswith("will report returncode 255") for message in caplog.messages] == [True]


@pytest.mark.parametrize("kind", ["rota"])
def test_a_child_that_can_be_watched_in_no_way_is_ended(run_real, no_pidfd, monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await asyncio.create_subprocess_exec("sleep", "100", stdin=PIPE, stdout=PIPE)

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_loop_that_is_closed_before_its_child_ends(new_loop, no_pidfd, caplog):
    """The thread says so, as asyncio's does, and leaves no zombie."""
    loop = new_loop()
    read, write = os.pipe()

    async def start():
        return await asyncio.create_subprocess_exec("cat", stdin=read)

    process = loop.run_until_complete(start())
    (waiter,) = [thread for thread in threading.enumerate() if thread.name == f"rota-waitpid-{process.pid}"]
    os.close(read)
    loop.close()
    with caplog.at_level(logging.WARNING, "asyncio"):
        os.close(write)
        waiter.join(5)
    (text,) = caplog.messages
    assert text.startswith("Loop <Loop ")
    assert text.endswith(f" that handles pid {process.pid} is closed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del process, waiter
        gc.collect()


@pytest.mark.parametrize("kind", ["rota"])
def test_a_handler_of_sigchld_that_waits_for_any_child_gets_none_of_the_loops(run_real, caplog):
    """With asyncio, whoever comes first gets the exit code."""
    found = []

    def wait_for_any():
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                found.append(pid)

    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, wait_for_any)
        read, write = os.pipe()
        code = "import os, sys; sys.stdin.read(); os._exit(int(sys.argv[1]))"
        processes = [await python(code, str(number), stdin=read) for number in range(10)]
        os.close(read)
        os.close(write)
        own = os.posix_spawn("/bin/true", ["true"], {})
        for pid in [own, *[process.pid for process in processes]]:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert [await process.wait() for process in processes] == list(range(10))
        async with asyncio.timeout(5):
            while not found:
                await asyncio.sleep(0.001)
        assert found == [own]
        loop.remove_signal_handler(signal.SIGCHLD)

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_real(main())
    assert caplog.messages == []


# -- asyncio's child watchers, up to Python 3.13 ----------------------------------------------------------------------


@pytest.fixture
def watchers():
    """Sets watchers; afterwards there is none."""
    made = []

    def set_watcher(name):
        made.append(getattr(asyncio, name)())
        asyncio.set_child_watcher(made[-1])
        return made[-1]

    yield set_watcher
    asyncio.set_child_watcher(None)
    for watcher in made:
        with contextlib.suppress(NotImplementedError):
            watcher.close()


@needs_watchers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name",
    ["SafeChildWatcher", "FastChildWatcher", "ThreadedChildWatcher", "MultiLoopChildWatcher", "PidfdChildWatcher"],
)
def test_a_program_that_sets_a_watcher_gets_its_exit_codes(run_real, watchers, caplog, name):
    async def main():
        watcher = watchers(name)
        watcher.attach_loop(asyncio.get_running_loop())
        # One after the other: FastChildWatcher waits for any child, and takes what ends while it does.
        codes = [await (await python(f"import os; os._exit({number})")).wait() for number in range(5)]
        watcher.attach_loop(None)
        watcher.close()
        return codes

    with caplog.at_level(logging.WARNING, "asyncio"):
        assert run_real(main()) == list(range(5))
    assert caplog.messages == []


@needs_watchers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["SafeChildWatcher", "ThreadedChildWatcher", "PidfdChildWatcher"])
def test_a_watcher_can_be_asked_to_watch(run_real, watchers, name):
    """A child that the program has forked by itself."""

    async def main():
        loop = asyncio.get_running_loop()
        watcher = watchers(name)
        watcher.attach_loop(loop)
        ended = loop.create_future()
        with watcher:
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], {})
            watcher.add_child_handler(pid, lambda pid, code: loop.call_soon_threadsafe(ended.set_result, (pid, code)))
        assert await asyncio.wait_for(ended, 5) == (pid, 9)
        watcher.attach_loop(None)

    run_real(main())


@needs_watchers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_policy_has_a_watcher_for_its_loop():
    """It is attached to the main thread's loop as asyncio's policy attaches it."""
    asyncio.set_event_loop_policy(rota.EventLoopPolicy())
    try:
        watcher = asyncio.SafeChildWatcher()
        asyncio.set_child_watcher(watcher)
        assert asyncio.get_child_watcher() is watcher
        loop = asyncio.new_event_loop()
        assert isinstance(loop, rota.Loop)
        asyncio.set_event_loop(loop)

        async def main():
            assert watcher.is_active()
            return await (await python("import os; os._exit(3)")).wait()

        assert loop.run_until_complete(main()) == 3
        asyncio.set_event_loop(None)
        watcher.close()
        loop.close()
    finally:
        asyncio.set_event_loop_policy(None)
