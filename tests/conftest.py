"""What every test gets: a loop of each kind, time that it controls, and a count of what is left behind.

``kind`` runs a test on rota and on asyncio, so that the two are held to the same. Whether rota is compiled is chosen
outside: the whole suite runs once as built and once with ``ROTA_PURE=1``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import trustme

import rota
from tests.clocks import VirtualSelectorLoop, virtual_rota_loop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

KINDS: dict[str, tuple[LoopFactory, LoopFactory]] = {
    # name: (on the real clock, on virtual time)
    "rota": (rota.new_event_loop, virtual_rota_loop),
    "asyncio": (asyncio.SelectorEventLoop, VirtualSelectorLoop),
}


def pytest_configure() -> None:
    """Whoever starts this in the background of a shell has Ctrl-C ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"rota {rota.__version__}, {'compiled' if rota.COMPILED else 'plain Python'}"


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Whose loop: "rota" or "asyncio"."""
    name: str = request.param
    return name


@pytest.fixture
def new_loop(kind: str) -> LoopFactory:
    """Makes a loop of this kind on the real clock."""
    return KINDS[kind][0]


@pytest.fixture
def new_virtual_loop(kind: str) -> LoopFactory:
    """Makes a loop of this kind whose time jumps to the next timer when nobody is ready."""
    return KINDS[kind][1]


@pytest.fixture
def loop(new_virtual_loop: LoopFactory) -> Iterator[asyncio.AbstractEventLoop]:
    """An open loop on virtual time, for tests that turn it themselves."""
    loop = new_virtual_loop()
    yield loop
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.fixture
def run(new_virtual_loop: LoopFactory) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end on virtual time: a sleep of an hour takes no time."""

    def run(main: Coroutine[Any, Any, Any], *, debug: bool | None = None) -> Any:
        with asyncio.Runner(loop_factory=new_virtual_loop, debug=debug) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def run_real(new_loop: LoopFactory) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end on the real clock, for what waits on sockets, threads and processes."""

    def run_real(main: Coroutine[Any, Any, Any], *, debug: bool | None = None) -> Any:
        with asyncio.Runner(loop_factory=new_loop, debug=debug) as runner:
            return runner.run(main)

    return run_real


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who issues the certificates of these tests."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """A server that can prove to be server.test, and this machine."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("server.test", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """A client that believes the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def children() -> set[str]:
    """The processes that this one has started and not waited for, zombies included."""
    found: set[str] = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
            found.update(file.read().split())
    return found


def open_files() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # the descriptor of the listing itself
    return found


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every file descriptor, thread and child that a test opens is gone when it ends (daemon threads may go on)."""
    if not os.path.isdir("/proc/self/fd"):
        yield
        return
    # What is here now is not this test's: the collection at its end need not look at it.
    gc.freeze()
    files = open_files()
    threads = set(threading.enumerate())
    processes = children()
    yield
    gc.collect()
    left_threads = [thread for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    for thread in left_threads:
        thread.join(5)
    assert not [thread for thread in left_threads if thread.is_alive()], "threads left running"
    assert not children() - processes, "child processes left"
    left = {fd: name for fd, name in open_files().items() if files.get(fd) != name}
    assert not left, f"file descriptors left open: {left}"
