"""Sub-interpreters: rota's compiled modules belong to the main interpreter, and another one is told so.

Loaded in a second interpreter they would share one set of C variables, and an interpreter with a GIL of its own would
share them unlocked. Plain Python has no such variables and runs in each.
"""

from __future__ import annotations

import importlib

REFUSAL = (
    "rota's compiled modules run in the main interpreter only: "
    "in a sub-interpreter, set ROTA_PURE=1 in os.environ before rota is imported"
)


def is_main() -> bool:
    """Whether this is the interpreter that the process began with."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # since Python 3.13, and before
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True  # this Python has no others


def refuse_compiled() -> None:
    """Raise ImportError in a sub-interpreter, if what would be imported there is compiled."""
    if not is_main():
        import importlib.util

        found = importlib.util.find_spec("rota.core.turn")
        if found is not None and not str(found.origin).endswith(".py"):
            raise ImportError(REFUSAL, name="rota")
