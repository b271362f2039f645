"""``rota run`` beside ``python``: the same program sees the same things, and ends the same way."""

from __future__ import annotations

import os
import py_compile
import shlex
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Done = subprocess.CompletedProcess[str]

#: Everything that a program can see of how it was started.
LOOK = """
import sys
def place(spec):
    return spec and (spec.name, spec.origin, spec.parent)
print(__name__, __file__, __package__, place(__spec__), type(__loader__).__name__, __doc__)
print(sys.argv, sys.path[0], sys.modules['__main__'].__dict__ is globals(), type(__builtins__))
print(sorted(globals().keys() - {'__annotations__'}))  # gone from __main__ in Python 3.14
"""


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., Done]:
    def run(*arguments: str, **options: Any) -> Done:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | options.pop("env", {}),
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def rota(python: Callable[..., Done]) -> Callable[..., Done]:
    return lambda *arguments, **options: python("-m", "rota", "run", *arguments, **options)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


Runs = Callable[..., Done]
Writes = Callable[[str, str], Path]


def test_asyncio_run_lands_on_rota(rota: Runs, write: Writes) -> None:
    write(
        "app.py",
        """
        import asyncio, rota
        async def main():
            return type(asyncio.get_running_loop())
        loop = rota.new_event_loop()
        loop.close()
        assert asyncio.run(main()) is type(loop)
        """,
    )
    assert rota("app.py").stderr == ""


def test_a_script_sees_what_it_sees_under_python(rota: Runs, python: Runs, write: Writes) -> None:
    write("app/app.py", f'"""Its words."""\n{LOOK}')
    for arguments in (
        ["app/app.py"],
        ["app/app.py", "-x", "--help", "--debug", "-m"],
        ["app/app.py", "--", "a"],
    ):
        assert rota(*arguments).stdout == python(*arguments).stdout


def test_a_link_leads_to_the_scripts_own_folder(rota: Runs, python: Runs, write: Writes, tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(write("real/app.py", LOOK))
    assert rota("link.py").stdout == python("link.py").stdout


def test_a_module_sees_what_it_sees_under_python(rota: Runs, python: Runs, write: Writes) -> None:
    write("package/__init__.py", "")
    write("package/__main__.py", LOOK)
    write("package/module.py", LOOK)
    for arguments in (["package"], ["package.module", "--help", "-m", "x"], ["package.__main__"]):
        assert rota("-m", *arguments).stdout == python("-m", *arguments).stdout


def test_a_folder_and_a_zip_file_run_like_under_python(rota: Runs, python: Runs, write: Writes, tmp_path: Path) -> None:
    main = write("folder/__main__.py", LOOK)
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.write(main, "__main__.py")
    for target in ("folder", "app.pyz"):
        assert rota(target, "x").stdout == python(target, "x").stdout != ""


def test_a_compiled_script_runs(rota: Runs, write: Writes, tmp_path: Path) -> None:
    py_compile.compile(str(write("app.py", "print(__name__)")), str(tmp_path / "app.pyc"))
    assert rota("app.pyc").stdout == "__main__\n"


def test_isolated_paths_stay_isolated(python: Runs, write: Writes) -> None:
    write("app.py", "import sys; print(sys.path)")
    plain = python("-P", "app.py")
    assert python("-P", "-m", "rota", "run", "app.py").stdout == plain.stdout


def test_nothing_is_left_beside_the_script(rota: Runs, write: Writes, tmp_path: Path) -> None:
    write("app.py", "print(1)")
    assert rota("app.py", env={"PYTHONDONTWRITEBYTECODE": ""}).stdout == "1\n"
    assert os.listdir(tmp_path) == ["app.py"]


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('words')", 1, "words\n"),
        ("raise SystemExit(0)", 0, ""),
        ("sys.stdout.close()", 0, ""),
        ("sys.stdout = None", 0, ""),
        ("import asyncio\nasync def f(): sys.exit(9)\nasyncio.run(f())", 9, ""),
    ],
)
def test_the_exit_code_is_the_programs(rota: Runs, write: Writes, ending: str, code: int, said: str) -> None:
    write("app.py", f"import sys\n{ending}")
    done = rota("app.py")
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize(
    "program",
    [
        "def f():\n    1 / 0\nf()",
        "raise ValueError('a') from KeyError('b')",
        "import nowhere_to_be_found",
        "import broken",
        "def f(:\n    pass",
        "x = 1\n  y = 2",
        "from rota.errors import UsageError\nraise UsageError('mine')",
        "raise BrokenPipeError('mine')",
        "import sys\nsys.excepthook = lambda *what: print('hooked', what[0])\n1 / 0",
        "import atexit\natexit.register(print, 'the end')\n1 / 0",
    ],
)
def test_what_the_program_raises_is_shown_as_python_shows_it(
    rota: Runs, python: Runs, write: Writes, program: str
) -> None:
    write("broken.py", "x = (")
    path = str(write("app.py", program))
    ours, theirs = rota(path), python(path)
    assert ours.stderr == theirs.stderr
    assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode) == (theirs.stdout, 1)


def test_an_import_that_fails_inside_a_module_is_the_programs_own(rota: Runs, write: Writes) -> None:
    write("package/__init__.py", "import nowhere_to_be_found")
    write("package/__main__.py", "")
    done = rota("-m", "package")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "rota" not in done.stderr
    assert "No module named 'nowhere_to_be_found'" in done.stderr


def test_ctrl_c_ends_the_program_as_under_python(rota: Runs, write: Writes) -> None:
    write("app.py", "import signal\nsignal.raise_signal(signal.SIGINT)")
    done = rota("app.py")
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert "rota" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.py"], "rota: can't open 'nowhere.py': no such file; name a script, or a module with -m"),
        (["folder"], "rota: can't run 'folder': there is no __main__.py in it"),
        (
            ["-m", "nowhere"],
            "rota: no module named 'nowhere': is it installed, and is this the folder it is in?",
        ),
        (["-m", "package"], "rota: can't run the package 'package': there is no __main__.py in it"),
        (
            ["-m", "package.x"],
            "rota: no module named 'package.x': is it installed, and is this the folder it is in?",
        ),
        (["-m", ".x"], "rota: no module named '.x': is it installed, and is this the folder it is in?"),
        (["-m", "math"], "rota: can't run 'math': it is not a module in Python"),
    ],
)
def test_a_program_that_is_not_there_is_one_line(
    rota: Runs, write: Writes, tmp_path: Path, arguments: list[str], line: str
) -> None:
    (tmp_path / "folder").mkdir()
    write("package/__init__.py", "")
    done = rota(*arguments)
    assert (done.returncode, done.stderr) == (2, line + "\n")


def test_no_program_at_all_is_a_mistake(rota: Runs) -> None:
    done = rota()
    assert done.returncode == 2
    assert "app.py" in done.stderr


def test_debug_is_asyncios_debug_mode(rota: Runs, write: Writes) -> None:
    write(
        "app.py",
        "import asyncio\nasync def f(): print(asyncio.get_running_loop().get_debug())\nasyncio.run(f())",
    )
    assert rota("--debug", "app.py").stdout == "True\n"
    assert rota("app.py", "--debug").stdout == "False\n"


@pytest.mark.parametrize("as_module", [False, True])
def test_child_processes_find_the_functions_of_the_program(rota: Runs, write: Writes, as_module: bool) -> None:
    write(
        "app.py",
        """
        import multiprocessing
        def double(number):
            return 2 * number
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [1, 2]))
        """,
    )
    done = rota("-m", "app") if as_module else rota("app.py")
    assert (done.stdout, done.stderr) == ("[2, 4]\n", "")


def test_a_thread_that_outlives_the_last_line_still_has_its_main(rota: Runs, write: Writes) -> None:
    write(
        "app.py",
        """
        import pickle, sys, threading
        class Thing: pass
        def late():
            threading.main_thread().join()
            print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
        threading.Thread(target=late).start()
        """,
    )
    done = rota("app.py")
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_streams_that_are_closed_are_so_for_the_program(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import sys, pathlib\npathlib.Path('seen').write_text(f'{sys.stdout} {sys.stderr}')"
    )
    command = f"exec {shlex.quote(sys.executable)} -m rota run app.py >&- 2>&-"
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "seen").read_text() == "None None"
