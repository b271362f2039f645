"""Wording: objects, exceptions and times as they stand in messages, each in one line, whatever their own code does."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

#: So many characters of an argument stand in a message.
SHOWN = 80

shortener = reprlib.Repr()
shortener.maxstring = shortener.maxother = SHOWN


def short(value: object) -> str:
    """``value``: its repr, cut where it is long; its type if it has none."""
    try:
        text = shortener.repr(value)
    except Exception:
        return f"<{type(value).__qualname__}>"
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """``1, b=2``: what a call was made with."""
    return ", ".join([*map(short, args), *(f"{name}={short(value)}" for name, value in kwargs.items())])


def seconds(value: float) -> str:
    """``21.3 ms``: what is below a second with three digits at most, the rest with two decimals."""
    if value * 1e3 >= 999.5:
        return f"{value:.2f} s"
    return f"{value * 1e3:.3g} ms" if value * 1e6 >= 999.5 else f"{value * 1e6:.3g} µs"


def kind_of(thing: object) -> str:
    """The name of its class."""
    return type(thing).__qualname__


def message_of(error: BaseException) -> str:
    """The first line of its text."""
    try:
        return str(error).strip().partition("\n")[0]
    except Exception:
        return "(its text can't be made)"


def describe(error: BaseException) -> str:
    """``TypeError: cannot pickle 'module' object``."""
    message = message_of(error)
    return f"{kind_of(error)}: {message}" if message else kind_of(error)
