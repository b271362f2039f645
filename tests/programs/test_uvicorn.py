"""uvicorn with rota as its loop, started as people start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap

import httpx
import pytest

APP = """
import asyncio, sys

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            print(event, type(asyncio.get_running_loop()).__module__, flush=True)
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
    if scope["path"] == "/stream":
        for number in range(100):
            await send({"type": "http.response.body", "body": b"%d," % number * 100, "more_body": True})
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": body})
"""

FACTORIES = {"rota": "rota:new_event_loop", "asyncio": "asyncio:new_event_loop"}
MODULES = {"rota": "rota.loop", "asyncio": "asyncio.unix_events"}


@pytest.fixture
def server(kind, tmp_path):
    """A running uvicorn and its address. It inherits a listening socket, so nobody can take its port."""
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        command = [sys.executable, "-m", "uvicorn", "app:app", "--loop", FACTORIES[kind]]
        process = subprocess.Popen(
            [*command, "--fd", str(listening.fileno()), "--no-access-log"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            pass_fds=[listening.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            yield process, address
        finally:
            process.kill()


def test_requests_streams_and_a_clean_end(server, kind):
    process, address = server
    assert process.stdout.readline() == f"lifespan.startup {MODULES[kind]}\n"
    with httpx.Client(base_url=f"http://{address}", timeout=10) as client:
        for number in range(50):
            response = client.post(f"/{number}", content=b"body %d" % number)
            assert response.status_code == 200
            assert response.headers["x-path"] == f"/{number}"
            assert response.content == b"body %d" % number
        big = os.urandom(2_000_000)
        assert client.post("/big", content=big).content == big
        with client.stream("GET", "/stream") as response:
            assert response.headers["transfer-encoding"] == "chunked"
            assert b"".join(response.iter_bytes()) == b"".join(b"%d," % number * 100 for number in range(100))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == f"lifespan.shutdown {MODULES[kind]}\n"
    assert process.returncode in (0, -signal.SIGINT)
    assert "Finished server process" in err
    assert "Traceback" not in err
    assert "Warning" not in err


def test_a_websocket(server, kind):
    from websockets.sync.client import connect

    process, address = server
    assert process.stdout.readline() == f"lifespan.startup {MODULES[kind]}\n"
    with connect(f"ws://{address}/", open_timeout=10) as client:
        for number in range(20):
            client.send(f"message {number}")
            assert client.recv(timeout=10) == f"MESSAGE {number}"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert out == f"lifespan.shutdown {MODULES[kind]}\n"
    assert "Traceback" not in err
