"""What TLS owes to a protocol: its context in every callback, and a protocol that fails costs one connection."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import gc
import ssl
import weakref

import pytest

from .conftest import ROTA
from .recorder import Recorder, troubles, turns, until
from .tls_peer import NAME, Peer

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class BrokenError(Exception):
    pass


class Witness(Recorder):
    """Notes who is there at each callback."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def connection_made(self, transport):
        super().connection_made(transport)
        self.seen["made"] = who.get()

    def data_received(self, data):
        super().data_received(data)
        self.seen["data"] = who.get()
        if data == b"pause":
            self.transport.pause_reading()

    def eof_received(self):
        super().eof_received()
        self.seen["eof"] = who.get()

    def resume_writing(self):
        super().resume_writing()
        self.seen["resume"] = who.get()

    def connection_lost(self, error):
        super().connection_lost(error)
        self.seen["lost"] = who.get()


# -- contexts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
def test_every_callback_sees_who_made_the_connection(run_real, meet):
    """asyncio gives the context of whoever resumed the reading or registered the socket last."""

    async def main():
        who.set("maker")
        transport, protocol, peer = await meet(Witness)
        who.set("somebody else")
        peer.write(b"pause")
        await until(lambda: protocol.data == b"pause")
        peer.write(b"more")
        transport.resume_reading()
        await until(lambda: protocol.data == b"pausemore")
        while "pause" not in protocol.events:
            transport.write(bytes(500_000))
            await turns(2)

        def resumed():
            peer.read()
            return "resume" in protocol.events

        await until(resumed)
        peer.say_goodbye()

        def over():
            peer.read()
            return protocol.lost.done()

        await until(over)
        assert protocol.seen == dict.fromkeys(["made", "data", "resume", "eof", "lost"], "maker")

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_the_context_when_time_is_over(run, meet):
    async def main():
        who.set("maker")
        transport, protocol, _ = await meet(Witness, ssl_shutdown_timeout=3)
        who.set("somebody else")
        transport.close()
        assert isinstance(await protocol.lost, TimeoutError)
        assert protocol.seen["lost"] == "maker"

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_tls_inside_tls_keeps_the_contexts_apart(run_real, meet, server_context, client_context):
    """asyncio has one context for all of them."""

    async def main():
        loop = asyncio.get_running_loop()
        who.set("outer")
        outer, protocol, peer = await meet(Witness)
        who.set("inner")
        starting = asyncio.ensure_future(loop.start_tls(outer, protocol, client_context, server_hostname=NAME))
        inner = Peer(PeerSocket(peer), server_context)
        transport, _ = await asyncio.gather(starting, inner.shake())
        who.set("somebody else")
        inner.write(b"twice in secret")
        await until(lambda: protocol.data == b"twice in secret")
        assert protocol.seen == {"made": "outer", "data": "inner"}
        transport.abort()
        assert await protocol.lost is None
        assert protocol.seen["lost"] == "inner"

    run_real(main())


class PeerSocket:
    """What a Peer says through another one."""

    def __init__(self, peer):
        self.peer = peer

    def send(self, data):
        self.peer.write(data)
        return len(data)

    def recv(self, limit):
        data = self.peer.read(limit)
        if not data and not self.peer.goodbye:
            raise BlockingIOError
        return data


# -- protocols that fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("error", [BrokenError, asyncio.CancelledError])
@pytest.mark.parametrize(
    "callback", ["connection_made", "data_received", "eof_received", "get_buffer", "buffer_updated"]
)
def test_a_callback_that_fails_costs_its_connection(run_real, pair, server_context, client_context, callback, error):
    """asyncio's report names the transport and the protocol beneath, which are nobody's business."""
    buffered = callback in ("get_buffer", "buffer_updated")

    class Failing(Recorder, *([asyncio.BufferedProtocol] if buffered else [])):
        def get_buffer(self, sizehint):
            return bytearray(100)

    def fail(self, *args):
        raise error

    setattr(Failing, callback, fail)

    async def main():
        told = troubles()
        loop = asyncio.get_running_loop()
        protocols = []

        def make():
            protocols.append(Failing())
            return protocols[-1]

        peer = Peer(pair[1], server_context)
        connecting = loop.create_connection(make, sock=pair[0], ssl=client_context, server_hostname=NAME)
        results = await asyncio.gather(connecting, peer.shake(), return_exceptions=True)
        if callback == "connection_made":
            assert isinstance(results[0], error)
        else:
            assert not isinstance(results[0], BaseException)
            peer.write(b"hello")
            peer.say_goodbye()
        (protocol,) = protocols
        assert isinstance(await protocol.lost, error)
        # A cancellation is nobody's fault.
        assert len(told) == (error is BrokenError)
        for trouble in told:
            assert isinstance(trouble["exception"], BrokenError)
            assert trouble["protocol"] is protocol
            assert callback in trouble["message"]

    run_real(main())


@pytest.mark.parametrize("callback", ["pause_writing", "resume_writing", "connection_lost"])
def test_a_callback_whose_failing_harms_nobody(run_real, meet, callback):
    class Failing(Recorder):
        pass

    def fail(self, *args):
        getattr(Recorder, callback)(self, *args)
        raise BrokenError

    setattr(Failing, callback, fail)

    async def main():
        told = troubles()
        transport, protocol, peer = await meet(Failing)
        while "pause" not in protocol.events:
            transport.write(bytes(500_000))
            await turns(2)

        def resumed():
            peer.read()
            return "resume" in protocol.events

        await until(resumed)
        peer.write(b"still here")
        await until(lambda: protocol.data == b"still here")
        transport.abort()
        assert await protocol.lost is None
        await turns(2)
        assert [type(trouble["exception"]) for trouble in told] == [BrokenError]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("shape", [bytearray, ctypes.c_char * 0 * 3], ids=["no length", "a length, no bytes"])
def test_memory_without_room_costs_the_connection(run_real, meet, shape):
    """asyncio reads nothing into it, and calls that the end of the stream."""

    class Roomless(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint):
            return shape()

    async def main():
        told = troubles()
        _, protocol, peer = await meet(Roomless)
        peer.write(b"hello")
        error = await protocol.lost
        assert isinstance(error, RuntimeError)
        assert str(error) == "get_buffer() returned an empty buffer"
        assert [trouble["exception"] for trouble in told] == [error]

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_and_the_rest_comes_later(new_loop, meet, error):
    """asyncio keeps the rest until the peer says something more."""

    class Interrupted(Recorder, asyncio.BufferedProtocol):
        interrupts = 1

        def get_buffer(self, sizehint):
            self.buffer = bytearray(10)
            return self.buffer

        def buffer_updated(self, size):
            self.data += self.buffer[:size]
            if self.interrupts:
                self.interrupts -= 1
                raise error

    loop = new_loop()
    try:
        transport, protocol, peer = loop.run_until_complete(meet(Interrupted))
        peer.write(b"x" * 100)
        with pytest.raises(error):
            loop.run_until_complete(asyncio.sleep(5))
        assert protocol.data == b"x" * 10
        loop.run_until_complete(until_received(protocol, 100))
        transport.abort()
        loop.run_until_complete(protocol.lost)
    finally:
        loop.close()


async def until_received(protocol, size):
    await until(lambda: len(protocol.data) == size)


# -- what is left -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROTA)
@pytest.mark.parametrize("way", ["close", "abort", "by the peer", "handshake fails", "handshake is cancelled"])
def test_connections_leave_nothing_even_without_a_collector(run_real, server_context, authority, way):
    """asyncio's two objects hold one another until somebody collects them."""

    async def main():
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        served = []

        def serve():
            served.append(Recorder())
            return served[-1]

        server = await loop.create_server(serve, "127.0.0.1", 0, ssl=server_context)
        address = server.sockets[0].getsockname()
        name = "other.test" if way == "handshake fails" else NAME
        left = []

        async def once():
            connecting = loop.create_task(loop.create_connection(Recorder, *address, ssl=context, server_hostname=name))
            if way == "handshake is cancelled":
                await until(lambda: served)
                connecting.cancel()
            await asyncio.wait([connecting])
            if not connecting.cancelled() and connecting.exception() is None:
                transport, protocol = connecting.result()
                await until(lambda: served[0].events)
                transport.write(b"hello")
                if way == "by the peer":
                    served[0].transport.close()
                else:
                    getattr(transport, way)()
                await protocol.lost
                left.append(weakref.ref(transport))
                left.append(weakref.ref(transport.get_extra_info("ssl_object")))
            if served and served[0].events:
                await served[0].lost
            del served[:]

        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                await once()
            await turns()
            found = [type(each).__name__ for each in gc.get_objects() if type(each).__name__ == "TlsTransport"]
            assert found == []
            assert [each() for each in left if each() is not None] == []
            context = weakref.ref(context)
            assert context() is None
        finally:
            gc.enable()
            server.close()
            await server.wait_closed()

    run_real(main())


def test_what_is_known_stays_known(run_real, meet, client_context):
    async def main():
        transport, protocol, peer = await meet()
        transport.abort()
        await protocol.lost
        assert transport.get_extra_info("sslcontext") is client_context
        assert transport.get_extra_info("cipher")[0]
        assert ("DNS", NAME) in transport.get_extra_info("peercert")["subjectAltName"]
        assert transport.get_extra_info("no such thing", 7) == 7
        peer.read()

    run_real(main())


class Refusing(Recorder):
    def data_received(self, data):
        self.transport.write(b"bad request")
        raise ZeroDivisionError


class RefusingIntoMemory(Refusing, asyncio.BufferedProtocol):
    def get_buffer(self, sizehint):
        return bytearray(100)

    def buffer_updated(self, size):
        self.data_received(b"")


@pytest.mark.parametrize("factory", [Refusing, RefusingIntoMemory])
def test_what_a_protocol_writes_before_it_fails_leaves(run_real, meet, factory):
    async def main():
        troubles()
        _, protocol, peer = await meet(factory)
        peer.write(b"x")
        assert isinstance(await protocol.lost, ZeroDivisionError)
        assert peer.read() == b"bad request"

    run_real(main())
