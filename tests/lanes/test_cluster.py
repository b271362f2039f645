"""The lane on a Dask cluster: a real scheduler and its workers, each a process of its own, over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import functools
import gc
import importlib
import logging
import operator
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import rota
from rota.errors import MissingExtra, UsageError
from rota.lanes.cluster import Cluster, check_address
from rota.lanes.errors import ClusterError, ClusterLost, RemoteError, RemoteTraceback, ShippingError, WorkerDied
from rota.lanes.quiet import is_news
from rota.lanes.shipping import share
from rota.lanes.stock import Stock

distributed = pytest.importorskip("distributed", reason="the cluster's library is not installed (rota[cluster])")
cloudpickle = pytest.importorskip("cloudpickle", reason="distributed brings it")

RunReal = Callable[[Coroutine[Any, Any, Any]], Any]

#: Dask kills nobody's neighbours more often than it must: a task may lose this many workers before it is given up.
ALLOWED_FAILURES = "1"


@contextlib.contextmanager
def dask(folder: Path, workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a cluster with that many workers of one thread each, and the scheduler's process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = ALLOWED_FAILURES
    environment["DASK_TEMPORARY_DIRECTORY"] = str(folder)
    place = folder / "scheduler.json"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    worker = ["worker", "--host", "127.0.0.1", "--nworkers", str(workers), "--nthreads", "1", "--no-dashboard"]
    started = []
    with open(folder / "log", "wb") as log:
        try:
            for arguments in (scheduler, worker) if workers else (scheduler,):
                command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(place)]
                started.append(
                    subprocess.Popen(
                        command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
                    )
                )
                until(place.exists)
            until(lambda: (folder / "log").read_bytes().count(b"Registered to") >= workers)
            host_and_port = place.read_text().partition('"address": "tcp://')[2].partition('"')[0]
            yield f"dask://{host_and_port}", started[0]
        finally:
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def until(true: Callable[[], bool], patience: float = 20) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers have neither rota nor its tests
    with dask(tmp_path_factory.mktemp("dask"), workers=2) as (address, _):
        yield address
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@contextlib.asynccontextmanager
async def connected(where: Any) -> AsyncIterator[Cluster]:
    cluster = Cluster(where)
    await cluster.connect()
    try:
        yield cluster
    finally:
        await cluster.aclose()


def calls(*values: Any) -> list[Any]:
    return [((value,), {}) for value in values]


def results(outcomes: list[Any]) -> list[Any]:
    """Values, and the classes of exceptions."""
    return [value if ok else type(value) for ok, value, _, _ in outcomes]


async def tasks_left_now(address: str) -> list[str]:
    """The keys that a scheduler knows."""
    async with distributed.Client(address.removeprefix("dask://"), asynchronous=True, set_as_default=False) as client:
        left: list[str] = await client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
        return left


async def tasks_left(address: str) -> list[str]:
    """The keys that a scheduler knows, when those that go have had time to."""
    async with distributed.Client(address.removeprefix("dask://"), asynchronous=True, set_as_default=False) as client:
        for _ in range(50):
            left: list[str] = await client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
            if not left:
                break
            await asyncio.sleep(0.05)
        return left


# -- what runs there ------------------------------------------------------------------------------------------------


def double(number: int, *, more: int = 0) -> int:
    if number == 3:
        raise ValueError("three")
    return number * 2 + more


def sets_precision(digits: int) -> int:
    """A context variable that every process has."""
    before = decimal.getcontext().prec
    decimal.setcontext(decimal.Context(prec=digits))
    return before


def note(file: str, what: object) -> None:
    with open(file, "a") as log:
        log.write(f"{what}\n")


def noted(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


class Picky(Exception):  # noqa: N818
    """Pickles, and does not come back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Breaking:
    """Pickles; there is no int in its text."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Counted:
    """Says in a file when it is unpickled."""

    def __init__(self, file: str, content: bytes) -> None:
        self.file = file
        self.content = content

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        note(self.file, os.getpid())


# -- the connection -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    ["dask://", "dask://host", "dask://host:port", "dask://:8786", "tcp://host:8786", "dask://host:8786/x", 8786],
)
def test_an_address_that_is_none_is_said_to_be_wrong(where: Any) -> None:
    with pytest.raises(UsageError, match="dask://host:port") as caught:
        Cluster(where)
    assert repr(where) in str(caught.value)


def test_an_address_can_be_checked_before_anybody_connects() -> None:
    check_address("dask://host:8786")
    with pytest.raises(UsageError, match="'dask://host': a Dask cluster is given as 'dask://host:port'"):
        check_address("dask://host")


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'rota\[cluster\]'"):
        Cluster("dask://host:8786")


def test_distributed_is_imported_only_to_connect() -> None:
    program = "import sys, rota.lanes.cluster as c; c.Cluster('dask://host:1'); print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("answers", [False, True], ids=["nobody", "silence"])
def test_a_scheduler_that_is_not_there_is_one_line_in_bounded_time(run_real: RunReal, answers: bool) -> None:
    async def main() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            if answers:
                listener.listen()
            port = listener.getsockname()[1]
            why = r"waited 0\.\d s" if answers else r"connection refused; waited 0\.\d s"
            began = time.monotonic()
            with pytest.raises(ClusterError, match=rf"no Dask scheduler answers at 127\.0\.0\.1:{port} \({why}\): is"):
                await Cluster(f"dask://127.0.0.1:{port}", patience=0.5).connect()
            assert time.monotonic() - began < 3

    run_real(main())


def test_who_gives_up_while_it_connects_hears_no_more_of_it() -> None:
    program = """
        import asyncio, socket, rota
        from rota.lanes.cluster import Cluster
        async def main():
            with socket.create_server(("127.0.0.1", 0)) as silent:
                where = f"dask://127.0.0.1:{silent.getsockname()[1]}"
                try:
                    await rota.call(abs, 1, on=where, timeout=0.5)
                except TimeoutError as error:
                    print(error)
                while len(asyncio.all_tasks()) > 1:  # it goes on to try
                    await asyncio.sleep(0.05)
        Cluster.__init__.__kwdefaults__["patience"] = 1.0
        rota.run(main())
    """
    assert said_by(program) == (0, "abs(1) took longer than 0.5 s\n", "")


def test_what_an_item_sets_in_its_context_no_other_sees(address: str, run_real: RunReal) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            assert set(results(await cluster.run(sets_precision, calls(*range(1, 20))))) == {28}

    run_real(main())


def test_a_name_that_nobody_has_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def main() -> None:
        with pytest.raises(ClusterError, match=r"answers at nobody\.invalid:1 \(name or service not known; waited"):
            await Cluster("dask://nobody.invalid:1", patience=0.3).connect()

    asyncio.run(main())


STRANGERS = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", bytes(64), b"\1\0\0"]


@pytest.mark.parametrize("banner", STRANGERS, ids=["hangs up", "web", "ssh", "zeros", "stops"])
def test_whoever_else_answers_is_said_to_be_no_scheduler(
    run_real: RunReal, capfd: pytest.CaptureFixture[str], banner: bytes
) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(
                ClusterError, match=rf"what answers at 127\.0\.0\.1:{port} is no Dask scheduler"
            ) as caught:
                await Cluster(f"dask://127.0.0.1:{port}").connect()
            assert "\n" not in str(caught.value)

    run_real(main())
    assert capfd.readouterr().err == ""


def test_a_worker_is_no_scheduler(address: str) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            [(_, worker, _, _)] = await cluster.run(lambda _: distributed.get_worker().address, calls(1))
        with pytest.raises(ClusterError, match="is no Dask scheduler"):
            await Cluster(worker.replace("tcp", "dask")).connect()

    rota.run(main())


def test_versions_that_do_not_go_together_are_one_line(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def versions() -> Any:
        return {"packages": {"python": "3.10.4.final.0", "cloudpickle": cloudpickle.__version__}}

    monkeypatch.setattr("distributed.versions.get_versions", versions)

    async def main() -> None:
        with pytest.raises(ClusterError, match=r"the scheduler of .* has python 3\.\d+\.\d+, this program 3\.10\.4: "):
            await Cluster(address).connect()

    rota.run(main())


def test_a_cluster_tells_its_width_and_its_dashboard(address: str, run_real: RunReal) -> None:
    async def main() -> None:
        cluster = Cluster(address)
        assert cluster.width == 0
        assert cluster.dashboard is None
        await cluster.connect()
        assert cluster.width == 2
        assert str(cluster.dashboard).startswith("http://127.0.0.1:")
        await cluster.aclose()
        assert cluster.width == 0
        with pytest.raises(UsageError, match="connect"):
            await cluster.run(double, calls(1))

    run_real(main())


def test_both_errors_are_at_the_door() -> None:
    assert (rota.ClusterError, rota.ClusterLost) == (ClusterError, ClusterLost)


def test_a_client_of_the_program_stays_open(address: str) -> None:
    async def main() -> None:
        place = address.removeprefix("dask://")
        async with distributed.Client(place, asynchronous=True, set_as_default=False) as client:
            async with connected(client) as cluster:
                assert results(await cluster.run(double, calls(1, 2))) == [2, 4]
            assert await client.submit(abs, -4) == 4

    rota.run(main())


def test_a_client_of_another_loop_lends_its_address(address: str) -> None:
    async def main(client: Any) -> list[Any]:
        async with connected(client) as cluster:
            return results(await cluster.run(double, calls(1, 2)))

    with distributed.Client(address.removeprefix("dask://"), set_as_default=False) as client:
        assert rota.run(main(client)) == [2, 4]
        assert client.submit(abs, -4).result() == 4


def said_by(program: str, *options: str) -> tuple[int, str, str]:
    """What becomes of a program of its own, with Dask's logging as it comes: its code, and what it writes."""
    command = [sys.executable, *options, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_cluster_inside_the_program_is_one_too() -> None:
    program = """
        import distributed, rota
        from rota.lanes.cluster import Cluster
        async def main():
            async with (
                distributed.LocalCluster(
                    processes=False, n_workers=1, asynchronous=True, dashboard_address="127.0.0.1:0"
                ) as local,
                distributed.Client(local, asynchronous=True, set_as_default=False) as client,
            ):
                cluster = Cluster(client)
                await cluster.connect()
                [(_, result, _, _)] = await cluster.run(abs, [((-1,), {})])
                await cluster.aclose()
                print(result)
        rota.run(main())
    """
    assert said_by(program)[:2] == (0, "1\n")


def test_a_class_of_the_program_s_own_may_be_the_client(address: str) -> None:
    class Client(distributed.Client):  # type: ignore[misc]
        pass

    async def main() -> None:
        async with Client(address.removeprefix("dask://"), asynchronous=True, set_as_default=False) as client:
            assert await rota.call(abs, -4, on=client) == 4

    rota.run(main())


def test_a_program_says_nothing_of_its_own(address: str) -> None:
    program = """
        import asyncio, time, rota
        from rota.lanes.cluster import Cluster
        async def main():
            cluster = Cluster(%r)
            await cluster.connect()
            assert await cluster.run(abs, [((-1,), {})])
            waiting = asyncio.create_task(cluster.run(time.sleep, [((0.2,), {})]))
            await asyncio.sleep(0.1)
            waiting.cancel()
            await cluster.aclose()
        rota.run(main())
    """
    assert said_by(program % address) == (0, "", "")


@pytest.mark.parametrize("timeout", [0.1, None], ids=["given up", "unfinished"])
def test_of_calls_that_wait_at_the_end_nothing_is_said_either(address: str, timeout: float | None) -> None:
    program = """
        import asyncio, time, rota
        async def main():
            assert await rota.call(abs, -1, on=%r) == 1  # the connection stands
            busy = [asyncio.ensure_future(rota.call(time.sleep, 1.5, on=%r)) for _ in range(2)]
            await asyncio.sleep(0.3)
            try:
                async with asyncio.timeout(0.2):
                    print(await rota.call(lambda: 1, on=%r, timeout=%r))
            except TimeoutError:
                print("late")
        rota.run(main())
    """
    assert said_by(program % (address, address, address, timeout)) == (0, "late\n", "")


@pytest.mark.parametrize("run", ["rota.run", "asyncio.run"])
def test_lanes_that_end_with_their_loop_say_nothing_either(address: str, run: str) -> None:
    program = """
        import asyncio, rota
        async def main():
            print(await rota.call(abs, -1, on=%r))
        %s(main())
    """
    assert said_by(program % (address, run), "-W", "always::ResourceWarning") == (0, "1\n", "")


def test_the_example_runs_as_it_stands() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "cluster.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("348,513 primes below 5,000,000, in ")
    assert (done.returncode, done.stderr) == (0, "")


# -- results and errors ---------------------------------------------------------------------------------------------


def test_each_item_has_its_outcome(address: str, run_real: RunReal) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            await cluster.check(double)
            outcomes = await cluster.run(double, [*calls(1, 2, 3), ((4,), {"more": 1})])
        assert results(outcomes) == [2, 4, ValueError, 9]
        error = outcomes[2][1]
        assert str(error) == "three"
        assert isinstance(error.__cause__, RemoteTraceback)
        assert 'raise ValueError("three")' in str(error.__cause__)
        assert "_rota_runner" not in str(error.__cause__)
        assert all(0 <= cpu < 5 and 0 <= wall < 5 for _, _, cpu, wall in outcomes)

    run_real(main())
    assert asyncio.run(tasks_left(address)) == []


def test_the_workers_need_no_rota(address: str) -> None:
    async def main() -> Any:
        async with connected(address) as cluster:
            [(_, found, _, _)] = await cluster.run(importlib.util.find_spec, calls("rota"))
            return found

    if rota.run(main()) is not None:
        pytest.skip("rota is installed where the workers run")


def test_what_can_not_come_back_is_an_error_of_its_item(address: str) -> None:
    def strange(what: str) -> Any:
        if what == "result":
            return socket.socket()
        if what == "exception":
            raise Picky(1, 2)
        if what == "exit":
            raise SystemExit(3)
        return what

    async def main() -> list[Any]:
        async with connected(address) as cluster:
            return await cluster.run(strange, calls("a", "result", "exception", "exit", "b"))

    outcomes = rota.run(main())
    assert results(outcomes) == ["a", ShippingError, RemoteError, RemoteError, "b"]
    assert "strange('result'): the result (a socket) can't be sent: TypeError: cannot pickle" in str(outcomes[1][1])
    assert (outcomes[2][1].kind, outcomes[2][1].message) == ("Picky", "1 and 2")
    assert "Picky(1, 2)" in str(outcomes[2][1].__cause__)
    assert "strange('exception') raised Picky: 1 and 2 (which can't" in str(outcomes[2][1])
    assert outcomes[3][1].kind == "SystemExit"


def test_an_exception_without_a_text_leaves_no_gap(address: str) -> None:
    class Mute:
        def __reduce__(self) -> Any:
            raise NotImplementedError

    async def main() -> list[Any]:
        async with connected(address) as cluster:
            return await cluster.run(double, calls(Mute()))

    ((_, error, _, _),) = rota.run(main())
    assert str(error).endswith(" can't be sent: NotImplementedError")


def test_arguments_that_can_not_be_sent_are_errors_of_their_items(address: str) -> None:
    with socket.socket() as unpicklable:

        async def main() -> list[Any]:
            async with connected(address) as cluster:
                first = await cluster.run(double, calls(1, unpicklable, 2))
                alone = await cluster.run(str, calls(Breaking()))
                assert results(alone) == [ShippingError]
                return first + await cluster.run(str, calls(1, Breaking(), "2"))

        outcomes = rota.run(main())
    assert results(outcomes) == [2, ShippingError, 4, "1", ShippingError, "2"]
    assert "double: the item <socket.socket" in str(outcomes[1][1])
    assert "can't be sent: TypeError: cannot pickle 'socket' object" in str(outcomes[1][1])
    assert "it can't be made again there: ValueError: invalid literal" in str(outcomes[4][1])
    assert not outcomes[1][1].ran


def test_a_function_that_can_not_be_sent_is_one_error(address: str) -> None:
    with socket.socket() as unpicklable:

        async def main() -> None:
            async with connected(address) as cluster:
                with pytest.raises(ShippingError, match=r"str: the function can't be sent: TypeError: cannot pickle"):
                    await cluster.run(functools.partial(str, unpicklable), calls())

        rota.run(main())


def test_a_module_that_the_workers_lack_is_named(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def job(item): return item")
    monkeypatch.syspath_prepend(str(tmp_path))
    job = importlib.import_module("only_here").job

    async def main() -> None:
        async with connected(address) as cluster:
            for refused in (cluster.check(job), cluster.run(job, calls(1))):
                with pytest.raises(ShippingError, match=r"only_here\.job: .* have no module 'only_here'") as caught:
                    await refused
                assert str(caught.value).endswith("register_pickle_by_value(only_here), after importing it")
            assert results(await cluster.run(double, calls(1))) == [2]

    rota.run(main())


def test_a_check_does_not_call_the_function(address: str, tmp_path: Path) -> None:
    file = tmp_path / "called"

    async def main() -> None:
        async with connected(address) as cluster:
            await cluster.check(functools.partial(note, str(file)))
            assert not file.exists()
            await cluster.run(functools.partial(note, str(file)), calls("now"))
            assert noted(file) == ["now"]

    rota.run(main())


# -- workers that die -----------------------------------------------------------------------------------------------


def deadly(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_of_a_chunk_that_kills_its_worker_only_the_guilty_item_is_lost(address: str, run_real: RunReal) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        async with connected(address) as cluster:
            innocent = asyncio.create_task(cluster.run(slowly, calls(*[0.2] * 10)))
            return await cluster.run(deadly, calls(*range(8))), await innocent

    outcomes, others = run_real(main())
    assert results(outcomes) == [0, 1, 2, 3, 4, WorkerDied, 6, 7]
    assert str(outcomes[5][1]) == f"the worker that ran {__name__}.deadly(5) was killed by SIGKILL"
    assert (outcomes[5][1].item, outcomes[5][1].reason) == ("5", "was killed by SIGKILL")
    assert results(others) == [0.2] * 10


def slowly(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


class Poison:
    """Kills whoever unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def test_what_kills_when_it_is_unpickled_is_found(address: str) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            outcomes = await cluster.run(str, calls(1, Poison(), 3))
            assert results(outcomes) == ["1", WorkerDied, "3"]
            assert outcomes[1][1].reason == "ended with exit code 9"
            with pytest.raises(ShippingError, match="die when they unpickle it"):
                await cluster.check(functools.partial(str, Poison()))

    rota.run(main())


def test_of_coroutines_the_guilty_one_is_found_too(address: str) -> None:
    async def deadly_later(number: int) -> int:
        await asyncio.sleep(0.01)
        return deadly(number)

    async def main() -> list[Any]:
        async with connected(address) as cluster:
            return await cluster.run(deadly_later, calls(*range(7)))

    outcomes = rota.run(main())
    assert results(outcomes) == [0, 1, 2, 3, 4, WorkerDied, 6]


# -- coroutines, time, cancellation ---------------------------------------------------------------------------------


async def wait_a_little(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    await asyncio.sleep(100 if number == 7 else 0.1)
    return number


def test_coroutines_of_a_chunk_run_together(address: str, run_real: RunReal) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            await cluster.check(wait_a_little)
            began = time.monotonic()
            outcomes = await cluster.run(wait_a_little, calls(*range(10, 410)))
            assert time.monotonic() - began < 3  # one after the other: 40 seconds
            assert results(outcomes) == list(range(10, 410))
            assert all(0.09 < wall < 3 for _, _, _, wall in outcomes)
            outcomes = await cluster.run(wait_a_little, calls(1, 3, 7), timeout=0.5)
            assert results(outcomes) == [1, ValueError, TimeoutError]
            began = time.monotonic()
            await cluster.run(wait_a_little, calls(*range(10, 14)), limit=2)
            assert time.monotonic() - began >= 0.2

    run_real(main())


def test_an_item_whose_time_is_up_does_not_hold_up_the_others(address: str, tmp_path: Path) -> None:
    def busy(file: str, number: int) -> int:
        while number == 2:
            note(file, number)
            time.sleep(0.01)
        return number

    async def main() -> list[Any]:
        file = tmp_path / "log"
        async with connected(address) as cluster:
            outcomes = await cluster.run(functools.partial(busy, str(file)), calls(1, 2, 3), timeout=0.5)
            await asyncio.sleep(0.2)
            seen = len(noted(file))
            await asyncio.sleep(0.2)
            assert len(noted(file)) == seen  # what computes in Python was ended
            return outcomes

    outcomes = rota.run(main())
    assert results(outcomes) == [1, TimeoutError, 3]
    assert "busy(2) took longer than 0.5 s" in str(outcomes[1][1])


@pytest.mark.parametrize("coroutines", [False, True], ids=["functions", "coroutines"])
def test_a_cancelled_chunk_ends_before_its_next_item(address: str, tmp_path: Path, coroutines: bool) -> None:
    file = tmp_path / "log"

    def blocking(number: int) -> None:
        note(str(file), number)
        time.sleep(0.2)

    async def waiting(number: int) -> None:
        note(str(file), number)
        await asyncio.sleep(0.2)

    async def main() -> None:
        async with connected(address) as cluster:
            chunk = asyncio.create_task(cluster.run(waiting if coroutines else blocking, calls(*range(100)), limit=1))
            async with asyncio.timeout(10):
                while not noted(file):
                    await asyncio.sleep(0.01)
            chunk.cancel()
            with pytest.raises(asyncio.CancelledError):
                await chunk
            assert await tasks_left(address) == []
            await asyncio.sleep(0.5)
            seen = len(noted(file))
            assert seen < 6
            await asyncio.sleep(0.5)
            assert len(noted(file)) == seen

    rota.run(main())


@pytest.mark.parametrize("patience", [0.0, 0.002, 0.005, 0.01])
def test_a_cancelled_chunk_leaves_the_others_alone(address: str, run_real: RunReal, patience: float) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            await cluster.run(double, calls(1))
            for _ in range(10):
                chunks = [asyncio.create_task(cluster.run(double, calls(1, 2))) for _ in range(20)]
                await asyncio.wait(chunks, timeout=2, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(patience)
                cancelled = chunks[::2]
                for chunk in cancelled:
                    chunk.cancel()
                for outcomes in await asyncio.gather(*chunks[1::2]):
                    assert results(outcomes) == [2, 4]
                await asyncio.wait(cancelled)
            assert results(await cluster.run(double, calls(1))) == [2]

    run_real(main())
    assert asyncio.run(tasks_left(address)) == []


def test_who_waits_when_the_cluster_is_closed_is_told(address: str) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            chunk = asyncio.create_task(cluster.run(slowly, calls(*[0.1] * 20)))
            await asyncio.sleep(0.3)
        with pytest.raises(ClusterLost, match="was closed here while"):
            await chunk

    rota.run(main())
    assert asyncio.run(tasks_left(address)) == []


def test_who_is_between_two_steps_when_the_cluster_is_closed_is_told_too(address: str) -> None:
    async def main() -> None:
        gated = Gated()
        cluster = Cluster(address)
        await cluster.connect()
        packing = asyncio.create_task(cluster.run(len, calls(gated)))
        await asyncio.to_thread(gated.begun.wait, 20)
        await cluster.aclose()
        gated.may.set()
        with pytest.raises(ClusterLost, match="was closed here while"):
            await packing

    rota.run(main())


def test_a_close_that_is_cancelled_closes(address: str) -> None:
    async def main() -> None:
        cluster = Cluster(address)
        await cluster.connect()
        begun, ending = asyncio.Event(), asyncio.Event()

        async def slow_to_end() -> None:
            try:
                begun.set()
                await asyncio.sleep(100)
            finally:
                ending.set()
                await asyncio.sleep(100)

        cluster._connection.apart(slow_to_end())
        await begun.wait()
        closing = asyncio.create_task(cluster.aclose())
        await ending.wait()
        closing.cancel()
        await asyncio.wait([closing])
        assert await clients_left(address) == []

    rota.run(main())


@pytest.mark.parametrize(
    ("there", "is_ours"),
    [("tcp://10.0.0.1:878", True), ("tcp://10.0.0.1:8786", False), ("tcp://110.0.0.1:878", False)],
)
def test_of_connections_to_others_dask_may_speak(monkeypatch: pytest.MonkeyPatch, there: str, is_ours: bool) -> None:
    monkeypatch.setattr("rota.lanes.quiet._ours", {"10.0.0.1:878"})
    error = distributed.comm.core.CommClosedError(f"in <TCP (closed) local=tcp://10.0.0.2:1 remote={there}>: closed")
    record = logging.LogRecord("x", logging.ERROR, "", 0, str(error), (), (type(error), error, None))
    assert is_news(record) is not is_ours


# -- what is sent once ----------------------------------------------------------------------------------------------


def test_what_is_shared_travels_once_to_each_worker(address: str, tmp_path: Path) -> None:
    def content(counted: Counted, place: int) -> int:
        return counted.content[place]

    async def main() -> None:
        async with connected(address) as cluster:
            table = Counted(str(tmp_path / "function"), bytes(range(256)) * 8000)
            fn = functools.partial(content, table)
            runs = [cluster.run(fn, calls(*range(k, k + 5))) for k in range(8)]
            assert [results(each) for each in await asyncio.gather(*runs)] == [[*range(k, k + 5)] for k in range(8)]
            assert 1 <= len(noted(tmp_path / "function")) <= 2

            shared = share(Counted(str(tmp_path / "shared"), bytes(range(256)) * 8000))
            runs = [cluster.run(content, [((shared, place), {}) for place in range(k, k + 5)]) for k in range(8)]
            nested = cluster.run(lambda pair: pair[0].content[1], calls([shared]))
            assert [results(each) for each in await asyncio.gather(*runs)] == [[*range(k, k + 5)] for k in range(8)]
            assert results(await nested) == [1]
            assert 1 <= len(noted(tmp_path / "shared")) <= 2

            del shared, runs, nested
            assert len(await tasks_left(address)) == 1  # the function: of what is shared nothing is kept
        assert await tasks_left(address) == []

    rota.run(main())


def test_large_buffers_of_what_is_shared_are_read_only(address: str) -> None:
    import pickle

    class Array:
        """As numpy's."""

        def __init__(self, buffer: Any) -> None:
            self.view = memoryview(buffer)

        def __reduce_ex__(self, protocol: Any) -> Any:
            return Array, (pickle.PickleBuffer(self.view),)

    async def main() -> list[Any]:
        async with connected(address) as cluster:
            shared = share(Array(bytearray(b"ab") * 1_000_000))
            return await cluster.run(lambda array: (len(array.view), bytes(array.view[:3])), calls(shared))

    assert results(rota.run(main())) == [(2_000_000, b"aba")]


def test_large_arguments_and_results_travel(address: str) -> None:
    async def main() -> list[Any]:
        async with connected(address) as cluster:
            return await cluster.run(bytes.upper, calls(b"a" * 3_000_000, b"b"))

    assert results(rota.run(main())) == [b"A" * 3_000_000, b"B"]


def test_what_is_shared_survives_the_workers(address: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            table = Counted(str(tmp_path / "log"), bytes(1_000_000))
            fn = functools.partial(lambda table, _: len(table.content), table)
            assert results(await cluster.run(fn, calls(1))) == [1_000_000]
            # All of them at once, and what they hold.
            place = address.removeprefix("dask://")
            async with distributed.Client(place, asynchronous=True, set_as_default=False) as other:
                await other.run(lambda: os.kill(os.getpid(), signal.SIGKILL), on_error="ignore")
            assert results(await cluster.run(fn, calls(1))) == [1_000_000]

    rota.run(main())


def test_what_is_shared_may_hold_what_is_shared(address: str) -> None:
    async def main() -> list[Any]:
        async with connected(address) as cluster:
            inner = share([1, 2, 3])
            outer = share({"inner": inner, "again": [inner]})
            return await cluster.run(lambda outer: (outer["inner"], outer["again"][0]), calls(outer))

    assert results(rota.run(main())) == [([1, 2, 3], [1, 2, 3])]


def test_a_chunk_may_hold_more_that_is_shared_than_a_worker_keeps(address: str) -> None:
    async def main() -> list[Any]:
        async with connected(address) as cluster:
            return await cluster.run(operator.itemgetter(0), calls(*[share([number]) for number in range(40)]))

    assert results(rota.run(main())) == list(range(40))


def test_what_is_shared_and_can_not_be_sent_is_an_error_of_the_items_that_hold_it(address: str) -> None:
    with socket.socket() as unpicklable:

        async def main() -> list[Any]:
            async with connected(address) as cluster:
                bad = share(unpicklable)
                alone = await cluster.run(str, calls(bad))
                assert results(alone) == [ShippingError]
                with pytest.raises(ShippingError, match=r"^rota\.share: the object <sock.* can't be sent: TypeError"):
                    await cluster.run(functools.partial(str, bad), calls(1))
                return await cluster.run(str, calls(1, [bad], unpicklable, share(2), share([bad]), 3))

        outcomes = rota.run(main())
    assert results(outcomes) == ["1", ShippingError, ShippingError, "2", ShippingError, "3"]
    for place in (1, 4):
        assert re.match(r"rota\.share: the object <sock.* can't be sent: TypeError", str(outcomes[place][1]))


def test_what_is_shared_and_does_not_unpickle_there_is_an_error_of_the_items_that_hold_it(address: str) -> None:
    async def main() -> list[Any]:
        async with connected(address) as cluster:
            bad = share(Breaking())
            with pytest.raises(ShippingError, match=r"str: the function can't .* there: ValueError: invalid literal"):
                await cluster.run(functools.partial(str, bad), calls(1))
            return await cluster.run(str, calls(1, bad, share(2), share([bad])))

    outcomes = rota.run(main())
    assert results(outcomes) == ["1", ShippingError, "2", ShippingError]
    assert "str: an argument (" in str(outcomes[1][1])
    assert "it can't be made again there: ValueError: invalid literal" in str(outcomes[3][1])


class Gated:
    """Is pickled when it may be: says in ``begun`` that somebody tries."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may = threading.Event()

    def __reduce__(self) -> Any:
        self.begun.set()
        self.may.wait(20)
        return bytes, (1_000_000,)


def test_what_is_shared_and_given_up_while_it_is_sent_is_let_go_of(address: str) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            gated = Gated()
            sent = cluster._stock._sent
            chunk = asyncio.create_task(cluster.run(len, calls(share(gated))))
            await asyncio.to_thread(gated.begun.wait, 20)
            chunk.cancel()
            await asyncio.wait([chunk])
            assert len(sent) == 1
            del chunk
            gated.may.set()
            async with asyncio.timeout(20):
                while sent:
                    gc.collect()
                    await asyncio.sleep(0.01)
            assert await tasks_left(address) == []

    rota.run(main())


def test_what_is_shared_and_can_not_be_sent_is_not_kept_alive(address: str) -> None:
    async def main() -> None:
        with socket.socket() as unpicklable:
            async with connected(address) as cluster:
                shared = share(unpicklable)
                assert results(await cluster.run(str, calls(shared))) == [ShippingError]
                gone = weakref.ref(shared)
                del shared
                async with asyncio.timeout(20):
                    while gone() is not None:
                        gc.collect()
                        await asyncio.sleep(0.01)

    rota.run(main())


def test_what_is_shared_does_not_hold_a_loop_that_is_closed(address: str) -> None:
    shared = share([1])

    async def main() -> None:
        async with connected(address) as cluster:
            assert results(await cluster.run(len, calls(shared))) == [1]
            assert finalizers(shared) == 1

    rota.run(main())
    assert finalizers(shared) == 0


def finalizers(thing: object) -> int:
    return sum(1 for each in list(weakref.finalize._registry) if (found := each.peek()) and found[0] is thing)  # type: ignore[attr-defined]


def test_a_large_function_that_arrives_after_its_successor_is_let_go_of(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Stock.function

    async def main() -> None:
        waiting, may = asyncio.Event(), asyncio.Event()

        async def late(stock: Stock, digest: str, blob: bytes) -> Any:
            if not waiting.is_set():
                waiting.set()
                await may.wait()
            return await order(stock, digest, blob)

        monkeypatch.setattr(Stock, "function", late)
        async with connected(address) as cluster:
            table = bytearray(100_000)
            fn = functools.partial(lambda table, place: table[place], table)
            first = asyncio.create_task(cluster.check(fn))
            await waiting.wait()
            table[0] = 1
            await cluster.check(fn)
            may.set()
            await first
            async with asyncio.timeout(10):
                while len(await tasks_left(address)) != 1:
                    pass
            assert results(await cluster.run(fn, calls(0))) == [1]

    rota.run(main())


def test_a_large_function_that_has_changed_takes_the_place_of_what_it_was(address: str) -> None:
    async def main() -> None:
        async with connected(address) as cluster:
            table = bytearray(100_000)
            fn = functools.partial(lambda table, place: table[place], table)
            for number in range(3):
                table[0] = number
                await cluster.check(fn)
                assert results(await cluster.run(fn, calls(0))) == [number]
            async with asyncio.timeout(10):
                while len(await tasks_left(address)) != 1:
                    pass

    rota.run(main())


# -- nobody there to work -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def dask_worker(folder: Path, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, which will come to the scheduler at ``address``."""
    command = [sys.executable, "-m", "dask", "worker", address.removeprefix("dask://"), "--nthreads", "1"]
    with open(folder / "worker.log", "wb") as log:
        worker = subprocess.Popen(
            [*command, "--no-nanny", "--no-dashboard", "--local-directory", str(folder)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield worker
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def said_of_absence(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "has no workers" in record.getMessage()]


def test_calls_wait_for_workers_and_the_log_says_so_once(
    tmp_path: Path, run_real: RunReal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rota.lanes.absence.SAY_NO_WORKERS", 0.1)

    async def main(address: str) -> None:
        async with rota.Lanes() as lanes:
            call = asyncio.ensure_future(lanes.call(abs, -1, on=address))
            mapped = asyncio.ensure_future(lanes.map(len, [bytes(2_000_000), b"12"], on=address)._all())
            async with asyncio.timeout(20):
                while not said_of_absence(caplog):
                    await asyncio.sleep(0.01)
                with dask_worker(tmp_path, address):
                    assert await call == 1
                    assert await mapped == [2_000_000, 2]

    with dask(tmp_path, workers=0) as (address, _), caplog.at_level(logging.WARNING, "rota"):
        run_real(main(address))
    place = address.removeprefix("dask://")
    (said,) = said_of_absence(caplog)
    assert re.fullmatch(
        rf"the cluster at {place} has no workers; waiting for one: (abs, len|len, abs|abs|len)\. "
        rf"Start some \(dask worker {place}\), or give a timeout= to what can't wait",
        said,
    )
    assert {record.name for record in caplog.records if "has no workers" in record.getMessage()} == {"rota"}


def test_a_timeout_holds_where_there_are_no_workers(tmp_path: Path, run_real: RunReal) -> None:
    async def main(address: str) -> None:
        why = rf"\(the cluster at {address.removeprefix('dask://')} has no workers\)"
        async with rota.Lanes() as lanes:
            with pytest.raises(TimeoutError, match=rf"^abs\(-1\) took longer than 0\.2 s {why}"):
                await lanes.call(abs, -1, on=address, timeout=0.2)
            late = await lanes.map(len, [b"1", bytes(2_000_000)], on=address, timeout=0.2, on_error="return")
            assert [type(error) for error in late] == [TimeoutError, TimeoutError]
            for error in late:
                assert re.search(rf"^len\(b'.*\) took longer than 0\.2 s {why}", str(error))
            with pytest.raises(TimeoutError, match=why):
                await lanes.map(abs, range(100), on=address, timeout=0.2)

    with dask(tmp_path, workers=0) as (address, _):
        run_real(main(address))


def test_large_data_waits_for_workers_when_the_last_has_just_left(tmp_path: Path, run_real: RunReal) -> None:
    async def main(address: str) -> None:
        with dask_worker(tmp_path, address):
            await until_workers(address, 1)
            cluster = Cluster(address, patience=1)
            await cluster.connect()
            assert cluster.width == 1
        await until_workers(address, 0)
        waiting = asyncio.create_task(cluster.run(len, calls(bytes(2_000_000))))
        async with asyncio.timeout(20):
            while not any(key.startswith("wake-") for key in await tasks_left_now(address)):
                assert not waiting.done()
            with dask_worker(tmp_path, address):
                assert results(await waiting) == [2_000_000]
        await cluster.aclose()

    with dask(tmp_path, workers=0) as (address, _):
        run_real(main(address))


async def until_workers(address: str, count: int) -> None:
    async with distributed.Client(address.removeprefix("dask://"), asynchronous=True, set_as_default=False) as client:
        async with asyncio.timeout(20):
            while await client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.workers)) != count:
                await asyncio.sleep(0.01)


def test_without_workers_a_check_asks_nobody_and_the_first_chunk_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def job(item): return item")
    monkeypatch.syspath_prepend(str(tmp_path))
    job = importlib.import_module("only_here").job
    (tmp_path / "worker").mkdir()

    async def main(address: str) -> None:
        async with connected(address) as cluster, asyncio.timeout(20):
            await cluster.check(job)
            with dask_worker(tmp_path / "worker", address), pytest.raises(ShippingError, match="no module 'only_here'"):
                await cluster.run(job, calls(1))

    with dask(tmp_path, workers=0) as (address, _):
        rota.run(main(address))


# -- a loop that is only closed -------------------------------------------------------------------------------------


async def clients_left(address: str) -> list[str]:
    """The clients that a scheduler knows besides the one that asks, when those that go have had time to."""
    async with distributed.Client(address.removeprefix("dask://"), asynchronous=True, set_as_default=False) as client:
        for _ in range(50):
            found: list[str] = await client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))
            left = [name for name in found if name.startswith("Client-") and name != client.id]
            if not left:
                break
            await asyncio.sleep(0.05)
        return left


def test_a_loop_that_is_only_closed_lets_go_of_the_cluster(
    address: str, tmp_path: Path, kind: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Without a runner nobody closes the lanes while the loop runs; asyncio's tells nobody even then."""
    file = tmp_path / "log"

    def slow() -> None:
        note(str(file), "begun")
        time.sleep(1)

    async def call() -> None:
        await rota.call(slow, on=address)

    async def begun() -> asyncio.Task[Any]:
        task = asyncio.ensure_future(call())
        async with asyncio.timeout(10):
            while not noted(file):
                await asyncio.sleep(0.01)
        return task

    async def anything() -> None:
        assert await rota.call(abs, -1, on="threads") == 1

    loop = new_loop()
    unfinished = loop.run_until_complete(begun())
    loop.close()
    if kind == "asyncio":
        asyncio.run(anything())  # lanes that another loop makes end those of closed loops
    unfinished._log_destroy_pending = False  # type: ignore[attr-defined]
    assert asyncio.run(clients_left(address)) == []
    assert asyncio.run(tasks_left(address)) == []


@pytest.mark.parametrize("loop", ["rota.new_event_loop()", "asyncio.new_event_loop()"])
def test_of_a_loop_that_is_only_closed_nothing_is_said(address: str, loop: str) -> None:
    program = """
        import asyncio, rota
        async def main(**lane):
            print(await rota.call(abs, -1, **lane))
        loop = %s
        loop.run_until_complete(main(on=%r))
        loop.run_until_complete(asyncio.sleep(0.1))  # what Dask still has to send is sent
        loop.close()
        rota.run(main(on="loop"))
    """
    assert said_by(program % (loop, address)) == (0, "1\n1\n", "")


def test_lanes_that_are_closed_at_once_lose_what_runs_there(address: str, run_real: RunReal) -> None:
    async def main() -> None:
        lanes = rota.Lanes()
        assert await lanes.call(abs, -1, on=address) == 1
        waiting = asyncio.ensure_future(lanes.call(time.sleep, 5, on=address))
        async with asyncio.timeout(10):
            while not await tasks_left_now(address):
                await asyncio.sleep(0.01)
        lanes.close()
        with pytest.raises(ClusterLost, match="was closed here while"):
            await waiting

    run_real(main())
    assert asyncio.run(clients_left(address)) == []
    assert asyncio.run(tasks_left(address)) == []


def test_lanes_that_are_closed_connect_to_nobody(address: str, run_real: RunReal) -> None:
    async def main() -> None:
        lanes, closed = rota.Lanes(), asyncio.Event()

        async def late() -> AsyncIterator[int]:
            await closed.wait()
            yield -1

        mapped = asyncio.ensure_future(lanes.map(abs, late(), on=address)._all())
        await asyncio.sleep(0)
        lanes.close()
        closed.set()
        with pytest.raises(RuntimeError, match="these lanes are closed"):
            await mapped

    run_real(main())


def test_lanes_that_end_while_they_connect_leave_nothing(run_real: RunReal) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"dask://127.0.0.1:{silent.getsockname()[1]}"
            lanes = rota.Lanes()
            waiting = asyncio.ensure_future(lanes.call(abs, -1, on=address))
            silent.setblocking(False)
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            with connection:
                await lanes.aclose()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                # It was closed with the lanes, not by whoever collects it some day.
                while await asyncio.get_running_loop().sock_recv(connection, 1 << 16):
                    pass

    run_real(main())


# -- a scheduler that dies ------------------------------------------------------------------------------------------


def test_of_a_scheduler_that_died_nothing_is_said_but_the_error(tmp_path: Path) -> None:
    program = """
        import asyncio, os, signal, rota, time
        from rota.lanes.cluster import Cluster, ClusterLost
        async def main():
            cluster = Cluster(%r)
            await cluster.connect()
            assert await cluster.run(abs, [((-1,), {})])
            chunk = asyncio.create_task(cluster.run(time.sleep, [((20,), {})]))
            await asyncio.sleep(0.3)
            os.kill(%d, signal.SIGKILL)
            try:
                await chunk
            except ClusterLost as error:
                print("lost")
            await asyncio.sleep(0.3)  # Dask tries to find it again
            await cluster.aclose()
        rota.run(main())
    """
    with dask(tmp_path, workers=1) as (address, scheduler):
        assert said_by(program % (address, scheduler.pid)) == (0, "lost\n", "")


def test_a_scheduler_that_dies_is_one_error_for_everybody(
    tmp_path: Path, run_real: RunReal, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main(address: str, scheduler: subprocess.Popen[bytes]) -> None:
        async with connected(address) as cluster:
            chunks = [asyncio.create_task(cluster.run(time.sleep, calls(20))) for _ in range(3)]
            await asyncio.sleep(0.3)
            scheduler.kill()
            began = time.monotonic()
            for outcome in await asyncio.gather(*chunks, return_exceptions=True):
                assert isinstance(outcome, ClusterLost)
                assert address.removeprefix("dask://") in str(outcome)
            with pytest.raises(ClusterLost):
                await cluster.run(time.sleep, calls(0))
            assert cluster.width == 0
        assert time.monotonic() - began < 5

    with dask(tmp_path, workers=1) as (address, scheduler):
        run_real(main(address, scheduler))
    assert capfd.readouterr().err == ""
