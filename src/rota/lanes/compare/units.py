"""Units: seconds and bytes as a person reads them, three digits and a unit."""

from __future__ import annotations

import re
from textwrap import wrap

UNBROKEN = "\N{NO-BREAK SPACE}"


def in_lines(sentence: str, width: int) -> list[str]:
    """``sentence`` in lines of at most ``width`` characters; a number and its unit stay together."""
    whole = re.sub(r"(?<=\d) (?=(?:us|ms|s|MB)\b)", UNBROKEN, sentence)
    return [line.replace(UNBROKEN, " ") for line in wrap(whole, width)]


def seconds(value: float) -> str:
    """``0.0000125`` is "12.5 us", ``0.25`` is "250 ms", ``2.5`` is "2.50 s"."""
    if value == 0:
        return "0 s"
    if value < 0.001:
        return f"{digits(value * 1e6)} us"
    if value < 1:
        return f"{digits(value * 1e3)} ms"
    return f"{digits(value)} s"


def megabytes(value: int) -> str:
    return f"{digits(value / 1e6)} MB"


def digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
