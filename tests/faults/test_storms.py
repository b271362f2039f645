"""A storm of signals, and clocks that jump: the loop goes on, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time

import pytest
from tests.net.recorder import until

import rota


def storm(ended: threading.Event, main: int) -> None:
    """A signal a millisecond or so, wherever the loop's thread is at that moment."""
    while not ended.is_set():
        signal.pthread_kill(main, signal.SIGUSR1)
        time.sleep(0.001)


@pytest.mark.parametrize("way", ["Python's handler", "the loop's handler"])
def test_a_storm_of_signals_loses_no_byte(run_real, way):
    heard = []

    async def main():
        loop = asyncio.get_running_loop()
        if way == "the loop's handler":
            loop.add_signal_handler(signal.SIGUSR1, heard.append, 1)

        async def echo(reader, writer):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()
            gone.set()

        gone = asyncio.Event()
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for number in range(50):
            sent = bytes([number]) * 20_011
            writer.write(sent)
            assert await reader.readexactly(len(sent)) == sent
            await asyncio.sleep(0.001)  # asleep when the next one comes
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await gone.wait()  # on Python 3.11 wait_closed() is no wait for connections
        await until(lambda: heard)
        if way == "the loop's handler":
            ended.set()
            thread.join()
            loop.remove_signal_handler(signal.SIGUSR1)

    ended = threading.Event()
    thread = threading.Thread(target=storm, args=(ended, threading.get_ident()))
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        thread.start()
        run_real(main())
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(heard) >= 10


class Jumping(rota.Clock):
    """The wall's time, and a jump now and then."""

    def __init__(self) -> None:
        self.offset = 0.0

    def time(self) -> float:
        return time.monotonic() + self.offset

    def until(self, when: float) -> float:
        return max(0.0, when - self.time())


HOUR = 3600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR, -1e9, 1e9])
def test_a_clock_that_jumps_stops_neither_connections_nor_new_timers(jump):
    clock = Jumping()
    loop = rota.Loop(clock=clock)

    async def main():
        fired = []
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        when = loop.time() + HOUR / 2
        timer = loop.call_at(when, lambda: fired.append(loop.time()))
        busy = asyncio.create_task(keep_busy())
        await asyncio.sleep(0)
        clock.offset += jump
        theirs.send(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.write(b"pong")
        assert await loop.sock_recv(theirs, 4) == b"pong"
        await asyncio.sleep(0.001)
        async with asyncio.timeout(30):
            await asyncio.to_thread(time.sleep, 0.001)
        if jump > 0:
            await until(lambda: fired)
            assert fired[0] >= when
        else:
            assert not fired
        busy.cancel()
        timer.cancel()
        writer.close()
        await writer.wait_closed()
        theirs.close()
        await loop.shutdown_default_executor()

    async def keep_busy():
        """Always ready: the loop then counts turns, and the time since its last poll."""
        while True:
            await asyncio.sleep(0)

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_a_clock_that_fails_raises_out_of_the_loop_which_can_go_on():
    clock = Jumping()
    loop = rota.Loop(clock=clock)

    async def main():
        clock.offset = None
        await asyncio.sleep(0)

    try:
        with pytest.raises(TypeError):
            loop.run_until_complete(main())
        clock.offset = 0.0
        assert loop.run_until_complete(asyncio.sleep(0.001, "on")) == "on"
    finally:
        loop.close()
