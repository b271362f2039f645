"""The server of the built-in jobs, and the built-in jobs themselves on two items each."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rota.errors import MissingExtra
from rota.lanes.compare import compare
from rota.lanes.compare.sites import PAGE_SIZE, QUICKEST, RECORD_SIZE, SLOWEST, latency


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "rota.lanes.compare.sites"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.kill()


def ports(server: subprocess.Popen[str]) -> tuple[int, int]:
    assert server.stdout is not None
    sites, records = server.stdout.readline().split()
    return int(sites), int(records)


def test_sites_answer_on_one_connection_and_records_on_another(server: subprocess.Popen[str]) -> None:
    sites, records = ports(server)
    connection = http.client.HTTPConnection("127.0.0.1", sites, timeout=10)
    for number in (0, 1):
        connection.request("GET", f"/{number}")
        assert len(connection.getresponse().read()) == PAGE_SIZE
    connection.close()
    with socket.create_connection(("127.0.0.1", records), timeout=10) as line, line.makefile("rwb") as stream:
        for _ in range(2):
            stream.write(b"7\n")
            stream.flush()
            assert len(stream.readline()) == RECORD_SIZE


def test_the_server_ends_when_who_started_it_goes_away(server: subprocess.Popen[str]) -> None:
    ports(server)
    assert server.stdin is not None
    server.stdin.close()
    assert server.wait(10) == 0


def test_latencies_are_spread_and_always_the_same() -> None:
    latencies = [latency(site) for site in range(180)]
    assert latencies == [latency(site) for site in range(180)]
    assert min(latencies) >= QUICKEST
    assert max(latencies) <= SLOWEST
    assert 0.09 < sum(latencies) / 180 < 0.11


def test_the_built_in_jobs_run_one_by_one_and_on_the_loop() -> None:
    report = compare(None, items=2, models=["sync", "rota"])
    assert not report.failed, report
    assert [each.job for each in report.comparisons] == ["slow_sites", "fast_reads", "computation"]
    for comparison in report.comparisons:
        assert [run.done for run in comparison.runs] == [2, 2]
    kinds = {each.job: (each.verdict.kind, each.verdict.rule) for each in report.comparisons}
    assert kinds["slow_sites"] == ("io", "asyncio")
    assert kinds["computation"] == ("cpu", "processes")
    assert not [name for name in os.environ if name.startswith("ROTA_COMPARE")]


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"rota compare needs aiohttp: pip install 'rota\[compare\]'"):
        compare(None)
