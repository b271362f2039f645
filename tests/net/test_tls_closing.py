"""How a TLS connection ends: what was written arrives, nothing comes after close(), and nobody waits for ever."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

import pytest

from .conftest import ROTA
from .recorder import HalfOpen, Recorder, troubles, turns, until, write_until_paused


class Fussy(Recorder, asyncio.BufferedProtocol):
    """Closes as soon as it has ten bytes."""

    def get_buffer(self, sizehint):
        self.buffer = bytearray(10)
        return self.buffer

    def buffer_updated(self, size):
        self.data += self.buffer[:size]
        self.transport.close()


async def let_go(pair, protocol, peer):
    """The peer closes, too."""
    peer.say_goodbye()
    pair[1].shutdown(socket.SHUT_WR)
    return await protocol.lost


def test_what_was_written_arrives_before_the_goodbye(run_real, meet, pair):
    async def main():
        transport, protocol, peer = await meet()
        transport.write(bytes(3_000_000))
        transport.write(b"last words")
        transport.close()
        transport.close()
        assert await peer.read_to_end() == bytes(3_000_000) + b"last words"
        assert not protocol.lost.done()
        assert await let_go(pair, protocol, peer) is None
        assert protocol.events.count("eof") <= 1  # asyncio tells of the end of what it reads, even so

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_nothing_comes_after_close(run, meet, pair):
    """asyncio goes on giving the protocol what comes until its close_notify is written."""

    async def main():
        transport, protocol, peer = await meet()
        peer.write(b"too late")
        transport.close()
        assert await peer.read_to_end() == b""
        assert await let_go(pair, protocol, peer) is None
        assert protocol.events == ["made", "lost"]

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_who_goes_on_sending_is_cut_off_soon(run, meet):
    """asyncio breaks off with an SSLError, or goes on reading for 30 seconds."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await meet()
        transport.close()
        began = loop.time()
        while not protocol.lost.done():
            await asyncio.sleep(0.2)
            if not protocol.lost.done():
                peer.write(b"a line now and then")
                await turns()
        assert await protocol.lost is None
        assert loop.time() - began < 2
        assert protocol.events == ["made", "lost"]

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_who_sends_without_end_is_cut_off_at_once(run, meet):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await meet()
        transport.close()
        began = loop.time()
        sent = 0

        def over():
            nonlocal sent
            if not protocol.lost.done():
                if not peer.unsent():
                    peer.ssl.write(bytes(100_000))
                    sent += 100_000
                peer.send()
            return protocol.lost.done()

        await until(over)
        assert await protocol.lost is None
        assert loop.time() == began
        assert sent < 5_000_000
        assert protocol.events == ["made", "lost"]

    run(main())


def test_a_peer_that_does_not_answer_the_goodbye_is_given_up(run, meet):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, _ = await meet(Recorder, ssl_shutdown_timeout=5)
        began = loop.time()
        transport.close()
        error = await protocol.lost
        assert isinstance(error, TimeoutError)
        assert str(error) == "SSL shutdown timed out"
        assert loop.time() - began == 5

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_who_did_not_ask_to_wait_for_the_goodbye_does_not_wait_long(run, meet):
    """asyncio waits for 30 seconds."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await meet()
        transport.write(b"last words")
        began = loop.time()
        transport.close()
        assert await protocol.lost is None
        assert loop.time() - began == 1
        assert peer.read(100) == b"last words"

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_slow_is_not_dead(run, meet, pair):
    """asyncio drops what has not left when the shutdown timeout is over, however well it goes."""

    async def main():
        transport, protocol, peer = await meet(Recorder, ssl_shutdown_timeout=5)
        transport.write(bytes(5_000_000))
        transport.close()
        found = 0
        while not peer.goodbye:
            await asyncio.sleep(4)
            found += len(peer.read(500_000))
            await turns()
        assert found == 5_000_000
        assert await let_go(pair, protocol, peer) is None

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_who_takes_nothing_is_given_up(run, meet):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, _ = await meet(Recorder, ssl_shutdown_timeout=5)
        transport.write(bytes(5_000_000))
        await turns()
        began = loop.time()
        transport.close()
        assert isinstance(await protocol.lost, TimeoutError)
        assert 5 <= loop.time() - began <= 10

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_close_while_reading_is_paused(run, meet):
    """What waits unread must not hide the peer's goodbye."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await meet()
        began = loop.time()
        transport.pause_reading()
        peer.write(b"unread" * 1000)
        peer.say_goodbye()
        await turns()
        transport.close()
        await until(protocol.lost.done)
        assert await protocol.lost is None
        assert peer.read() == b""
        assert peer.goodbye
        assert loop.time() == began
        assert protocol.events == ["made", "lost"]

    run(main())


@pytest.mark.parametrize("kind", ROTA)
def test_close_in_the_middle_of_what_came(run, meet):
    """The protocol closes while more of the same packet waits, and the peer's goodbye behind it."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await meet(Fussy)
        began = loop.time()
        peer.ssl.write(b"x" * 100)
        peer.say_goodbye()
        await until(protocol.lost.done)
        assert await protocol.lost is None
        assert transport.is_closing()
        assert protocol.data == b"x" * 10
        assert peer.read() == b""
        assert peer.goodbye
        assert loop.time() == began

    run(main())


@pytest.mark.parametrize("callback", ["connection_made", "data_received", "eof_received"])
@pytest.mark.parametrize("way", ["close", "abort"])
def test_a_callback_ends_the_connection(run_real, meet, pair, callback, way):
    class Leaver(Recorder):
        def leave(self):
            getattr(self.transport, way)()

    def leaving(self, *args):
        getattr(Recorder, callback)(self, *args)
        self.leave()

    setattr(Leaver, callback, leaving)

    async def main():
        told = troubles()
        _, protocol, peer = await meet(Leaver)
        if callback != "connection_made":
            peer.ssl.write(b"hello")
            peer.say_goodbye()
        assert await peer.read_to_end() == b""
        pair[1].shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.events[0] == "made"
        assert protocol.events[-1] == "lost"
        assert told == []

    run_real(main())


def test_the_end_of_what_the_peer_says_is_told_once(run_real, meet):
    async def main():
        transport, protocol, peer = await meet()
        peer.write(b"that is all")
        peer.say_goodbye()
        assert await protocol.lost is None
        assert peer.read() == b""
        assert peer.goodbye
        assert protocol.events == ["made", "data", "eof", "lost"]
        assert transport.is_closing()

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_was_written_arrives_though_the_peer_has_said_goodbye(run_real, meet):
    """asyncio comes to a standstill: it neither sends the rest nor ends."""

    async def main():
        transport, protocol, peer = await meet()
        written = await write_until_paused(transport, protocol)
        peer.say_goodbye()
        assert len(await peer.read_to_end()) == written
        assert peer.goodbye
        assert await protocol.lost is None

    run_real(main())


def test_an_answer_to_the_end_arrives(run_real, meet):
    class Polite(Recorder):
        def eof_received(self):
            self.transport.write(b"good night")

    async def main():
        _, protocol, peer = await meet(Polite)
        peer.say_goodbye()
        assert await protocol.lost is None
        assert peer.read() == b"good night"
        assert peer.goodbye

    run_real(main())


def test_half_a_connection_cannot_be_kept(run_real, meet, caplog):
    async def main():
        transport, protocol, peer = await meet(HalfOpen)
        assert not transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            transport.write_eof()
        peer.say_goodbye()
        assert await protocol.lost is None
        assert "returning true from eof_received() has no effect when using ssl" in caplog.text

    run_real(main())


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_an_end_in_the_middle_of_a_record(run_real, meet, pair, cut):
    async def main():
        _, protocol, peer = await meet()
        peer.write(b"whole")
        peer.ssl.write(b"a record that never arrives whole")
        peer.send(cut)
        pair[1].shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.data == b"whole"
        assert protocol.events == ["made", "data", "eof", "lost"]

    run_real(main())


def test_who_ends_without_a_word_hears_none(run_real, meet, pair):
    """Such a peer may have left TLS, and would take a close_notify for data."""

    async def main():
        _, protocol, peer = await meet()
        pair[1].shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert peer.read() == b""
        assert peer.eof
        assert not peer.goodbye

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_who_ends_without_a_word_gets_all_that_was_written(run_real, meet, pair):
    """More than the socket and the records before it hold. asyncio comes to a standstill."""

    async def main():
        transport, protocol, peer = await meet()
        written = await write_until_paused(transport, protocol)
        pair[1].shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in protocol.events)
        assert len(await peer.read_to_end()) == written
        assert not peer.goodbye
        assert await protocol.lost is None

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_peer_that_does_not_stay_for_our_goodbye_is_no_error(run_real, meet, pair):
    async def main():
        _, protocol, peer = await meet()
        peer.say_goodbye()
        pair[1].close()
        assert await protocol.lost is None
        assert protocol.events == ["made", "eof", "lost"]

    run_real(main())


def test_a_reset_is_an_error(run_real, meet):
    async def main():
        told = troubles()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
        ours.setblocking(False)
        theirs.setblocking(False)
        with theirs:
            _, protocol, _ = await meet(sockets=(ours, theirs))
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert told == []

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_is_no_tls_ends_the_connection(run_real, meet, pair):
    """What came whole before it is handed over; asyncio loses it."""

    async def main():
        told = troubles()
        _, protocol, peer = await meet()
        peer.ssl.write(b"whole")
        pair[1].send(peer.outgoing.read() + b"GET / HTTP/1.0\r\n\r\n")
        error = await protocol.lost
        assert isinstance(error, ssl.SSLError)
        assert protocol.data == b"whole"
        assert protocol.events == ["made", "data", "lost"]
        with pytest.raises(ssl.SSLError, match="ALERT"):
            peer.read()  # why
        assert told == []

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_is_no_tls_behind_what_closed_the_connection(run_real, meet, pair):
    """The peer is told why, too, as long as our goodbye, after which nothing may come, was not written."""

    async def main():
        told = troubles()
        _, protocol, peer = await meet(Fussy)
        peer.ssl.write(b"x" * 100)
        pair[1].send(peer.outgoing.read() + b"GET / HTTP/1.0\r\n\r\n")
        assert isinstance(await protocol.lost, ssl.SSLError)
        assert protocol.data == b"x" * 10
        with pytest.raises(ssl.SSLError, match="ALERT"):
            peer.read()
        assert told == []

    run_real(main())


def test_writing_to_what_is_closed(run_real, meet, pair, caplog):
    async def main():
        transport, protocol, peer = await meet()
        transport.close()
        for _ in range(10):
            transport.write(b"lost")
        with pytest.raises(TypeError, match="expecting a bytes-like instance, got str"):
            transport.write("text")
        assert await peer.read_to_end() == b""
        assert await let_go(pair, protocol, peer) is None
        assert "SSL connection is closed" in caplog.text

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_what_a_turn_writes_before_abort_leaves(run_real, meet):
    """As without TLS: what asyncio sends at once, rota keeps for the end of the turn."""

    async def main():
        transport, protocol, peer = await meet()
        transport.write(b"last words")
        transport.abort()
        assert await protocol.lost is None
        assert peer.read() == b"last words"
        assert not peer.goodbye

    run_real(main())


def test_what_a_turn_writes_before_close_and_abort_leaves(run_real, meet):
    async def main():
        transport, protocol, peer = await meet()
        transport.write(b"last words")
        transport.close()
        transport.abort()
        assert await protocol.lost is None
        assert peer.read() == b"last words"

    run_real(main())


@pytest.mark.parametrize("kind", ROTA)
def test_a_server_closes_its_clients_with_a_goodbye(run_real, server_context, client_context):
    """asyncio closes the sockets under its TLS connections, and has close_clients only since Python 3.13."""

    async def main():
        loop = asyncio.get_running_loop()
        served = []

        def serve():
            served.append(Recorder())
            return served[-1]

        server = await loop.create_server(serve, "127.0.0.1", 0, ssl=server_context)
        _, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=client_context, server_hostname="server.test"
        )
        await until(lambda: served[0].events)
        served[0].transport.write(b"last words")
        server.close()
        server.close_clients()
        assert await protocol.lost is None
        assert await served[0].lost is None
        assert protocol.events == ["made", "data", "eof", "lost"]
        assert served[0].events == ["made", "lost"]

    run_real(main())
