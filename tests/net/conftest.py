"""In this room rota runs on each of its pollers, beside asyncio; and tests can hold both ends of a wire."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.clocks import VirtualClock, VirtualSelectorLoop, virtual_rota_loop

import rota
from rota.net.poller.selector import Selector

from .recorder import Recorder
from .tls_peer import NAME, Peer

#: The names that run rota, for tests of what asyncio does not do, or does wrong.
ROTA = ["rota", "rota on selectors"]

KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    # name: (on the real clock, on virtual time)
    "rota": (rota.new_event_loop, virtual_rota_loop),
    "rota on selectors": (
        lambda: rota.Loop(poller=Selector()),
        lambda: rota.Loop(poller=Selector(), clock=VirtualClock()),
    ),
    "asyncio": (asyncio.SelectorEventLoop, VirtualSelectorLoop),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Whose loop, and for rota on which poller."""
    name: str = request.param
    return name


@pytest.fixture
def new_loop(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    return KINDS[kind][0]


@pytest.fixture
def new_virtual_loop(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    return KINDS[kind][1]


@pytest.fixture(params=["rota's streams", "asyncio's streams"])
def streams(request: pytest.FixtureRequest) -> Any:
    """Whose streams: what has ``open_connection`` and its like. Each of them runs on each kind of loop."""
    return rota if request.param == "rota's streams" else asyncio


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected non-blocking sockets: give the first to the loop and hold the second."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def meet(
    pair: tuple[socket.socket, socket.socket], server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> Callable[..., Awaitable[tuple[Any, Any, Peer]]]:
    """``transport, protocol, peer = await meet(factory, **options)``: a client of the loop with TLS, and its server in
    the hands of the test.
    """

    async def meet(
        factory: Callable[[], Any] = Recorder,
        sockets: tuple[socket.socket, socket.socket] = pair,
        server_context: ssl.SSLContext = server_context,
        client_context: ssl.SSLContext = client_context,
        **options: Any,
    ) -> tuple[Any, Any, Peer]:
        peer = Peer(sockets[1], server_context)
        connecting = asyncio.get_running_loop().create_connection(
            factory, sock=sockets[0], ssl=client_context, server_hostname=NAME, **options
        )
        (transport, protocol), _ = await asyncio.gather(connecting, peer.shake())
        return transport, protocol, peer

    return meet
