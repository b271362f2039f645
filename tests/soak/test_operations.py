"""Ten thousand of each operation leave nothing behind; ``make soak`` does a million."""

from __future__ import annotations

import pytest
from tests.soak.operations import OPERATIONS, excess

COUNT = 10_000


@pytest.mark.parametrize("name", OPERATIONS)
def test_counts_are_steady(name):
    operation, share = OPERATIONS[name]
    assert excess(operation, max(100, int(COUNT * share))) == {}


def test_a_leak_is_seen():
    kept = []

    async def leak(count: int) -> None:
        kept.extend([object()] for _ in range(count))

    assert "objects" in excess(leak, COUNT)
