"""Whatever a callback of the program raises, at whatever point, costs what it was about and nothing else.

``POINTS`` are the places where a loop calls the program: each is a coroutine that sets everything up so that ``fail``
is called there, and returns once that has happened. Whatever is raised there must reach the exception handler once; a
connection and a timer that have nothing to do with it go on. KeyboardInterrupt and SystemExit leave
``run_until_complete`` instead, and the loop can be run again.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest


class Odd(BaseException):
    """What is no Exception and no interrupt either."""


def recurse() -> None:
    recurse()


def exhaust() -> None:
    bytearray(1 << 62)


def raiser(make: Callable[[], BaseException]) -> Callable[[], None]:
    def fail() -> None:
        raise make()

    return fail


FAILURES: dict[str, tuple[type[BaseException], Callable[[], None]]] = {
    "ValueError": (ValueError, raiser(ValueError)),
    "StopIteration": (StopIteration, raiser(StopIteration)),
    "BaseException": (Odd, raiser(Odd)),
    "RecursionError": (RecursionError, recurse),
    "MemoryError": (MemoryError, exhaust),
}

INTERRUPTS: dict[str, Callable[[], BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
}


class Point:
    """A place to fail at: calls ``fail`` once and remembers that it did."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self._fail = fail
        self.reached = False

    def __call__(self, *_: object) -> None:
        if not self.reached:
            self.reached = True
            self._fail()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


# -- plain callbacks --------------------------------------------------------------------------------------------------


async def call_soon(fail: Point) -> None:
    asyncio.get_running_loop().call_soon(fail)


async def call_soon_with_context(fail: Point) -> None:
    asyncio.get_running_loop().call_soon(fail, context=contextvars.Context())


async def call_later(fail: Point) -> None:
    asyncio.get_running_loop().call_later(0.001, fail)


async def call_soon_threadsafe(fail: Point) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(loop.call_soon_threadsafe, fail)


async def done_callback(fail: Point) -> None:
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(fail)
    future.set_result(None)


async def done_callback_of_a_task(fail: Point) -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    task.add_done_callback(fail)
    await task


async def signal_handler(fail: Point) -> None:
    loop = asyncio.get_running_loop()

    def handle() -> None:
        loop.remove_signal_handler(signal.SIGUSR1)
        fail()

    loop.add_signal_handler(signal.SIGUSR1, handle)
    os.kill(os.getpid(), signal.SIGUSR1)


def watched(fail: Point, add: str, remove: str) -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.send(b"x")

    def ready() -> None:
        getattr(loop, remove)(ours)
        ours.close()
        theirs.close()
        fail()

    getattr(loop, add)(ours, ready)


async def reader(fail: Point) -> None:
    watched(fail, "add_reader", "remove_reader")


async def writer(fail: Point) -> None:
    watched(fail, "add_writer", "remove_writer")


# -- protocols --------------------------------------------------------------------------------------------------------


class Quiet(asyncio.Protocol):
    """Does nothing, but one of its methods fails."""

    def __init__(self, name: str, fail: Point) -> None:
        setattr(self, name, fail)


class QuietBuffered(asyncio.BufferedProtocol):
    def __init__(self, name: str, fail: Point) -> None:
        self._name = name
        self._fail = fail

    def get_buffer(self, hint: int) -> bytearray:
        if self._name == "get_buffer":
            self._fail()
        return bytearray(100)

    def buffer_updated(self, size: int) -> None:
        if self._name == "buffer_updated":
            self._fail()


async def connection(protocol: Any, fail: Point, act: Callable[[Any, socket.socket], object]) -> None:
    """A connection on which ``act(transport, peer)`` brings the protocol to its failing method; then it ends."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport = None
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
        act(transport, theirs)
        await until(lambda: fail.reached)
    finally:
        # An interrupt is on its way out of the loop at this moment: what is left is for the next run.
        theirs.close()
        if transport is not None:
            transport.abort()


def protocol_method(name: str, act: Callable[[Any, socket.socket], object]) -> Callable[[Point], Any]:
    async def point(fail: Point) -> None:
        make = QuietBuffered if name in ("get_buffer", "buffer_updated") else Quiet
        await connection(make(name, fail), fail, act)

    return point


def fill(transport: Any, peer: socket.socket) -> None:
    transport.set_write_buffer_limits(high=0)
    transport.write(bytes(1 << 22))


def fill_and_empty(transport: Any, peer: socket.socket) -> None:
    fill(transport, peer)

    def empty() -> None:
        if not transport.get_write_buffer_size():
            return
        try:
            while peer.recv(1 << 20):
                pass
        except BlockingIOError:
            loop.call_later(0.001, empty)
        except OSError:
            pass

    loop = asyncio.get_running_loop()
    loop.call_soon(empty)


POINTS: dict[str, Callable[[Point], Any]] = {
    "call_soon": call_soon,
    "call_soon in a context": call_soon_with_context,
    "call_later": call_later,
    "call_soon_threadsafe": call_soon_threadsafe,
    "done callback": done_callback,
    "done callback of a task": done_callback_of_a_task,
    "signal handler": signal_handler,
    "add_reader": reader,
    "add_writer": writer,
    "connection_made": protocol_method("connection_made", lambda transport, peer: None),
    "data_received": protocol_method("data_received", lambda transport, peer: peer.send(b"x")),
    "get_buffer": protocol_method("get_buffer", lambda transport, peer: peer.send(b"x")),
    "buffer_updated": protocol_method("buffer_updated", lambda transport, peer: peer.send(b"x")),
    "eof_received": protocol_method("eof_received", lambda transport, peer: peer.shutdown(socket.SHUT_WR)),
    # From a callback: what pause_writing raises goes through write() to whoever called that.
    "pause_writing": protocol_method("pause_writing", lambda *ends: asyncio.get_running_loop().call_soon(fill, *ends)),
    "resume_writing": protocol_method("resume_writing", fill_and_empty),
    "connection_lost": protocol_method("connection_lost", lambda transport, peer: transport.close()),
}


class Bystander:
    """A connection and a ticking timer that have nothing to do with what fails."""

    async def __aenter__(self):
        self.ticks = 0
        self.ours, self.theirs = socket.socketpair()
        self.reader, self.writer = await asyncio.open_connection(sock=self.ours)
        self.theirs.setblocking(False)
        self.timer = asyncio.get_running_loop().call_soon(self.tick)
        return self

    def tick(self):
        self.ticks += 1
        self.timer = asyncio.get_running_loop().call_later(0.0005, self.tick)

    async def goes_on(self):
        ticks = self.ticks
        self.theirs.send(b"ping")
        async with asyncio.timeout(10):
            assert await self.reader.readexactly(4) == b"ping"
            self.writer.write(b"pong")
            assert await asyncio.get_running_loop().sock_recv(self.theirs, 10) == b"pong"
        await until(lambda: self.ticks > ticks)

    async def __aexit__(self, *_):
        self.timer.cancel()
        self.writer.close()
        await self.writer.wait_closed()
        self.theirs.close()


def watch_reports(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    return reports


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("point", POINTS)
def test_what_fails_is_reported_once_and_all_else_goes_on(run_real, point, failure):
    kind, fail = FAILURES[failure]
    told = []

    async def main():
        told.append(watch_reports(asyncio.get_running_loop()))
        place = Point(fail)
        async with Bystander() as bystander:
            await POINTS[point](place)
            await until(lambda: place.reached)
            await bystander.goes_on()

    run_real(main())
    assert [type(report["exception"]) for report in told[0]] == [kind], told[0]


#: asyncio's transport is left with nothing to write and a writer that says so at every turn.
ASYNCIO_BREAKS = [("asyncio", "resume_writing")]


@pytest.mark.parametrize("interrupt", INTERRUPTS)
@pytest.mark.parametrize(
    ("kind", "point"),
    [(kind, point) for kind in ("rota", "asyncio") for point in POINTS if (kind, point) not in ASYNCIO_BREAKS],
)
def test_an_interrupt_leaves_the_loop_which_can_be_run_again(new_loop, point, interrupt):
    error = INTERRUPTS[interrupt]()
    place = Point(raiser(lambda: error))
    order = []
    loop = new_loop()
    reports = watch_reports(loop)

    async def main(bystander):
        loop.call_soon(order.append, "before")
        await POINTS[point](place)
        await until(lambda: order[1:])  # until the second run

    bystander = Bystander()
    task = None
    try:
        loop.run_until_complete(bystander.__aenter__())
        task = loop.create_task(main(bystander))
        with pytest.raises(type(error)) as raised:
            loop.run_until_complete(task)
        assert raised.value is error
        assert place.reached
        assert not task.done()
        order.append("again")
        loop.run_until_complete(bystander.goes_on())
        loop.run_until_complete(asyncio.wait_for(task, 10))
    finally:
        loop.run_until_complete(bystander.__aexit__())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert order == ["before", "again"]
    assert reports == []


class Unprintable:
    def __call__(self) -> None:
        raise ValueError("mine")

    def __repr__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", ["rota"])
def test_a_callback_that_cannot_even_be_printed_is_reported(run_real, debug):
    """With asyncio the ZeroDivisionError ends the loop."""

    async def main():
        loop = asyncio.get_running_loop()
        reports = watch_reports(loop)
        async with Bystander() as bystander:
            loop.call_soon(Unprintable())
            loop.call_later(0.001, Unprintable())
            await until(lambda: len(reports) == 2)
            await bystander.goes_on()
        return reports

    for report in run_real(main(), debug=debug):
        assert str(report["exception"]) == "mine"
        assert "Unprintable object, whose repr raised ZeroDivisionError" in report["message"]


# -- where the exception is somebody's own ----------------------------------------------------------------------------


@pytest.mark.parametrize("failure", FAILURES)
def test_a_function_in_a_thread_raises_to_whoever_awaits_it(run_real, kind, failure):
    raised, fail = FAILURES[failure]
    if raised is StopIteration:
        raised = RuntimeError  # a future can't hold one
        if kind == "asyncio" and sys.version_info < (3, 13):
            pytest.skip("with the wrap_future of some Pythons before 3.13, a future of a StopIteration is never done")

    async def main():
        reports = watch_reports(asyncio.get_running_loop())
        async with Bystander() as bystander:
            with pytest.raises(raised):
                await asyncio.get_running_loop().run_in_executor(None, fail)
            await bystander.goes_on()
        assert reports == []

    run_real(main())


@pytest.mark.parametrize("failure", FAILURES)
def test_a_protocol_factory_raises_to_whoever_connects(run_real, failure):
    kind, fail = FAILURES[failure]
    if kind is StopIteration:
        kind = RuntimeError  # out of a coroutine

    async def main():
        loop = asyncio.get_running_loop()
        reports = watch_reports(loop)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            async with Bystander() as bystander:
                with pytest.raises(kind):
                    await loop.create_connection(fail, sock=ours)
                await bystander.goes_on()
        assert reports == []

    run_real(main())


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("kind", ["rota"])
def test_a_servers_protocol_factory_costs_one_connection(run_real, failure):
    """asyncio says nothing of it unless in debug mode."""
    kind, fail = FAILURES[failure]

    async def main():
        loop = asyncio.get_running_loop()
        reports = watch_reports(loop)
        place = Point(fail)
        protocols = []

        def factory():
            place()
            protocols.append(asyncio.Protocol())
            return protocols[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        async with Bystander() as bystander:
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            writer.close()
            await bystander.goes_on()
            reader, writer = await asyncio.open_connection(*address)
            await until(lambda: protocols)
            writer.close()
            assert await reader.read() == b""
        server.close()
        return reports

    assert [type(report["exception"]) for report in run_real(main())] == [kind]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_task_factory_raises_to_whoever_makes_the_task(run_real, failure):
    kind, fail = FAILURES[failure]

    async def main():
        loop = asyncio.get_running_loop()
        reports = watch_reports(loop)

        def factory(loop, coro, **kwargs):
            coro.close()
            fail()

        raised = None
        async with Bystander() as bystander:
            loop.set_task_factory(factory)
            try:
                loop.create_task(asyncio.sleep(0))  # noqa: RUF006 - there will be none
            except BaseException as error:
                raised = error
            loop.set_task_factory(None)
            await bystander.goes_on()
        assert reports == []
        return type(raised)

    assert run_real(main()) is kind


@pytest.mark.parametrize("failure", FAILURES)
def test_an_exception_handler_that_fails_is_logged(run_real, caplog, failure):
    kind, fail = FAILURES[failure]

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: fail())
        async with Bystander() as bystander:
            loop.call_soon(raiser(ZeroDivisionError))
            await until(lambda: caplog.records)
            await bystander.goes_on()

    run_real(main())
    (record,) = caplog.records
    assert record.getMessage().startswith("Unhandled error in exception handler")
    assert record.exc_info[0] is kind


@pytest.mark.parametrize("failure", FAILURES)
def test_a_finalizer_that_fails_is_unraisable(run_real, failure, monkeypatch):
    kind, fail = FAILURES[failure]
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: unraisable.append(hook.exc_type))

    class Rude:
        def __del__(self):
            fail()

    async def main():
        loop = asyncio.get_running_loop()
        reports = watch_reports(loop)
        async with Bystander() as bystander:
            loop.call_soon(lambda rude: None, Rude())
            loop.call_later(0.001, lambda rude: None, Rude()).cancel()
            future = loop.create_future()
            future.set_result(Rude())
            del future
            await asyncio.sleep(0)
            await bystander.goes_on()
        assert reports == []

    run_real(main())
    assert unraisable == [kind] * 3


@pytest.mark.parametrize("failure", FAILURES)
def test_an_async_generator_that_fails_as_it_is_dropped_is_reported(run_real, failure):
    kind, fail = FAILURES[failure]
    if kind is StopIteration:
        kind = RuntimeError  # out of a generator

    async def main():
        loop = asyncio.get_running_loop()
        reports = watch_reports(loop)

        async def numbers():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                fail()

        async with Bystander() as bystander:
            generator = numbers()
            await anext(generator)
            del generator
            gc.collect()
            await until(lambda: gc.collect() * 0 + len(reports))
            await bystander.goes_on()
        return reports

    assert [type(report["exception"]) for report in run_real(main())] == [kind]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_task_that_nobody_awaits_is_reported(run_real, failure):
    kind, fail = FAILURES[failure]
    if kind is StopIteration:
        kind = RuntimeError  # out of a coroutine

    async def work():
        fail()

    async def main():
        reports = watch_reports(asyncio.get_running_loop())
        async with Bystander() as bystander:
            task = asyncio.create_task(work())
            await asyncio.wait([task])
            del task
            gc.collect()
            await bystander.goes_on()
        return reports

    assert [type(report["exception"]) for report in run_real(main())] == [kind]
