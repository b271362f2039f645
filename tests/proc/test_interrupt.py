"""Ctrl-C always works: whatever the loop is doing, the program ends with KeyboardInterrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

START = """
import asyncio, sys, threading, time
import rota

def say_ready():
    print("ready", flush=True)

def keep_awake(loop):
    # asyncio's own loop sleeps on if a signal comes just before it goes to sleep: nothing of it wakes the selector.
    loop.call_later(0.1, keep_awake, loop)

async def awake(main):
    keep_awake(asyncio.get_running_loop())
    await main

def run(main):
    if sys.argv[1] == "rota":
        rota.run(main)
    else:
        asyncio.run(awake(main))
"""

PROGRAMS = {
    "sleeps": """
        async def main():
            say_ready()
            await asyncio.sleep(100)
    """,
    "waits for ever without a timer": """
        async def main():
            say_ready()
            await asyncio.get_running_loop().create_future()
    """,
    "has tasks that never rest": """
        async def spin():
            while True:
                await asyncio.sleep(0)

        async def main():
            tasks = [asyncio.create_task(spin()) for _ in range(10)]
            say_ready()
            await asyncio.gather(*tasks)
    """,
    "has a callback that calls itself": """
        async def main():
            loop = asyncio.get_running_loop()
            def again():
                loop.call_soon(again)
            again()
            say_ready()
            await loop.create_future()
    """,
    "waits for a thread": """
        async def main():
            may_end = threading.Event()
            def work():
                say_ready()
                may_end.wait(100)
            try:
                await asyncio.to_thread(work)
            finally:
                may_end.set()
    """,
    "waits for a socket": """
        async def main():
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            say_ready()
            async with server:
                await server.serve_forever()
    """,
    "waits for a child": """
        async def main():
            process = await asyncio.create_subprocess_exec("sleep", "100", start_new_session=True)
            say_ready()
            try:
                await process.wait()
            finally:
                process.kill()
                await process.wait()
    """,
    "has a task that hangs on to a cancellation for a while": """
        async def main():
            say_ready()
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0.01)
                print("tidied up", flush=True)
    """,
}


def ended(process):
    """Whether it ends within half a second."""
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        return False
    return True


def interrupted(kind, program, again=False):
    """How a program ends that gets SIGINT once it is ready: ``(exit status, stdout, stderr)``. With ``again``, it gets
    more of them until it ends.
    """
    code = START + textwrap.dedent(program) + "\nrun(main())\n"
    with subprocess.Popen(
        [sys.executable, "-c", code, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            process.send_signal(signal.SIGINT)
            while again and not ended(process):
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_ends_that(kind, program):
    code, out, err = interrupted(kind, PROGRAMS[program])
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert err.count("KeyboardInterrupt") == 1 or "CancelledError" in err
    assert out == ("tidied up\n" if "hangs on" in program else "")


NO_PAUSE = """
    async def main():
        say_ready()
        while True:
            pass
"""


def test_the_second_interrupt_ends_a_task_that_never_awaits(kind):
    """The first only cancels it, which it does not notice."""
    code, _, err = interrupted(kind, NO_PAUSE, again=True)
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in err


BUSY_THREAD = """
    async def main():
        def compute():
            while not done:
                pass
        done = []
        thread = threading.Thread(target=compute)
        thread.start()
        say_ready()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            done.append(1)
            thread.join()
"""


def test_a_thread_that_computes_does_not_keep_the_interrupt(kind):
    code, _, err = interrupted(kind, BUSY_THREAD)
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"


OWN_HANDLER = """
    async def main():
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        loop.add_signal_handler(2, came.set_result, None)
        say_ready()
        await came
        print("ended by itself")
"""


def test_a_program_with_a_handler_of_its_own_decides_itself(kind):
    assert interrupted(kind, OWN_HANDLER) == (0, "ended by itself\n", "")


RUN_FOREVER = """
    def run(main):
        main.close()
        loop = rota.new_event_loop() if sys.argv[1] == "rota" else asyncio.new_event_loop()
        if sys.argv[1] == "asyncio":
            keep_awake(loop)
        loop.call_soon(say_ready)
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            loop.run_until_complete(asyncio.sleep(0))
            print("the loop still runs")
        loop.close()

    async def main():
        pass
"""


def test_a_loop_that_was_interrupted_can_run_again(kind):
    assert interrupted(kind, RUN_FOREVER) == (0, "the loop still runs\n", "")
