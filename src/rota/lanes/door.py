"""The public door of the lanes: ``rota.call``, ``rota.map``, ``rota.explain``, on the lanes that every loop has."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

from .explain import Explanation, State
from .lanes import default, default_if_any
from .map import Map
from .pools import AUTO


def call(
    fn: Callable[..., Any], /, *args: Any, on: Any = AUTO, timeout: float | None = None, **kwargs: Any
) -> Awaitable[Any]:
    """Await it for ``fn(*args, **kwargs)``, run where it runs best: see :meth:`rota.Lanes.call`."""
    return default().call(fn, *args, on=on, timeout=timeout, **kwargs)


def map(  # noqa: A001 - what it is
    fn: Callable[..., Any],
    items: Iterable[Any] | AsyncIterable[Any],
    *,
    on: Any = AUTO,
    limit: int | None = None,
    ordered: bool = True,
    retries: int = 0,
    timeout: float | None = None,
    on_error: str = "raise",
    progress: Any = False,
) -> Map:
    """``fn(item)`` for each of ``items``, as they come or as a list: see :meth:`rota.Lanes.map`."""
    return default().map(
        fn,
        items,
        on=on,
        limit=limit,
        ordered=ordered,
        retries=retries,
        timeout=timeout,
        on_error=on_error,
        progress=progress,
    )


def explain(fn: Callable[..., Any]) -> Explanation:
    """Where ``fn`` runs, with the figures and the reason: ``print(rota.explain(fn))``."""
    return default_if_any().explain(fn)


def state() -> State:
    """What all lanes of this loop have to do: ``print(rota.lanes())``."""
    return default_if_any().state()
