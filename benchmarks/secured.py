"""TLS echo servers: what an answer over TLS costs the process that gives it, as CPU time per echo.

    python benchmarks/secured.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

As ``echo.py``: the server has a core and a process to itself, the client (Python's own ``ssl``, a selector and no event
loop) another, and a figure is the server's CPU time divided by the echoes in two seconds. The server is a Protocol
behind ``create_server(ssl=)``. A case is bytes of a message, and connections. TLS 1.3, certificates by trustme.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

import echo
import peers
from server import CLIENTS_CORE, Server

CASES = ["1 KiB x1", "1 KiB x20", "64 KiB x20"]
SIZES = {"1 KiB": 1024, "64 KiB": 65536}


def certificate() -> str:
    """A file with a certificate for localhost and its key, made when first needed."""
    made = Path(tempfile.gettempdir()) / f"rota-secured-{os.getuid()}.pem"
    if not made.exists():
        import trustme

        issued = trustme.CA().issue_cert("localhost")
        whole = issued.private_key_and_cert_chain_pem.bytes()
        made.touch(mode=0o600)
        made.write_bytes(whole)
    return str(made)


async def serve() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate())
    server = await asyncio.get_running_loop().create_server(echo.Echo, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await peers.forever(server)


class Connection:
    """One that sends its message, and again once it is back."""

    def __init__(self, port: str, size: int, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", int(port)))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(plain)
        self.sock.setblocking(False)
        self.message = memoryview(bytes(size))
        self.sent = self.received = self.echoes = 0
        self.memory = bytearray(1 << 16)

    def go_on(self) -> int:
        """Read and write what can be; which events to wait for."""
        try:
            while True:
                if self.sent < len(self.message):
                    self.sent += self.sock.send(self.message[self.sent :])
                    if self.sent < len(self.message):
                        continue
                self.received += self.sock.recv_into(self.memory)
                if self.received == len(self.message):
                    self.echoes += 1
                    self.sent = self.received = 0
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_READ | selectors.EVENT_WRITE


def talk(port: str, connections: int, size: int, seconds: float) -> int:
    """How many echoes came."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    made = [Connection(port, size, context) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        for connection in made:
            selector.register(connection.sock, connection.go_on(), connection)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(0.1):
                wanted = key.data.go_on()
                if wanted != key.events:
                    selector.modify(key.fileobj, wanted, key.data)
    for connection in made:
        connection.sock.close()
    return sum(connection.echoes for connection in made)


def measure(peer: str, case: str) -> float:
    """Microseconds of the server's CPU for an echo."""
    size, connections = case.split(" x")
    certificate()
    with Server([sys.executable, __file__, "--serve", peer]) as server:
        peers.stay_on(CLIENTS_CORE)
        talk(server.port, int(connections), SIZES[size], echo.WARM_UP * peers.SHARE)
        before = server.cpu()
        echoes = talk(server.port, int(connections), SIZES[size], echo.SECONDS * peers.SHARE)
        return (server.cpu() - before) / echoes * 1e6


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        with asyncio.Runner(loop_factory=peers.maker(sys.argv[2])) as runner:
            runner.run(serve())
        return 0
    assert __doc__
    return peers.run(__file__, __doc__, "CPU microseconds of the server per echo over TLS", CASES, measure)


if __name__ == "__main__":
    sys.exit(main())
