"""Child processes in a row: the output of each is the input of the next."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

STAGES = [
    "print('\\n'.join(str(number) for number in range(20_000)))",
    "import sys\nfor line in sys.stdin:\n    if int(line) % 7 == 0: print(line, end='')",
    "import sys\nprint(sum(int(line) for line in sys.stdin))",
]
ANSWER = b"%d\n" % sum(range(0, 20_000, 7))


def python(code, **options):
    return asyncio.create_subprocess_exec(sys.executable, "-S", "-c", code, **options)


def test_stages_joined_by_the_kernels_pipes(run_real):
    """The data never comes by the loop."""

    async def main():
        processes = []
        before = subprocess.DEVNULL
        for stage in STAGES:
            last = stage is STAGES[-1]
            read, write = (None, subprocess.PIPE) if last else os.pipe()
            processes.append(await python(stage, stdin=before, stdout=write))
            if before != subprocess.DEVNULL:
                os.close(before)
            if not last:
                os.close(write)
            before = read
        out, _ = await processes[-1].communicate()
        assert out == ANSWER
        assert await asyncio.gather(*[process.wait() for process in processes]) == [0, 0, 0]

    run_real(main())


def test_stages_joined_by_streams(run_real):
    """The loop carries the data from one to the next."""

    async def carry(reader, writer):
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main():
        processes = [await python(stage, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for stage in STAGES]
        processes[0].stdin.close()
        first, second, third = processes
        out, *_ = await asyncio.gather(
            third.stdout.read(), carry(first.stdout, second.stdin), carry(second.stdout, third.stdin)
        )
        assert out == ANSWER
        assert await asyncio.gather(*[process.wait() for process in processes]) == [0, 0, 0]

    run_real(main())


def test_stages_one_after_the_other(run_real):
    async def main():
        data = None
        for stage in STAGES:
            process = await python(stage, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            data, _ = await process.communicate(data)
            assert process.returncode == 0
        assert data == ANSWER

    run_real(main())
