"""The downloader against servers that behave and servers that don't."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import rota
from rota.errors import UsageError
from rota.fetch import DiskError, Result, fetch

Fetched = Callable[..., Any]


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request.path}")


def test_each_url_becomes_a_file_and_a_result(fetched: Fetched, folder: Path) -> None:
    outcome = fetched(hello, ["/a.txt", "/b/c.txt?d=e#f"])
    assert outcome.files == {"a.txt": b"hello /a.txt", "c.txt": b"hello /b/c.txt"}
    result = next(result for result in outcome.results if result.url.endswith("/a.txt"))
    assert (result.ok, result.status, result.bytes, result.tries) == (True, 200, 12, 1)
    assert result.path == str(folder / "a.txt")
    assert (outcome.summary.saved, outcome.summary.failed, outcome.summary.bytes) == (2, 0, 26)


def test_the_list_may_be_made_as_it_goes(folder: Path) -> None:
    async def urls() -> Any:
        for name in ("x", "y"):
            await asyncio.sleep(0)
            yield f"ftp://host/{name}"

    summary = rota.run(fetch(urls(), str(folder)))
    assert summary.errors == {"bad URL": 2}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/..%2f..%2fetc%2fpasswd", "passwd"),
        ("/a%5C..%5Cevil.exe", "evil.exe"),
        ("/.ssh", "ssh"),
        ("/%2e%2e%2f", "index.html"),
        ("/", "index.html"),
        ("/-rf", "rf"),
        ("/a%00b%1b", "ab"),
        ("/" + "x" * 300 + ".jpg", None),
    ],
)
def test_no_url_names_a_file_outside_the_folder(fetched: Fetched, tmp_path: Path, path: str, name: str | None) -> None:
    outcome = fetched(hello, [path])
    assert len(outcome.files) == 1
    assert name is None or name in outcome.files
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_equal_names_become_two_files(fetched: Fetched) -> None:
    outcome = fetched(hello, ["/1/a.txt", "/2/a.txt", "/3/a.txt"], concurrency=1)
    assert outcome.files == {
        "a.txt": b"hello /1/a.txt",
        "a-2.txt": b"hello /2/a.txt",
        "a-3.txt": b"hello /3/a.txt",
    }


def test_a_file_from_before_is_not_touched(fetched: Fetched, folder: Path) -> None:
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"before")
    assert fetched(hello, ["/a.txt"]).files == {"a.txt": b"before", "a-2.txt": b"hello /a.txt"}


def test_what_was_there_can_be_left_out_but_never_another_urls_file(fetched: Fetched, folder: Path) -> None:
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"before")
    outcome = fetched(hello, ["/1/a.txt", "/1/b.txt", "/2/b.txt"], skip_existing=True, concurrency=1)
    assert outcome.files == {"a.txt": b"before", "b.txt": b"hello /1/b.txt", "b-2.txt": b"hello /2/b.txt"}
    assert outcome.requests == ["/1/b.txt", "/2/b.txt"]
    assert (outcome.summary.saved, outcome.summary.skipped) == (2, 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_status_that_will_not_change_is_not_tried_again(fetched: Fetched, status: int) -> None:
    async def no(request: web.Request) -> web.Response:
        return web.Response(status=status, text="an error page")

    outcome = fetched(no)
    assert (outcome.result.status, outcome.result.kind) == (status, f"HTTP {status}")
    assert (outcome.result.tries, outcome.waits, outcome.files) == (1, [], {})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again(fetched: Fetched, status: int) -> None:
    asked = 0

    async def later(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=status) if asked < 3 else web.Response(text="at last")

    outcome = fetched(later)
    assert outcome.files == {"a": b"at last"}
    assert outcome.result.tries == 3
    assert 0.5 <= outcome.waits[0] <= 1 <= outcome.waits[1] <= 2


def test_tries_come_to_an_end(fetched: Fetched) -> None:
    async def never(request: web.Request) -> web.Response:
        return web.Response(status=503)

    outcome = fetched(never, retries=2)
    assert (outcome.result.tries, outcome.result.error) == (3, "HTTP 503 Service Unavailable")
    assert (len(outcome.waits), len(outcome.requests)) == (2, 3)
    assert fetched(never, retries=0).waits == []


def test_the_server_says_how_long_to_wait(fetched: Fetched) -> None:
    answers = [{"Retry-After": "120"}, {"Retry-After": "0"}, {"Retry-After": "Tue, 14 Nov 2000 22:13:20 GMT"}]

    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=429, headers=answers.pop(0)) if answers else web.Response(text="at last")

    outcome = fetched(busy)
    assert outcome.result.ok
    assert 120 <= outcome.waits[0] <= 132
    assert outcome.waits[1:] == [0, 0]


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
CHUNKS_CUT = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
CHUNK_CUT = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhellohello"


@pytest.mark.parametrize("body", [CUT, CHUNKS_CUT, CHUNK_CUT])
def test_a_body_that_is_cut_short_is_a_failure_that_leaves_nothing(fetched: Fetched, body: bytes) -> None:
    outcome = fetched(raw=[body], retries=1)
    assert (outcome.result.kind, outcome.result.tries) == ("cut short", 2)
    assert outcome.files == {}


def test_a_body_that_was_cut_short_is_fetched_again_whole(fetched: Fetched) -> None:
    assert fetched(raw=[CUT, CHUNKS_CUT, WHOLE]).files == {"a": b"hellohello"}


@pytest.mark.parametrize("body", [b"", CUT])
def test_a_connection_that_is_reset_is_tried_again(fetched: Fetched, body: bytes) -> None:
    outcome = fetched(raw=[body], reset=True, retries=1)
    assert outcome.result.kind in ("connection lost", "cut short")
    assert (outcome.result.tries, outcome.files) == (2, {})


def test_a_body_without_a_length_ends_with_its_connection(fetched: Fetched) -> None:
    assert fetched(raw=[b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"]).files == {"a": b"hello"}


def test_an_answer_that_is_not_http_is_said_so(fetched: Fetched) -> None:
    outcome = fetched(raw=[b"SSH-2.0-OpenSSH\r\n\r\n"])
    assert (outcome.result.kind, outcome.result.tries) == ("bad answer", 1)


def test_the_servers_words_can_not_act_on_a_terminal(fetched: Fetched) -> None:
    outcome = fetched(raw=[b"HTTP/1.1 404 No\x9b31m way\r\nContent-Length: 0\r\n\r\n"])
    assert outcome.result.error.isprintable()


def test_a_large_body_comes_through_as_it_is(fetched: Fetched) -> None:
    body = bytes(range(256)) * 8192

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(body), 100_000):
            await response.write(body[start : start + 100_000])
        return response

    assert fetched(large).files == {"a": body}


def test_bodies_are_saved_as_they_were_sent(fetched: Fetched) -> None:
    packed = gzip.compress(b"hello")

    async def encoded(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    assert fetched(encoded, ["/a.gz"]).files == {"a.gz": packed}


def test_an_empty_body_is_a_file(fetched: Fetched) -> None:
    async def empty(request: web.Request) -> web.Response:
        return web.Response()

    assert fetched(empty).files == {"a": b""}


async def hop(request: web.Request) -> web.Response:
    left = int(request.path.removeprefix("/"))
    return web.Response(status=302, headers={"Location": f"/{left - 1}"}) if left else web.Response(text="there")


def test_ten_redirects_are_followed_and_the_name_stays_the_first(fetched: Fetched) -> None:
    assert fetched(hop, ["/10"]).files == {"10": b"there"}


def test_eleven_redirects_are_too_many(fetched: Fetched) -> None:
    outcome = fetched(hop, ["/11"])
    assert (outcome.result.kind, outcome.result.tries, outcome.files) == ("too many redirects", 1, {})


@pytest.mark.parametrize("place", ["ftp://host/a", "file:///etc/passwd", "javascript:alert(1)"])
def test_a_redirect_leads_nowhere_but_to_http(fetched: Fetched, place: str) -> None:
    async def astray(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": place})

    outcome = fetched(astray)
    assert (outcome.result.kind, outcome.result.tries, outcome.files) == ("bad redirect", 1, {})


@pytest.mark.parametrize(
    "url",
    [
        "notaurl",
        "ftp://host/x",
        "http://",
        "host/x",
        "http://host:port/",
        "http://[::1",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_url_fails_alone(fetched: Fetched, url: str) -> None:
    outcome = fetched(hello, [url, "/a"])
    assert outcome.summary.errors == {"bad URL": 1}
    assert outcome.files == {"a": b"hello /a"}
    assert [(result.url, result.tries) for result in outcome.results if not result.ok] == [(url, 0)]


def test_a_host_that_is_not_there(fetched: Fetched) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        outcome = fetched(hello, [f"http://127.0.0.1:{nobody.getsockname()[1]}/x"])
    assert (outcome.result.kind, outcome.result.error, outcome.waits) == ("refused", "connection refused", [])


@pytest.mark.parametrize(
    ("code", "kind", "tries"), [(socket.EAI_NONAME, "unknown host", 1), (socket.EAI_AGAIN, "no DNS", 2)]
)
def test_names_that_do_not_resolve(
    fetched: Fetched, monkeypatch: pytest.MonkeyPatch, code: int, kind: str, tries: int
) -> None:
    async def resolve(*args: object, **options: object) -> None:
        raise socket.gaierror(code, "from the resolver")

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    outcome = fetched(hello, ["http://name.invalid/x"], retries=1)
    assert (outcome.result.kind, outcome.result.tries) == (kind, tries)


def test_a_silent_server_times_out(fetched: Fetched) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    outcome = fetched(silent, timeout=0.05, retries=1)
    assert (outcome.result.kind, outcome.result.tries, outcome.files) == ("timeout", 2, {})


def test_a_server_that_drips_is_given_up(fetched: Fetched, monkeypatch: pytest.MonkeyPatch) -> None:
    # Never silent for as long as the timeout, and never near this speed.
    monkeypatch.setattr("rota.fetch.download.SLOWEST", 1e9)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.01)

    outcome = fetched(drip, timeout=0.3, retries=0)
    assert outcome.result.kind == "timeout"
    assert "slower than" in outcome.result.error
    assert outcome.files == {}


def test_waiting_in_line_is_no_timeout(fetched: Fetched) -> None:
    async def slowly(request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response()

    assert fetched(slowly, [f"/{n}" for n in range(30)], per_host=1, timeout=0.25).summary.saved == 30


def test_passwords_are_sent_and_never_shown(folder: Path) -> None:
    seen: list[str] = []

    async def private(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(status=403)

    async def main() -> list[Result]:
        results: list[Result] = []
        runner = web.ServerRunner(web.Server(private))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://me:secret@127.0.0.1:{runner.addresses[0][1]}/x"
        bad = ["https://me:secret@host:port/", "me:secret@host/@x", "http://me:se/cret@host/"]
        await fetch([url, *bad], str(folder), on_result=results.append)
        await runner.cleanup()
        return results

    results = rota.run(main())
    assert seen == ["Basic bWU6c2VjcmV0"]
    assert sorted(result.status or 0 for result in results) == [0, 0, 0, 403]
    for result in results:
        assert "cret" not in result.as_json() + repr(result)


def test_at_most_so_many_at_a_time_reach_the_server(fetched: Fetched) -> None:
    running = most = 0

    async def count(request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return web.Response()

    assert fetched(count, [f"/{n}" for n in range(40)], concurrency=10, per_host=4).summary.saved == 40
    assert most <= 4


def test_connections_are_used_again_and_none_is_left_open(fetched: Fetched) -> None:
    ports: list[int] = []
    kept: list[bool] = []

    async def count(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        kept.append(request.keep_alive)
        return web.Response(text="hello")

    assert fetched(count, [f"/{n}" for n in range(20)], per_host=1).summary.saved == 20
    assert len(set(ports)) == 1
    assert kept == [True] * 19 + [False]


def test_a_result_is_a_line_of_json(fetched: Fetched, folder: Path) -> None:
    fields = json.loads(fetched(hello).result.as_json())
    assert fields.pop("url").endswith("/a")
    assert fields.pop("seconds") >= 0
    assert fields == {
        "status": 200,
        "ok": True,
        "path": str(folder / "a"),
        "bytes": 8,
        "tries": 1,
        "error": None,
        "kind": None,
    }


def test_a_full_disk_ends_the_run(fetched: Fetched, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(part: object, data: bytes) -> None:
        raise DiskError("a.part", OSError(28, "No space left on device"))

    monkeypatch.setattr("rota.fetch.folder.Part.write", full)
    with pytest.raises(DiskError, match=r"can't write 'a\.part': No space left on device"):
        fetched(hello, [f"/{n}" for n in range(50)])
    assert list(folder.iterdir()) == []


def test_what_on_result_raises_ends_the_run(folder: Path) -> None:
    def no(result: Result) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        rota.run(fetch(["notaurl"] * 5, str(folder), on_result=no))


def test_cancelling_stops_all_and_leaves_only_whole_files(folder: Path, serve_streams: Any) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CUT)
        await reader.read()

    async def main() -> None:
        async with serve_streams(half) as base:
            task = asyncio.ensure_future(fetch([f"{base}/{n}" for n in range(9)], str(folder), per_host=3))
            while not folder.exists() or len(list(folder.iterdir())) < 3:
                await asyncio.sleep(0.001)
            assert {path.suffix for path in folder.iterdir()} == {".part"}
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert list(folder.iterdir()) == []

    rota.run(main())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"concurrency": 0}, "concurrency is 0: it must be at least 1"),
        ({"per_host": -1}, "per-host is -1: it must be at least 1"),
        ({"timeout": 0}, "timeout is 0: it must be a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan: it must be a number of seconds above 0"),
        ({"retries": -1}, r"retries is -1: it must be 0 \(try once\) or more"),
    ],
)
def test_numbers_that_make_no_sense(folder: Path, option: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rota.run(fetch([], str(folder), **option))
    assert not folder.exists()


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".com"])
def test_a_host_that_is_no_possible_name_is_a_failure(fetched: Fetched, host: str) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://{host}/x"})

    outcome = fetched(elsewhere, [f"http://{host}/x", "/redirect"])
    assert [(result.error, result.kind, result.tries) for result in outcome.results] == [
        ("the host is not a possible name", "bad URL", 1)
    ] * 2


def test_a_module_that_is_missing_elsewhere_is_not_called_aiohttp(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "rota.fetch.slots", raising=False)
    monkeypatch.delattr("rota.fetch.slots", raising=False)
    monkeypatch.setitem(sys.modules, "rota.fetch.waiting", None)
    with pytest.raises(ModuleNotFoundError, match=r"rota\.fetch\.waiting"):
        rota.run(fetch([], str(folder)))
