"""A loop's thread is woken when a timer is due, where the kernel may wake others 50 µs late, several together.

That is said of the thread (prctl(2), ``PR_SET_TIMERSLACK``), and whatever the thread starts begins with it: so the
thread is asked when its loop has run, and the loop's children are.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import threading

import pytest

import rota

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's slack is Linux's")

PR_SET_TIMERSLACK, PR_GET_TIMERSLACK = 29, 30
READ = "import ctypes; print(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0))"


def slack() -> int:
    """Of this thread, in nanoseconds."""
    return ctypes.CDLL(None).prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)


@pytest.mark.skipif(not rota.COMPILED, reason="plain Python can't ask for it")
def test_a_running_loop_has_its_thread_woken_on_time():
    async def main():
        return slack()

    assert rota.run(main()) == 1


@pytest.mark.parametrize("found", [50_000, 70_000])
def test_the_thread_has_its_own_again_when_the_loop_has_run(new_loop, found):
    """Ended as it should, and by an interrupt."""

    async def main(error):
        raise error

    def work():
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, found, 0, 0, 0)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            for error in (OSError(), KeyboardInterrupt()):
                with pytest.raises(type(error)):
                    runner.run(main(error))
                seen.append(slack())

    seen: list[int] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [found, found]


def test_a_child_of_the_loop_begins_with_what_the_thread_had(run_real):
    async def main(**options):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", READ, stdout=subprocess.PIPE, **options)
        out, _ = await process.communicate()
        return int(out), slack()

    before = slack()
    theirs, running = run_real(main())
    assert theirs == before
    again, still = run_real(main(preexec_fn=lambda: None))
    assert (again, still) == (before, running)
    assert slack() == before


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns where threads are left
def test_a_forked_child_begins_with_what_the_thread_had(run_real):
    async def main():
        child = os.fork()
        if child == 0:
            os._exit(slack() != before)
        assert os.waitpid(child, 0) == (child, 0)

    before = slack()
    run_real(main())
