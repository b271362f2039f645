"""What is collected when the interpreter ends has nobody to tell: it ends silently, and never fails because of it."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, codecs, socket, sys
async def failing():
    raise ValueError("unseen")
listener = socket.create_server(("127.0.0.1", 0))
async def main():
    loop = asyncio.get_running_loop()
    {lost}
    {kept}
{run}
"""

LOST = {
    "future": "lost = loop.create_future(); lost.set_exception(ValueError())",
    "task": "lost = loop.create_task(failing()); await asyncio.sleep(0)",
    "transport": "lost = await loop.create_connection(asyncio.Protocol, *listener.getsockname())",
}

#: Who lets go of it when modules are empty: the last module of all, and the interpreter itself.
KEPT = {
    "sys": "sys.kept = lost",
    "interpreter": "codecs.register(lambda name, lost=lost: None)",
}


@pytest.mark.parametrize("run", ["import rota; rota.run(main())", "asyncio.run(main())"], ids=["rota", "asyncio"])
@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("lost", LOST)
def test_what_the_interpreter_drops_last_is_dropped_silently(lost: str, kept: str, run: str) -> None:
    program = PROGRAM.format(lost=LOST[lost], kept=KEPT[kept], run=run)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
