"""How a connection ends: close sends what is left, abort drops it, and the protocol hears of it once."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import warnings

import pytest

from .conftest import ROTA
from .recorder import HalfOpen, Recorder, troubles, turns, until


async def connected(sock, factory=Recorder):
    return await asyncio.get_running_loop().create_connection(factory, sock=sock)


def test_close_sends_what_was_written_first(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await connected(ours)
        transport.write(b"x" * 2_000_000)
        transport.close()
        assert transport.is_closing()
        transport.close()
        found = 0
        async with asyncio.timeout(5):
            while not protocol.lost.done():
                try:
                    found += len(theirs.recv(1 << 20))
                except BlockingIOError:
                    await asyncio.sleep(0)
        while data := theirs.recv(1 << 20):
            found += len(data)
        assert found == 2_000_000
        assert protocol.lost.result() is None
        assert protocol.events == ["made", "pause", "resume", "lost"]
        assert ours.fileno() == -1

    run_real(main())


def test_what_is_written_after_close_while_it_flushes_is_sent_too(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await connected(ours)
        transport.write(b"x" * 2_000_000)
        transport.close()
        transport.write(b"end")
        found = bytearray()
        async with asyncio.timeout(5):
            while not protocol.lost.done():
                try:
                    found += theirs.recv(1 << 20)
                except BlockingIOError:
                    await asyncio.sleep(0)
        while data := theirs.recv(1 << 20):
            found += data
        assert len(found) == 2_000_003
        assert found.endswith(b"xend")

    run_real(main())


def test_abort_drops_what_was_written(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await connected(ours)
        transport.write(b"x" * 5_000_000)
        transport.abort()
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        transport.abort()
        transport.close()
        assert protocol.events == ["made", "pause"]
        assert await protocol.lost is None
        await turns()
        assert protocol.events == ["made", "pause", "lost"]
        found = 0
        while data := theirs.recv(1 << 20):
            found += len(data)
        assert found < 5_000_000

    run_real(main())


def test_abort_ends_a_close_that_waits_for_the_peer(run_real, pair):
    async def main():
        transport, protocol = await connected(pair[0])
        transport.write(b"x" * 5_000_000)
        transport.close()
        await turns()
        assert not protocol.lost.done()
        transport.abort()
        assert await protocol.lost is None
        assert protocol.events == ["made", "pause", "lost"]

    run_real(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_connection_lost_comes_in_a_later_turn_and_once(run_real, pair, end):
    async def main():
        ours, theirs = pair
        transport, protocol = await connected(ours)
        theirs.send(b"nobody hears this")
        getattr(transport, end)()
        assert protocol.events == ["made"]
        theirs.close()
        await protocol.lost
        await turns()
        getattr(transport, end)()
        await turns()
        assert protocol.events == ["made", "lost"]

    run_real(main())


def test_connection_lost_comes_before_what_is_asked_for_after_close(run_real):
    async def main():
        for write in (False, True):
            ours, theirs = socket.socketpair()
            transport, protocol = await connected(ours)
            if write:
                transport.write(b"last words")
            transport.close()
            asyncio.get_running_loop().call_soon(protocol.events.append, "asked for")
            await asyncio.sleep(0)
            assert protocol.events == ["made", "lost", "asked for"]
            assert theirs.recv(100) == (b"last words" if write else b"")
            theirs.close()

    run_real(main())


def test_a_peer_that_is_gone_while_we_write_is_told_as_a_broken_connection(run_real, pair):
    async def main():
        told = troubles()
        ours, theirs = pair
        transport, protocol = await connected(ours, HalfOpen)
        transport.write(b"x" * 2_000_000)
        await turns()
        theirs.close()
        error = await protocol.lost
        assert isinstance(error, (BrokenPipeError, ConnectionResetError))
        assert protocol.events[-1] == "lost"
        assert protocol.events.count("lost") == 1
        assert transport.get_write_buffer_size() == 0
        transport.write(b"more")
        assert transport.get_write_buffer_size() == 0
        assert told == []

    run_real(main())


def test_closing_in_connection_made_ends_the_connection(run_real, pair):
    class Shy(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"bye")
            transport.close()

    async def main():
        ours, theirs = pair
        _, protocol = await connected(ours, Shy)
        assert await protocol.lost is None
        assert protocol.events == ["made", "lost"]
        assert theirs.recv(10) == b"bye"
        assert theirs.recv(10) == b""

    run_real(main())


def test_an_answer_and_close_out_of_data_received_arrive(run_real, pair):
    class Once(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"got " + data)
            self.transport.close()

    async def main():
        ours, theirs = pair
        _, protocol = await connected(ours, Once)
        theirs.send(b"it")
        assert await protocol.lost is None
        assert theirs.recv(10) == b"got it"
        assert theirs.recv(10) == b""

    run_real(main())


def test_a_connection_that_both_sides_end_is_closed_after_the_rest_is_sent(run_real, pair):
    async def main():
        ours, theirs = pair
        transport, protocol = await connected(ours)
        transport.write(b"x" * 1_000_000)
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in protocol.events)
        assert transport.is_closing()
        found = 0
        async with asyncio.timeout(5):
            while not protocol.lost.done():
                try:
                    found += len(theirs.recv(1 << 20))
                except BlockingIOError:
                    await asyncio.sleep(0)
        while data := theirs.recv(1 << 20):
            found += len(data)
        assert found == 1_000_000
        assert protocol.lost.result() is None

    run_real(main())


def forget(held):
    """Some go at once, others with the collector."""
    held.clear()
    gc.collect()


def test_a_transport_that_nobody_closed_is_warned_about_and_closed(new_loop, pair):
    ours, theirs = pair
    loop = new_loop()
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: asyncio.Protocol(), sock=ours))
    loop.close()
    held = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed transport") as warned:
        forget(held)
    assert len([warning for warning in warned if "transport" in str(warning.message)]) == 1
    assert ours.fileno() == -1
    assert theirs.recv(10) == b""


@pytest.mark.parametrize("kind", ROTA)
def test_a_transport_that_nobody_closed_is_closed_where_warnings_are_errors(new_loop, pair, monkeypatch):
    """asyncio leaves the socket to the collector."""
    raised = []
    monkeypatch.setattr("sys.unraisablehook", lambda trouble: raised.append(trouble.exc_type))
    ours, theirs = pair
    loop = new_loop()
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: asyncio.Protocol(), sock=ours))
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del transport
        gc.collect()
    assert raised == [ResourceWarning]
    assert ours.fileno() == -1
    assert theirs.recv(10) == b""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("first", ["protocol", "transport"])
@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_dropped_protocol_may_close_its_dropped_transport(run_real, pair, first, end):
    """The collector finalizes both, the older first, as asyncio's StreamWriter and its transport on Python 3.11."""

    class Closes(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def __del__(self):
            getattr(self.transport, end)()

    async def main():
        loop = asyncio.get_running_loop()
        told = troubles()
        factory = Closes if first == "protocol" else asyncio.Protocol
        transport, _ = await loop.create_connection(factory, sock=pair[0])
        transport.pause_reading()
        if first == "transport":
            protocol = Closes()
            protocol.connection_made(transport)
            transport.set_protocol(protocol)
            del protocol
        del transport, _
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == []
        assert pair[0].fileno() == -1
        assert pair[1].recv(10) == b""

    run_real(main())


def test_no_warning_for_a_transport_that_was_closed(run_real, pair):
    async def main():
        transport, protocol = await connected(pair[0])
        transport.close()
        await protocol.lost
        assert transport.is_closing()

    run_real(main())
    gc.collect()


@pytest.mark.parametrize("kind", ROTA)
def test_an_interrupt_in_one_transport_does_not_hold_back_the_writes_of_others(new_loop, pair):
    """KeyboardInterrupt out of a callback at the end of the turn, which asyncio does not have."""

    class Interrupted(Recorder):
        def resume_writing(self):
            raise KeyboardInterrupt

    ours, theirs = pair
    others = socket.socketpair()
    loop = new_loop()

    async def main():
        first, _ = await connected(ours, Interrupted)
        second, _ = await connected(others[0])
        first.set_write_buffer_limits(high=0)
        return first, second

    first, second = loop.run_until_complete(main())
    loop.call_soon(first.write, b"first")
    loop.call_soon(second.write, b"second")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    second.write(b" more")
    loop.run_until_complete(asyncio.sleep(0))
    assert theirs.recv(100) == b"first"
    others[1].setblocking(False)
    assert others[1].recv(100) == b"second more"
    first.abort()
    second.abort()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    others[1].close()


@pytest.mark.parametrize("debug", [False, True])
def test_what_the_network_did_is_written_to_the_log_in_debug_mode_only(run_real, pair, caplog, debug):
    async def main():
        ours, theirs = pair
        transport, protocol = await connected(ours)
        transport.write(b"never read")
        await asyncio.sleep(0)
        theirs.close()
        assert isinstance(await protocol.lost, ConnectionResetError)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run_real(main(), debug=debug)
    told = [record for record in caplog.records if "Fatal" in record.getMessage()]
    assert [record.levelname for record in told] == ["DEBUG"] * debug
    assert all("Fatal read error on socket transport" in record.getMessage() for record in told)
    assert all(isinstance(record.exc_info[1], ConnectionResetError) for record in told)
