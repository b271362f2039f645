"""Who of the ready runs next.

The default, ``"fifo"``, is the ready list itself and costs nothing. Any other policy is an object with
``push(runnable)`` and ``pop()``, and the loop keeps the ready in it. A policy chooses an order and nothing else: it
gives back each runnable that it took, once. A turn still runs as many as were ready when it began: what becomes
ready meanwhile may run in it only in place of another, if the policy prefers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ..errors import UsageError
from .ready import Ready
from .runnable import Runnable


class Policy(Protocol):
    """What a policy must be able to do."""

    def push(self, runnable: Runnable, /) -> None:
        """Take ``runnable``, which has become ready."""

    def pop(self) -> Runnable:
        """Give back who runs next; called only while somebody is ready."""


class PolicyReady(Ready):
    """A ready list whose order is a policy's."""

    __slots__ = ("_policy",)

    def __init__(self, policy: Policy) -> None:
        Ready.__init__(self)
        self._policy = policy

    def __iter__(self) -> Iterator[Runnable]:
        """Who is ready, if the policy can be looked at."""
        return iter(list(self._policy) if isinstance(self._policy, Iterable) else [])

    def push(self, runnable: Runnable) -> None:
        if self._watched:
            self._guard()  # type: ignore[operator]
        self._policy.push(runnable)
        runnable._queued = True
        self._count += 1

    def pop(self) -> Runnable:
        runnable = self._policy.pop()
        if runnable is None:
            raise TypeError(f"{self._policy!r}.pop() gave None while {self._count} were ready")
        runnable._queued = False
        self._count -= 1
        return runnable


def ready_for(policy: str | Policy) -> Ready:
    """A ready list that runs by ``policy``: ``"fifo"``, or an object with ``push`` and ``pop``.

    Raises UsageError for anything else.
    """
    if isinstance(policy, str):
        if policy != "fifo":
            raise UsageError(f"unknown policy {policy!r}: use 'fifo', or an object with push(runnable) and pop()")
        return Ready()
    if not (hasattr(policy, "push") and hasattr(policy, "pop")):
        raise UsageError(f"{policy!r} is no policy: it needs push(runnable) and pop()")
    return PolicyReady(policy)
