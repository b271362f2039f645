"""Compute in pure Python: nothing to wait for, and the GIL held throughout."""

from __future__ import annotations

#: One by one they take a few seconds.
items = range(24)
concurrency = 8

#: Steps of one item: about a fifth of a second.
STEPS = 2_000_000


def job(seed: int) -> int:
    """Step a linear congruential generator; its last state."""
    state = seed
    for _ in range(STEPS):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return state


async def job_async(seed: int) -> int:
    """The same on the loop, which can't take a computation from it: nothing else runs meanwhile."""
    return job(seed)
