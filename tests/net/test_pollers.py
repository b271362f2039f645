"""A poller as the turn sees it: who waits for what, and who is ready."""

from __future__ import annotations

import errno
import os
import select
import socket

import pytest

import rota
from rota.core.handle import Handle
from rota.core.ready import Ready
from rota.net.poller import new_poller
from rota.net.poller.epoll import Epoll
from rota.net.poller.selector import Selector


@pytest.fixture(params=[Epoll, Selector])
def poller(request):
    poller = request.param()
    yield poller
    poller.close()


@pytest.fixture
def ends():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


@pytest.fixture
def handle():
    loop = rota.new_event_loop()
    yield lambda: Handle(print, (), loop)
    loop.close()


def test_epoll_is_the_fastest_that_this_system_has():
    poller = new_poller()
    assert type(poller) is Epoll
    poller.close()


def test_it_says_who_waits(poller, ends, handle):
    read, write = ends
    reader, writer, other = handle(), handle(), handle()
    assert poller.add_reader(read, reader) is None
    assert poller.add_writer(write, writer) is None
    assert poller.who_waits(read) == (reader, None)
    assert poller.who_waits(write) == (None, writer)
    assert poller.who_waits(write + 1) == (None, None)
    assert sorted(poller.waiting(), key=lambda row: row[0]) == [(read, reader, None), (write, None, writer)]
    assert poller.add_reader(read, other) is reader
    assert poller.remove_reader(read) is other
    assert poller.remove_reader(read) is None
    assert poller.remove_writer(read) is None
    assert poller.remove_writer(write) is writer
    assert list(poller.waiting()) == []


def test_what_cannot_be_watched_leaves_nothing(poller, handle, tmp_path):
    with open(tmp_path / "file", "wb") as file:
        with pytest.raises(PermissionError):
            poller.add_reader(file.fileno(), handle())
        assert poller.who_waits(file.fileno()) == (None, None)
    assert list(poller.waiting()) == []


def test_a_closed_poller_knows_nobody_and_takes_nobody(poller, ends, handle):
    poller.add_reader(ends[0], handle())
    poller.close()
    assert poller.who_waits(ends[0]) == (None, None)
    assert list(poller.waiting()) == []
    assert poller.remove_reader(ends[0]) is None
    with pytest.raises(ValueError, match="closed"):
        poller.add_reader(ends[0], handle())
    poller.close()


def test_a_number_that_is_used_again_is_told_to_the_kernel_again(poller, handle):
    """Whoever waited for the other side of the file that was closed has not said that it is gone."""
    ready = Ready()
    old, writer = handle(), handle()
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    poller.add_reader(number, old)
    ours.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    assert ours.fileno() == number
    assert poller.add_writer(number, writer) is None
    poller.poll(0, ready)
    assert list(ready) == [writer]
    assert poller.remove_reader(number) is old
    assert poller.remove_writer(number) is writer
    ours.close()
    theirs.close()


def test_a_file_that_was_closed_before_can_be_let_go(poller, handle):
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    reader = handle()
    poller.add_reader(number, reader)
    poller.add_writer(number, handle())
    ours.close()
    theirs.close()
    assert poller.remove_reader(number) is reader
    poller.remove_writer(number)
    assert list(poller.waiting()) == []


def test_a_number_is_used_again_while_a_duplicate_of_its_old_file_lives(poller, handle):
    """The kernel goes on watching the file that was closed, under the same number."""
    ready = Ready()
    reader = handle()
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    poller.add_reader(number, handle())
    with ours.dup(), theirs:
        ours.close()
        ours, peer = socket.socketpair()
        with ours, peer:
            assert ours.fileno() == number
            poller.add_reader(number, reader)
            poller.poll(0, ready)
            assert list(ready) == []
            peer.send(b"x")
            poller.poll(0, ready)
            assert list(ready) == [reader]
            ready.clear()
            assert poller.remove_reader(number) is reader
            poller.poll(0, ready)
            assert list(ready) == []


class Counting:
    """An epoll that counts what it is told."""

    def __init__(self):
        self.epoll = select.epoll()
        self.told = []

    def __getattr__(self, name):
        if name in ("register", "modify", "unregister"):
            self.told.append(name)
        return getattr(self.epoll, name)


def found(poller):
    """Who is ready after a look."""
    ready = Ready()
    poller.poll(0, ready)
    runnables = list(ready)
    ready.clear()
    return runnables


def test_a_reader_that_pauses_is_told_when_more_comes(poller, handle):
    reader, other = handle(), handle()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = ours.fileno()
        for _ in range(3):
            assert poller.resume_reader(number, reader, ours) is None
            assert poller.who_waits(number) == (reader, None)
            assert list(poller.waiting()) == [(number, reader, None)]
            assert found(poller) == []
            theirs.send(b"x")
            assert found(poller) == [reader]
            poller.pause_reader(number, other, False)  # which is nobody's reader here
            assert poller.who_waits(number) == (reader, None)
            poller.pause_reader(number, reader, False)
            assert poller.who_waits(number) == (None, None)
            assert list(poller.waiting()) == []
            assert poller.remove_reader(number) is None
            theirs.send(b"x")
            assert found(poller) == []
            ours.recv(10)
        poller.pause_reader(number + 1, reader, False)


def test_a_pause_costs_no_system_call(handle, monkeypatch):
    epoll = Counting()
    monkeypatch.setattr(select, "epoll", lambda: epoll)
    poller, reader = Epoll(), handle()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(3):
            poller.resume_reader(ours.fileno(), reader, ours)
            theirs.send(b"x")
            assert found(poller) == [reader]
            poller.pause_reader(ours.fileno(), reader, False)
            ours.recv(10)
        assert epoll.told == ["register"]
    poller.close()


def test_a_socket_that_was_drained_is_known_until_more_comes(handle):
    poller, reader = Epoll(), handle()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as theirs:
        ours, _ = listener.accept()
        with ours, ours.dup() as twin:
            number = ours.fileno()
            assert not poller.is_drained(number, ours)
            poller.resume_reader(number, reader, ours)
            theirs.send(b"x")
            assert found(poller) == [reader]
            ours.recv(10)
            poller.pause_reader(number, reader, False)
            assert not poller.is_drained(number, ours)
            poller.resume_reader(number, reader, ours)
            poller.pause_reader(number, reader, True)
            assert poller.is_drained(number, ours)
            assert not poller.is_drained(number, twin)
            assert not poller.is_drained(number + 1, ours)
            theirs.send(b"x")
            assert found(poller) == []
            assert not poller.is_drained(number, ours)
            ours.recv(10)
            poller.resume_reader(number, reader, ours)
            poller.pause_reader(number, reader, True)
            assert poller.is_drained(number, ours)
            poller.add_reader(number, reader)
            assert not poller.is_drained(number, ours)
            poller.resume_reader(number, reader, ours)
            theirs.shutdown(socket.SHUT_WR)
            assert found(poller) == [reader]
            poller.pause_reader(number, reader, True)
            assert not poller.is_drained(number, ours)  # its end is there to be read
    poller.close()


def test_what_comes_in_a_pause_does_not_keep_the_loop_awake(handle, monkeypatch):
    epoll = select.epoll()
    monkeypatch.setattr(select, "epoll", lambda: epoll)
    poller, reader = Epoll(), handle()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        poller.resume_reader(ours.fileno(), reader, ours)
        poller.pause_reader(ours.fileno(), reader, False)
        theirs.send(b"x")
        assert found(poller) == []
        # Its set would be readable if there was something to tell.
        readable, _, _ = select.select([epoll], [], [], 0)
        assert readable == []
        poller.add_reader(ours.fileno(), reader)
        readable, _, _ = select.select([epoll], [], [], 0)
        assert readable == [epoll]
    poller.close()


def test_another_file_with_the_number_of_one_that_pauses_is_told_to_the_kernel(poller, handle):
    first, second = handle(), handle()
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    poller.resume_reader(number, first, ours)
    poller.pause_reader(number, first, False)
    ours.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ours.fileno() == number
        assert poller.resume_reader(number, second, ours) is None
        theirs.send(b"x")
        assert found(poller) == [second]


def test_a_reader_that_pauses_beside_a_writer_and_after_another_reader(poller, handle):
    reader, writer, other = handle(), handle(), handle()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = ours.fileno()
        poller.resume_reader(number, reader, ours)
        poller.add_writer(number, writer)
        theirs.send(b"x")
        assert found(poller) == [reader, writer]
        assert found(poller) == [reader, writer]
        poller.pause_reader(number, reader, False)
        assert found(poller) == [writer]
        assert poller.resume_reader(number, reader, ours) is None
        assert found(poller) == [reader, writer]
        assert poller.remove_writer(number) is writer
        assert found(poller) == [reader]
        poller.pause_reader(number, reader, False)
        assert found(poller) == []
        poller.resume_reader(number, reader, ours)
        poller.pause_reader(number, reader, False)
        # An ordinary reader is told again and again.
        assert poller.add_reader(number, other) is None
        assert found(poller) == [other]
        assert found(poller) == [other]
        assert poller.resume_reader(number, reader, ours) is other
        assert found(poller) == [reader]
        assert poller.remove_reader(number) is reader
        assert found(poller) == []


def test_one_that_pauses_is_dropped_when_the_epoll_set_is_made_anew(handle, ends):
    poller, paused, waiting = Epoll(), handle(), handle()
    ours, theirs = socket.socketpair()
    closed, peer = socket.socketpair()
    with ours, theirs, peer, closed.dup():
        poller.resume_reader(ours.fileno(), paused, ours)
        poller.pause_reader(ours.fileno(), paused, False)
        poller.resume_reader(ends[0], waiting, ours)
        poller.add_reader(closed.fileno(), handle())
        number = closed.fileno()
        closed.close()
        poller.remove_reader(number)
        peer.send(b"x")
        assert found(poller) == []  # and a new set
        os.write(ends[1], b"x")
        assert found(poller) == [waiting]
        poller.resume_reader(ours.fileno(), paused, ours)
        theirs.send(b"x")
        assert set(found(poller)) == {paused, waiting}
    poller.close()


class Forgetful:
    """An epoll that has no room for one number."""

    def __init__(self, epoll, number):
        self.epoll = epoll
        self.number = number

    def __getattr__(self, name):
        return getattr(self.epoll, name)

    def register(self, fd, events):
        if fd == self.number:
            raise OSError(errno.ENOMEM, "no memory")
        self.epoll.register(fd, events)


def test_no_memory_for_a_new_epoll_set_costs_nobody(handle, ends, monkeypatch):
    """A set is made anew when the kernel tells of a file that was closed; one that lacks somebody is none."""
    poller, ready, reader = Epoll(), Ready(), handle()
    real = select.epoll
    read, write = ends
    ours, theirs = socket.socketpair()
    poller.add_reader(ours.fileno(), handle())
    poller.add_reader(read, reader)
    with ours.dup(), theirs:
        number = ours.fileno()
        ours.close()
        poller.remove_reader(number)  # too late for the kernel
        theirs.send(b"x")
        monkeypatch.setattr(select, "epoll", lambda: Forgetful(real(), read))
        poller.poll(0, ready)
        assert list(ready) == []
        os.write(write, b"x")
        poller.poll(0, ready)
        assert list(ready) == [reader]
        assert poller.who_waits(read) == (reader, None)
        ready.clear()
        monkeypatch.setattr(select, "epoll", real)
        poller.poll(0, ready)
        assert list(ready) == [reader]
        ready.clear()
        os.read(read, 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(select, "epoll", None)  # made anew: there is nothing more to tell
            poller.poll(0, ready)
        assert list(ready) == []
    poller.close()
