"""Small random programs, run on rota and on asyncio: what they do must happen in the same order.

Each seed makes one program of tasks that sleep, wait for futures, queues, locks and each other, cancel and shield
each other, set timers and add callbacks. Everything a program does is written down with the loop's time, and the two
logs are compared. Times are sums of powers of two, so that both clocks show them exactly, and no two timers are due
at once: asyncio leaves the order of those to its heap.
"""

import asyncio
import contextvars
import random

import pytest
from tests.clocks import VirtualSelectorLoop, virtual_rota_loop

import rota

SEEDS = 300
BATCH = 50
ACTORS = 5
FUTURES = 4

who = contextvars.ContextVar("who", default="nobody")


def a_while(choose, least=0):
    """How long to wait."""
    return choose.randrange(least, 4) + choose.getrandbits(24) / 2**24


class Program:
    """One random program. The seed alone decides what each actor does, whatever the order in which they run."""

    def __init__(self, seed, library):
        self.seed = seed
        self.library = library
        self.log = []
        self.began = []  # every task that runs an actor
        self.over = False  # then nobody swallows a cancellation or begins anything

    def note(self, *what):
        self.log.append((self.loop.time(), *what))

    async def main(self):
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda loop, context: self.note("reported", context["message"][:30]))
        self.futures = [self.loop.create_future() for _ in range(FUTURES)]
        self.queue = asyncio.Queue(2)
        self.lock = asyncio.Lock()
        self.event = asyncio.Event()
        self.tasks = [asyncio.create_task(self.actor(f"{n}"), name=f"actor {n}") for n in range(ACTORS)]
        for _ in range(20):
            await asyncio.sleep(1)
        self.over = True
        while left := [task for task in [*self.tasks, *self.began] if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.sleep(1)
        for task in self.tasks:
            try:
                self.note("end", task.get_name(), await task)
            except asyncio.CancelledError as error:
                self.note("end", task.get_name(), "cancelled", error.args)
            except OSError as error:
                self.note("end", task.get_name(), repr(error))
        self.loop.set_exception_handler(lambda loop, context: None)
        return list(self.log)

    async def actor(self, name, depth=0):
        who.set(name)
        self.began.append(asyncio.current_task())
        choose = random.Random(f"{self.seed} {name}")
        for step in range(choose.randrange(2, 7)):
            if self.over:
                break
            action = choose.choice(ACTIONS)
            where = (name, step, action.__name__)
            self.note(*where)
            try:
                result = await action(self, choose, name, depth)
            except asyncio.CancelledError as error:
                self.note(*where, "cancelled", error.args)
                if self.over or choose.random() < 0.6:
                    raise
            except asyncio.InvalidStateError:
                self.note(*where, "is done already")
            except (OSError, TimeoutError, RuntimeError) as error:
                self.note(*where, type(error).__name__, str(error)[:20])
                if choose.random() < 0.2:
                    raise OSError(f"of {name}") from None
            else:
                self.note(*where, "brought", result)
        assert who.get() == name
        return f"result of {name}"

    def child(self, name, choose, depth):
        """A coroutine for another task to run."""
        return self.actor(f"{name}.{choose.randrange(1000)}", depth + 1)


async def sleep(program, choose, name, depth):
    return await asyncio.sleep(choose.choice([0, a_while(choose)]), "slept")


async def own_sleep(program, choose, name, depth):
    return await program.library.sleep(choose.choice([0, a_while(choose)]), "slept")


async def wait_future(program, choose, name, depth):
    return await choose.choice(program.futures)


async def finish_future(program, choose, name, depth):
    future = choose.choice(program.futures)
    if choose.random() < 0.7:
        future.set_result(name)
    else:
        future.set_exception(OSError(name))
        future._log_traceback = False


async def cancel_future(program, choose, name, depth):
    return choose.choice(program.futures).cancel(name)


async def renew_future(program, choose, name, depth):
    place = choose.randrange(FUTURES)
    if program.futures[place].done():
        program.futures[place] = program.loop.create_future()


async def add_callback(program, choose, name, depth):
    future = choose.choice(program.futures)
    future.add_done_callback(lambda future: program.note("called", name, who.get(), future.cancelled()))


async def call_soon(program, choose, name, depth):
    program.loop.call_soon(lambda: program.note("soon", name, who.get()))


async def call_later(program, choose, name, depth):
    delay = a_while(choose)
    timer = program.loop.call_later(delay, lambda: program.note("later", name, who.get(), delay))
    if choose.random() < 0.3:
        program.loop.call_later(a_while(choose), timer.cancel)


async def put(program, choose, name, depth):
    return await asyncio.wait_for(program.queue.put(name), a_while(choose, 1))


async def get(program, choose, name, depth):
    return await asyncio.wait_for(program.queue.get(), a_while(choose, 1))


async def hold_lock(program, choose, name, depth):
    async with program.lock:
        program.note("holds", name)
        await asyncio.sleep(a_while(choose))


async def wait_event(program, choose, name, depth):
    async with asyncio.timeout(a_while(choose)):
        return await program.event.wait()


async def flip_event(program, choose, name, depth):
    program.event.clear() if program.event.is_set() else program.event.set()


async def cancel_task(program, choose, name, depth):
    task = choose.choice(program.tasks)
    return task.get_name(), task.cancel(name), task.cancelling()


async def uncancel(program, choose, name, depth):
    return asyncio.current_task().uncancel()


async def spawn(program, choose, name, depth):
    if depth < 2:
        program.tasks.append(asyncio.create_task(program.child(name, choose, depth), name=f"child of {name}"))


async def await_child(program, choose, name, depth):
    if depth == 2:
        return None
    return await asyncio.create_task(program.child(name, choose, depth))


async def gather(program, choose, name, depth):
    if depth == 2:
        return None
    children = [program.child(name, choose, depth) for _ in range(choose.randrange(0, 4))]
    found = await program.library.gather(*children, return_exceptions=choose.random() < 0.5)
    return [repr(each) for each in found]


async def group(program, choose, name, depth):
    if depth < 2:
        try:
            async with asyncio.TaskGroup() as group:
                # One child: a group cancels several in the order of a set.
                group.create_task(program.child(name, choose, depth))
                await asyncio.sleep(a_while(choose))
        except* OSError as errors:
            program.note("group", [str(error) for error in errors.exceptions])


async def wait(program, choose, name, depth):
    tasks = [task for task in program.tasks[: choose.randrange(1, 4)] if task is not asyncio.current_task()]
    if not tasks:
        return None
    done, pending = await asyncio.wait(
        tasks, timeout=a_while(choose), return_when=choose.choice(["FIRST_COMPLETED", "ALL_COMPLETED"])
    )
    return sorted(task.get_name() for task in done), len(pending)


async def shield(program, choose, name, depth):
    if depth == 2:
        return None
    task = asyncio.create_task(program.child(name, choose, depth), name=f"shielded by {name}")
    program.tasks.append(task)
    return await asyncio.wait_for(asyncio.shield(task), a_while(choose, 1))


ACTIONS = [
    sleep, sleep, own_sleep, wait_future, finish_future, cancel_future, renew_future, add_callback, call_soon,
    call_later, put, get, hold_lock, wait_event, flip_event, cancel_task, uncancel, spawn,
    await_child, gather, group, wait, shield,
]  # fmt: skip


def log_of(seed, library, new_loop):
    program = Program(seed, library)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(program.main())


@pytest.mark.parametrize("batch", range(SEEDS // BATCH))
def test_both_loops_do_the_same(batch):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        theirs = log_of(seed, asyncio, VirtualSelectorLoop)
        ours = log_of(seed, rota, virtual_rota_loop)
        for number, (expected, found) in enumerate(zip(theirs, ours, strict=False)):
            assert found == expected, f"seed {seed}, event {number}"
        assert len(ours) == len(theirs), f"seed {seed}"
