"""A sub-interpreter: compiled rota refuses with a sentence, plain rota runs there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import rota

#: What a sub-interpreter does, and how it tells: its own stdout is not always flushed before the process ends.
INSIDE = """
import os, sys
sys.path[:] = {path!r}
try:
    import rota
    async def main():
        reader, writer = os.pipe()
        await rota.sleep(0.001)
        os.close(reader); os.close(writer)
        return "ran"
    said = rota.run(main())
except BaseException as error:
    said = f"{{type(error).__name__}}: {{error}}"
os.write(1, said.encode())
"""

#: Leaves without an end of the interpreters: Python 3.12.1 crashes there once asyncio was used in a second one.
OUTSIDE = """
import os, sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
{first}
interpreters.run_string(interpreters.create(), sys.argv[1])
import rota
async def main():
    return await rota.sleep(0, "main")
print("", rota.run(main()), flush=True)
os._exit(0)
"""


def said(first: str) -> str:
    inside = INSIDE.format(path=sys.path)
    command = [sys.executable, "-c", OUTSIDE.format(first=first), inside]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("first", ["import rota", ""], ids=["after the main interpreter", "before it"])
def test_a_sub_interpreter_gets_plain_python_or_a_sentence(first):
    compiled = (
        "ImportError: rota's compiled modules run in the main interpreter only: "
        "in a sub-interpreter, set ROTA_PURE=1 in os.environ before rota is imported"
    )
    assert said(first) == f"{compiled if rota.COMPILED else 'ran'} main\n"
