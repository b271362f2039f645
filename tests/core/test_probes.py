"""Who watches a loop hears what it does, and can't break it."""

import asyncio

import pytest
from tests.clocks import virtual_rota_loop

from rota.core.probes import HOOKS


@pytest.fixture
def loop():
    loop = virtual_rota_loop()
    yield loop
    loop.close()


class Everything:
    """Hears all there is to hear."""

    def __init__(self):
        self.heard = []

    def __getattr__(self, hook):
        if hook not in HOOKS:
            raise AttributeError(hook)
        return lambda what: self.heard.append((hook, what))

    def of(self, hook):
        return [what for name, what in self.heard if name == hook]


def test_tasks_made_and_done(loop):
    watching = Everything()
    loop.observe(watching)

    async def child():
        await asyncio.sleep(1)

    async def main():
        task = asyncio.create_task(child())
        await task
        return task

    outer = loop.create_task(main())
    inner = loop.run_until_complete(outer)
    assert watching.of("task_created") == [outer, inner]
    assert watching.of("task_done") == [inner, outer]


@pytest.mark.parametrize(("how", "state"), [("return", "FINISHED"), ("fail", "FINISHED"), ("cancel", "CANCELLED")])
def test_a_task_is_pending_when_it_is_made_and_done_when_it_is_done(loop, how, state):
    heard = []

    class Watching:
        def task_created(self, task):
            heard.append(("created", task._state))

        def task_done(self, task):
            heard.append(("done", task._state))

    async def end():
        if how == "fail":
            raise OSError

    loop.observe(Watching())
    task = loop.create_task(end())
    if how == "cancel":
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert heard == [("created", "PENDING"), ("done", state)]
    assert task.cancelled() or task.exception() is None or how == "fail"


def test_before_and_after_each_run(loop):
    watching = Everything()
    handle = loop.call_soon(watching.heard.append, ("ran", None))
    loop.observe(watching)
    loop.stop()
    loop.run_forever()
    runs = [(hook, what) for hook, what in watching.heard if hook in ("before_run", "ran", "after_run")]
    assert runs == [("before_run", handle), ("ran", None), ("after_run", handle)]


def test_polls_tell_how_long_and_how_many(loop):
    watching = Everything()
    loop.observe(watching)
    loop.run_until_complete(asyncio.sleep(1))
    polls = [entry for entry in watching.heard if entry[0].endswith("_poll")]
    assert [hook for hook, _ in polls[:2]] == ["before_poll", "after_poll"]
    assert watching.of("before_poll")[0] == 0.0
    assert all(moved == 0 for moved in watching.of("after_poll"))


def test_an_observer_hears_only_what_it_has_methods_for(loop):
    class Few:
        def __init__(self):
            self.done = []

        def task_done(self, task):
            self.done.append(task)

    few = Few()
    loop.observe(few)
    task = loop.create_task(asyncio.sleep(1))
    loop.run_until_complete(task)
    assert few.done == [task]


def test_two_observers_hear_in_the_order_in_which_they_came(loop):
    order = []

    class Named:
        def __init__(self, name):
            self.name = name

        def task_created(self, task):
            order.append(self.name)

    loop.observe(Named("first"))
    loop.observe(Named("second"))
    loop.run_until_complete(asyncio.sleep(0))
    assert order == ["first", "second"]


def test_unobserve(loop):
    watching = Everything()
    loop.observe(watching)
    assert loop._observed
    loop.unobserve(watching)
    assert not loop._observed
    loop.unobserve(watching)
    loop.run_until_complete(asyncio.sleep(1))
    assert watching.heard == []


@pytest.mark.parametrize("hook", HOOKS)
def test_an_observer_that_raises_is_taken_off_and_reported(loop, hook):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    error = ZeroDivisionError("in the observer")

    class Broken:
        def __repr__(self):
            return "<Broken>"

    def fail(self, what):
        raise error

    setattr(Broken, hook, fail)
    watching = Everything()
    loop.observe(Broken())
    loop.observe(watching)
    assert loop.run_until_complete(asyncio.sleep(1, "unharmed")) == "unharmed"
    assert [(report["message"], report["exception"]) for report in reports] == [
        (f"{hook} of observer <Broken> failed; it hears no more", error)
    ]
    assert {name for name, _ in watching.heard} == set(HOOKS)
    loop.unobserve(watching)
    assert not loop._observed


def test_an_observer_may_take_itself_off(loop):
    class Once:
        def __init__(self):
            self.heard = 0

        def before_run(self, runnable):
            self.heard += 1
            loop.unobserve(self)

    once, watching = Once(), Everything()
    loop.observe(once)
    loop.observe(watching)
    loop.run_until_complete(asyncio.sleep(0))
    assert once.heard == 1
    assert len(watching.of("before_run")) == len(watching.of("after_run"))


def test_eager_tasks_are_heard_too(loop):
    watching = Everything()
    loop.observe(watching)

    async def at_once():
        return 1

    async def main():
        return loop.create_task(at_once(), eager_start=True)

    task = loop.run_until_complete(main())
    assert task in watching.of("task_created")
    assert task in watching.of("task_done")


def test_the_counters_count_with_nobody_watching(loop):
    assert not loop._observed
    assert (loop._turns, loop._polls, loop._ran) == (0, 0, 0)
    for _ in range(3):
        loop.call_soon(int)
    loop.stop()
    loop.run_forever()
    assert (loop._turns, loop._polls, loop._ran) == (1, 1, 3)

    async def main():
        for _ in range(5):
            await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert loop._turns > 5
    assert loop._polls > 5
    assert loop._ran > 3 + 2 * 5
