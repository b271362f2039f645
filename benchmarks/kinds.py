"""Kinds of functions, each with the lane where it belongs: what ``choosing.py`` has rota choose for.

Each takes one number, ``size``, and returns a small one. What they work on is made once a process and kept: a call
is only the work that it is named for.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

THREADS, PROCESSES = "threads", "processes"


class Kind(NamedTuple):
    function: Callable[[int], Any]
    size: int  # a call takes some 20 ms, or 50 where it waits
    lane: str
    warm: bool  # whether to call it once before: it makes what it works on


def loop(size: int) -> int:
    """Python code, which holds the GIL but for a moment every few milliseconds."""
    total = 0
    for number in range(size):
        total += number * number % 7
    return total


@functools.cache
def text_of_json(size: int) -> str:
    return json.dumps([{"id": number, "name": f"name {number}", "tags": ["a", "b"]} for number in range(size)])


def parse(size: int) -> int:
    """C that holds the GIL from its beginning to its end."""
    return len(json.loads(text_of_json(size)))


@functools.cache
def numbers(size: int) -> list[int]:
    source = random.Random(size)
    return [source.randrange(1 << 30) for _ in range(size)]


def order(size: int) -> int:
    return sorted(numbers(size))[0]


@functools.cache
def letters(size: int) -> str:
    return "a" * size


def match(size: int) -> int:
    """A regular expression that goes back and forth."""
    return len(re.findall("a*b", letters(size)))


@functools.cache
def block(size: int) -> bytes:
    return bytes(size)


def digest(size: int) -> int:
    """C that lets go of the GIL."""
    return hashlib.sha256(block(size)).digest()[0]


@functools.cache
def matrix(size: int) -> Any:
    import numpy

    return numpy.random.default_rng(size).random((size, size))


def multiply(size: int) -> float:
    square = matrix(size)
    return float((square @ square)[0, 0])


def sleep(size: int) -> int:
    time.sleep(size / 1000)
    return size


class Peer:
    """Sends a byte so many milliseconds after it was asked for it, from a thread without work."""

    def __init__(self) -> None:
        self._mine, theirs = socket.socketpair()
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()

    def _serve(self, theirs: socket.socket) -> None:
        while asked := theirs.recv(8):
            time.sleep(int.from_bytes(asked, "big") / 1000)
            theirs.send(b"!")

    def ask(self, milliseconds: int) -> int:
        with self._lock:
            self._mine.send(milliseconds.to_bytes(8, "big"))
            return len(self._mine.recv(1))


@functools.cache
def peer() -> Peer:
    return Peer()


def receive(size: int) -> int:
    """What a client of a slow server does."""
    return peer().ask(size)


def mixed(size: int) -> int:
    """20 ms of Python, by the thread's own clock, then the wait for an answer."""
    ends = time.thread_time() + 0.02
    while time.thread_time() < ends:
        loop(500)
    return peer().ask(size)


KINDS = {
    "py loop": Kind(loop, 400_000, PROCESSES, False),
    "json.loads": Kind(parse, 28_000, PROCESSES, True),
    "sorted": Kind(order, 140_000, PROCESSES, True),
    "regex": Kind(match, 7_500, PROCESSES, True),
    "sha256": Kind(digest, 36_000_000, THREADS, True),
    "numpy @": Kind(multiply, 900, THREADS, True),
    "sleep": Kind(sleep, 50, THREADS, False),
    "recv": Kind(receive, 50, THREADS, False),
    "mixed": Kind(mixed, 60, THREADS, False),
}
