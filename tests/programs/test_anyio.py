"""anyio's own way to write programs, on its asyncio backend with this loop."""

from __future__ import annotations

import math
import subprocess
import sys
import threading

import anyio
import anyio.to_thread
import pytest


@pytest.fixture
def run_anyio(new_loop):
    def run_anyio(main):
        return anyio.run(main, backend="asyncio", backend_options={"loop_factory": new_loop})

    return run_anyio


def test_the_tasks_of_a_group_end_before_it_does(run_anyio):
    async def main():
        found = []

        async def work(number):
            await anyio.sleep(0)
            found.append(number)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(work, number)
        assert found == list(range(10))

    run_anyio(main)


def test_a_task_that_fails_cancels_the_others(run_anyio):
    async def main():
        cancelled = []

        async def wait():
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                cancelled.append(True)
                raise

        async def fail():
            await anyio.sleep(0)
            raise ZeroDivisionError

        async def everything():
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                group.start_soon(wait)
                group.start_soon(fail)

        with pytest.raises(ExceptionGroup) as raised:
            await everything()
        assert [type(error) for error in raised.value.exceptions] == [ZeroDivisionError]
        assert cancelled == [True, True]

    run_anyio(main)


def test_a_task_says_when_it_has_begun(run_anyio):
    async def main():
        async def serve(*, task_status=anyio.TASK_STATUS_IGNORED):
            task_status.started("ready")
            await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            assert await group.start(serve) == "ready"
            group.cancel_scope.cancel()

    run_anyio(main)


def test_scopes_inside_scopes_cancel_what_they_should(run_anyio):
    async def main():
        with anyio.move_on_after(5) as outer:
            with anyio.move_on_after(0.001) as inner:
                await anyio.sleep(10)
            assert inner.cancelled_caught
            with anyio.CancelScope() as mine:
                mine.cancel()
                await anyio.sleep(10)
            assert mine.cancelled_caught
            with pytest.raises(TimeoutError), anyio.fail_after(0.001):
                await anyio.sleep(10)
            with anyio.CancelScope() as scope:
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
                reached = True
                await anyio.sleep(10)
            assert reached
        assert not outer.cancelled_caught
        assert anyio.current_effective_deadline() == math.inf

    run_anyio(main)


def test_blocking_work_in_threads(run_anyio):
    async def main():
        async def answer():
            return threading.current_thread() is threading.main_thread()

        def work(number):
            assert threading.current_thread() is not threading.main_thread()
            assert anyio.from_thread.run(answer)
            return number * 2

        found = []

        async def ask(number):
            found.append(await anyio.to_thread.run_sync(work, number))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(ask, number)
        assert sorted(found) == [number * 2 for number in range(20)]

    run_anyio(main)


def test_a_memory_stream_connects_tasks(run_anyio):
    async def main():
        send, receive = anyio.create_memory_object_stream[int](2)
        found = []

        async def produce():
            async with send:
                for number in range(100):
                    await send.send(number)

        async def consume(stream):
            async with stream:
                async for number in stream:
                    found.append(number)

        async with anyio.create_task_group() as group:
            group.start_soon(consume, receive.clone())
            group.start_soon(consume, receive)
            group.start_soon(produce)
        assert sorted(found) == list(range(100))

    run_anyio(main)


def test_sockets_and_their_ends(run_anyio):
    async def main():
        async def serve(stream):
            async with stream:
                async for data in stream:
                    await stream.send(data.upper())

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                for number in range(20):
                    await stream.send(b"message %d" % number)
                    assert await stream.receive() == b"MESSAGE %d" % number
                await stream.send(b"x" * 1_000_000)
                found = 0
                while found < 1_000_000:
                    found += len(await stream.receive())
                await stream.send_eof()
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()
            with pytest.raises(anyio.ClosedResourceError):
                await stream.send(b"too late")
            group.cancel_scope.cancel()
        await listener.aclose()
        with pytest.raises(OSError, match="All connection attempts failed"):
            await anyio.connect_tcp("127.0.0.1", port)

    run_anyio(main)


def test_a_receive_that_is_cancelled_loses_nothing(run_anyio, tmp_path):
    async def main():
        async def serve(stream):
            async with stream:
                await stream.receive()
                await stream.send(b"answer")

        listener = await anyio.create_unix_listener(tmp_path / "s")
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            async with await anyio.connect_unix(tmp_path / "s") as stream:
                with anyio.move_on_after(0.001) as scope:
                    await stream.receive()
                assert scope.cancelled_caught
                await stream.send(b"question")
                assert await stream.receive() == b"answer"
            group.cancel_scope.cancel()
        await listener.aclose()

    run_anyio(main)


def test_processes(run_anyio):
    async def main():
        code = "import sys; sys.stdout.write(sys.stdin.read().upper())"
        done = await anyio.run_process([sys.executable, "-S", "-c", code], input=b"words")
        assert done.stdout == b"WORDS"
        with pytest.raises(subprocess.CalledProcessError) as raised:
            await anyio.run_process([sys.executable, "-S", "-c", "raise SystemExit(3)"])
        assert raised.value.returncode == 3

    run_anyio(main)


def test_locks_and_events(run_anyio):
    async def main():
        lock, limiter, event = anyio.Lock(), anyio.CapacityLimiter(2), anyio.Event()
        inside = most = 0

        async def work():
            nonlocal inside, most
            await event.wait()
            async with limiter:
                inside += 1
                most = max(most, inside)
                async with lock:
                    await anyio.sleep(0)
                inside -= 1

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(work)
            await anyio.wait_all_tasks_blocked()
            event.set()
        assert most == 2

    run_anyio(main)
