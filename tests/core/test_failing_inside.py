"""What fails on rota's own side of a callback costs that callback, not the loop."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import weakref

import pytest

import rota


class Odd:
    """Looks like a future to a task, and is none."""

    _asyncio_future_blocking = True

    def __await__(self):
        yield self


class Unprintable:
    def __await__(self):
        yield self

    def __repr__(self):
        raise ValueError("no")


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("odd", [Odd, Unprintable])
def test_a_task_that_awaits_nonsense_is_told_and_the_loop_goes_on(run, odd):
    """asyncio reports it and leaves the task pending for ever."""

    async def main():
        async def bad():
            await odd()

        (error,) = await asyncio.gather(bad(), return_exceptions=True)
        return type(error)

    assert run(main()) in (AttributeError, ValueError)


@pytest.mark.parametrize("kind", ["rota"])
def test_a_socket_closed_behind_its_transport_costs_one_connection(run_real):
    lost = []

    class Rude(asyncio.Protocol):
        def connection_made(self, transport):
            os.close(transport.get_extra_info("socket").fileno())

        def connection_lost(self, error):
            lost.append(error)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)  # the socket can't be closed a second time
        ours, theirs = socket.socketpair()
        with theirs:
            await loop.create_connection(Rude, sock=socket.socket(fileno=ours.detach()))
            await asyncio.sleep(0)

    run_real(main())
    assert [type(error) for error in lost] == [OSError]


@pytest.mark.parametrize("kind", ["rota"])
def test_whoever_ran_last_is_let_go_of_while_the_loop_sleeps(run_real):
    class Result:
        pass

    async def main():
        async def give():
            return Result()

        gone = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def watch():
            task = asyncio.create_task(give())
            weakref.finalize(await task, loop.call_soon_threadsafe, gone.set)

        await watch()
        async with asyncio.timeout(5):
            await gone.wait()

    run_real(main())


@pytest.mark.parametrize("sleep", [rota.sleep, asyncio.sleep])
@pytest.mark.parametrize("kind", ["rota"])
def test_a_time_that_is_not_a_number_is_refused(run, sleep):
    with pytest.raises(ValueError, match="NaN"):
        run(sleep(float("nan")))


@pytest.mark.parametrize("kind", ["rota"])
def test_a_subclass_that_forgets_its_base_is_told(run):
    class Forgetful(rota.Future):
        def __init__(self):
            pass

    async def main():
        with pytest.raises((RuntimeError, AttributeError)):
            Forgetful().add_done_callback(print)

    run(main())
    with pytest.raises((RuntimeError, AttributeError)):
        type("ForgetfulLoop", (rota.Loop,), {"__init__": lambda self: None})().time()
    gc.collect()


@pytest.mark.parametrize("kind", ["rota"])
def test_a_handle_takes_any_iterable_of_arguments(loop):
    heard = []
    loop._ready.push(rota.Handle(heard.append, [1], loop))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert heard == [1]


async def nothing():
    pass


@pytest.mark.parametrize(
    "use",
    [
        lambda loop, coro: loop.call_soon(print),
        lambda loop, coro: loop.call_later(1, print),
        lambda loop, coro: loop.call_at(1, print),
        lambda loop, coro: loop.create_future(),
        lambda loop, coro: loop.create_task(coro),
        lambda loop, coro: loop.run_forever(),
        lambda loop, coro: loop.run_until_complete(coro),
        lambda loop, coro: loop.set_debug(True),
        lambda loop, coro: loop.time(),
        lambda loop, coro: rota.Future(loop=loop),
        lambda loop, coro: rota.Task(coro, loop=loop),
    ],
)
def test_a_loop_that_forgets_its_base_is_told(use):
    """Compiled, it would use a clock and a ready list that are not there; plain Python has words of its own."""

    class Forgetful(rota.Loop):
        def __init__(self):
            pass

    coro = nothing()
    with pytest.raises(RuntimeError if rota.COMPILED else AttributeError, match="Forgetful"):
        use(Forgetful(), coro)
    coro.close()


@pytest.mark.parametrize("make", [rota.Handle, lambda *args: rota.TimerHandle(0.0, *args)])
def test_a_handle_of_no_loop_is_refused(make):
    """Compiled, it would read its loop's fields out of None."""
    with pytest.raises(TypeError, match=r"^a handle needs rota's loop, not None$"):
        make(print, (), None)


def test_tasks_and_futures_take_attributes(run):
    async def main():
        task = asyncio.current_task()
        task.tag = 1
        future = asyncio.get_running_loop().create_future()
        future.tag = 2
        return task.tag + future.tag

    assert run(main()) == 3


def test_rota_gather_on_another_loop_is_that_loops(run):
    async def main():
        return await rota.gather(asyncio.sleep(1, "a"), asyncio.sleep(0, "b"))

    assert run(main()) == ["a", "b"]


def test_rota_futures_on_another_loop_say_what_to_do():
    loop = asyncio.SelectorEventLoop()
    with pytest.raises(TypeError, match=r"start the program with rota.run\(\)"):
        rota.Future(loop=loop)
    loop.close()


@pytest.mark.parametrize("kind", ["rota"])
def test_what_was_written_before_an_abort_has_left(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.settimeout(5)
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            transport.write(b"bye")
            transport.abort()
            return await asyncio.to_thread(theirs.recv, 10)

    assert run_real(main()) == b"bye"


@pytest.mark.parametrize("kind", ["rota"])
def test_a_socket_that_the_program_brought_stays_its_own_when_the_factory_raises(run_real):
    async def main():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            with pytest.raises(ZeroDivisionError):
                await asyncio.get_running_loop().create_connection(lambda: 1 / 0, sock=ours)
            assert ours.fileno() >= 0

    run_real(main())
