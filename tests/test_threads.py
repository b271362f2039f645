"""The pool of a loop's threads, from the number of them to the interpreter's exit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import rota

LONGEST = 20  # seconds until a program that hangs is ended


def output_of(program: str) -> list[str]:
    """What ``program`` prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "always", "-c", program]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert found.stderr == ""
    assert found.returncode == 0
    return found.stdout.splitlines()


@pytest.fixture
def loop():
    """A loop with a thread that has had a call and sleeps."""
    loop = rota.new_event_loop()
    loop.run_until_complete(loop.run_in_executor(None, int))
    while not loop._threads._idle:
        pass
    yield loop
    loop.close()


def test_those_that_there_are_do_it_when_the_system_refuses_another_thread(loop, monkeypatch):
    """asyncio refuses the call, and runs it all the same."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        go_on = threading.Event()
        first = loop.run_in_executor(None, go_on.wait, 10)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            second = loop.run_in_executor(None, int, "7")
        go_on.set()
        return await first, await second

    assert loop.run_until_complete(main()) == (True, 7)


class Interrupted(list):
    """Ctrl-C comes when somebody has been taken out."""

    def pop(self):
        super().pop()
        raise KeyboardInterrupt


def test_a_thread_that_an_interrupt_left_asleep_ends_with_the_pool(loop):
    loop._threads._idle = Interrupted(loop._threads._idle)
    with pytest.raises(KeyboardInterrupt):
        loop.run_in_executor(None, int)
    ending = threading.Thread(target=loop._threads.shutdown, daemon=True)
    ending.start()
    ending.join(10)
    assert not ending.is_alive()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_there_are_as_many_as_asyncio_has():
    said = output_of("""
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from concurrent.futures import ThreadPoolExecutor
from rota import limits
print(limits.THREADS - ThreadPoolExecutor()._max_workers)
""")
    assert said == ["0"]


def test_the_interpreter_waits_for_what_has_begun_and_for_what_waits():
    said = output_of("""
import sys, threading, rota
loop = rota.new_event_loop()
go_on = threading.Event()
for number in range(40):
    loop.run_in_executor(None, lambda: (go_on.wait(), sys.stdout.write("one\\n")))
threading.Timer(0.1, go_on.set).start()
loop.close()
""")
    assert said == ["one"] * 40


@pytest.mark.skipif((3, 12) <= sys.version_info < (3, 13), reason="Python 3.12 starts no thread at its exit")
@pytest.mark.parametrize("when", ["in a thread after the main one", "in atexit"])
def test_a_loop_that_comes_when_the_interpreter_goes_has_threads_for_which_it_does_not_wait(when):
    """asyncio refuses these calls."""
    said = output_of(f"""
import atexit, threading, rota, warnings
warnings.simplefilter("ignore")  # of the loop that nobody closes
def late():
    if {when!r} != "in atexit":
        threading.main_thread().join()
    global loop
    loop = rota.new_event_loop()
    print(loop.run_until_complete(loop.run_in_executor(None, int, "7")), flush=True)
if {when!r} == "in atexit":
    atexit.register(late)
else:
    threading.Thread(target=late).start()
""")
    assert said == ["7"]
