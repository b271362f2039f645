"""A Python program, found and run as ``__main__`` the way python does it.

The program's module stands in ``sys.modules`` and stays there, and ``sys.argv`` and ``sys.path`` are what
python would set: threads that outlive the program's last line, pickling and child processes find what they
look for. (``runpy`` puts the old ``__main__`` back at the end, and shows its own frames in a traceback.) Its
end is the process's end.
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import NoReturn

from .errors import UsageError

#: The exit code of a program that Ctrl-C ended: 128 + SIGINT, what a shell shows for python.
INTERRUPTED = 130

Found = tuple[ModuleType, CodeType]


def run_file(path: str, *arguments: str) -> NoReturn:
    """Run the script ``path``, or the ``__main__.py`` of a folder or zip file; raise ``SystemExit`` at its
    end.

    An exception of the program is shown as python shows it and the exit code is 1. ``UsageError`` if there is
    no such program.
    """
    sys.argv = [path, *arguments]
    run_main(_load_file, path)


def run_module(name: str, *arguments: str) -> NoReturn:
    """The same for the module ``name``, or the ``__main__`` module of the package ``name``."""
    # What python puts there until the module is found.
    sys.argv = ["-m", *arguments]
    run_main(_load_module, name)


def run_main(load: Callable[[str], Found], target: str) -> NoReturn:
    try:
        main, code = load(target)
    except UsageError:
        raise
    except BaseException as error:  # noqa: BLE001 - a syntax error, or what the module's package raised
        _end(error)
    sys.modules["__main__"] = main
    try:
        exec(code, main.__dict__)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the program's
        _end(error)
    sys.exit(0)


def _end(error: BaseException) -> NoReturn:
    if isinstance(error, SystemExit):
        raise error
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    sys.excepthook(type(error), error.with_traceback(frames), frames)
    sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)


def _is_ours(frame: TracebackType) -> bool:
    file = frame.tb_frame.f_code.co_filename
    return file in (__file__, importlib.util.__file__) or file.startswith("<frozen importlib")


def _load_file(path: str) -> Found:
    place = os.path.abspath(path)
    importer = pkgutil.get_importer(place)
    if importer is None:
        _lead_path_with(os.path.dirname(os.path.realpath(path)))
        return _from_script(path)
    spec = importer.find_spec("__main__")
    if spec is None:
        raise UsageError(f"can't run {path!r}: there is no __main__.py in it")
    if sys.flags.safe_path:
        sys.path.insert(0, place)
    else:
        _lead_path_with(place)
    return _from_spec(spec)


def _load_module(name: str) -> Found:
    _lead_path_with(os.getcwd())
    spec = _find(name)
    if spec is None:
        raise UsageError(f"no module named {name!r}: is it installed, and is this the folder it is in?")
    if spec.submodule_search_locations is not None:
        spec = _find(f"{name}.__main__")
        if spec is None:
            raise UsageError(f"can't run the package {name!r}: there is no __main__.py in it")
    main, code = _from_spec(spec)
    sys.argv[0] = spec.origin or name
    return main, code


def _lead_path_with(folder: str) -> None:
    """Put ``folder`` where python put the place that rota itself was started from, unless told to put none
    (-P)."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _find(name: str) -> ModuleSpec | None:
    if name.startswith("."):
        return None
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        # The module or a package it is said to be in; any other is an import that failed inside the program.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            return None
        raise


def _from_script(path: str) -> Found:
    file = os.path.abspath(path)
    loader: SourceFileLoader | SourcelessFileLoader
    code: CodeType | None
    try:
        if path.endswith(".pyc"):
            loader = SourcelessFileLoader("__main__", file)
            code = loader.get_code("__main__")
        else:
            loader = SourceFileLoader("__main__", file)
            # Not get_code, which would leave a cache file beside the script.
            code = loader.source_to_code(loader.get_data(file), file)
    except OSError as error:
        problem = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
        raise UsageError(f"can't open {path!r}: {problem}; name a script, or a module with -m") from error
    assert code is not None
    return _main(__file__=file, __cached__=None, __loader__=loader, __package__=None), code


def _from_spec(spec: ModuleSpec) -> Found:
    # Asked by name: zip files have the method and are not importlib's InspectLoader.
    get_code = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(spec.name)
    if code is None:
        raise UsageError(f"can't run {spec.name!r}: it is not a module in Python")
    main = _main(
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    return main, code


def _main(**attributes: object) -> ModuleType:
    main = ModuleType("__main__")
    # In __main__, and only there, this is the module and not its dict; there are scripts that use it.
    main.__dict__.update(attributes, __builtins__=builtins)
    return main
