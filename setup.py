"""Compile rota's hot modules with Cython, all or nothing.

``pyproject.toml`` says everything else. A hot module is a plain ``.py`` file with a ``.pxd`` beside it: the
same source runs interpreted where there is no compiler. ``ROTA_BUILD`` chooses:

``auto``     compile; if that fails, say so and install plain Python (the default)
``pure``     do not try
``require``  fail when anything does not compile (what release builds and tests use)

``ROTA_NONECHECK=1`` compiles in a check of each use of a typed attribute that may be None, ``ROTA_SANITIZE=1`` gcc's
address and undefined-behaviour sanitizers: for tests (``make sanitize``), each built in a folder of its own.

Modules that cimport one another must all be compiled or none (a half-compiled package dies at import with
"size changed"), so the first failure removes what was built before it.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

#: The hot modules: what runs per callback or per packet. Nothing with ``async def``, generators or closures.
HOT = [
    "rota.core.clock",
    "rota.core.ended",
    "rota.core.future",
    "rota.core.gather",
    "rota.core.handle",
    "rota.core.interval",
    "rota.core.policy",
    "rota.core.ready",
    "rota.core.runnable",
    "rota.core.state",
    "rota.core.task",
    "rota.core.timeout",
    "rota.core.timers",
    "rota.core.turn",
    "rota.net.datagram",
    "rota.net.endpoint",
    "rota.net.flow",
    "rota.net.line",
    "rota.net.pipe",
    "rota.net.poller.epoll",
    "rota.net.poller.watches",
    "rota.net.reader",
    "rota.net.tlsengine",
    "rota.net.tlstransport",
    "rota.net.transport",
    "rota.net.waker",
    "rota.net.watched",
]

#: C inline functions. Cython does not see that ``from . cimport native`` depends on its file.
INLINE = ["src/rota/core/native.pxd", "src/rota/net/libssl.pxd", "src/rota/net/syscalls.pxd"]

MODE = os.environ.get("ROTA_BUILD", "auto")
NONECHECK = os.environ.get("ROTA_NONECHECK", "") not in ("", "0")
SANITIZE = os.environ.get("ROTA_SANITIZE", "") not in ("", "0")
#: What one kind of build leaves must not be taken for another's.
FOLDER = "build" + "-nonecheck" * NONECHECK + "-sanitize" * SANITIZE
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
DIRECTIVES = {
    "language_level": 3,
    # Annotations stay annotations: with them on, Cython would refuse subclasses of str and dict.
    "annotation_typing": False,
    # Nothing here can be pickled, and the code that would do it is a quarter of each module.
    "auto_pickle": False,
    "nonecheck": NONECHECK,
}


class Build(build):
    """Into the folder of this kind of build."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = FOLDER


class BuildExt(build_ext):
    """All or nothing: a half-compiled package cannot be imported."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.parallel = os.cpu_count()

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except Exception as error:
            if MODE == "require":
                raise
            print(f"rota: no compiled modules ({error}); installing plain Python", file=sys.stderr)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


def is_inline_newer() -> bool:
    """Whether there is C that was made before an inline function was changed."""
    changed = max(Path(path).stat().st_mtime for path in INLINE)
    return any(made.stat().st_mtime < changed for made in Path(FOLDER).rglob("*.c"))


def extensions() -> list[Extension]:
    if MODE not in ("auto", "pure", "require"):
        raise SystemExit(f"rota: ROTA_BUILD={MODE!r} is not one of auto, pure, require")
    if MODE == "pure" or platform.python_implementation() != "CPython":
        return []
    try:
        from Cython.Build import cythonize

        modules = [
            Extension(
                name,
                [f"src/{name.replace('.', '/')}.py"],
                extra_compile_args=["-O1", "-g", *SANITIZERS] if SANITIZE else ["-O3", "-g0"],
                extra_link_args=SANITIZERS if SANITIZE else [],
                # glibc is what makes epoll_pwait2 and its 64-bit timespec available.
                define_macros=[("_GNU_SOURCE", "1")],
            )
            for name in HOT
        ]
        return cythonize(
            modules,
            compiler_directives=DIRECTIVES,
            build_dir=f"{FOLDER}/cython",
            quiet=True,
            force=is_inline_newer() or None,
            nthreads=os.cpu_count() or 1 if sys.platform == "linux" else 0,
        )
    except Exception as error:
        if MODE == "require":
            raise
        print(f"rota: no compiled modules ({error}); installing plain Python", file=sys.stderr)
        return []


setup(ext_modules=extensions(), cmdclass={"build": Build, "build_ext": BuildExt})
