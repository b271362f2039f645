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


@pytest.mark.parametrize("kind", ["rota"])
def test_eager_start_is_passed_on_if_it_was_given(loop, library):
    """asyncio takes the keyword since Python 3.14."""
    given = []

    def factory(loop, coro, **keywords):
        given.append(keywords.get("eager_start"))
        return library.Task(coro, loop=loop, **keywords)

    async def main():
        loop.set_task_factory(factory)
        tasks = [
            loop.create_task(nothing()),
            loop.create_task(nothing(), eager_start=False),
            loop.create_task(nothing(), eager_start=True),
        ]
        done = [task.done() for task in tasks]
        await asyncio.wait(tasks)
        return done

    assert loop.run_until_complete(main()) == [False, False, True]
    assert given == [None, False, True]


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="since Python 3.14 a factory is given every keyword")
def test_a_factory_that_does_not_know_eager_start_says_so(loop, library):
    loop.set_task_factory(lambda loop, coro: library.Task(coro, loop=loop))
    coro = nothing()
    with pytest.raises(TypeError, match="eager_start"):
        loop.create_task(coro, eager_start=True)
    coro.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks since Python 3.12")
@pytest.mark.parametrize("eager_start", [None, True, False])
@pytest.mark.parametrize("whose", ["asyncio's own", "asyncio's for its tasks", "asyncio's for rota's tasks"])
def test_eager_factories_take_all_that_create_task_takes(loop, kind, library, whose, eager_start):
    """asyncio's own loop takes ``eager_start`` since Python 3.14."""
    if kind == "asyncio" and eager_start is not None and sys.version_info < (3, 14):
        pytest.skip("asyncio: since Python 3.14")
    variable = contextvars.ContextVar("variable", default="unset")
    made = []

    class Own(asyncio.Task):
        def __init__(self, *args, **keywords):
            made.append(self)
            super().__init__(*args, **keywords)

    factory = {
        "asyncio's own": asyncio.eager_task_factory,
        "asyncio's for its tasks": asyncio.create_eager_task_factory(Own),
        "asyncio's for rota's tasks": asyncio.create_eager_task_factory(library.Task),
    }[whose]
    keywords = {} if eager_start is None else {"eager_start": eager_start}

    async def child():
        return variable.get()

    async def main():
        loop.set_task_factory(factory)
        context = contextvars.copy_context()
        context.run(variable.set, "given")
        task = loop.create_task(child(), name="named", context=context, **keywords)
        done = task.done()
        assert task.get_name() == "named"
        assert await task == "given"
        assert len(made) == (whose == "asyncio's for its tasks")
        return done

    assert loop.run_until_complete(main()) is (eager_start is not False)
