"""Lanes: what a call costs in a thread, in a process and on a cluster, beside the libraries that are there for it.

    python benchmarks/lanes.py [--rounds 5] [--only CASE] [--peer NAME] [--markdown]

====================  ==============================================================================================
thread, CPU           a function that does nothing, called in a thread and awaited: CPU of the process, each
thread, 100 at once   the same, a hundred together: by the clock, all of them
200 that wait 0.1 s   two hundred blocking calls at once: by the clock, all of them; nobody's settings are changed
process               a function that does nothing, called in a process and awaited: by the clock, each
tiny map              100,000 integers, doubled in two processes, each; by concurrent.futures 10,000 of them, in chunks
                      of one, as it does when it is not told
..., chunks by hand   the same with concurrent.futures told to make chunks of 2,000
100 MB array          the length of an array of 100 MB, in a process, from the second call on: shared by rota, memory-
                      mapped by joblib, pickled by concurrent.futures; ``pickle`` is the pickling alone
beside two            how late the loop is, but for one turn of a hundred, while two calls compute with the GIL: sleeps
                      of 1 ms, less the 1 ms
beside 5,000          the same while 5,000 blocking calls of a second each are begun at once, and wait
cluster               10,000 items of 100 µs on a Dask cluster of two processes, each; ``distributed`` is Client.map
                      with 500 of them
====================  ==============================================================================================
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing import get_context
from typing import Any

import peers

import rota

WORKERS = 2
CHUNKS = "-chunks"
FUTURES = "concurrent.futures"

#: case -> who else can do it
PEERS: dict[str, list[str]] = {
    "thread, CPU": ["asyncio", "anyio"],
    "thread, 100 at once": ["asyncio", "anyio"],
    "200 that wait 0.1 s": ["asyncio", "anyio"],
    "process": [FUTURES, "anyio"],
    "tiny map": [FUTURES, "joblib"],
    "tiny map, chunks by hand": [FUTURES],
    "100 MB array": [FUTURES, "joblib", "pickle"],
    "beside two": ["asyncio", "anyio"],
    "beside 5,000": [],
    "cluster": ["distributed"],
}


def nothing(_: Any = None) -> None: ...


def double(x: int) -> int:
    return 2 * x


def compute(seconds: float) -> int:
    """Hold the GIL in Python, until a clock has gone on by so much."""
    until = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < until:
        number += 1
    return number


def busy(_: int) -> int:
    return compute(0.000_1)


def shape(array: Any) -> int:
    return len(array)


# -- a call in a thread ----------------------------------------------------------------------------------------------


async def in_thread(peer: str, fn: Callable[..., Any], *args: Any) -> Any:
    if peer == "anyio":
        import anyio

        return await anyio.to_thread.run_sync(fn, *args)
    return await (rota.call(fn, *args, on="threads") if peer == "rota" else asyncio.to_thread(fn, *args))


async def thread_cpu(peer: str) -> float:
    count = int(10_000 * peers.SHARE)
    for _ in range(200):
        await in_thread(peer, nothing)
    cpu = time.process_time()
    for _ in range(count):
        await in_thread(peer, nothing)
    return (time.process_time() - cpu) / count


async def thread_burst(peer: str) -> float:
    times = []
    for _ in range(max(3, int(30 * peers.SHARE))):
        began = time.perf_counter()
        await asyncio.gather(*[in_thread(peer, nothing) for _ in range(100)])
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


async def thread_waits(peer: str) -> float:
    began = time.perf_counter()
    await asyncio.gather(*[in_thread(peer, time.sleep, 0.1) for _ in range(200)])
    return time.perf_counter() - began


# -- a call in a process ---------------------------------------------------------------------------------------------


async def process(peer: str) -> float:
    count = int(3000 * peers.SHARE)
    with executor() if peer == FUTURES else none() as pool:
        loop = asyncio.get_running_loop()

        def one() -> Awaitable[Any]:
            if peer == "rota":
                return rota.call(nothing, on="processes")
            if peer == "anyio":
                import anyio.to_process

                return anyio.to_process.run_sync(nothing)
            return loop.run_in_executor(pool, nothing)

        for _ in range(20):
            await one()
        began = time.perf_counter()
        for _ in range(count):
            await one()
        return (time.perf_counter() - began) / count


def executor() -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(WORKERS, get_context("spawn"))


class none:  # noqa: N801 - a context manager of nothing
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


async def tiny(peer: str, chunk: int = 1) -> float:
    count = int((10_000 if peer == FUTURES and chunk == 1 else 100_000) * peers.SHARE)
    if peer == FUTURES:
        with executor() as pool:
            list(pool.map(double, range(100)))
            began = time.perf_counter()
            total = sum(pool.map(double, range(count), chunksize=chunk))
            took = time.perf_counter() - began
    elif peer == "joblib":
        import joblib

        with joblib.Parallel(WORKERS) as pool:
            pool(joblib.delayed(double)(x) for x in range(100))
            began = time.perf_counter()
            total = sum(pool(joblib.delayed(double)(x) for x in range(count)))
            took = time.perf_counter() - began
    else:
        async with rota.Lanes(processes=WORKERS) as lanes:
            await lanes.map(double, range(100), on="processes")
            began = time.perf_counter()
            total = sum(await lanes.map(double, range(count), on="processes"))
            took = time.perf_counter() - began
    assert total == count * (count - 1)
    return took / count


async def array(peer: str) -> float:
    """The second and later calls with the same array."""
    import pickle

    import numpy

    data = numpy.ones(int(12_500_000 * peers.SHARE))
    if peer == "pickle":
        return best(lambda: pickle.dumps(data, 5))
    if peer == FUTURES:
        with executor() as pool:
            pool.submit(shape, data).result()
            return best(lambda: pool.submit(shape, data).result())
    if peer == "joblib":
        import joblib

        with joblib.Parallel(WORKERS) as pool:
            for _ in range(3):
                pool([joblib.delayed(shape)(data)])
            return best(lambda: pool([joblib.delayed(shape)(data)]))
    async with rota.Lanes(processes=1) as lanes:
        shared = rota.share(data)
        await lanes.call(shape, shared, on="processes")
        times = []
        for _ in range(5):
            began = time.perf_counter()
            await lanes.call(shape, shared, on="processes")
            times.append(time.perf_counter() - began)
        return sorted(times)[2]


def best(call: Callable[[], Any]) -> float:
    """The median of five, in seconds."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return sorted(times)[2]


# -- the loop meanwhile ----------------------------------------------------------------------------------------------


async def beside(peer: str) -> float:
    """The 99th percentile of how late the loop is while two calls compute."""

    def call(fn: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return rota.call(fn, *args) if peer == "rota" else in_thread(peer, fn, *args)

    for _ in range(12 if peer == "rota" else 1):  # as in a program that has been running: it is known what computes
        await call(compute, 0.02)
    if peer == "rota":
        assert rota.explain(compute).lane == "processes", rota.explain(compute)
    await asyncio.gather(call(compute, 0.05), call(compute, 0.05))
    seconds = max(0.3, 1.0 * peers.SHARE)
    return await lateness(asyncio.gather(call(compute, seconds), call(compute, seconds)))


async def beside_many(peer: str) -> float:
    many = max(200, int(5000 * peers.SHARE))
    return await lateness(asyncio.gather(*[in_thread(peer, time.sleep, 1) for _ in range(many)]))


async def lateness(work: asyncio.Future[Any]) -> float:
    """How many seconds the loop is late, but for one turn of a hundred, until ``work`` is done."""
    late = []
    while not work.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(max(0.0, time.perf_counter() - began - 0.001))
    await work
    return sorted(late)[int(len(late) * 0.99)]


# -- a cluster -------------------------------------------------------------------------------------------------------


class Dask:
    """A scheduler and two workers, as processes of their own."""

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
        quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self._scheduler = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        assert self._scheduler.stderr is not None
        for line in self._scheduler.stderr:
            if "Scheduler at:" in line:
                self.address = line.split("tcp://")[1].split()[0].strip()
                break
        folder = os.path.dirname(os.path.abspath(__file__))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path])}
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://{self.address}", "--no-dashboard"]
        options = ["--nworkers", "1", "--nthreads", "1", "--no-nanny"]
        self._workers = [
            subprocess.Popen([*worker, *options], stderr=subprocess.DEVNULL, env=environment, **quiet)
            for _ in range(WORKERS)
        ]
        return self.address

    def __exit__(self, *_: object) -> None:
        for process in [*self._workers, self._scheduler]:
            process.kill()
            process.communicate()


async def cluster(peer: str) -> float:
    import distributed

    new_client: Any = distributed.Client
    count = int(10_000 * peers.SHARE)
    with Dask() as address:
        async with new_client(f"tcp://{address}", asynchronous=True) as client:
            await client.wait_for_workers(WORKERS)
            if peer == "rota":
                async with rota.Lanes() as lanes:
                    await lanes.map(busy, range(100), on=f"dask://{address}")
                    began = time.perf_counter()
                    await lanes.map(busy, range(count), on=f"dask://{address}")
                    return (time.perf_counter() - began) / count
            count = int(500 * max(peers.SHARE, 0.2))
            await client.gather(client.map(busy, range(20), pure=False))
            began = time.perf_counter()
            await client.gather(client.map(busy, range(count), pure=False))
            return (time.perf_counter() - began) / count


MEASURES: dict[str, Callable[[str], Awaitable[float]]] = {
    "thread, CPU": thread_cpu,
    "thread, 100 at once": thread_burst,
    "200 that wait 0.1 s": thread_waits,
    "process": process,
    "tiny map": tiny,
    "tiny map, chunks by hand": functools.partial(tiny, chunk=2000),
    "100 MB array": array,
    "beside two": beside,
    "beside 5,000": beside_many,
    "cluster": cluster,
}


def measure(peer: str, case: str) -> float:
    """Microseconds."""

    async def main() -> float:
        return await MEASURES[case](peer)

    return (rota.run(main()) if peer == "rota" else asyncio.run(main())) * 1e6


def main() -> int:
    assert __doc__
    return peers.run(__file__, __doc__, "microseconds", MEASURES, measure, others=PEERS)


if __name__ == "__main__":
    sys.exit(main())
