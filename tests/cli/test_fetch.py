"""``rota fetch`` as a person and a program see it: what it prints, where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from rota.cli.main import main

SIZE = 20_000


class Handler(BaseHTTPRequestHandler):
    """/missing is not there, /endless never ends, all else is 20,000 bytes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        try:
            if "endless" in self.path:
                self.wfile.write(b"x")
                self.rfile.read(1)  # until the client hangs up
                self.close_connection = True
            else:
                self.wfile.write(b"x" * SIZE)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing: what the command prints is under test."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that leaving it waits for them

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the tests."""


@pytest.fixture
def server() -> Iterator[str]:
    """Its address. Leaving the server joins the threads of its connections."""
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def rota_fetch(out: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process: its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["fetch", "-o", str(out), *arguments])
        stdout, stderr = capfd.readouterr()
        return code, stdout, stderr

    return run


def start(out: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rota", "fetch", "-o", str(out), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


Run = Callable[..., tuple[int, str, str]]


def test_all_that_arrives_is_exit_0_and_one_line(rota_fetch: Run, server: str, out: Path) -> None:
    code, stdout, stderr = rota_fetch(f"{server}/a", f"{server}/b")
    assert (code, stdout) == (0, "")
    assert stderr.startswith(f"rota: 2 saved in '{out}' (40.0 kB in ")
    assert stderr.count("\n") == 1
    assert sorted(os.listdir(out)) == ["a", "b"]


def test_what_fails_is_named_and_counted(rota_fetch: Run, server: str) -> None:
    code, stdout, stderr = rota_fetch(f"{server}/a", f"{server}/missing", "notaurl", "ftp://me:secret@host/x")
    assert (code, stdout) == (1, "")
    lines = stderr.splitlines()
    assert f"rota: {server}/missing: HTTP 404 Not Found" in lines
    assert "rota: notaurl: not a whole http:// or https:// URL" in lines
    assert lines[-1].startswith("rota: 1 saved")
    assert lines[-1].endswith(", 3 failed (bad URL: 2, HTTP 404: 1)")
    assert "secret" not in stderr


def test_a_host_that_is_not_there_is_a_failure(rota_fetch: Run) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        code, _, stderr = rota_fetch(url)
    assert code == 1
    assert stderr.startswith(f"rota: {url}: connection refused\n")


def test_a_list_in_a_file_comes_after_the_named(rota_fetch: Run, server: str, out: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"# two\n\n{server}/b\n  {server}/c")
    assert rota_fetch(f"{server}/a", "-i", str(tmp_path / "list"))[0] == 0
    assert sorted(os.listdir(out)) == ["a", "b", "c"]


def test_a_list_on_standard_input(server: str, out: Path) -> None:
    process = start(out, "-i", "-", stdin=subprocess.PIPE)
    _, stderr = process.communicate(f"{server}/a\n{server}/b")
    assert (process.returncode, sorted(os.listdir(out))) == (0, ["a", "b"])
    assert "2 saved" in stderr


def test_json_is_a_line_for_each_url_on_stdout(rota_fetch: Run, server: str, out: Path) -> None:
    code, stdout, stderr = rota_fetch("--json", f"{server}/a", f"{server}/missing")
    results = {Path(result["url"]).name: result for result in map(json.loads, stdout.splitlines())}
    assert code == 1
    assert results["a"]["path"] == str(out / "a")
    assert list(results["a"]) == ["url", "status", "ok", "path", "bytes", "seconds", "tries", "error", "kind"]
    assert (results["missing"]["ok"], results["missing"]["error"]) == (False, "HTTP 404 Not Found")
    assert stderr.startswith("rota: 1 saved")
    assert stderr.count("\n") == 1


def test_quiet_tells_failures_only(rota_fetch: Run, server: str) -> None:
    assert rota_fetch("-q", f"{server}/a") == (0, "", "")
    code, _, stderr = rota_fetch("-q", f"{server}/a", f"{server}/missing")
    assert (code, stderr) == (1, f"rota: {server}/missing: HTTP 404 Not Found\n")


def test_what_was_there_is_left_out_on_request(rota_fetch: Run, server: str, out: Path) -> None:
    rota_fetch(f"{server}/a")
    code, _, stderr = rota_fetch("--skip-existing", f"{server}/a", f"{server}/b")
    assert (code, sorted(os.listdir(out))) == (0, ["a", "b"])
    assert stderr.startswith("rota: 1 saved")
    assert stderr.endswith(", 1 skipped\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "nothing to fetch: name a URL, or a list of them with -i FILE"),
        (["-i", "/nowhere/list"], "can't read the list '/nowhere/list': No such file or directory"),
        (["x", "--concurrency", "0"], "concurrency is 0: it must be at least 1"),
        (["x", "--per-host", "0"], "per-host is 0: it must be at least 1"),
        (["x", "--timeout", "-1"], "timeout is -1: it must be a number of seconds above 0"),
        (["x", "--retries", "-1"], "retries is -1: it must be 0 (try once) or more"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(rota_fetch: Run, out: Path, arguments: list[str], line: str) -> None:
    assert rota_fetch(*arguments) == (2, "", f"rota: {line}\n")
    assert not out.exists()


def test_more_downloads_than_files_may_be_open(rota_fetch: Run) -> None:
    code, _, stderr = rota_fetch("x", "--concurrency", "1000000000")
    assert code == 2
    assert stderr.startswith("rota: concurrency is 1000000000: that takes 2000000064 open files")
    assert stderr.count("\n") == 1


def test_a_file_where_the_folder_should_be(rota_fetch: Run, out: Path) -> None:
    out.touch()
    line = f"rota: {str(out)!r} is not a folder: name one, or a new one, to save into\n"
    assert rota_fetch("x") == (2, "", line)


def test_a_folder_that_can_not_be_written_to_is_exit_4(rota_fetch: Run) -> None:
    code, _, stderr = rota_fetch("x", "-o", "/proc/nowhere")
    assert code == 4
    assert stderr.splitlines()[0] == "rota: can't write '/proc/nowhere': No such file or directory"


def test_a_disk_that_takes_no_more_ends_the_run_and_leaves_nothing(server: str, out: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, SIZE // 2))

    process = start(out, "--retries", "0", *(f"{server}/{n}" for n in range(20)), preexec_fn=small_files)
    _, stderr = process.communicate()
    lines = stderr.splitlines()
    assert process.returncode == 4
    assert lines[0].startswith(f"rota: can't write '{out}/")
    assert lines[0].endswith(".part': File too large")
    assert lines[1].startswith("rota: 0 saved")
    assert "; stopped: " in lines[1]
    assert len(lines) == 2
    assert os.listdir(out) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_with_a_summary(server: str, out: Path, number: signal.Signals) -> None:
    process = start(out, "--json", f"{server}/a", *(f"{server}/endless{n}" for n in range(9)), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ok"]  # so the run is in full swing
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == 3
    assert stderr.startswith("rota: 1 saved")
    assert "; interrupted: 6 unfinished and removed, 3 not begun\n" in stderr
    assert stderr.count("\n") == 1
    assert os.listdir(out) == ["a"]


def test_a_reader_that_goes_away_ends_the_run_quietly(server: str, out: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(out, "--json", f"{server}/a", *(f"{server}/endless{n}" for n in range(5)), stdout=writer)
    os.close(writer)
    _, stderr = process.communicate()
    assert (process.returncode, stderr) == (141, "")
    assert os.listdir(out) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_under_the_json_is_one_line(out: Path) -> None:
    with open("/dev/full", "w") as full:
        process = start(out, "--json", "notaurl", stdout=full)
    _, stderr = process.communicate()
    assert (process.returncode, stderr) == (1, "rota: can't write the output: No space left on device\n")


def test_a_terminal_gets_a_bar_that_is_gone_in_the_end(server: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("rota.fetch.progress.DRAW_EVERY", 0.0)
    assert main(["fetch", "-o", str(out), *(f"{server}/{n}" for n in range(30))]) == 0
    *frames, last = screen.getvalue().split("\r\x1b[K")
    assert any("/30, " in frame for frame in frames)
    assert last.startswith("rota: 30 saved")


def test_a_certificate_that_is_not_trusted_is_refused_and_a_trusted_one_is_not(out: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server(("127.0.0.1", 0), Handler) as secure:
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        thread = threading.Thread(target=secure.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"https://127.0.0.1:{secure.server_port}/a"
            refused = start(out, url)
            _, stderr = refused.communicate()
            assert refused.returncode == 1
            assert f"rota: {url}: the certificate is not trusted: " in stderr
            assert stderr.endswith(" 1 failed (certificate: 1)\n")
            trusted = start(out, url, env=os.environ | {"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
            assert trusted.communicate()[1].startswith("rota: 1 saved")
        finally:
            secure.shutdown()
            thread.join()


def test_without_aiohttp_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(name='aiohttp')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = start(tmp_path / "out", "http://host/", env=os.environ | {"PYTHONPATH": path})
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr == "rota: rota fetch needs aiohttp: pip install 'rota[fetch]'\n"
