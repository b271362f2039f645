"""When to try again: how long to wait after the n-th failure.

Pure functions: the time, the randomness and the waiting itself belong to the caller. The waits double and are
spread at random, so that many slots that failed at the same moment don't come back at the same moment. A
server that says how long to wait (Retry-After) is believed, up to ``LONGEST_ASKED``.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

#: The wait after the first failure, in seconds: long enough for a restarting server's port to open ...
FIRST = 1.0

#: ... doubling up to this: past half a minute a longer wait gains little and only looks like a hang.
LONGEST = 30.0

#: A server's own Retry-After is obeyed up to this: five minutes is a rate limit, more is a no. A slot waits
#: with it.
LONGEST_ASKED = 300.0

#: Spread added to a wait that the server asked for, as a share of it: never earlier than it said.
SPREAD_ASKED = 0.1


def pause(failures: int, asked: float | None, chance: float) -> float:
    """Seconds to wait after so many ``failures`` (1 is the first) of one URL.

    ``asked`` is what the server's Retry-After came to, ``None`` if it said nothing; ``chance`` is a random
    number from 0 to 1. Without Retry-After the wait lies between half and the whole of the doubled time.
    """
    if asked is not None:
        return min(asked, LONGEST_ASKED) * (1 + SPREAD_ASKED * chance)
    # 2**n overflows a float for a patient enough user; the cap is reached long before.
    whole = min(FIRST * 2.0 ** min(failures - 1, 32), LONGEST)
    return whole * (0.5 + 0.5 * chance)


def asked_wait(retry_after: str | None, now: float) -> float | None:
    """The seconds that a Retry-After header asks for, at least 0: it holds seconds or an HTTP date.

    ``now`` is the time in seconds since 1970. ``None`` if there is no such header or it makes no sense.
    """
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        # Long enough a row of digits is slow to convert and can't be a float; it is over any cap anyway.
        return float(text[:12])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)
