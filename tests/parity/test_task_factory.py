"""Somebody else makes the tasks: which keywords a factory is given on which Python, and what is made of its answer."""

import asyncio
import contextvars
import sys

import pytest


async def nothing():
    return "nothing"


def test_a_factory_makes_the_tasks(loop, library):
    made = []

    def factory(loop, coro, **keywords):
        task = library.Task(coro, loop=loop, **keywords)
        made.append(task)
        return task

    async def main():
        return await asyncio.create_task(nothing()), await asyncio.gather(nothing(), nothing())

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    assert loop.run_until_complete(main()) == ("nothing", ["nothing", "nothing"])
    assert len(made) == 4
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    assert loop.run_until_complete(nothing()) == "nothing"
    assert len(made) == 4


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="since Python 3.14 a factory is given every keyword")
def test_a_factory_of_two_arguments_is_enough(loop, library):
    loop.set_task_factory(lambda loop, coro: library.Task(coro, loop=loop))
    task = loop.create_task(nothing(), name="named")
    assert task.get_name() == "named"
    assert loop.run_until_complete(task) == "nothing"
    assert loop.create_task(nothing()).cancel()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="since Python 3.14 a factory is given every keyword")
def test_only_a_context_is_passed_on_and_only_if_given(loop, library):
    given = []

    def factory(loop, coro, **keywords):
        given.append(dict(keywords))
        return library.Task(coro, loop=loop, **keywords)

    loop.set_task_factory(factory)
    context = contextvars.copy_context()
    tasks = [
        loop.create_task(nothing()),
        loop.create_task(nothing(), name="named"),
        loop.create_task(nothing(), context=context),
        loop.create_task(nothing(), name="both", context=context),
    ]
    assert given == [{}, {}, {"context": context}, {"context": context}]
    assert [task.get_name() for task in tasks[1::2]] == ["named", "both"]
    loop.run_until_complete(asyncio.wait(tasks))


def test_a_factory_may_make_something_else(loop):
    """A plain future with a name is task enough."""

    class Named(asyncio.Future):
        def set_name(self, name):
            self.name = name

    def factory(loop, coro, **keywords):
        coro.close()
        future = Named(loop=loop)
        future.set_result("made up")
        return future

    loop.set_task_factory(factory)
    made = loop.create_task(nothing(), name="x")
    assert type(made) is Named
    assert loop.run_until_complete(made) == "made up"


def test_what_cannot_be_called_is_no_factory(loop):
    with pytest.raises(TypeError, match=r"^task factory must be a callable or None$"):
        loop.set_task_factory(42)
    assert loop.get_task_factory() is None


def test_a_factory_that_raises_tells_whoever_asked(loop):
    def factory(loop, coro, **keywords):
        coro.close()
        raise ZeroDivisionError

    loop.set_task_factory(factory)
    with pytest.raises(ZeroDivisionError):
        loop.create_task(nothing())
    loop.set_task_factory(None)


def test_an_unknown_keyword_is_refused(loop):
    coro = nothing()
    with pytest.raises(TypeError):
        loop.create_task(coro, colour="red")
    coro.close()
