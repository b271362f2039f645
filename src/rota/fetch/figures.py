"""Numbers for people: counts, bytes, rates and times, short and with the unit that fits."""

from __future__ import annotations

from ..lanes.progress import clock_face as clock

__all__ = ["clock", "rate", "size", "span"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """``512 bytes``, ``1.5 kB``, ``20.0 MB``: thousands, as disks and lines are sold."""
    unit = 0
    while count >= 999.95 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.0f} {_UNITS[0]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """``0.42 s``, ``12.3 s``, ``3:05``, ``2:00:00``."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return clock(seconds)


def rate(each_second: float) -> str:
    """URLs a second: ``0.4/s``, ``82/s``, ``1,204/s``."""
    return f"{each_second:.1f}/s" if each_second < 9.95 else f"{each_second:,.0f}/s"
