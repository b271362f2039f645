"""Bench: what an operation costs on rota, and on the other loops that are installed here.

    from rota.bench.measure import measure

    report = measure()                      # the short version: ten operations, a minute or less
    report = measure(["step"], rounds=1)    # one of them, once

A figure is CPU time, user and system, per operation, and comes from a process of its own; the loops take turns. An
operation is one of the clockwork's (``operations``) or an echo server that a client in another process talks to
(``echo``). The tables of ``docs/benchmarks.md`` are made of the same operations and servers, with more patience and a
client in C.
"""

from __future__ import annotations

#: What is measured unless somebody asks for something else: what programs spend a loop's time on.
SHORT = (
    "step",
    "wake",
    "spawn",
    "call_soon",
    "call_later",
    "timeout",
    "queue",
    "echo",
    "echo-streams",
    "echo-tls",
)

#: Rounds: the fewest that have a median.
ROUNDS = 3

#: Seconds measured for a figure: some ten thousand echoes, and about as long as starting the process takes.
SECONDS = 0.1

#: The most seconds for a figure: a longer one is no better, more rounds are.
MOST_SECONDS = 10.0

#: Seconds that a figure takes besides those that are measured, to start a Python, import and warm up. It only serves to
#: say how long all will take.
AROUND_A_FIGURE = 0.2
