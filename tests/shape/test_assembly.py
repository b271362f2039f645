"""The loop is assembled of classes from several rooms: none may take a name away from another by accident."""

from __future__ import annotations

import inspect

import rota


def test_a_method_that_two_rooms_define_has_the_same_arguments() -> None:
    seen: dict[str, tuple[type, list[str]]] = {}
    for owner in rota.Loop.__mro__:
        if not owner.__module__.startswith("rota."):
            continue
        for name, value in vars(owner).items():
            if name.startswith("__") or not callable(value):
                continue
            arguments = list(inspect.signature(value).parameters)
            if name in seen:
                other, theirs = seen[name]
                assert arguments == theirs, f"{owner.__qualname__}.{name} is hidden by {other.__qualname__}.{name}"
            seen[name] = (owner, arguments)
    assert seen
