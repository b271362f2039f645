"""Echo servers: what an answer costs the process that gives it, as CPU time per echo.

    python benchmarks/echo.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

The server has a core and a process to itself; a client in C (``echo.c``, built by gcc when first needed) has another. A
figure is the server's CPU time (user + system, by the scheduler's own count) divided by the echoes that the client
counted in a second; it was connected before, and stays so until after. The last column, ``C``, is a server of the same
system calls without Python: nobody can be below it by much. A case is how the server is written, bytes of a message,
and connections:

============  ==========================================================================================
protocol      an asyncio.Protocol: ``data_received`` writes back
buffered      an asyncio.BufferedProtocol, with 256 KiB of memory for a connection
streams       ``read`` and ``write`` and ``drain``, of asyncio's streams; on rota of rota's
sock          ``loop.sock_recv`` and ``loop.sock_sendall``, a task for each connection
udp           an asyncio.DatagramProtocol: ``datagram_received`` sends back; a connection is a client's socket
============  ==========================================================================================
"""

from __future__ import annotations

import asyncio
import sys

import peers
from server import Server, client, cost, in_c

from rota.bench import echo as servers

SECONDS = 1.0
WARM_UP = 0.1
SIZES = {"64 B": 64, "1 KiB": 1024, "16 KiB": 16384, "100 KiB": 102_400, "1 MiB": 1 << 20}
CASES = [
    f"{kind} {size} x{connections}"
    for kind, sizes in (
        ("protocol", SIZES),
        ("buffered", ["1 KiB"]),
        ("streams", ["1 KiB", "16 KiB"]),
        ("sock", ["1 KiB", "16 KiB"]),
        ("udp", ["1 KiB"]),
    )
    for size in sizes
    for connections in (10, 50 if kind == "udp" else 200)  # more datagrams than 90 don't fit in the server's queue
    if connections == 10 or size == "1 KiB"
]


#: ``rota bench`` measures the same servers, with a client in Python.
Echo, echo_stream = servers.Echo, servers.echo_stream


async def serve(kind: str) -> None:
    """Echo until the process is ended; prints the port."""
    await servers.serve(kind, lambda port: print(port, flush=True))


def measure(peer: str, case: str) -> float:
    """Microseconds of the server's CPU for an echo."""
    kind, size, connections = words(case)
    network = "udp" if kind == "udp" else "tcp"
    command = [in_c(), "server", network] if peer == "C" else [sys.executable, __file__, "--serve", peer, kind]
    with Server(command) as server:
        return cost(server, lambda: client(network, server.port, connections, size), WARM_UP, SECONDS)


def words(case: str) -> tuple[str, int, int]:
    kind, rest = case.split(" ", 1)
    size, connections = rest.rsplit(" x", 1)
    return kind, SIZES[size], int(connections)


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        with asyncio.Runner(loop_factory=peers.maker(sys.argv[2])) as runner:
            runner.run(serve(sys.argv[3]))
        return 0
    assert __doc__
    return peers.run(__file__, __doc__, "CPU microseconds of the server per echo", CASES, measure, more=("C",))


if __name__ == "__main__":
    sys.exit(main())
