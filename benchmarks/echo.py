"""Echo servers: what an answer costs the process that gives it, as CPU time per echo.

    python benchmarks/echo.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

The server has a core and a process to itself; a client in C (``echo.c``, built by gcc when first needed) has another. A
figure is the server's CPU time (user + system, by the scheduler's own count) divided by the echoes that the client
counted in two seconds. The last column, ``C``, is a server of the same system calls without Python: nobody can be below
it by much. A case is how the server is written, bytes of a message, and connections:

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
import contextlib
import socket
import sys
from typing import Any

import peers
from server import Server, in_c, talk

SECONDS = 2.0
WARM_UP = 0.3
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
    for connections in (10, 200)
    if connections == 10 or size == "1 KiB"
]


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.memory = memoryview(bytearray(1 << 18))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.memory

    def buffer_updated(self, size: int) -> None:
        self.transport.write(self.memory[:size])


class TwiceEcho(Echo):
    """A head and a body, as most servers of HTTP answer."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data[:100])
        self.transport.write(data[100:])


PROTOCOLS = {"protocol": Echo, "buffered": BufferedEcho, "two writes": TwiceEcho}


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data, address)


async def echo_stream(reader: Any, writer: Any) -> None:
    with contextlib.suppress(ConnectionError):  # the client leaves in the middle of a message
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def echo_sock(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    with sock, contextlib.suppress(ConnectionError):
        while data := await loop.sock_recv(sock, 65536):
            await loop.sock_sendall(sock, data)


async def serve(peer: str, kind: str) -> None:
    """Echo until the process is ended; prints the port."""
    loop = asyncio.get_running_loop()
    if kind == "udp":
        transport, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=("127.0.0.1", 0))
        print(transport.get_extra_info("sockname")[1], flush=True)
        await peers.forever(transport)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    if kind == "sock":
        listener.setblocking(False)
        tasks = []
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tasks.append(loop.create_task(echo_sock(loop, sock)))
    if kind == "streams":
        server = await peers.streams(peer).start_server(echo_stream, sock=listener)
    else:
        server = await loop.create_server(PROTOCOLS[kind], sock=listener)
    await peers.forever(server)


def measure(peer: str, case: str) -> float:
    """Microseconds of the server's CPU for an echo."""
    kind, size, connections = words(case)
    network = "udp" if kind == "udp" else "tcp"
    command = [in_c(), "server", network] if peer == "C" else [sys.executable, __file__, "--serve", peer, kind]
    with Server(command) as server:
        talk(network, server.port, connections, size, WARM_UP * peers.SHARE)
        before = server.cpu()
        echoes, _, _ = talk(network, server.port, connections, size, SECONDS * peers.SHARE)
        return (server.cpu() - before) / echoes * 1e6


def words(case: str) -> tuple[str, int, int]:
    kind, rest = case.split(" ", 1)
    size, connections = rest.rsplit(" x", 1)
    return kind, SIZES[size], int(connections)


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        with asyncio.Runner(loop_factory=peers.maker(sys.argv[2])) as runner:
            runner.run(serve(sys.argv[2], sys.argv[3]))
        return 0
    assert __doc__
    return peers.run(__file__, __doc__, "CPU microseconds of the server per echo", CASES, measure, more=("C",))


if __name__ == "__main__":
    sys.exit(main())
