"""The rules of a stream's reader, without a wire: what each read gives, the limit, and who waits."""

from __future__ import annotations

import asyncio
import inspect
import sys

import pytest

import rota

from .recorder import turns

several_separators = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="asyncio's reader takes several separators since Python 3.13"
)


class Tap:
    """A transport that writes down what it is told."""

    def __init__(self):
        self.told = []

    def pause_reading(self):
        self.told.append("pause")

    def resume_reading(self):
        self.told.append("resume")


@pytest.fixture
def check(run, streams):
    """Runs ``main(reader)`` with a new reader."""

    def check(main, **kwargs):
        async def make():
            reader = streams.StreamReader(**kwargs)
            await main(reader)

        run(make())

    return check


# -- what each read gives ------------------------------------------------------------------------------------------


def test_read_gives_what_is_there_up_to_its_size(check):
    async def main(reader):
        reader.feed_data(b"one")
        reader.feed_data(b"two")
        reader.feed_data(b"three")
        assert await reader.read(4) == b"onet"
        assert await reader.read(0) == b""
        assert await reader.read(100) == b"wothree"
        reader.feed_data(b"more")
        assert await reader.read(1) == b"m"
        assert await reader.read(2) == b"or"
        reader.feed_eof()
        assert await reader.read(5) == b"e"
        assert reader.at_eof()
        assert await reader.read(5) == b""

    check(main)


def test_read_without_a_size_reads_to_the_end(check):
    async def main(reader):
        reading = asyncio.create_task(reader.read())
        for _ in range(3):
            await turns(3)
            reader.feed_data(b"x" * 30)
        await turns(3)
        assert not reading.done()
        reader.feed_eof()
        assert await reading == b"x" * 90
        assert await reader.read() == b""

    check(main, limit=20)


def test_readexactly_waits_for_all(check):
    async def main(reader):
        reading = asyncio.create_task(reader.readexactly(5))
        for piece in (b"ab", b"cd", b"efg"):
            await turns(3)
            assert not reading.done()
            reader.feed_data(piece)
        assert await reading == b"abcde"
        assert await reader.readexactly(0) == b""
        assert await reader.readexactly(2) == b"fg"
        with pytest.raises(ValueError, match="readexactly size can not be less than zero"):
            await reader.readexactly(-1)

    check(main)


def test_readexactly_at_the_end_gives_what_there_was(check):
    async def main(reader):
        reader.feed_data(b"abc")
        reading = asyncio.create_task(reader.readexactly(5))
        await turns(3)
        reader.feed_eof()
        with pytest.raises(asyncio.IncompleteReadError) as raised:
            await reading
        assert (raised.value.partial, raised.value.expected) == (b"abc", 5)
        assert reader.at_eof()

    check(main)


def test_lines_are_cut_where_they_end(check):
    async def main(reader):
        reader.feed_data(b"one\ntwo\nthr")
        assert await reader.readline() == b"one\n"
        assert await reader.readline() == b"two\n"
        reading = asyncio.create_task(reader.readline())
        await turns(3)
        reader.feed_data(b"ee")
        await turns(3)
        reader.feed_data(b"\n\nlast")
        assert await reading == b"three\n"
        assert await reader.readline() == b"\n"
        reader.feed_eof()
        assert await reader.readline() == b"last"
        assert await reader.readline() == b""

    check(main)


def test_a_reader_is_an_iterator_of_lines(check):
    async def main(reader):
        asyncio.get_running_loop().call_later(1, reader.feed_data, b"r\nlast")
        asyncio.get_running_loop().call_later(2, reader.feed_eof)
        reader.feed_data(b"first\nothe")
        assert [line async for line in reader] == [b"first\n", b"other\n", b"last"]

    check(main)


@pytest.mark.parametrize("separator", [b";", b"END", b"AAB"])
def test_a_separator_may_come_in_any_pieces(check, separator):
    async def main(reader):
        for size in range(1, len(separator) + 2):
            text = b"AA some text" + separator
            reading = asyncio.create_task(reader.readuntil(separator))
            for begin in range(0, len(text), size):
                await turns(2)
                assert not reading.done()
                reader.feed_data(text[begin : begin + size])
            assert await reading == text
            reader.feed_data(text + b"left")
            assert await reader.readuntil(separator) == text
            assert await reader.read(10) == b"left"

    check(main)


def test_readuntil_at_the_end_gives_what_there_was(check):
    async def main(reader):
        reader.feed_data(b"no en")
        reader.feed_eof()
        with pytest.raises(asyncio.IncompleteReadError) as raised:
            await reader.readuntil(b"end")
        assert (raised.value.partial, raised.value.expected) == (b"no en", None)
        assert reader.at_eof()

    check(main)


def test_a_separator_of_nothing_is_refused(check):
    async def main(reader):
        with pytest.raises(ValueError, match=r"^Separator should be at least one-byte string$"):
            await reader.readuntil(b"")

    check(main)


@several_separators
def test_the_separator_that_comes_first_ends_it(check):
    async def main(reader):
        reader.feed_data(b"one\r\ntwo\nthree\r")
        assert await reader.readuntil((b"\n", b"\r\n")) == b"one\r\n"
        assert await reader.readuntil((b"\r\n", b"\n")) == b"two\n"
        reading = asyncio.create_task(reader.readuntil((b"\r\n", b"end", b"a longer one")))
        await turns(3)
        reader.feed_data(b" e")
        await turns(3)
        reader.feed_data(b"nd\r\n")
        assert await reading == b"three\r end"
        with pytest.raises(ValueError, match=r"^Separator should contain at least one element$"):
            await reader.readuntil(())
        with pytest.raises(ValueError, match=r"^Separator should be at least one-byte string$"):
            await reader.readuntil((b"x", b""))

    check(main)


def test_rota_takes_several_separators_on_every_python(run):
    async def main():
        reader = rota.StreamReader()
        reader.feed_data(b"a,b;c")
        assert await reader.readuntil((b";", b",")) == b"a,"
        assert await reader.readuntil((b";", b",")) == b"b;"

    run(main())


# -- the limit -----------------------------------------------------------------------------------------------------


def test_a_line_longer_than_the_limit_is_dropped(check):
    async def main(reader):
        reader.feed_data(b"0123456789\nnext\n")
        with pytest.raises(ValueError, match=r"^Separator is found, but chunk is longer than limit$"):
            await reader.readline()
        assert await reader.readline() == b"next\n"
        reading = asyncio.create_task(reader.readline())
        await turns(3)
        reader.feed_data(b"0123456789")
        with pytest.raises(ValueError, match=r"^Separator is not found, and chunk exceed the limit$"):
            await reading
        reader.feed_data(b"12345678\n")
        assert await reader.readline() == b"12345678\n"

    check(main, limit=8)


def test_readuntil_leaves_what_is_over_the_limit(check):
    async def main(reader):
        reader.feed_data(b"0123456789AB")
        with pytest.raises(asyncio.LimitOverrunError, match="Separator is found, but chunk is longer than") as raised:
            await reader.readuntil(b"AB")
        assert raised.value.consumed == 10
        with pytest.raises(asyncio.LimitOverrunError, match="Separator is not found, and chunk exceed the") as raised:
            await reader.readuntil(b"XYZ")
        assert raised.value.consumed == 10
        assert await reader.readexactly(12) == b"0123456789AB"

    check(main, limit=8)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(run, streams, limit):
    async def main():
        with pytest.raises(ValueError, match=r"^Limit cannot be <= 0$"):
            streams.StreamReader(limit=limit)

    run(main())


@pytest.mark.parametrize("limit", [sys.maxsize, sys.maxsize // 2 + 1, 1 << 80, float("inf")])
def test_a_limit_that_is_never_reached(run, streams, limit):
    async def main():
        reader = streams.StreamReader(limit=limit)
        tap = Tap()
        reader.set_transport(tap)
        reader.feed_data(b"a line\nand")
        reader.feed_data(b" more")
        assert await reader.readline() == b"a line\n"
        reader.feed_eof()
        assert await reader.readuntil(b"m") == b"and m"
        assert await reader.readexactly(3) == b"ore"
        assert tap.told == []

    run(main())


@pytest.mark.parametrize("size", [sys.maxsize + 1, 1 << 80])
def test_a_size_that_nobody_can_send(check, size):
    """A number that a peer has named, as a length of what follows."""

    async def main(reader):
        reader.feed_data(b"four")
        assert await reader.read(size) == b"four"
        reader.feed_data(b"three")
        reader.feed_eof()
        with pytest.raises(asyncio.IncompleteReadError) as raised:
            await reader.readexactly(size)
        assert (raised.value.partial, raised.value.expected) == (b"three", size)

    check(main)


def test_the_transport_is_paused_above_twice_the_limit(check):
    async def main(reader):
        tap = Tap()
        reader.set_transport(tap)
        with pytest.raises(AssertionError, match="Transport already set"):
            reader.set_transport(tap)
        reader.feed_data(bytes(20))
        assert tap.told == []
        reader.feed_data(bytes(1))
        reader.feed_data(bytes(5))
        assert tap.told == ["pause"]
        await reader.readexactly(15)
        assert tap.told == ["pause"]
        await reader.read(1)
        assert tap.told == ["pause", "resume"]

    check(main, limit=10)


def test_a_read_of_more_than_twice_the_limit_lets_it_come(check):
    async def main(reader):
        tap = Tap()
        reader.set_transport(tap)
        reader.feed_data(bytes(25))
        reading = asyncio.create_task(reader.readexactly(50))
        await turns(3)
        assert tap.told == ["pause", "resume"]
        reader.feed_data(bytes(25))
        assert await reading == bytes(50)
        assert tap.told == ["pause", "resume", "pause", "resume"]

    check(main, limit=10)


def test_a_transport_that_cannot_pause_is_left_alone(check):
    async def main(reader):
        class Unstoppable:
            asked = 0

            def pause_reading(self):
                self.asked += 1
                raise NotImplementedError

        transport = Unstoppable()
        reader.set_transport(transport)
        for _ in range(5):
            reader.feed_data(bytes(10))
        assert transport.asked == 1
        assert await reader.readexactly(50) == bytes(50)

    check(main, limit=10)


# -- what comes in -------------------------------------------------------------------------------------------------


def test_a_piece_that_a_read_takes_whole_is_not_copied(run):
    async def main():
        reader = rota.StreamReader()
        piece = bytes(1000)
        for read in (reader.read(1000), reader.readexactly(1000), reader.read(5000)):
            reader.feed_data(piece)
            assert await read is piece

    run(main())


@pytest.mark.parametrize("size", [1, 7, 600])
def test_any_number_of_pieces_is_read_as_one(check, size):
    """Small ones are put together on the way, long ones stay apart until they are read."""

    async def main(reader):
        text = b"".join(b"%d," % number for number in range(20_000))
        for begin in range(0, len(text), size):
            reader.feed_data(text[begin : begin + size])
        assert reader._buffer == text
        found = [await reader.read(3), await reader.readexactly(5000), await reader.readuntil(b"9999,")]
        found += [await reader.readuntil(b",") for _ in range(50)]
        searching = asyncio.create_task(reader.readuntil(b"the end"))
        await turns(3)
        for piece in (b"the", b" e", b"n", b"d and more"):
            assert not searching.done()
            reader.feed_data(piece)
            await turns(3)
        found.append(await searching)
        assert b"".join(found) == text + b"the end"
        assert await reader.read(100) == b" and more"

    check(main, limit=1 << 20)


def test_a_buffer_that_changes_later_is_copied(check):
    async def main(reader):
        data = bytearray(b"first")
        reader.feed_data(data)
        data[:] = b"other"
        reader.feed_data(memoryview(data))
        data[:] = b"third"
        assert await reader.read(20) == b"firstother"

    check(main)


def test_nothing_is_no_news_and_nothing_comes_after_the_end(check):
    async def main(reader):
        reading = asyncio.create_task(reader.read(1))
        await turns(3)
        reader.feed_data(b"")
        await turns(3)
        assert not reading.done()
        reader.feed_eof()
        assert await reading == b""
        with pytest.raises(AssertionError, match="feed_data after feed_eof"):
            reader.feed_data(b"x")

    check(main)


def test_every_read_raises_what_broke_the_connection(check):
    async def main(reader):
        assert reader.exception() is None
        reader.feed_data(b"line\n")
        error = ConnectionResetError("gone")
        reader.set_exception(error)
        assert reader.exception() is error
        for read in (reader.read(), reader.read(1), reader.readexactly(1), reader.readline(), reader.readuntil(b"x")):
            with pytest.raises(ConnectionResetError, match="gone"):
                await read
        with pytest.raises(ConnectionResetError, match="gone"):
            await anext(reader)

    check(main)


def test_who_waits_is_told_what_broke_the_connection(check):
    async def main(reader):
        reading = asyncio.create_task(reader.readline())
        await turns(3)
        reader.set_exception(ConnectionResetError("gone"))
        with pytest.raises(ConnectionResetError, match="gone"):
            await reading

    check(main)


def test_what_came_before_the_connection_broke_is_read(check):
    async def main(reader):
        reading = asyncio.create_task(reader.readline())
        await turns(3)
        reader.feed_data(b"line\n")
        reader.set_exception(ConnectionResetError("gone"))
        assert await reading == b"line\n"

    check(main)


def test_too_little_before_the_connection_broke_is_not_waited_for(run):
    """asyncio's reader has looked at the exception before, and waits for ever."""

    async def main():
        reader = rota.StreamReader()
        reading = asyncio.create_task(reader.readline())
        await turns(3)
        reader.feed_data(b"no line")
        reader.set_exception(ConnectionResetError("gone"))
        with pytest.raises(ConnectionResetError, match="gone"):
            await asyncio.wait_for(reading, 10)

    run(main())


# -- who waits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("read", lambda reader: reader.read(1)),
        ("readexactly", lambda reader: reader.readexactly(1)),
        ("readuntil", lambda reader: reader.readuntil(b"x")),
        ("readuntil", lambda reader: reader.readline()),
        ("readuntil", lambda reader: anext(reader)),
    ],
)
def test_one_reads_at_a_time(check, name, read):
    async def main(reader):
        first = asyncio.create_task(reader.read(5))
        await turns(3)
        with pytest.raises(
            RuntimeError, match=rf"^{name}\(\) called while another coroutine is already waiting for incoming data$"
        ):
            await read(reader)
        reader.feed_data(b"first")
        assert await first == b"first"

    check(main)


@pytest.mark.parametrize("wait", [asyncio.create_task, asyncio.ensure_future, lambda read: asyncio.wait_for(read, 9)])
def test_a_read_is_a_coroutine(check, wait):
    async def main(reader):
        for read in (reader.read(3), reader.readexactly(3), reader.readuntil(b"e"), reader.readline()):
            assert asyncio.iscoroutine(read)
            assert inspect.iscoroutine(read)
            assert read.__qualname__.startswith("StreamReader.read")
            waiting = asyncio.ensure_future(wait(read))
            await turns(3)
            reader.feed_data(b"one" if read.__name__ != "readline" else b"o\n")
            assert (await waiting).startswith(b"o")

    check(main)


def test_a_read_that_nobody_awaits_is_told(check):
    async def main(reader):
        with pytest.warns(RuntimeWarning, match=r"coroutine 'StreamReader.readline' was never awaited"):
            reader.readline()

    check(main)


def test_a_read_that_is_cancelled_leaves_the_reader_free(check):
    async def main(reader):
        reader.feed_data(b"abc")
        for read in (reader.readexactly(5), reader.readuntil(b"x"), reader.readline()):
            reading = asyncio.create_task(read)
            await turns(3)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await reader.readexactly(5)
        assert await reader.read(5) == b"abc"

    check(main)


def test_a_read_that_is_cancelled_once_its_data_has_come_leaves_them(check):
    async def main(reader):
        reading = asyncio.create_task(reader.read(5))
        await turns(3)
        reader.feed_data(b"abc")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await reader.read(5) == b"abc"

    check(main)


def test_a_read_that_is_given_up_leaves_the_reader_free(check):
    async def main(reader):
        read = reader.read(5)
        read.send(None)
        read.close()
        reader.feed_data(b"abc")
        assert await reader.read(5) == b"abc"
        read = reader.read(5)
        read.send(None)
        with pytest.raises(ZeroDivisionError, match="thrown"):
            read.throw(ZeroDivisionError("thrown"))
        later = asyncio.create_task(reader.read(5))
        await turns(3)
        reader.feed_data(b"abc")
        assert await later == b"abc"

    check(main)


def test_a_read_whose_data_another_took_goes_on_waiting(run):
    """asyncio's says that the stream has ended."""

    async def main():
        reader = rota.StreamReader()
        first = asyncio.create_task(reader.read(5))
        await turns(3)
        reader.feed_data(b"one")
        assert await reader.read(5) == b"one"
        await turns(3)
        assert not first.done()
        reader.feed_data(b"two")
        assert await first == b"two"

    run(main())


def test_a_cancelled_read_leaves_alone_who_waits_after_it(run):
    """asyncio's forgets the read that waits, which is never woken."""

    async def main():
        reader = rota.StreamReader()
        first = asyncio.create_task(reader.read(5))
        await turns(3)
        reader.feed_data(b"one")
        second = asyncio.create_task(reader.read(5))
        assert await reader.read(5) == b"one"
        first.cancel()
        await asyncio.wait([first])
        await turns(3)
        reader.feed_data(b"two")
        assert await asyncio.wait_for(second, 10) == b"two"

    run(main())


def test_another_search_while_one_waits_hides_nothing_from_it(check):
    async def main(reader):
        first = asyncio.create_task(reader.readuntil(b";"))
        await turns(3)
        reader.feed_data(b"one;two")
        reading = reader.readuntil(b",")
        reading.send(None)
        reading.close()
        assert await first == b"one;"
        assert await reader.read(10) == b"two"

    check(main)


# -- who it is -----------------------------------------------------------------------------------------------------


def test_rotas_streams_are_asyncios_too():
    for name in ("StreamReader", "StreamWriter", "StreamReaderProtocol"):
        assert issubclass(getattr(rota, name), getattr(asyncio, name))
    assert not issubclass(rota.StreamReaderProtocol, asyncio.BufferedProtocol)


def test_the_public_names_are_asyncios():
    """So that a program that uses more than asyncio has is found out here and not by its users."""
    for name in ("StreamReader", "StreamWriter"):
        public = {word for word in dir(getattr(rota, name)) if not word.startswith("_")}
        assert public == {word for word in dir(getattr(asyncio, name)) if not word.startswith("_")}


def test_signatures_are_asyncios():
    for name in ("StreamReader", "StreamWriter"):
        for method, theirs in vars(getattr(asyncio, name)).items():
            if inspect.isfunction(theirs) and not method.startswith("_"):
                ours = getattr(getattr(rota, name), method)
                if inspect.isfunction(ours) and method != "start_tls":  # whose keywords grow with the versions
                    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), (
                        method
                    )
    for name in ("open_connection", "start_server", "open_unix_connection", "start_unix_server"):
        ours, theirs = (inspect.signature(getattr(library, name)) for library in (rota, asyncio))
        assert list(ours.parameters) == list(theirs.parameters)


def test_what_it_looks_like(check):
    async def main(reader):
        assert repr(reader) == "<StreamReader>"
        reader.feed_data(bytes(5))
        assert repr(reader) == "<StreamReader 5 bytes>"
        reader.feed_data(bytes(5))
        reader.set_transport("a transport")
        reader.feed_eof()
        assert repr(reader) == "<StreamReader 10 bytes eof transport='a transport'>"
        await reader.read(10)
        reader.set_exception(ValueError("x"))
        assert repr(reader) == "<StreamReader eof exception=ValueError('x') transport='a transport'>"

    check(main)


def test_the_limit_and_who_waits_are_shown(check):
    async def main(reader):
        reading = asyncio.create_task(reader.read(1))
        await turns(3)
        assert repr(reader).startswith("<StreamReader limit=5 waiter=<Future pending")
        reader.feed_data(b"x")
        await reading

    check(main, limit=5)


def test_what_is_unread_can_be_looked_at(check):
    async def main(reader):
        assert reader._buffer == b""
        reader.feed_data(b"one")
        await reader.read(1)
        assert reader._buffer == b"ne"
        reader.feed_data(b"two")
        assert reader._buffer == b"netwo"
        assert await reader.read(9) == b"netwo"
        assert reader._buffer == b""

    check(main)


def test_debug_mode_remembers_where_it_was_made(run, streams):
    async def main():
        reader = streams.StreamReader()
        assert reader._source_traceback[-1].name == "main"
        protocol = streams.StreamReaderProtocol(reader)
        assert protocol._source_traceback is reader._source_traceback

    run(main(), debug=True)
