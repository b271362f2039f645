"""Random conversations with a plain blocking peer: no byte is lost, doubled or moved, and callbacks come in order.

A conversation is data: what the loop's side does, what the peer does (``peer.py``), and the wire between them. Each
side sends the beginning of one stream and compares what it gets with that, byte by byte. What must hold beyond that
is in ``Side.check``. Not all of a conversation is decided by its data: how the kernel cuts and when threads run is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import rota

from .peer import A_WHILE, PATIENCE, STREAM, Peer, Script, TlsWire, Wire

CONVERSATIONS = 150

SECONDS = float(os.environ.get("ROTA_FUZZ_SECONDS", "0"))

SIZE = st.sampled_from([1, 2, 100, 4095, 4096, 16384, 16385, 65536, 65537, 200_000, 262_145, 1 << 20, 3 << 20])
SMALL = st.sampled_from([1, 2, 7, 100, 1000, 1448, 4096, 16389])
CUT = st.sampled_from([1 << 18, 1 << 16, 16384, 5000, 1000, 100, 7])
BUFFER = st.sampled_from([1, 3, 100, 4097, 65536, 1 << 20])
#: A protocol: with data_received, or with a buffer of so many bytes.
PROTOCOL = st.one_of(st.none(), BUFFER)

OPERATION = st.one_of(
    st.tuples(st.just("write"), SIZE, st.sampled_from([bytes, bytearray, memoryview])),
    st.tuples(st.just("writelines"), st.lists(SMALL, max_size=30)),
    st.tuples(st.just("turns"), st.integers(0, 20)),
    st.tuples(st.just("sleep"), st.integers(1, 3)),
    st.tuples(st.just("drain")),
    st.tuples(st.just("limits"), st.sampled_from([0, 1, 1000, 65536, 1 << 20])),
    st.tuples(st.just("pause_reading")),
    st.tuples(st.just("resume_reading")),
    st.tuples(st.just("swap"), PROTOCOL),
)

SIDE = st.fixed_dictionaries(
    {
        "operations": st.lists(OPERATION, max_size=10),
        "protocol": PROTOCOL,
        "keep_open": st.booleans(),
        "end": st.sampled_from(["write_eof", "wait", "close", "abort"]),
        "replies": st.lists(SMALL, max_size=5),  # written out of the next callbacks with data
        "pauses": st.integers(0, 5),  # that many callbacks of data and end pause reading for a moment
    }
)

SCRIPT = st.builds(
    Script,
    sends=st.lists(SIZE, max_size=5),
    end=st.sampled_from(["shut", "stay", "shut", "stay", "close", "reset"]),
    cuts=st.lists(CUT, min_size=1, max_size=4),
    reads=st.lists(CUT, min_size=1, max_size=4),
    rests=st.sampled_from([[0], [0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0, 5]]),
)

READ = st.one_of(
    st.tuples(st.just("read"), SMALL),
    st.tuples(st.just("readexactly"), st.one_of(SMALL, SIZE)),
    st.tuples(st.just("readline")),
    st.tuples(st.just("readuntil"), st.just(b"\n")),
    st.tuples(st.just("read"), st.just(-1)),
)

STREAMS = st.fixed_dictionaries(
    {
        "reads": st.lists(READ, min_size=1, max_size=4),
        "writes": st.lists(st.tuples(SIZE, st.booleans()), max_size=6),
        "end": st.sampled_from(["write_eof", "close"]),
        "limit": st.sampled_from([1 << 14, 1 << 16, 1 << 20]),
    }
)

#: SO_SNDBUF and SO_RCVBUF of both sockets, None for the kernel's own.
BUFFERS = st.sampled_from([None, 1 << 16, 1 << 13])


class Side:
    """The loop's end: what it did, what it was told, and what was wrong about that."""

    def __init__(self, plan: dict[str, Any], tls: bool, on_asyncio: bool) -> None:
        self.plan = plan
        self.tls = tls
        self.on_asyncio = on_asyncio
        self.events: list[str] = []
        self.wrong: list[str] = []
        self.written = 0
        self.written_before_end = 0
        self.received = 0
        self.pauses = plan["pauses"]
        self.replies = list(plan["replies"])
        self.paused = False  # reading
        self.ended = False  # we have ended writing
        self.error: BaseException | None = None
        self.transport: Any = None
        loop = asyncio.get_running_loop()
        self.made = loop.create_future()
        self.lost = loop.create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self.end_seen = asyncio.Event()
        loop.set_exception_handler(lambda loop, context: self.wrong.append(f"reported: {context}"))

    def protocol(self, buffer: int | None) -> Any:
        return Plain(self) if buffer is None else Buffered(self, buffer)

    def event(self, name: str) -> None:
        if not self.events and name != "made":
            self.wrong.append(f"{name} before connection_made")
        if "lost" in self.events:
            self.wrong.append(f"{name} after connection_lost")
        # asyncio tells of the end again when reading is resumed after it.
        if name in self.events and name in ("made", "lost", *(() if self.on_asyncio else ("eof",))):
            self.wrong.append(f"{name} twice")
        if name == "data" and "eof" in self.events:
            self.wrong.append("data after eof_received")
        if name in ("pause", "resume"):
            before = next((event for event in reversed(self.events) if event in ("pause", "resume")), "resume")
            if before == name:
                self.wrong.append(f"{name} twice")
        if not (self.events and self.events[-1] == name == "data"):
            self.events.append(name)

    def connection_made(self, transport: Any) -> None:
        self.event("made")
        self.transport = transport
        self.made.set_result(None)

    def data(self, data: Any) -> None:
        self.event("data")
        if self.paused:
            self.wrong.append("data while reading is paused")
        if not len(data):
            self.wrong.append("no data")
        if STREAM[self.received : self.received + len(data)] != data:
            self.wrong.append(f"other bytes than were sent, from number {self.received} on")
        self.received += len(data)
        if self.replies:
            self.write(self.replies.pop(0), bytes)
        self.pause_for_a_moment()

    def pause_for_a_moment(self) -> None:
        if self.pauses:
            self.pauses -= 1
            self.pause_reading()
            asyncio.get_running_loop().call_soon(self.resume_reading)

    def eof_received(self) -> bool:
        self.event("eof")
        self.written_before_end = self.written
        self.end_seen.set()
        self.pause_for_a_moment()
        return self.plan["keep_open"]

    def pause_writing(self) -> None:
        self.event("pause")
        self.writable.clear()

    def resume_writing(self) -> None:
        self.event("resume")
        self.writable.set()

    def connection_lost(self, error: BaseException | None) -> None:
        self.event("lost")
        self.error = error
        self.end_seen.set()
        self.writable.set()
        self.lost.set_result(None)

    # -- what it does -------------------------------------------------------------------------------------------

    def write(self, size: int, kind: type) -> None:
        if self.ended or self.transport.is_closing():
            return
        data = STREAM[self.written : self.written + size]
        self.written += len(data)
        if kind is bytes:
            self.transport.write(bytes(data))
        elif kind is memoryview:
            self.transport.write(data)
        else:
            changing = bytearray(data)
            self.transport.write(changing)
            if not self.on_asyncio:
                # It is ours again once it has been given. asyncio keeps it if it could not be sent at once (since
                # Python 3.12), not what was in it.
                changing[:] = bytes(len(changing))

    def writelines(self, sizes: list[int]) -> None:
        if self.ended or self.transport.is_closing():
            return
        pieces = []
        for size in sizes:
            pieces.append(bytes(STREAM[self.written : self.written + size]))
            self.written += size
        self.transport.writelines(pieces)

    def pause_reading(self) -> None:
        if not self.transport.is_closing() and not self.paused:
            self.transport.pause_reading()
            self.paused = True

    def resume_reading(self) -> None:
        if self.paused:
            self.paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    async def converse(self) -> None:
        for name, *arguments in self.plan["operations"]:
            if self.lost.done():
                break
            if name in ("write", "writelines", "pause_reading", "resume_reading"):
                getattr(self, name)(*arguments)
            elif name == "turns":
                for _ in range(arguments[0]):
                    await asyncio.sleep(0)
            elif name == "sleep":
                await asyncio.sleep(arguments[0] / 1000)
            elif name == "drain":
                self.resume_reading()
                await self.writable.wait()
            elif name == "limits":
                self.transport.set_write_buffer_limits(*arguments)
            elif name == "swap":
                self.transport.set_protocol(self.protocol(*arguments))
        self.resume_reading()

    async def end(self, peer_ends_first: bool) -> None:
        """Do what the plan says of the end, and hear that it is over."""
        end = self.plan["end"]
        if end == "write_eof" and not self.transport.is_closing() and self.transport.can_write_eof():
            self.ended = True
            # asyncio tells the caller of a peer that is gone by then, rota connection_lost.
            with contextlib.suppress(OSError if self.on_asyncio else ()):
                self.transport.write_eof()
            await self.end_seen.wait()
        elif end == "wait" and peer_ends_first:
            await self.end_seen.wait()
        self.ended = True
        if end == "abort":
            self.transport.abort()
        else:
            self.transport.close()
        await self.lost

    def check(self, peer: Peer) -> None:
        """What must hold when all is over."""
        wrong = [*self.wrong, *([peer.wrong] if peer.wrong else [])]
        if self.received > peer.sent:
            wrong.append("more received than sent")
        if "eof" in self.events and self.received != peer.sent and peer.finished:
            wrong.append(f"the end came after {self.received} of {peer.sent} bytes")
        if peer.received > self.written:
            wrong.append("the peer received more than was written")
        graceful = self.plan["end"] != "abort" and self.error is None
        if peer.how == "eof" and graceful:
            # TLS ends both ways at once: what is written after the peer's end is dropped.
            least = self.written_before_end if self.tls and "eof" in self.events else self.written
            if peer.received < least:
                wrong.append(f"the peer received {peer.received} of {self.written} bytes, {least} of them for sure")
        patient = self.plan["end"] == "write_eof" or (self.plan["end"] == "wait" and peer.script.end == "shut")
        if patient and peer.script.end in ("shut", "stay") and not self.tls:
            # Nobody leaves with something unread: nothing may go wrong at all.
            if self.error is not None:
                wrong.append(f"connection_lost({self.error!r})")
            if peer.how != "eof":
                wrong.append(f"the peer saw no end: {peer.how}")
        assert not wrong, f"{wrong} {self.events} {self.written=} {self.received=} {peer.sent=} {peer.received=}"


class Plain(asyncio.Protocol):
    def __init__(self, side: Side) -> None:
        self.side = side
        self.connection_made = side.connection_made
        self.data_received = side.data
        self.eof_received = side.eof_received
        self.pause_writing = side.pause_writing
        self.resume_writing = side.resume_writing
        self.connection_lost = side.connection_lost


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, side: Side, size: int) -> None:
        self.side = side
        self.size = size
        self.given = 0
        self.buffer = memoryview(bytearray(size))
        self.connection_made = side.connection_made
        self.eof_received = side.eof_received
        self.pause_writing = side.pause_writing
        self.resume_writing = side.resume_writing
        self.connection_lost = side.connection_lost

    def get_buffer(self, hint: int) -> memoryview:
        self.given += 1
        if self.given == A_WHILE:
            self.buffer = memoryview(bytearray(max(self.size, 1 << 18)))
        return self.buffer

    def buffer_updated(self, size: int) -> None:
        if size > len(self.buffer):
            self.side.wrong.append("more data than the buffer holds")
        self.side.data(self.buffer[:size])


class StreamSide:
    """The loop's end as a StreamReader and a StreamWriter."""

    def __init__(self, plan: dict[str, Any], tls: bool) -> None:
        self.plan = plan
        self.tls = tls
        self.wrong: list[str] = []
        self.written = 0
        self.received = 0
        self.saw_end = False
        self.error: OSError | None = None
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: self.wrong.append(f"reported: {context}")
        )

    async def read(self, reader: Any) -> None:
        """All that comes, by the methods of the plan, each again and again."""
        turn = 0
        while not self.saw_end:
            method, *arguments = self.plan["reads"][turn % len(self.plan["reads"])] if turn < A_WHILE else ("read", -1)
            turn += 1
            try:
                data = await getattr(reader, method)(*arguments)
                self.saw_end = not data or arguments == [-1]
            except asyncio.IncompleteReadError as error:
                data = error.partial
                self.saw_end = True
            if method == "readexactly" and len(data) != arguments[0] and not self.saw_end:
                self.wrong.append(f"{len(data)} bytes from readexactly({arguments[0]})")
            if method in ("readline", "readuntil") and data.find(b"\n") not in (-1, len(data) - 1):
                self.wrong.append(f"more than a line: {data!r}")
            if STREAM[self.received : self.received + len(data)] != data:
                self.wrong.append(f"other bytes than were sent, from number {self.received} on")
            self.received += len(data)
        if not reader.at_eof():
            self.wrong.append("at_eof() is false at the end")

    async def write(self, writer: Any) -> None:
        for size, drain in self.plan["writes"]:
            writer.write(STREAM[self.written : self.written + size])
            self.written += size
            if drain:
                await writer.drain()
        if self.plan["end"] == "write_eof" and writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def converse(self, reader: Any, writer: Any) -> None:
        reading = asyncio.ensure_future(self.read(reader))
        for end in (self.write(writer), reading):
            try:
                await end
            except OSError as error:
                self.error = error
        try:
            writer.close()
            await writer.wait_closed()
        except OSError as error:
            self.error = error

    def check(self, peer: Peer) -> None:
        wrong = [*self.wrong, *([peer.wrong] if peer.wrong else [])]
        half_open = self.plan["end"] == "write_eof" and not self.tls
        if half_open and self.error is None and peer.finished and self.received != peer.sent:
            wrong.append(f"the end came after {self.received} of {peer.sent} bytes")
        # With TLS the peer's end is ours, too.
        whole = half_open or (self.tls and peer.script.end == "stay")
        if whole and self.error is None and peer.how == "eof" and peer.received != self.written:
            wrong.append(f"the peer received {peer.received} of {self.written} bytes")
        if half_open and peer.script.end in ("shut", "stay") and (self.error is not None or peer.how != "eof"):
            wrong.append(f"{self.error!r}, and the peer saw {peer.how}")
        assert not wrong, f"{wrong} {self.written=} {self.received=} {peer.sent=} {peer.received=}"


def connected(wire: str, buffers: int | None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection."""
    if wire == "unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
            theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    if buffers is not None:
        if wire != "unix":
            buffers = max(buffers, 1 << 16)  # below that, TCP waits for its timers
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
    ours.setblocking(False)
    return ours, theirs


class Wires:
    """Makes the connection of a conversation, with the certificates of these tests."""

    def __init__(self, server_context: Any, client_context: Any) -> None:
        self.server_context = server_context
        self.client_context = client_context

    def peer(self, wire: str, buffers: int | None, script: Script) -> tuple[socket.socket, Peer]:
        """The loop's socket, and whoever has the other one."""
        ours, theirs = connected(wire, buffers)
        if wire == "tls client":
            peer = Peer(theirs, script, TlsWire(self.server_context, None))
        elif wire == "tls server":
            peer = Peer(theirs, script, TlsWire(self.client_context, "server.test"))
        else:
            peer = Peer(theirs, script, Wire())
        peer.start()
        return ours, peer

    async def connect(self, wire: str, buffers: int | None, script: Script, factory: Any) -> Peer:
        ours, peer = self.peer(wire, buffers, script)
        loop = asyncio.get_running_loop()
        try:
            if wire == "tls client":
                await loop.create_connection(factory, sock=ours, ssl=self.client_context, server_hostname="server.test")
            elif wire == "tls server":
                await loop.connect_accepted_socket(factory, ours, ssl=self.server_context)
            elif wire == "unix":
                await loop.create_unix_connection(factory, sock=ours)
            else:
                await loop.create_connection(factory, sock=ours)
        except OSError:
            # A peer that is gone before the connection is made.
            ours.close()
            await in_thread(peer.join)
        return peer

    async def open(self, wire: str, buffers: int | None, script: Script, limit: int, library: Any) -> Any:
        ours, peer = self.peer(wire, buffers, script)
        options = {"ssl": self.client_context, "server_hostname": "server.test"} if wire == "tls client" else {}
        try:
            connect = library.open_unix_connection if wire == "unix" else library.open_connection
            return peer, await connect(sock=ours, limit=limit, **options)
        except OSError:
            ours.close()
            await in_thread(peer.join)
            return peer, None


async def in_thread(function: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function)


async def conversation(wires: Wires, wire: str, plan: Any, script: Script, buffers: int | None, kind: str) -> None:
    side = Side(plan, wire.startswith("tls"), on_asyncio=kind == "asyncio")
    async with asyncio.timeout(3 * PATIENCE):
        peer = await wires.connect(wire, buffers, script, lambda: side.protocol(plan["protocol"]))
        if not side.made.done():
            assert script.end in ("close", "reset")
            return
        await side.converse()
        await side.end(peer_ends_first=script.end != "stay")
        await in_thread(peer.join)
    side.check(peer)


async def streams(wires: Wires, wire: str, plan: Any, script: Script, buffers: int | None, library: Any) -> None:
    side = StreamSide(plan, wire.startswith("tls"))
    async with asyncio.timeout(3 * PATIENCE):
        peer, both = await wires.open(wire, buffers, script, plan["limit"], library)
        if both is None:
            assert script.end in ("close", "reset")
            return
        await side.converse(*both)
        await in_thread(peer.join)
    side.check(peer)


COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    # To make an example small it would have to fail each time, and a hanging one take its time each time.
    "phases": [Phase.generate],
}

WIRES = ["tcp", "unix", "tls client", "tls server"]


@pytest.fixture
def converse(run_real, kind, server_context, client_context):
    wires = Wires(server_context, client_context)

    def converse(wire, plan, script, buffers):
        if kind == "asyncio" and wire.startswith("tls"):
            pytest.skip(
                "asyncio's TLS loses what a BufferedProtocol's buffer has no room for when the end comes with it, "
                "and pauses a transport that it has let go of"
            )
        if buffers is not None:
            plan = {**plan, "operations": [smaller(each) for each in plan["operations"]]}
            script.sends = [min(size, 65537) for size in script.sends]
        run_real(conversation(wires, wire, plan, script, buffers, kind))

    return converse


@pytest.fixture
def converse_in_streams(run_real, kind, server_context, client_context):
    wires = Wires(server_context, client_context)
    library = asyncio if kind == "asyncio" else rota

    def converse_in_streams(wire, plan, script, buffers):
        if buffers is not None:
            plan = {**plan, "writes": [(min(size, 65537), drain) for size, drain in plan["writes"]]}
            script.sends = [min(size, 65537) for size in script.sends]
        run_real(streams(wires, wire, plan, script, buffers, library))

    return converse_in_streams


def smaller(operation):
    name, *arguments = operation
    return (name, min(arguments[0], 65537), *arguments[1:]) if name == "write" else operation


@pytest.mark.parametrize("wire", WIRES)
def test_no_byte_is_lost(wire, converse):
    @settings(max_examples=CONVERSATIONS, derandomize=True, **COMMON)
    @given(SIDE, SCRIPT, BUFFERS)
    def some(plan, script, buffers):
        print(wire, plan, script, buffers)
        converse(wire, plan, script, buffers)

    some()


@pytest.mark.parametrize("wire", ["tcp", "unix", "tls client"])
def test_no_byte_is_lost_in_streams(wire, converse_in_streams):
    @settings(max_examples=CONVERSATIONS // 2, derandomize=True, **COMMON)
    @given(STREAMS, SCRIPT, BUFFERS)
    def some(plan, script, buffers):
        converse_in_streams(wire, plan, script, buffers)

    some()


@pytest.mark.skipif(not SECONDS, reason="runs for ROTA_FUZZ_SECONDS: make fuzz")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("wire", WIRES)
def test_no_byte_is_lost_for_long(wire, converse):
    end = time.monotonic() + SECONDS

    @settings(max_examples=1000, **COMMON)
    @given(SIDE, SCRIPT, BUFFERS)
    def some(plan, script, buffers):
        if time.monotonic() < end:
            converse(wire, plan, script, buffers)

    while time.monotonic() < end:
        some()


@pytest.mark.skipif(not SECONDS, reason="runs for ROTA_FUZZ_SECONDS: make fuzz")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("wire", ["tcp", "unix", "tls client"])
def test_no_byte_is_lost_in_streams_for_long(wire, converse_in_streams):
    end = time.monotonic() + SECONDS

    @settings(max_examples=1000, **COMMON)
    @given(STREAMS, SCRIPT, BUFFERS)
    def some(plan, script, buffers):
        if time.monotonic() < end:
            converse_in_streams(wire, plan, script, buffers)

    while time.monotonic() < end:
        some()
