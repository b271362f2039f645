"""TLS echo servers: what an answer over TLS costs the process that gives it, as CPU time per echo.

    python benchmarks/secured.py [--rounds 5] [--only CASE] [--peer LOOP] [--markdown]

As ``echo.py``: the server has a core and a process to itself, the client in C (``secured.c``, built by gcc with
OpenSSL's headers when first needed) another, and a figure is the server's CPU time divided by the echoes in a second,
after all handshakes. The last column, ``C``, is a server of the same system calls around the same OpenSSL, without
Python: nobody can be below it by much. A case is how the server is written (see ``echo.py``), bytes of a message, and
connections. TLS 1.3, certificates by trustme.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

import echo
import peers
from server import Client, Server, cost, in_c

import rota
from rota.bench import echo as servers

SIZES = {"1 KiB": 1024, "64 KiB": 65536, "300 kB": 300_000}
CASES = [
    "protocol 1 KiB x10",
    "protocol 1 KiB x200",
    "protocol 64 KiB x10",
    "protocol 64 KiB x200",
    "protocol 300 kB x10",
    "buffered 1 KiB x10",
    "streams 1 KiB x10",
    "streams 1 KiB x200",
    "streams 64 KiB x10",
    "streams 64 KiB x200",
]


def certificate() -> str:
    """A file with a certificate for localhost and its key, made when first needed."""
    made = Path(tempfile.gettempdir()) / f"rota-secured-{os.getuid()}.pem"
    if not made.exists():
        import trustme

        issued = trustme.CA().issue_cert("localhost")
        whole = issued.private_key_and_cert_chain_pem.bytes()
        half = made.with_suffix(f".{os.getpid()}")
        half.touch(mode=0o600)
        half.write_bytes(whole)
        half.rename(made)
    return str(made)


async def serve(kind: str) -> None:
    """Echo until the process is ended; prints the port."""
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate())
    options: Any = {"host": "127.0.0.1", "port": 0, "ssl": context, "backlog": servers.BACKLOG}
    if kind == "streams":
        streams: Any = rota if isinstance(loop, rota.Loop) else asyncio
        server = await streams.start_server(echo.echo_stream, **options)
    else:
        server = await loop.create_server(servers.PROTOCOLS[kind], **options)
    print(server.sockets[0].getsockname()[1], flush=True)
    await peers.forever(server)


def program() -> str:
    """The other ends in C."""
    return in_c("secured", "-lssl", "-lcrypto")


def measure(peer: str, case: str) -> float:
    """Microseconds of the server's CPU for an echo."""
    kind, rest = case.split(" ", 1)
    size, connections = rest.rsplit(" x", 1)
    here = [sys.executable, __file__, "--serve", peer, kind]
    with Server([program(), "server", certificate()] if peer == "C" else here) as server:
        words = [program(), "client", server.port, connections, str(SIZES[size])]
        return cost(server, lambda: Client(words), echo.WARM_UP, echo.SECONDS)


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        with asyncio.Runner(loop_factory=peers.maker(sys.argv[2])) as runner:
            runner.run(serve(sys.argv[3]))
        return 0
    assert __doc__
    return peers.run(__file__, __doc__, "CPU microseconds of the server per echo over TLS", CASES, measure, more=("C",))


if __name__ == "__main__":
    sys.exit(main())
