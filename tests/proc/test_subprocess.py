"""Child processes: their streams, their ends, and what is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading

import pytest

from .conftest import python

PIPE = subprocess.PIPE
CAT = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"


def test_a_program_gets_its_arguments_and_answers(run_real):
    async def main():
        process = await python("import sys; print(sys.argv[1:])", "one", "two words", stdout=PIPE, stderr=PIPE)
        assert process.pid > 0
        assert process.stdin is None
        assert await process.communicate() == (b"['one', 'two words']\n", b"")
        assert process.returncode == 0

    run_real(main())


def test_much_goes_in_and_out(run_real):
    data = bytes(range(256)) * 8000

    async def main():
        process = await python(CAT, stdin=PIPE, stdout=PIPE)
        out, err = await process.communicate(data)
        assert out == data
        assert err is None
        assert process.returncode == 0

    run_real(main())


def test_streams_are_read_and_written_in_turn(run_real):
    code = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"

    async def main():
        process = await python(code, stdin=PIPE, stdout=PIPE)
        for number in range(5):
            process.stdin.write(b"line %d\n" % number)
            await process.stdin.drain()
            assert await process.stdout.readline() == b"LINE %d\n" % number
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    run_real(main())


def test_errors_can_go_where_the_output_goes(run_real):
    async def main():
        code = "import os; os.write(1, b'out '); os.write(2, b'err')"
        process = await python(code, stdout=PIPE, stderr=subprocess.STDOUT)
        assert await process.communicate() == (b"out err", None)
        process = await python(code, stdout=subprocess.DEVNULL, stderr=PIPE)
        assert await process.communicate() == (None, b"err")

    run_real(main())


def test_a_shell_runs_a_command_line(run_real):
    async def main():
        process = await asyncio.create_subprocess_shell("echo $((1 + 2)); exit 7", stdout=PIPE)
        assert await process.communicate() == (b"3\n", None)
        assert process.returncode == 7

    run_real(main())


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code(run_real, code):
    async def main():
        process = await python(f"import os; os._exit({code})")
        assert process.returncode is None
        assert await process.wait() == code
        assert await process.wait() == code
        assert process.returncode == code

    run_real(main())


@pytest.mark.parametrize(
    ("end", "number"),
    [
        ("kill", signal.SIGKILL),
        ("terminate", signal.SIGTERM),
        ("send_signal", signal.SIGUSR1),
    ],
)
def test_a_signal_ends_it(run_real, end, number):
    async def main():
        process = await python("import time; print(flush=True); time.sleep(100)", stdout=PIPE)
        await process.stdout.readline()
        getattr(process, end)(*([number] if end == "send_signal" else []))
        assert await process.wait() == -number
        with pytest.raises(ProcessLookupError):
            getattr(process, end)(*([number] if end == "send_signal" else []))

    run_real(main())


def test_a_program_that_is_not_there(run_real, tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec(str(tmp_path / "missing"), stdin=PIPE, stdout=PIPE)
        (tmp_path / "file").write_text("no program")
        with pytest.raises(PermissionError):
            await asyncio.create_subprocess_exec(str(tmp_path / "file"), stdout=PIPE)
        with pytest.raises(FileNotFoundError):
            await python("", cwd=str(tmp_path / "missing"))

    run_real(main())


def test_what_popen_knows_is_passed_on(run_real, tmp_path):
    async def main():
        read, write = os.pipe()
        code = f"""import os
os.write({write}, b'passed')
print(os.getcwd(), os.environ['WORD'], os.getsid(0) == os.getpid())
"""
        process = await python(
            code, stdout=PIPE, cwd=tmp_path, env={"WORD": "value"}, start_new_session=True, pass_fds=[write]
        )
        out, _ = await process.communicate()
        assert out.split() == [os.fsencode(tmp_path), b"value", b"True"]
        assert os.read(read, 100) == b"passed"
        os.close(read)
        os.close(write)

    run_real(main())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"text": True}, "text must be False"),
        ({"universal_newlines": True}, "universal_newlines must be False"),
        ({"encoding": "utf-8"}, "encoding must be None"),
        ({"errors": "strict"}, "errors must be None"),
        ({"bufsize": 1}, "bufsize must be 0"),
    ],
)
@pytest.mark.parametrize("shell", [False, True])
def test_pipes_carry_bytes_and_nothing_else(run_real, options, text, shell):
    async def main():
        start = asyncio.create_subprocess_shell if shell else asyncio.create_subprocess_exec
        with pytest.raises(ValueError) as raised:
            await start("true", **options)
        assert str(raised.value) == text

    run_real(main())


def test_exec_and_shell_are_not_mixed(run_real):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=r"^shell must be False$"):
            await loop.subprocess_exec(asyncio.SubprocessProtocol, "true", shell=True)
        with pytest.raises(ValueError, match=r"^shell must be True$"):
            await loop.subprocess_shell(asyncio.SubprocessProtocol, "true", shell=False)
        with pytest.raises(ValueError, match=r"^cmd must be a string"):
            await loop.subprocess_shell(asyncio.SubprocessProtocol, ["true"])

    run_real(main())


def test_twenty_at_once(run_real, kind):
    async def main():
        threads = set(threading.enumerate())
        processes = [await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE) for _ in range(20)]
        if kind == "rota":
            assert set(threading.enumerate()) <= threads  # one of an earlier test may end meanwhile
        answers = await asyncio.gather(
            *[process.communicate(b"%d" % number) for number, process in enumerate(processes)]
        )
        assert answers == [(b"%d" % number, None) for number in range(20)]
        assert {process.returncode for process in processes} == {0}

    run_real(main())


def test_a_cancelled_wait_leaves_the_process_alone(run_real):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        waiting = [asyncio.ensure_future(process.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert waiting[0].cancelled()
        assert process.returncode is None
        assert await process.communicate(b"still there") == (b"still there", None)
        assert await asyncio.gather(*waiting[1:]) == [0, 0]

    run_real(main())


def test_a_child_that_closes_its_input_is_no_trouble(run_real):
    """communicate() goes on to read what it says."""

    async def main():
        code = "import os; os.close(0); print('no, thanks')"
        process = await python(code, stdin=PIPE, stdout=PIPE)
        assert await process.communicate(bytes(1_000_000)) == (b"no, thanks\n", None)
        assert process.returncode == 0

    run_real(main())


class Events(asyncio.SubprocessProtocol):
    def __init__(self):
        self.events = []
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
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


def test_a_protocol_hears_of_everything(run_real):
    async def main():
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(Events, "cat", stderr=None)
        assert transport.get_pipe_transport(1) is not None
        assert transport.get_pipe_transport(2) is None
        assert transport.get_returncode() is None
        assert transport.get_pid() > 0
        transport.get_pipe_transport(0).write(b"meow")
        transport.get_pipe_transport(0).close()
        await protocol.ended
        assert transport.get_returncode() == 0
        assert protocol.events[0] == "made"
        assert protocol.events[-1] == ("lost", None)
        assert sorted(protocol.events[1:-1], key=str) == sorted([(1, b"meow"), (0, None), (1, None), "exited"], key=str)
        transport.close()

    run_real(main())


def test_closing_the_transport_kills_the_child(run_real):
    async def main():
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(
            Events, sys.executable, "-S", "-c", "import time; time.sleep(100)"
        )
        transport.close()
        assert transport.is_closing()
        await protocol.ended
        assert transport.get_returncode() == -signal.SIGKILL
        transport.close()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_child_that_ended_unnoticed_can_be_signalled_and_keeps_its_code(run_real, caplog):
    """The loop was busy meanwhile. asyncio loses the exit code to the signal before Python 3.13."""

    async def main():
        process = await python("import os; os._exit(7)")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        assert await process.wait() == 7

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_real(main())
    assert caplog.messages == []


def test_a_child_that_somebody_else_has_waited_for(run_real, caplog):
    """With SIGCHLD ignored the kernel itself waits; what the code was, nobody knows."""

    async def main():
        process = await python("import os; os._exit(7)", stdout=PIPE)
        assert await process.stdout.read() == b""
        return await process.wait()

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with caplog.at_level(logging.WARNING, "asyncio"):
            assert run_real(main()) == 255
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("will report returncode 255")


@pytest.mark.parametrize("kind", ["rota"])
def test_a_process_started_off_the_main_thread(new_loop):
    """asyncio's watcher of Python 3.11 needs the main thread for some of this."""
    found = []

    def work():
        async def main():
            process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            return await process.communicate(b"elsewhere")

        with asyncio.Runner(loop_factory=new_loop) as runner:
            found.append(runner.run(main()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(b"elsewhere", None)]
