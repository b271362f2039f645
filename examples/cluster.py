"""The prime numbers below five million, counted on a Dask cluster: the same map as on one machine.

python examples/cluster.py                   # starts a small cluster on this machine, and ends it
python examples/cluster.py dask://host:8786  # uses yours
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import rota

STEP = 50_000


def count_primes(start: int) -> int:
    """How many primes there are from ``start`` to ``start + STEP``."""
    end = start + STEP
    sieve = bytearray([1]) * STEP
    for n in range(2, int(end**0.5) + 1):
        first = max(n * n, -(-start // n) * n)
        sieve[first - start :: n] = bytes(len(range(first, end, n)))
    return sum(sieve) - sum(sieve[: max(0, 2 - start)])


@contextlib.contextmanager
def small_cluster() -> Iterator[str]:
    """A scheduler and two workers, as `dask scheduler` and `dask worker` start them on machines of their own."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w") as log:
        place = Path(folder, "scheduler.json")

        def start(role: str, *options: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "dask", role, "--host", "127.0.0.1", "--scheduler-file", str(place)]
            return subprocess.Popen([*command, *options], cwd=folder, stdout=log, stderr=log)

        scheduler = start("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        worker = start("worker", "--nworkers", "2", "--nthreads", "1")
        try:
            while not place.exists() or "Registered to" not in Path(log.name).read_text():
                if scheduler.poll() is not None or worker.poll() is not None:
                    sys.exit(Path(log.name).read_text())
                time.sleep(0.1)
            yield "dask://" + place.read_text().partition('"tcp://')[2].partition('"')[0]
        finally:
            for process in (worker, scheduler):
                process.terminate()
                process.wait()


async def main(address: str) -> None:
    began = time.perf_counter()
    counts = await rota.map(count_primes, range(0, 5_000_000, STEP), on=address, progress=True)
    print(f"{sum(counts):,} primes below 5,000,000, in {time.perf_counter() - began:.1f} s")
    print(rota.lanes())


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        try:
            rota.run(main(sys.argv[1] if len(sys.argv) > 1 else stack.enter_context(small_cluster())))
        except rota.RotaError as error:  # nobody there, another version
            sys.exit(str(error))
