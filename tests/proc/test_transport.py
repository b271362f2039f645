"""The transport of a process and the protocol that hears of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import random
import signal
import subprocess
import warnings

import pytest

import rota


class Events(asyncio.SubprocessProtocol):
    """Writes down what it is told; ``ended`` is done after ``connection_lost``."""

    def __init__(self):
        self.events = []
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")

    def pipe_data_received(self, fd, data):
        self.events.append((fd, data))

    def pipe_connection_lost(self, fd, error):
        self.events.append((fd, error))

    def process_exited(self):
        self.events.append("exited")

    def connection_lost(self, error):
        self.events.append(("lost", error))
        self.ended.set_result(None)


async def shell(command, factory=Events, **options):
    return await asyncio.get_running_loop().subprocess_shell(factory, command, **options)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def test_the_protocol_hears_of_everything_in_order(run_real):
    async def main():
        transport, protocol = await shell("cat; echo err >&2; exit 3")
        assert protocol.transport is transport
        assert protocol.events == ["made"]
        assert isinstance(transport, asyncio.SubprocessTransport)
        pipe = transport.get_pipe_transport(0)
        assert isinstance(pipe, asyncio.WriteTransport)
        assert isinstance(transport.get_pipe_transport(1), asyncio.ReadTransport)
        assert transport.get_pipe_transport(3) is None
        pipe.write(b"data")
        pipe.close()
        await protocol.ended
        events = protocol.events
        assert events[-1] == ("lost", None)
        assert events.index((1, b"data")) < events.index((1, None))
        assert events.index((2, b"err\n")) < events.index((2, None))
        assert sorted(map(str, events[1:-1])) == sorted(
            map(str, [(1, b"data"), (2, b"err\n"), (0, None), (1, None), (2, None), "exited"])
        )
        assert transport.get_returncode() == 3
        transport.close()

    run_real(main())


def test_without_pipes_there_is_an_end_all_the_same(run_real):
    async def main():
        transport, protocol = await shell("exit 1", stdin=None, stdout=None, stderr=None)
        await protocol.ended
        assert protocol.events == ["made", "exited", ("lost", None)]
        assert [transport.get_pipe_transport(fd) for fd in range(3)] == [None] * 3
        transport.close()

    run_real(main())


def test_the_connection_lasts_as_long_as_somebody_writes_to_its_pipe(run_real):
    """A child of the child, here, which goes on after it."""

    async def main():
        read, write = os.pipe()
        transport, protocol = await shell("exec 3<&0; cat <&3 & echo end", stdin=read, stderr=None)
        os.close(read)
        # The two come in any order, by a pipe and by the child's end.
        await until(lambda: "exited" in protocol.events and (1, b"end\n") in protocol.events)
        assert transport.get_returncode() == 0
        assert (1, None) not in protocol.events
        os.write(write, b"later")
        os.close(write)
        await protocol.ended
        assert protocol.events[-3:] == [(1, b"later"), (1, None), ("lost", None)]
        transport.close()

    run_real(main())


@pytest.mark.parametrize(
    "callback", ["connection_made", "pipe_data_received", "pipe_connection_lost", "process_exited"]
)
def test_a_callback_that_raises_is_reported_and_all_goes_on(run_real, callback):
    def fail(self, *args):
        getattr(Events, callback)(self, *args)
        raise ZeroDivisionError

    broken = type("Broken", (Events,), {callback: fail})

    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        transport, protocol = await shell("echo x", broken, stdin=None, stderr=None)
        await protocol.ended
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
        assert protocol.events[0] == "made"
        assert protocol.events[-1] == ("lost", None)
        assert len(protocol.events) == 5
        transport.close()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_callbacks_run_in_the_context_of_the_start(run_real):
    """asyncio's come with the context of whoever looked, such as the thread that waited for the process."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen = {}

    def note(name):
        def noted(self, *args):
            seen[name] = variable.get()
            getattr(Events, name)(self, *args)

        return noted

    names = ["connection_made", "pipe_data_received", "pipe_connection_lost", "process_exited", "connection_lost"]
    noting = type("Noting", (Events,), {name: note(name) for name in names})

    async def main():
        variable.set("start")
        transport, protocol = await shell("echo x", noting)
        variable.set("later")
        transport.get_pipe_transport(0).close()
        await protocol.ended
        transport.close()
        assert seen == dict.fromkeys(names, "start")

    run_real(main())


def test_writing_is_paused_and_resumed(run_real):
    class Paused(Events):
        def pause_writing(self):
            self.events.append("pause")

        def resume_writing(self):
            self.events.append("resume")

    async def main():
        transport, protocol = await shell("read line; cat >/dev/null", Paused, stdout=None, stderr=None)
        pipe = transport.get_pipe_transport(0)
        pipe.write(bytes(1_000_000))
        assert protocol.events == ["made", "pause"]
        pipe.write(b"\n")
        await until(lambda: "resume" in protocol.events)
        pipe.close()
        await protocol.ended
        transport.close()

    run_real(main())


def test_another_protocol_hears_the_rest(run_real):
    async def main():
        transport, first = await shell("read line; echo $line", stderr=None)
        second = Events()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        transport.get_pipe_transport(0).write(b"line\n")
        transport.get_pipe_transport(0).close()
        await second.ended
        assert first.events == ["made"]
        assert (1, b"line\n") in second.events
        first.ended.cancel()
        transport.close()

    run_real(main())


def test_reading_from_a_child_can_be_paused(run_real):
    async def main():
        transport, protocol = await shell("echo a; read line; echo b", stderr=None)
        await until(lambda: (1, b"a\n") in protocol.events)
        transport.get_pipe_transport(1).pause_reading()
        transport.get_pipe_transport(0).write(b"\n")
        await until(lambda: "exited" in protocol.events)
        assert (1, b"b\n") not in protocol.events
        transport.get_pipe_transport(1).resume_reading()
        await protocol.ended
        assert (1, b"b\n") in protocol.events
        transport.close()

    run_real(main())


# -- signals and the end ----------------------------------------------------------------------------------------------


def test_signals_after_the_end(run_real):
    async def main():
        transport, protocol = await shell("exit 0")
        transport.get_pipe_transport(0).close()
        await protocol.ended
        for end in (transport.kill, transport.terminate, lambda: transport.send_signal(signal.SIGUSR1)):
            with pytest.raises(ProcessLookupError):
                end()
        assert transport.get_pid() > 0
        transport.close()

    run_real(main())


def test_a_child_that_is_stopped_has_not_ended(run_real):
    async def main():
        transport, protocol = await shell("echo up; read line; exit 5", stderr=None)
        await until(lambda: (1, b"up\n") in protocol.events)
        transport.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, transport.get_pid(), os.WSTOPPED | os.WNOWAIT)
        transport.get_pipe_transport(0).write(b"\n")
        for _ in range(50):
            await asyncio.sleep(0)
        assert transport.get_returncode() is None
        transport.send_signal(signal.SIGCONT)
        await protocol.ended
        assert transport.get_returncode() == 5
        transport.close()

    run_real(main())


def test_popen_stands_behind_it(run_real):
    async def main():
        transport, protocol = await shell("read line; exit 4", stdout=None, stderr=None)
        popen = transport.get_extra_info("subprocess")
        assert isinstance(popen, subprocess.Popen)
        assert popen.pid == transport.get_pid()
        assert transport.get_extra_info("nothing", "default") == "default"
        transport.get_pipe_transport(0).close()
        await protocol.ended
        assert popen.returncode == 4
        transport.close()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("how", ["wait", "poll"])
def test_popen_may_be_the_one_who_waits(run_real, caplog, how):
    """asyncio reports 255 then, and warns."""

    async def main():
        read, write = os.pipe()
        transport, protocol = await shell("read line; exit 6", stdin=read, stdout=None, stderr=None)
        os.close(read)
        os.close(write)
        popen = transport.get_extra_info("subprocess")
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        assert getattr(popen, how)() == 6
        await protocol.ended
        assert transport.get_returncode() == 6
        transport.close()

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_real(main())
    assert caplog.messages == []


def test_what_it_looks_like(run_real):
    async def main():
        transport, protocol = await shell("cat", stderr=None)
        pid = transport.get_pid()
        assert f"pid={pid} running stdin=<" in repr(transport)
        assert " stdout=<" in repr(transport)
        assert " stderr=" not in repr(transport)
        transport.close()
        assert " closed " in repr(transport)
        await protocol.ended
        assert f"pid={pid} returncode=-9" in repr(transport)

    run_real(main())


def test_in_debug_mode_the_log_tells(run_real, caplog):
    async def main():
        transport, protocol = await shell("sleep 100")
        transport.close()
        await protocol.ended
        return transport.get_pid()

    with caplog.at_level(logging.DEBUG, "asyncio"):
        pid = run_real(main(), debug=True)
    assert f"process 'sleep 100' created: pid {pid}" in caplog.messages
    assert any(message.startswith("Close running child process: kill <") for message in caplog.messages)
    assert any(message.endswith("exited with return code -9") for message in caplog.messages)


@pytest.mark.parametrize("kind", ["rota"])
def test_one_that_is_dropped_with_its_loop_says_so_and_takes_the_child_along(new_loop):
    """asyncio's, in Python 3.11, is kept by the thread that waits for the child."""
    loop = new_loop()
    transport, _ = loop.run_until_complete(shell("sleep 100", asyncio.SubprocessProtocol, stderr=None))
    pid = transport.get_pid()
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport, _
        gc.collect()
    os.waitpid(pid, 0)
    texts = sorted(str(warning.message).split()[1:3] for warning in caught if warning.category is ResourceWarning)
    assert ["transport", "<SubprocessTransport"] in texts
    assert ["transport", "<ReadPipe"] in texts
    assert ["transport", "<WritePipe"] in texts


@pytest.mark.parametrize("kind", ["rota"])
def test_one_that_has_ended_may_be_dropped(run_real):
    """asyncio's wants to be closed."""

    async def main():
        _, protocol = await shell("exit 0", stdin=None, stdout=None, stderr=None)
        await protocol.ended

    run_real(main())
    gc.collect()


class Shuffled:
    """A policy that takes whoever comes."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ready = []

    def push(self, runnable):
        self.ready.append(runnable)

    def pop(self):
        return self.ready.pop(self.random.randrange(len(self.ready)))


@pytest.mark.parametrize("seed", range(10))
def test_the_order_holds_under_any_policy(seed):
    """The callbacks of one transport don't stand in line with everybody else's."""

    async def main():
        started = [await shell("for i in 1 2 3; do echo $i; done; exit 3", stdin=None, stderr=None) for _ in range(3)]
        for transport, protocol in started:
            await protocol.ended
            events = protocol.events
            assert events[0] == "made"
            assert events[-1] == ("lost", None)
            assert b"".join(data for fd, data in (event for event in events if event[0] == 1) if data) == b"1\n2\n3\n"
            transport.close()

    rota.run(main(), policy=Shuffled(seed))


@pytest.mark.parametrize("pipe", [subprocess.PIPE, subprocess.DEVNULL])
def test_cancelled_once_the_protocol_has_heard_it_hears_the_end_too(run_real, pipe):
    async def main():
        class Cancels(Events):
            def connection_made(self, transport):
                super().connection_made(transport)
                start.cancel()

        protocol = Cancels()
        start = asyncio.ensure_future(shell("sleep 100", lambda: protocol, stdin=pipe, stdout=pipe, stderr=pipe))
        with pytest.raises(asyncio.CancelledError):
            await start
        await protocol.ended
        assert protocol.transport.get_returncode() == -signal.SIGKILL
        pipes = [] if pipe == subprocess.DEVNULL else [(fd, None) for fd in range(3)]
        assert sorted(map(str, protocol.events[1:-1])) == sorted(map(str, [*pipes, "exited"]))
        assert protocol.events[0] == "made"
        assert protocol.events[-1] == ("lost", None)

    run_real(main())
