"""Starting a process: every keyword of Popen, what goes wrong, and being cancelled half-way."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import pathlib
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
import warnings

import pytest

from .conftest import python

PIPE = subprocess.PIPE


@pytest.mark.parametrize(
    ("options", "code", "answer"),
    [
        ({"env": {"WORD": "value"}}, "print(os.environ['WORD'])", "value"),
        ({"umask": 0o027}, "print(oct(os.umask(0)))", "0o27"),
        ({"start_new_session": True}, "print(os.getsid(0) == os.getpid())", "True"),
        ({"process_group": 0}, "print(os.getpgid(0) == os.getpid())", "True"),
        (
            {"user": os.getuid(), "group": os.getgid()},
            "print(os.getuid(), os.getgid())",
            f"{os.getuid()} {os.getgid()}",
        ),
        ({"restore_signals": False}, "print(signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN)", "True"),
        ({"executable": sys.executable}, "print(os.getpid() > 0)", "True"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_popen_does_with_a_keyword_is_done(run_real, options, code, answer):
    async def main():
        process = await python(f"import os, signal\n{code}", stdout=PIPE, **options)
        out, _ = await process.communicate()
        assert out.decode().strip() == answer
        assert process.returncode == 0

    run_real(main())


@pytest.mark.skipif(os.getuid() != 0, reason="only root may set its groups")
def test_groups_are_set(run_real):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "id -u; id -G", stdout=PIPE, user=99, group=98, extra_groups=[7]
        )
        assert await process.communicate() == (b"99\n98 7\n", None)

    run_real(main())


def test_the_program_may_be_a_path_or_bytes(run_real):
    async def main():
        for program in (pathlib.Path(sys.executable), os.fsencode(sys.executable)):
            process = await asyncio.create_subprocess_exec(program, "-S", "-c", "print(1)", stdout=PIPE)
            assert await process.communicate() == (b"1\n", None)

    run_real(main())


@pytest.mark.parametrize("as_number", [False, True])
def test_files_and_descriptors_stand_in_for_pipes(run_real, tmp_path, as_number):
    (tmp_path / "in").write_bytes(b"from a file")

    async def main():
        with open(tmp_path / "in", "rb") as read, open(tmp_path / "out", "wb") as write:
            files = (read.fileno(), write.fileno()) if as_number else (read, write)
            process = await asyncio.create_subprocess_exec("cat", stdin=files[0], stdout=files[1])
            assert (process.stdin, process.stdout, process.stderr) == (None, None, None)
            assert await process.wait() == 0

    run_real(main())
    assert (tmp_path / "out").read_bytes() == b"from a file"


def test_nothing_comes_from_devnull_and_all_goes_there(run_real):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.DEVNULL, stdout=PIPE)
        assert await process.communicate() == (b"", None)
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=subprocess.DEVNULL)
        assert await process.communicate(b"x") == (None, None)

    run_real(main())


def test_a_descriptor_is_inherited_only_if_it_is_passed(run_real):
    async def main():
        read, write = os.pipe()
        os.set_inheritable(write, True)
        code = f"import os; os.write({write}, b'x')"
        assert await (await python(code, stderr=subprocess.DEVNULL)).wait() == 1
        assert await (await python(code, close_fds=False)).wait() == 0
        assert await (await python(code, pass_fds=[write])).wait() == 0
        os.close(write)
        assert os.read(read, 10) == b"xx"
        os.close(read)

    run_real(main())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"no_such_keyword": 1}, TypeError),
        ({"user": "no such user"}, KeyError),
        ({"cwd": "/no/such/folder"}, FileNotFoundError),
        ({"env": {"a=b": "c"}}, ValueError),
        ({"preexec_fn": int, "cwd": "/no/such/folder"}, FileNotFoundError),
    ],
)
def test_what_popen_raises_is_raised(run_real, options, error):
    async def main():
        with pytest.raises(error):
            await asyncio.create_subprocess_exec("true", stdin=PIPE, stdout=PIPE, stderr=PIPE, **options)

    run_real(main())


# -- preexec_fn -------------------------------------------------------------------------------------------------------


def test_preexec_fn_runs_in_the_child_before_the_program(run_real):
    variable = []

    def prepare():
        os.write(1, b"prepared ")
        variable.append("here")

    async def main():
        for _ in range(3):
            process = await python("print('run')", stdout=PIPE, preexec_fn=prepare)
            assert await process.communicate() == (b"prepared run\n", None)
        shell = await asyncio.create_subprocess_shell("echo run", stdout=PIPE, preexec_fn=prepare)
        assert await shell.communicate() == (b"prepared run\n", None)
        assert variable == []

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_the_loop_goes_on_while_preexec_fn_takes_its_time(run_real):
    """The function waits for what the loop does next. asyncio's loop waits for the function, here for ever."""

    async def main():
        read, write = os.pipe()
        threads = set(threading.enumerate())
        starting = [
            asyncio.ensure_future(python("print('run')", stdout=PIPE, preexec_fn=lambda: os.read(read, 1)))
            for _ in range(3)
        ]
        for _ in range(100):
            await asyncio.sleep(0)
        assert [task.done() for task in starting] == [False] * 3
        assert set(threading.enumerate()) <= threads  # one of an earlier test may end meanwhile
        os.write(write, b"xxx")
        for process in await asyncio.gather(*starting):
            assert await process.communicate() == (b"run\n", None)
        os.close(read)
        os.close(write)

    run_real(main())


def test_preexec_fn_that_fails(run_real):
    def fail():
        raise ZeroDivisionError

    async def main():
        with pytest.raises(subprocess.SubprocessError, match=r"^Exception occurred in preexec_fn\.$"):
            await asyncio.create_subprocess_exec("true", stdin=PIPE, stdout=PIPE, preexec_fn=fail)

    run_real(main())


def test_a_program_that_is_not_there_after_preexec_fn(run_real, tmp_path):
    missing = str(tmp_path / "missing")

    async def main():
        with pytest.raises(FileNotFoundError) as raised:
            await asyncio.create_subprocess_exec(missing, "argument", stdin=PIPE, preexec_fn=int)
        assert raised.value.filename == missing
        with pytest.raises(FileNotFoundError) as raised:
            await asyncio.create_subprocess_exec("true", executable=missing, preexec_fn=int)
        assert raised.value.filename == missing
        (tmp_path / "file").write_text("no program")
        with pytest.raises(PermissionError):
            await asyncio.create_subprocess_exec(str(tmp_path / "file"), preexec_fn=int)

    run_real(main())


def test_a_child_that_dies_with_its_parents_thread_lives_as_long_as_the_loops(run_real):
    """PR_SET_PDEATHSIG is about the thread that forks; a helper's would end too soon."""
    prctl = ctypes.CDLL(None).prctl

    async def main():
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=PIPE, stdout=PIPE, preexec_fn=lambda: prctl(1, signal.SIGKILL)
        )
        # Through the pipes and back: any thread that helped has had the time to end.
        process.stdin.write(b"a")
        assert await process.stdout.readexactly(1) == b"a"
        assert await process.communicate(b"b") == (b"b", None)
        assert process.returncode == 0

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_where_popens_pipe_is_not_found_all_works_but_for_the_wait(run_real, monkeypatch):
    nowhere = types.SimpleNamespace(_getframe=lambda depth: types.SimpleNamespace(f_locals={}))
    monkeypatch.setattr("rota.proc.preexec.sys", nowhere)

    async def main():
        process = await python("print('run')", stdout=PIPE, preexec_fn=int)
        assert await process.communicate() == (b"run\n", None)
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program", preexec_fn=int)

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_report_that_has_been_heard_is_not_read_again(run_real):
    """Each turn of a loop as busy as this looks at the files, and so finds the report's end a second time, in the turn
    in which the report is closed: the child has ended already.
    """
    told = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, trouble: told.append(trouble))

        def work():
            nonlocal working
            time.sleep(0.02)
            working = loop.call_soon(work)

        working = loop.call_soon(work)
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program", preexec_fn=int)
        await asyncio.sleep(0)
        working.cancel()

    run_real(main())
    assert not told


def test_a_program_that_is_not_there_is_told_without_standard_files(kind):
    """A pipe made while 0, 1 and 2 are closed gets their numbers, where the child puts its own files."""
    factory = {"rota": "rota.new_event_loop", "asyncio": "asyncio.SelectorEventLoop"}[kind]
    program = f"""
        import asyncio, os, rota

        async def main():
            os.closerange(0, 3)
            try:
                await asyncio.create_subprocess_exec(
                    "/no/such/program", preexec_fn=int, stdin=-1, stdout=-3, stderr=-3
                )
            except FileNotFoundError:
                os.write(out, b"not found")

        out = os.dup(1)
        with asyncio.Runner(loop_factory={factory}) as runner:
            runner.run(main())
        os._exit(0)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], stdout=PIPE, check=True)
    assert found.stdout == b"not found"


# -- not started after all --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("turns", range(8))
def test_cancelled_at_any_moment_the_start_leaves_nothing(run_real, turns):
    """The fixtures count files and children. asyncio may wait for the process for ever, before Python 3.13.1."""

    async def main():
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec("sleep", "100", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        async with asyncio.timeout(5):
            try:
                process = await starting
            except asyncio.CancelledError:
                return
        process.kill()
        await process.communicate()

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("turns", [1, 20])
def test_cancelled_in_preexec_fn_the_child_is_killed(run_real, turns):
    async def main():
        read, write = os.pipe()
        starting = asyncio.ensure_future(python("", stdin=PIPE, stdout=PIPE, preexec_fn=lambda: os.read(read, 1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        os.close(read)
        os.close(write)

    run_real(main())


@pytest.mark.parametrize("kind", ["rota"])
def test_a_start_whose_loop_is_given_up_leaves_no_child(new_loop):
    """Nobody can wait any more."""
    loop = new_loop()
    read, write = os.pipe()
    start = loop.create_task(python("", stdin=PIPE, preexec_fn=lambda: os.read(read, 1)))

    async def a_few_turns():
        await asyncio.sleep(0)

    loop.run_until_complete(a_few_turns())
    start._log_destroy_pending = False
    with warnings.catch_warnings():
        # Popen says that its process is still running.
        warnings.simplefilter("ignore", ResourceWarning)
        start.get_coro().close()
        loop.close()
        gc.collect()
    os.close(write)
    assert os.read(read, 1) == b""  # its end for writing, which the child had, is gone as well
    os.close(read)
    with contextlib.suppress(ChildProcessError):  # Popen may have been there before
        os.waitpid(-1, 0)


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("turns", range(8))
def test_a_start_whose_loop_was_closed_leaves_no_child(new_loop, turns):
    """... wherever it stands, with some of its pipes connected."""
    loop = new_loop()
    start = loop.create_task(asyncio.create_subprocess_exec("sleep", "100", stdin=PIPE, stdout=PIPE, stderr=PIPE))

    async def a_few_turns():
        for _ in range(turns):
            await asyncio.sleep(0)

    loop.run_until_complete(a_few_turns())
    if start.done():
        process = start.result()
        process.kill()
        loop.run_until_complete(process.communicate())
        loop.close()
        return
    start._log_destroy_pending = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Popen's, of its process, and those of the pipes
        loop.close()
        start.get_coro().close()
        start = None
        gc.collect()
    with contextlib.suppress(ChildProcessError):  # Popen may have been there before
        _, status = os.waitpid(-1, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.fixture
def few_files():
    """Sets how many more files this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def few_files(more):
        # The numbers below the lowest free one are all in use; those above may have gaps.
        held = []
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        while (fd := os.open("/dev/null", os.O_RDONLY)) < highest:
            held.append(fd)
        os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd + more, hard))
        return held

    yield few_files
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", ["rota"])
@pytest.mark.parametrize("preexec_fn", [None, int])
@pytest.mark.parametrize("more", range(12))
def test_out_of_descriptors_half_way(run_real, few_files, more, preexec_fn):
    """At whichever one it is: OSError and nothing left, or a process that works. asyncio leaves a child behind."""

    async def main():
        await asyncio.sleep(0)
        held = few_files(more)
        try:
            process = await asyncio.create_subprocess_exec(
                "cat", stdin=PIPE, stdout=PIPE, stderr=PIPE, preexec_fn=preexec_fn
            )
        except OSError as error:
            return error.strerror
        else:
            assert await process.communicate(b"x") == (b"x", b"")
            return "works"
        finally:
            for fd in held:
                os.close(fd)

    # Both ends of three pipes and of Popen's own, and of one more for preexec_fn.
    needs = 8 if preexec_fn is None else 10
    assert run_real(main()) == ("works" if more >= needs else "Too many open files")


@pytest.mark.parametrize("kind", ["rota"])
def test_five_hundred_at_once(run_real):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("needs 1200 file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))

    async def one():
        process = await asyncio.create_subprocess_exec("true", stdout=PIPE)
        return (await process.communicate(), process.returncode)

    async def main():
        threads = set(threading.enumerate())
        running = [asyncio.ensure_future(one()) for _ in range(500)]
        await asyncio.sleep(0)
        assert set(threading.enumerate()) <= threads  # one of an earlier test may end meanwhile
        assert await asyncio.gather(*running) == [((b"", None), 0)] * 500

    try:
        run_real(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
