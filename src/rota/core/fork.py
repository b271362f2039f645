"""A child process that was forked from one with loops: they are the parent's, and the child leaves them alone.

A fork copies a loop with all that waits on it, while the kernel's part is shared: what the child did to the epoll set,
or wrote to the waker, would be done to the parent. So in the child, before any code of the program, each loop gives up
its own file descriptors (that closes the child's numbers and nothing else), refuses to be used, and is not the running
one. The child may make a loop of its own at once.
"""

from __future__ import annotations

import functools
import os
import weakref
from typing import Protocol


class Inherited(Protocol):
    """What a child has by the fork."""

    def _leave_to_parent(self) -> None:
        """Do nothing more in this process."""


open_loops: weakref.WeakSet[Inherited] = weakref.WeakSet()


def leave_all_to_parent(kept: list[Inherited]) -> None:
    """In the child. The loops are ``kept``, with all that waits on them, since a task that is dropped runs its last
    lines.
    """
    for loop in list(open_loops):
        open_loops.discard(loop)
        loop._leave_to_parent()
        kept.append(loop)


if hasattr(os, "register_at_fork"):
    # The list is nobody else's, so that it outlives all modules when the child exits.
    os.register_at_fork(after_in_child=functools.partial(leave_all_to_parent, []))
