"""Task factories: which keywords each is given.

Before Python 3.14 a factory is a function of the loop and the coroutine, which is given a context if there is one and
asked for nothing else; since then it takes every keyword that ``create_task`` was given. ``eager_start`` is passed to
whoever makes tasks only when somebody asked for it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any

#: A factory is given the name, too.
TAKES_ALL = sys.version_info >= (3, 14)


def deaf_eager_code() -> CodeType | None:
    """The code of asyncio's eager factories, where they can't be told not to be eager: before Python 3.14."""
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None or "eager_start" in factory.__code__.co_varnames:
        return None
    code: CodeType = factory.__code__
    return code


DEAF_EAGER_CODE = deaf_eager_code()


def make_task(
    factory: Callable[..., Any],
    loop: Any,
    coro: Coroutine[Any, Any, Any],
    name: object,
    eager_start: bool | None,
    kwargs: dict[str, Any],
) -> Any:
    """The task, or whatever it is, that ``factory`` makes."""
    if eager_start is not None:
        kwargs["eager_start"] = eager_start
        if DEAF_EAGER_CODE is not None and getattr(factory, "__code__", None) is DEAF_EAGER_CODE:
            # What create_eager_task_factory() was given; it takes the keyword.
            constructor = factory.__closure__[0].cell_contents  # type: ignore[index]
            return constructor(coro, loop=loop, name=name, **kwargs)
    if TAKES_ALL:
        return factory(loop, coro, name=name, **kwargs)
    task = factory(loop, coro, **kwargs)
    if name is not None:
        task.set_name(name)
    return task
