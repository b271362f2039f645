"""However a program ends, its threads and processes end with it, in bounded time, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

LONGEST = 20.0


def start(program, *arguments):
    """A program of its own process group, as a terminal would have it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def appears(path):
    until = time.monotonic() + LONGEST
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    return int(path.read_text())


def is_gone(pid):
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True  # whoever has to wait for it is another
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.005)
    return False


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


SPIN = """
    import asyncio, sys
    import rota
    from tests.lanes import work

    async def main():
        await rota.call(work.spin_forever, sys.argv[1], on="processes")

    LOOP
"""
ON = {
    "rota": SPIN.replace("LOOP", "rota.run(main())"),
    "asyncio": SPIN.replace("LOOP", "asyncio.run(main())"),
}


@pytest.mark.parametrize("kind", ON)
def test_ctrl_c_ends_all_of_it(tmp_path, kind):
    program = start(ON[kind], tmp_path / "pid")
    worker = appears(tmp_path / "pid")
    nursery = parent_of(worker)
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=LONGEST)
    assert program.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert "ResourceWarning" not in said
    assert is_gone(worker)
    assert is_gone(nursery)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_is_killed_takes_its_workers_along(tmp_path, signum):
    program = start(ON["rota"], tmp_path / "pid")
    worker = appears(tmp_path / "pid")
    nursery = parent_of(worker)
    program.send_signal(signum)
    program.communicate(timeout=LONGEST)
    assert is_gone(worker)
    assert is_gone(nursery)


def test_the_nursery_and_the_program_are_killed_at_once(tmp_path):
    program = start(ON["rota"], tmp_path / "pid")
    worker = appears(tmp_path / "pid")
    os.kill(parent_of(worker), signal.SIGKILL)
    program.kill()
    program.communicate(timeout=LONGEST)
    assert is_gone(worker)


def test_a_loop_that_is_only_closed(tmp_path):
    """Without a runner nobody closes the asynchronous generators first."""
    program = start(
        """
        import sys
        import rota
        from tests.lanes import work

        loop = rota.new_event_loop()

        async def main():
            return await rota.call(work.pid, on="processes")

        print(loop.run_until_complete(main()))
        loop.close()
        """
    )
    said, complaint = program.communicate(timeout=LONGEST)
    assert complaint == ""
    assert program.returncode == 0
    assert is_gone(int(said))


def test_a_child_that_the_program_forks_holds_nobody_up(tmp_path):
    """The forked child lives on; it must not keep the workers alive when the program ends."""
    program = start(
        """
        import os, sys, time
        import rota
        from tests.lanes import work

        async def main():
            worker = await rota.call(work.pid, on="processes")
            child = os.fork()
            if child == 0:
                os.close(1)
                os.close(2)
                time.sleep(30)
                os._exit(0)
            print(worker, child, flush=True)
            os._exit(0)

        rota.run(main())
        """
    )
    said, _ = program.communicate(timeout=LONGEST)
    worker, child = map(int, said.split())
    try:
        assert is_gone(worker)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_thread_that_never_returns_is_named_and_left():
    program = start(
        """
        import logging, threading
        import rota
        from rota import limits

        limits.LANE_PATIENCE = 0.05
        logging.basicConfig(format="%(message)s")

        def wait_for_ever(event):
            event.wait()

        async def main():
            try:
                await rota.call(wait_for_ever, threading.Event(), timeout=0.05)
            except TimeoutError:
                print("time is up")

        rota.run(main())
        """
    )
    said, complaint = program.communicate(timeout=LONGEST)
    assert said == "time is up\n"
    assert "still run" in complaint
    assert "wait_for_ever" in complaint
    assert program.returncode == 0


def test_calls_that_wait_when_the_loop_ends_are_cancelled():
    program = start(
        """
        import asyncio, threading
        import rota

        go_on = threading.Event()

        async def main():
            lanes = rota.Lanes(threads=1)
            running = asyncio.ensure_future(lanes.call(go_on.wait, 20))
            waiting = asyncio.ensure_future(lanes.call(print, "never"))
            await asyncio.sleep(0.05)
            ending = asyncio.ensure_future(lanes.aclose())
            await asyncio.sleep(0.05)
            go_on.set()
            await ending
            print(await running, waiting.cancelled() or waiting.cancelling() or waiting)

        rota.run(main())
        """
    )
    said, complaint = program.communicate(timeout=LONGEST)
    assert complaint == ""
    assert "never" not in said
    assert said.startswith("True True")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_of_asyncio_s_that_is_only_closed():
    """It tells nobody; the lanes are ended when the next loop makes some, or with the program."""
    program = start(
        """
        import asyncio
        import rota
        from tests.lanes import work

        async def main():
            return await rota.call(work.pid, on="processes")

        for _ in range(2):
            loop = asyncio.new_event_loop()
            print(loop.run_until_complete(main()), flush=True)
            loop.close()
        """
    )
    said, _ = program.communicate(timeout=LONGEST)
    assert program.returncode == 0
    assert all(is_gone(int(pid)) for pid in said.split())
