"""Build what users install, and use it as they would: from an empty folder, without this one.

    python tests/packages.py        (needs the ``build`` package)

Checked: an sdist holds all that a wheel is built from; a wheel built from it runs a program, compiled; with no C
compiler, ``pip install`` succeeds and the plain package runs the same program; ``ROTA_BUILD=require`` then fails, and
``ROTA_BUILD=pure`` gives a wheel for any platform.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "import asyncio, rota; rota.run(asyncio.sleep(0.001)); print(rota.__version__, rota.COMPILED)"
NO_COMPILER = {"CC": "/nonexistent/cc", "CXX": "/nonexistent/cc"}


def say(text: str) -> None:
    print(f"packages: {text}", flush=True)


def call(*command: object, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ROTA_BUILD")}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**environment, **extra},
        capture_output=True,
        text=True,
        check=False,
    )


def must(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        sys.exit(f"packages: {' '.join(done.args)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout.strip()


def fresh_python(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def installed(source: Path, work: Path, name: str, **extra: str) -> str:
    """What the program prints with ``source`` installed in a new environment."""
    python = fresh_python(work / name)
    must(call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source, cwd=work, **extra))
    return must(call(python, "-c", PROGRAM, cwd=work))


def build(source: Path, into: Path, kind: str, work: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return call(sys.executable, "-m", "build", f"--{kind}", "--outdir", into, source, cwd=work, **extra)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        must(build(ROOT, work / "sdist", "sdist", work))
        (sdist,) = (work / "sdist").glob("*.tar.gz")
        say(f"sdist {sdist.name}")
        must(build(unpacked(sdist, work / "first"), work / "wheel", "wheel", work, ROTA_BUILD="require"))
        (wheel,) = (work / "wheel").glob("*.whl")
        printed = installed(wheel, work, "compiled")
        assert printed.endswith("True"), f"{wheel.name} is not compiled: {printed}"
        say(f"wheel {wheel.name} runs: {printed}")
        printed = installed(sdist, work, "without-compiler", **NO_COMPILER)
        assert printed.endswith("False"), f"compiled without a compiler: {printed}"
        say(f"sdist installed without a compiler runs: {printed}")
        second = unpacked(sdist, work / "second")
        refused = build(second, work / "refused", "wheel", work, ROTA_BUILD="require", **NO_COMPILER)
        assert refused.returncode != 0, "ROTA_BUILD=require succeeded without a compiler"
        assert NO_COMPILER["CC"] in refused.stdout + refused.stderr, f"it failed of something else: {refused.stderr}"
        say("ROTA_BUILD=require fails without a compiler")
        must(build(unpacked(sdist, work / "third"), work / "pure", "wheel", work, ROTA_BUILD="pure"))
        (pure,) = (work / "pure").glob("*.whl")
        assert pure.name.endswith("-py3-none-any.whl"), f"ROTA_BUILD=pure made {pure.name}"
        printed = installed(pure, work, "plain")
        assert printed.endswith("False"), printed
        say(f"wheel {pure.name} runs: {printed}")


def unpacked(sdist: Path, into: Path) -> Path:
    """The sdist in a folder where nothing was built before: what it lacks, a wheel built from it lacks too."""
    into.mkdir()
    must(call("tar", "-xzf", sdist, cwd=into))
    (folder,) = into.iterdir()
    return folder


if __name__ == "__main__":
    main()
