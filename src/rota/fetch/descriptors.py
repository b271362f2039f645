"""Open files: a download holds a socket and a file, and the system allows a process only so many."""

from __future__ import annotations

import resource

from ..errors import UsageError

#: For everything else: the standard streams, the loop, the list, name servers and connections that are being
#: closed.
OTHERS = 64


def make_room(concurrency: int) -> None:
    """Raise this process's limit of open files to what so many downloads need.

    ``UsageError`` if the system does not allow it: better than failures half-way.
    """
    needed = 2 * concurrency + OTHERS
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY or needed <= now:
        return
    if most != resource.RLIM_INFINITY and needed > most:
        raise UsageError(
            f"concurrency is {concurrency}: that takes {needed} open files and the system allows {most}; "
            "choose a lower one, or raise the hard limit with ulimit -Hn"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))
