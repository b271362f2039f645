"""The other end of the wire, in a thread, of nothing but blocking sockets and :mod:`ssl` memory BIOs.

It does what its script says, reads what comes at the pace of the script, and keeps what came. With TLS, the bytes of
the records are sent in pieces of the sizes that the script gives, whatever the records' own.
"""

from __future__ import annotations

import random
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any

#: What both ends send, from its beginning: no piece of it occurs twice, so what is lost, doubled or moved is seen.
STREAM = memoryview(random.Random(1).randbytes(16 << 20))

A_WHILE = 300  # pieces
PATIENCE = 10  # seconds in which something must happen


@dataclass
class Script:
    """What a peer does, in this order: ``sends`` (each so many bytes), then its ``end``.

    ``"shut"`` ends its side and reads to the end, ``"stay"`` reads to the end first, ``"close"`` closes at once,
    ``"reset"`` too, and lets the kernel say so with a reset. ``cuts`` are the sizes of the pieces that are sent, and
    ``reads`` of those that are read, each again and again; after one of ``rests`` milliseconds. All of that for a
    while: then the rest goes through as it can.
    """

    sends: list[int] = field(default_factory=list)
    end: str = "shut"
    cuts: list[int] = field(default_factory=lambda: [1 << 16])
    reads: list[int] = field(default_factory=lambda: [1 << 16])
    rests: list[int] = field(default_factory=lambda: [0])


class Wire:
    """Bytes as they are."""

    def __init__(self) -> None:
        self.to_send = bytearray()

    def put(self, data: Any) -> None:
        self.to_send += data

    def take(self, data: bytes) -> bytes:
        """What ``data`` from the socket means; ``b""`` when that is nothing yet."""
        return data

    def end(self) -> None:
        """Say that no more is put."""

    ready = True  # may be put
    ended = False  # the other end has said so


class TlsWire(Wire):
    """The same, in TLS."""

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        super().__init__()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname is None, server_hostname)
        self.ready = False
        self.handshake()

    def handshake(self) -> None:
        try:
            self.tls.do_handshake()
            self.ready = True
        except ssl.SSLWantReadError:
            pass
        self.to_send += self.outgoing.read()

    def put(self, data: Any) -> None:
        self.tls.write(data)
        self.to_send += self.outgoing.read()

    def take(self, data: bytes) -> bytes:
        self.incoming.write(data)
        if not self.ready:
            self.handshake()
        found = bytearray()
        while self.ready and not self.ended:
            try:
                data = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            if not data:
                self.ended = True
            found += data
        self.to_send += self.outgoing.read()
        return bytes(found)

    def end(self) -> None:
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the other end has not said so yet, or is about to send more
        self.to_send += self.outgoing.read()


class Peer(threading.Thread):
    """Runs ``script`` on ``sock``. Afterwards ``received`` and ``sent`` are numbers of bytes, ``how`` is how the other
    end went: ``"eof"``, ``"reset"`` or None when this one did not wait for that; ``wrong`` says what must not be.
    """

    def __init__(self, sock: socket.socket, script: Script, wire: Wire) -> None:
        super().__init__(daemon=True)
        self.sock = sock
        self.script = script
        self.wire = wire
        self.received = 0
        self.sent = 0
        self.how: str | None = None
        self.finished = False  # all was sent, and the end of it said
        self.wrong: str | None = None

    def run(self) -> None:
        try:
            with self.sock:
                self.converse()
        except OSError as error:
            self.how = self.how or f"reset: {error!r}"
        except Exception as error:
            self.wrong = repr(error)

    def converse(self) -> None:
        script, wire, sock = self.script, self.wire, self.sock
        sock.setblocking(False)
        sends = list(script.sends)
        turn = 0
        shut = False
        while True:
            if wire.ready and not wire.to_send and not shut:
                if sends:
                    size = sends.pop(0)
                    wire.put(STREAM[self.sent : self.sent + size])
                    self.sent += size
                elif script.end == "shut":
                    wire.end()
                    shut = True
                    if not wire.to_send:
                        self.shut()
                elif script.end == "close":
                    return
                elif script.end == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
            readable, writable, _ = select.select([sock], [sock] if wire.to_send else [], [], PATIENCE)
            if not readable and not writable:
                self.wrong = f"nothing happens: {self.received} received, {self.sent} sent, {len(wire.to_send)} left"
                return
            turn += 1
            if writable:
                cut = script.cuts[turn % len(script.cuts)] if turn < A_WHILE else 1 << 18
                count = sock.send(wire.to_send[:cut])
                del wire.to_send[:count]
                if shut and not wire.to_send:
                    self.shut()
            if readable:
                rest = script.rests[turn % len(script.rests)]
                if rest and turn < A_WHILE:
                    time.sleep(rest / 1000)
                raw = sock.recv(script.reads[turn % len(script.reads)] if turn < A_WHILE else 1 << 18)
                data = wire.take(raw) if raw else b""
                if STREAM[self.received : self.received + len(data)] != data:
                    self.wrong = f"other bytes than were sent, from number {self.received} on"
                    return
                self.received += len(data)
                if not raw or wire.ended:
                    self.how = "eof" if wire.ended or type(wire) is Wire else "ragged"
                    if not self.finished:
                        self.send_the_rest(sends)
                    return

    def send_the_rest(self, sends: list[int]) -> None:
        """The other end has ended its side, and may still read ours."""
        self.sock.settimeout(PATIENCE)
        for size in sends if type(self.wire) is Wire else ():
            self.wire.put(STREAM[self.sent : self.sent + size])
            self.sent += size
        self.wire.end()
        self.sock.sendall(self.wire.to_send)
        self.shut()

    def shut(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
        self.finished = True
