"""A program may look through all objects, as debuggers and tests do, and do what it likes with those that it finds."""

from __future__ import annotations

import asyncio
import gc


def found(*kinds):
    gc.unfreeze()  # what was here before the test
    return [thing for thing in gc.get_objects() if isinstance(thing, kinds)]


def test_each_can_be_shown(run, library):
    async def main():
        loop = asyncio.get_running_loop()
        task, handle = loop.create_task(asyncio.sleep(1)), loop.call_soon(print)
        waiting = [loop.create_future(), task, handle, loop.call_later(1, print)]
        everybody = found(asyncio.Future, asyncio.Handle)
        assert all(any(each is one for one in everybody) for each in waiting)
        for each in everybody:
            assert repr(each)
        handle.cancel()

    run(main())


def test_each_task_can_be_cancelled_and_new_ones_are_as_ever(run, library):
    async def main():
        me = asyncio.current_task()
        me.left = "what was found has this"
        others = [asyncio.create_task(asyncio.sleep(1)) for _ in range(3)]
        for task in found(asyncio.Task):
            if task is not me:
                task.cancel("everybody" + str(len(others)))  # a text that nobody else holds
                task.note = [me]
        for other in others:
            assert other.cancelling() == 1
        for _ in range(100):
            task = asyncio.create_task(asyncio.sleep(0))
            assert not hasattr(task, "note")
            assert await task is None

    run(main())
