"""A program may look through all objects, as debuggers do, and do what it likes with those that it finds."""

from __future__ import annotations

import os
import subprocess
import sys

# In a process of its own, where no other test has left anything.
PROGRAM = """
import asyncio, gc, sys, rota

def found(*kinds):
    return [thing for thing in gc.get_objects() if isinstance(thing, kinds)]

async def main():
    loop = asyncio.get_running_loop()
    me = asyncio.current_task()
    tasks = [loop.create_task(asyncio.sleep(1)) for _ in range(3)]
    made = [*tasks, loop.create_future(), loop.call_soon(int), loop.call_later(1, print)]
    everybody = found(asyncio.Future, asyncio.Handle)
    assert all(any(one is each for one in everybody) for each in made)
    for each in everybody:
        assert repr(each)
    for task in found(asyncio.Task):
        if task is not me:
            task.cancel("everybody" + str(len(made)))  # a text that nobody else holds
            task.note = [me]
    assert [task.cancelling() for task in tasks] == [1, 1, 1]
    for _ in range(100):
        task = asyncio.create_task(asyncio.sleep(0))
        assert not hasattr(task, "note")
        assert await task is None
    made[-1].cancel()
    print("as ever")

new_loop = {"rota": rota.new_event_loop, "asyncio": asyncio.new_event_loop}[sys.argv[1]]
with asyncio.Runner(loop_factory=new_loop) as runner:
    runner.run(main())
"""


def test_each_can_be_shown_and_cancelled_and_new_ones_are_as_ever(kind):
    command = [sys.executable, "-W", "error", "-X", "faulthandler", "-c", PROGRAM, kind]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert ended.stderr == ""
    assert ended.stdout == "as ever\n"
    assert ended.returncode == 0
