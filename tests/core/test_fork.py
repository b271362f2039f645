"""A child that forks from a running loop: the parent goes on as if nothing had been, and the child can begin anew.

asyncio resets its running loop in the child and nothing else: there the child shares the parent's epoll set and waker.
What it does wrong for that reason is tested on rota alone.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.net.recorder import Recorder, until

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    # Python warns of threads at each fork since 3.12; here it is the point.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

LONGEST = 20  # seconds until a child that hangs is ended


def in_child(work: Callable[[], object]) -> str:
    """What ``work`` returns or raises in a forked child, as text. Blocks until the child has ended."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST)
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as file:
        said = file.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}"
    return said


async def talk(loop: asyncio.AbstractEventLoop) -> bytes:
    """A message through a server and back."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    server = await loop.create_server(Echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    return answer


class Wire:
    """A connection of the running loop, whose other end is held here."""

    async def __aenter__(self):
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.transport, self.protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        return self

    async def __aexit__(self, *_):
        self.transport.abort()
        await self.protocol.lost
        self.theirs.close()

    async def works(self) -> bool:
        before = len(self.protocol.data)
        self.theirs.send(b"ping")
        await until(lambda: len(self.protocol.data) == before + 4)
        self.transport.write(b"pong")
        return await asyncio.get_running_loop().sock_recv(self.theirs, 10) == b"pong"


def running_loop() -> str:
    return repr(asyncio._get_running_loop())


def test_no_loop_runs_in_the_child(run_real):
    async def main():
        said = in_child(running_loop)
        assert asyncio.get_running_loop()
        return said

    assert run_real(main()) == "None"


def test_the_child_runs_a_loop_of_its_own(run_real, new_loop):
    def child():
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(talk(runner.get_loop()))

    async def main():
        async with Wire() as wire:
            assert await wire.works()
            assert in_child(child) == "b'hello'"
            assert await wire.works()
            return await talk(asyncio.get_running_loop())

    assert run_real(main()) == b"hello"


@pytest.mark.parametrize("kind", ["rota"])
def test_what_the_child_closes_stays_open_in_the_parent(run_real):
    """With asyncio the child takes the descriptors out of the epoll set that it shares with its parent."""

    async def main():
        loop = asyncio.get_running_loop()
        async with Wire() as wire:
            assert await wire.works()

            def child():
                wire.transport.pause_reading()
                wire.transport.abort()

            assert "belongs to the parent" in in_child(child)
            assert in_child(loop.close) == "None"
            assert in_child(lambda: loop.remove_reader(wire.theirs)) == "False"
            assert await wire.works()
            asyncio.get_running_loop().call_soon_threadsafe(lambda: None)
            await asyncio.sleep(0.001)

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_the_inherited_loop_says_whose_it_is(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        coro = asyncio.sleep(0)
        words = "RuntimeError: This event loop belongs to the parent process: a forked child must make one of its own"
        asks: list[Callable[[], Any]] = [
            loop.run_forever,
            lambda: loop.run_until_complete(loop.create_future()),
            lambda: loop.call_soon(print),
            lambda: loop.call_soon_threadsafe(print),
            lambda: loop.call_later(1, print),
            lambda: loop.create_task(coro),
            lambda: loop.add_reader(0, print),
            lambda: loop.run_in_executor(None, print),
        ]
        assert [in_child(ask) for ask in asks] == [words] * len(asks)
        assert in_child(lambda: (loop.is_closed(), loop.is_running())) == "(True, False)"
        await coro

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_what_a_pipe_has_to_write_leaves_once(run_real):
    """asyncio has sent it before the fork, and lets the child write on."""

    async def main():
        reads, writes = os.pipe()
        with open(reads, "rb", 0) as file:
            transport, _ = await asyncio.get_running_loop().connect_write_pipe(Recorder, open(writes, "wb", 0))  # noqa: SIM115 - the transport closes it
            transport.write(b"once")
            said = in_child(lambda: transport.write(b" more"))
            assert said.startswith("RuntimeError: This event loop belongs to the parent process")
            transport.close()
            await until(lambda: transport.get_protocol() is None)
            assert file.read() == b"once"

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_what_a_datagram_endpoint_and_a_file_have_to_send_is_the_parents(run_real, tmp_path):
    """asyncio lets the child send, too."""
    (tmp_path / "file").write_bytes(b"file")

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
        theirs.setblocking(False)
        transport, protocol = await loop.create_datagram_endpoint(Recorder, sock=ours)
        words = "RuntimeError: This event loop belongs to the parent process: a forked child must make one of its own"
        assert in_child(lambda: transport.sendto(b"child")) == words
        async with Wire() as wire:
            with open(tmp_path / "file", "rb") as file:
                assert in_child(lambda: loop.sendfile(wire.transport, file).send(None)) == words
                assert await wire.works()
                assert await loop.sendfile(wire.transport, file) == 4
            assert await loop.sock_recv(wire.theirs, 100) == b"file"
        transport.sendto(b"parent")
        assert theirs.recv(100) == b"parent"
        transport.close()
        await protocol.lost
        theirs.close()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("way", ["drop", "close", "kill"])
def test_the_parents_children_are_left_alone(run_real, way, caplog):
    """asyncio's transport waits for the parent's child, says that somebody else has, and can kill it."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "cat", stderr=None)

        def child():
            nonlocal transport
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                said = None
                try:
                    if way == "drop":
                        transport.__del__()
                        for fd in (0, 1):
                            transport.get_pipe_transport(fd).__del__()
                    elif way == "close":
                        transport.close()
                    else:
                        transport.kill()
                except RuntimeError as error:
                    said = "the parent's" if "belongs to the parent" in str(error) else str(error)
            return said, transport.get_returncode(), [str(warning.message) for warning in warned], caplog.messages

        said = None if way == "drop" else "the parent's"
        assert in_child(child) == str((said, None, [], []))
        os.kill(transport.get_pid(), 0)
        assert transport.get_returncode() is None
        transport.get_pipe_transport(0).close()
        assert await transport._wait() == 0
        transport.close()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_call_from_the_child_wakes_nobody(run_real):
    """With asyncio it writes into the parent's self-pipe."""

    async def main():
        loop = asyncio.get_running_loop()
        polls = loop._polls
        in_child(lambda: [loop._waker.wake(), loop.call_soon_threadsafe(print)])
        await asyncio.sleep(0.01)  # one poll ends with the timer, if nothing comes before
        return loop._polls - polls

    assert run_real(main()) <= 2


@pytest.mark.parametrize("leave", [SystemExit(3), KeyboardInterrupt(), ValueError("mine"), None])
@pytest.mark.parametrize("kind", ["rota"])
def test_a_child_that_comes_back_to_the_turn_leaves_it(run_real, leave, caplog):
    """... and neither runs who was ready nor sends what was written. With asyncio both processes go on with both."""
    parent = os.getpid()
    reads, writes = os.pipe()
    ran = []

    async def main():
        loop = asyncio.get_running_loop()
        async with Wire() as wire:
            wire.transport.write(b"once")
            loop.call_soon(ran.append, "next")
            waits = asyncio.create_task(asyncio.sleep(3600))
            child = os.fork()
            if child == 0:
                if leave is not None:
                    raise leave
                return None
            await asyncio.to_thread(os.waitpid, child, 0)
            assert await loop.sock_recv(wire.theirs, 100) == b"once"
            with pytest.raises(BlockingIOError):
                wire.theirs.recv(100)
            waits.cancel()
            return "parent"

    said = ""
    try:
        said = run_real(main())
    except BaseException as error:
        said = f"{type(error).__name__}: {error} {caplog.text}"
    finally:
        if os.getpid() != parent:
            os.write(writes, f"{ran} {said}".encode())
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as file:
        child_said = file.read().decode()
    assert said == "parent"
    assert ran == ["next"]
    assert child_said.startswith("[] RuntimeError: This event loop belongs to the parent process"), child_said
    assert "destroyed" not in child_said


def test_what_waits_for_a_thread_is_the_parents(run_real):
    """A call that the child dropped would end what it holds, as if it were the child's."""
    parent = os.getpid()
    ended_in = []

    class Held:
        def __del__(self):
            ended_in.append("parent" if os.getpid() == parent else "child")

    async def main():
        loop = asyncio.get_running_loop()
        go_on = threading.Event()
        calls = [loop.run_in_executor(None, go_on.wait, 10) for _ in range(40)]  # more than there are threads
        calls.append(loop.run_in_executor(None, id, Held()))
        assert in_child(lambda: ended_in) == "[]"
        go_on.set()
        await asyncio.gather(*calls)
        del calls
        await until(lambda: ended_in == ["parent"])

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_child_that_was_forked_in_a_thread_ends_with_the_call(run_real):
    """asyncio's waits for the next call for ever."""

    def fork():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST)
        return child

    async def main():
        child = await asyncio.to_thread(fork)
        return (await asyncio.to_thread(os.waitpid, child, 0))[1]

    assert run_real(main()) == 0


LEAVING = """
import asyncio, os, sys, rota

async def wait():
    try:
        await asyncio.sleep(3600)
    finally:
        print("ended in", "parent" if os.getpid() == parent else "child", flush=True)

async def generate():
    try:
        yield
    finally:
        await asyncio.sleep(0)

async def main():
    tasks = [asyncio.create_task(wait()), asyncio.Task(wait())]
    generator = generate()
    await anext(generator)
    await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        sys.exit(3)
    print("child left with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

parent = os.getpid()
if sys.argv[1] == "run":
    rota.run(main())
else:
    with asyncio.Runner(loop_factory=rota.new_event_loop) as runner:
        if sys.argv[1] == "Runner":
            runner.run(main())
        else:
            runner.get_loop().run_until_complete(main())
"""


@pytest.mark.parametrize("way", ["run", "Runner", "loop"])
def test_a_child_may_leave_by_exit(way):
    """Without a word, and with nothing done to the parent's tasks: asyncio cancels and runs them in the child."""
    command = [sys.executable, "-W", "always", "-c", LEAVING, way]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert found.stderr == ""
    assert found.stdout.splitlines() == ["child left with 3", "ended in parent", "ended in parent"]
    assert found.returncode == 0


@pytest.mark.parametrize("kind", ["rota"])
def test_signals_of_the_child_are_its_own(run_real):
    """With asyncio up to 3.11 the parent hears them; later, nobody does, and the child can't be ended by SIGTERM."""

    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        loop.add_signal_handler(signal.SIGTERM, heard.append, "term")
        child = os.fork()
        if child == 0:
            signal.alarm(LONGEST)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        await asyncio.sleep(0.01)
        assert heard == []
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: heard)
        return status

    assert os.WTERMSIG(run_real(main())) == signal.SIGTERM


def test_a_process_of_multiprocessing(run_real, new_loop):
    context = multiprocessing.get_context("fork")

    def child(queue):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            queue.put(runner.run(talk(runner.get_loop())))

    async def main():
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue,))
        async with Wire() as wire:
            process.start()
            assert await wire.works()
            await asyncio.to_thread(process.join, LONGEST)
            assert process.exitcode == 0
            answer = queue.get()
            queue.close()
            process.close()
            assert await wire.works()
            return answer

    assert run_real(main()) == b"hello"


def double(number: int) -> int:
    return 2 * number


def test_a_pool_of_processes(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            async with Wire() as wire:
                found = await asyncio.gather(*[loop.run_in_executor(pool, double, number) for number in range(10)])
                assert await wire.works()
        return found

    assert run_real(main()) == [2 * number for number in range(10)]


def test_a_fork_from_another_thread_while_the_loop_sleeps(run_real, new_loop):
    def child():
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(talk(runner.get_loop()))

    async def main():
        async with Wire() as wire:
            assert await asyncio.to_thread(in_child, child) == "b'hello'"
            assert await wire.works()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_fork_in_one_thread_disowns_the_loops_of_all(new_loop):
    other = new_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()

    async def main():
        return in_child(lambda: other.call_soon_threadsafe(other.stop))

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert "belongs to the parent" in runner.run(main())
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


@pytest.mark.parametrize("kind", ["rota"])
def test_the_file_of_a_unix_server_stays_when_the_child_closes_the_server(run_real, tmp_path):
    """asyncio takes it away from under the parent."""
    path = tmp_path / "socket"

    async def main():
        server = await asyncio.get_running_loop().create_unix_server(asyncio.Protocol, path, cleanup_socket=True)
        async with server:
            in_child(server.close)
            assert path.exists()
            _, writer = await asyncio.open_unix_connection(path)
            writer.close()
            await writer.wait_closed()

    run_real(main())


def test_a_loop_that_does_not_run_is_the_parents_too(new_loop):
    loop = new_loop()
    try:
        assert in_child(lambda: asyncio.run(asyncio.sleep(0, "new"), debug=False)) == "new"
        assert loop.run_until_complete(asyncio.sleep(0, "parent")) == "parent"
    finally:
        loop.close()


def test_a_closed_loop_is_nothing_to_a_fork(new_loop):
    new_loop().close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert in_child(running_loop) == "None"
