from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from rota.errors import UsageError
from rota.fetch.descriptors import OTHERS, make_room


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def allow(monkeypatch: pytest.MonkeyPatch, now: int, most: int) -> list[tuple[int, int]]:
    """Pretend that these are the limits; collects what they are set to."""
    new: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (now, most))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: new.append(limits))
    return new


def test_the_limit_is_raised_to_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    new = allow(monkeypatch, 1024, 1_000_000)
    make_room(1000)
    assert new == [(2000 + OTHERS, 1_000_000)]


def test_never_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    new = allow(monkeypatch, 1_000_000, 1_000_000)
    make_room(1000)
    assert new == []


def test_too_much_is_refused_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    new = allow(monkeypatch, 1024, 2000)
    with pytest.raises(UsageError, match=f"that takes {2000 + OTHERS} open files and the system allows 2000"):
        make_room(1000)
    assert new == []


def test_the_real_limit_moves() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    make_room(200)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 400 + OTHERS
