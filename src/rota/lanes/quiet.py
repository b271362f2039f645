"""Quiet: what Dask logs of a connection's end is kept off the terminal: ClusterLost says it in one line."""

from __future__ import annotations

import logging
import re

#: Who speaks of connections that are closed already, or of what was under way on them.
AFTERWARDS = ("distributed.batched", "distributed.utils", "tornado.application")

#: The schedulers whose connections are, or were, ours: the last words come when they are closed, or even later.
_ours: set[str] = set()


class Quiet(logging.Filter):
    """A context, for the time in which a client of ours may find that nobody answers any more at ``address``, or is
    closed while it tries to find somebody: of that there is an error, and no traceback on the terminal. What is said
    afterwards of a connection to there is kept off it for good.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not text.startswith("Failed to reconnect") and bool(text or not record.exc_info)

    def __enter__(self) -> None:
        _ours.add(self._address)
        for name in AFTERWARDS:
            logging.getLogger(name).addFilter(is_news)
        logging.getLogger("distributed.client").addFilter(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("distributed.client").removeFilter(self)


def is_news(record: logging.LogRecord) -> bool:
    """Whether this is more than that a connection of ours is closed, or a coroutine gone with its loop."""
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    text = record.getMessage()
    if kind == "CommClosedError":
        return not any(re.search(rf"(?<![\w.-]){re.escape(address)}(?!\d)", text) for address in _ours)
    return bool(text) or kind != "GeneratorExit"
