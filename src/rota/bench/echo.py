"""Echo: servers that send back what comes, and what an echo costs them.

A server has a process to itself (``server``), and a core where a process may choose one. A client on sockets and a
selector has another; what is measured is the server's CPU time.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import Loop, start_server
from .machine import stay_on

#: What the client of ``measure`` sends: requests and answers of many services are about so long ...
SIZE = 1024

#: ... over so many connections, each of which has one message under way.
CONNECTIONS = 10

#: Seconds of talk before what is measured, as a share of it: buffers find their sizes, and memory its place.
WARM_UP = 0.25

#: operation -> (kind of server, what it is)
ECHOES = {
    "echo": ("protocol", "1 KiB to an asyncio.Protocol and back, 10 connections: the server's part"),
    "echo-buffered": ("buffered", "1 KiB to an asyncio.BufferedProtocol and back, likewise"),
    "echo-streams": ("streams", "1 KiB read and written by streams, likewise; rota's on rota, asyncio's elsewhere"),
    "echo-sock": ("sock", "1 KiB by loop.sock_recv and sock_sendall, likewise"),
    "echo-tls": ("tls", "1 KiB to an asyncio.Protocol over TLS and back, likewise"),
}

#: Clients that may wait to be accepted: a benchmark's all come at once.
BACKLOG = 1024

SERVER = "rota.bench.server"


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


#: kind of server -> its protocol
PROTOCOLS: dict[str, Callable[[], asyncio.BaseProtocol]] = {
    "protocol": Echo,
    "buffered": BufferedEcho,
    "two writes": TwiceEcho,
    "tls": Echo,
}


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


async def serve(kind: str, tell: Callable[[int], None]) -> None:
    """Echo on this loop until the process ends; ``tell`` hears the port once it is served."""
    loop = asyncio.get_running_loop()
    if kind == "udp":
        transport, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=("127.0.0.1", 0))
        tell(transport.get_extra_info("sockname")[1])
        await loop.create_future()
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    port = listener.getsockname()[1]
    if kind == "sock":
        tell(port)
        await serve_sock(loop, listener)
    if kind == "streams":
        start: Any = start_server if isinstance(loop, Loop) else asyncio.start_server
        server = await start(echo_stream, sock=listener)
    else:
        context = server_context() if kind == "tls" else None
        server = await loop.create_server(PROTOCOLS[kind], sock=listener, ssl=context)
    async with server:
        tell(port)
        await loop.create_future()  # serve_forever would have rloop listen a second time, and refuse everybody


async def serve_sock(loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
    listener.setblocking(False)
    tasks = []
    while True:
        sock, _ = await loop.sock_accept(listener)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tasks.append(loop.create_task(echo_sock(loop, sock)))


def server_context() -> ssl.SSLContext:
    """TLS with a certificate for today, made by the openssl command."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command = ["openssl", "req", "-x509", *curve, "-subj", "/CN=localhost", "-days", "1", "-keyout", "-"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as made:
        subprocess.run(command, stdout=made, stderr=subprocess.PIPE, check=True)
        context.load_cert_chain(made.name)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def measure(peer: str, kind: str, seconds: float) -> float:
    """Seconds of a server's CPU for an echo, over all that a client gets in ``seconds``."""
    with started(peer, kind) as server:
        stay_on(0)  # from now on: the server has begun, and goes to the next
        port = int(word(server))
        with connected(port, kind) as connections:
            # Their end leaves holes in the heap, as in a server that has run for a while. Without them asyncio and
            # rloop map memory for each recv, and uvloop for each of TLS: asyncio's echo took 27 us, and 11 with them.
            talk(connections, seconds * WARM_UP)
        with connected(port, kind) as connections:
            talk(connections, 0)  # the first message of a connection is not like the others
            before = cpu(server)
            echoes = talk(connections, seconds)
            return (cpu(server) - before) / echoes


@contextlib.contextmanager
def started(peer: str, kind: str) -> Iterator[subprocess.Popen[str]]:
    """The process of a server, which ends when its stdin does."""
    command = [sys.executable, "-P", "-m", SERVER, peer, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield server


def word(server: subprocess.Popen[str]) -> str:
    """What a server says next."""
    assert server.stdout is not None
    said = server.stdout.readline()
    if not said:
        sys.exit(1)  # it has died, and why is what it has written to our stderr
    return said


def cpu(server: subprocess.Popen[str]) -> float:
    """Seconds that a server has run until now."""
    assert server.stdin is not None
    server.stdin.write("\n")
    server.stdin.flush()
    return float(word(server))


@contextlib.contextmanager
def connected(port: int, kind: str) -> Iterator[list[socket.socket]]:
    """``CONNECTIONS`` to a server on this machine."""
    with contextlib.ExitStack() as open_ones:
        connections = []
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if kind == "tls":
                connection = client_context().wrap_socket(connection)
            connections.append(open_ones.enter_context(connection))
        yield connections


def talk(connections: Sequence[socket.socket], seconds: float) -> int:
    """Send a message over each, and again once it is back, until the time is over; returns how many came back."""
    message = bytes(SIZE)
    end = time.monotonic() + seconds
    echoes, under_way = 0, len(connections)
    with selectors.DefaultSelector() as readable:
        for connection in connections:
            readable.register(connection, selectors.EVENT_READ, connection)
            connection.sendall(message)
        while under_way:
            for key, _ in readable.select():
                receive(key.data)
                echoes += 1
                if time.monotonic() < end:
                    key.data.sendall(message)
                else:
                    under_way -= 1
    return echoes


def receive(connection: socket.socket) -> None:
    """One message."""
    missing = SIZE
    while missing:
        data = connection.recv(missing)
        if not data:
            raise ConnectionError("the server closed a connection")
        missing -= len(data)
