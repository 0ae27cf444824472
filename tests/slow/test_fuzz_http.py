"""Broken requests at a node's agent and at farmd's API: no traceback, no growth, and a good one is answered after."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.daemon.api_server import serving
from farm.home import Home
from farm.node.agent import Server
from farm.node.telemetry import Sampler
from tests.lab import PATIENCE, until
from tests.slow.fuzz import fuzz
from tests.unit.test_api import Watched

SEEDS = [
    b"GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /metrics HTTP/1.0\r\n\r\n",
    b"GET /jobs?ended=5 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer abc\r\n\r\n",
    b'POST /builds/tag HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{"tag": "a"}',
    b'POST /builds/tag HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n0\r\n\r\n',
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x05hello",
]
WAIT = 0.01
"""Seconds for an answer to a broken request, which may well wait for the rest of it."""


def exchange(connect: Callable[[], socket.socket], data: bytes, seconds: float = WAIT) -> bytes:
    """Send a request, and read what comes until the other side has done or says nothing for so long."""
    answer = b""
    with contextlib.suppress(OSError), contextlib.closing(connect()) as connection:
        connection.settimeout(seconds)
        connection.sendall(data)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_a_nodes_agent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    node = {
        "farm": "a", "mac": "52:54:00:00:00:01", "nic": "lo", "boot": {}, "name": "pc01", "image": "1",
        "boot_id": "", "root": "aoe", "files": {},
        "roles": {"compile": {"slots": 2}},
    }  # fmt: skip
    server = Server(("127.0.0.1", 0), Sampler(node, str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", server.server_port), timeout=PATIENCE)

    try:
        fuzz(lambda data: exchange(connect, data), SEEDS)
        assert exchange(connect, SEEDS[1], PATIENCE).startswith(b"HTTP/1.0 200")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "Traceback" not in "".join(capfd.readouterr())


def test_farmds_api(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = Home.at(tmp_path)
    home.create()
    path = home.farmd_socket
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        stop.append(lambda: loop.call_soon_threadsafe(task.cancel))
        async with serving(Watched(home)) as api:
            await api.at_path(path)

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(serve())

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        for _ in range(1000):
            try:
                connection.connect(os.fspath(path))
            except BlockingIOError:  # the queue is full
                time.sleep(0.01)
            else:
                break
        return connection

    thread = threading.Thread(target=run, daemon=True)
    with caplog.at_level(logging.WARNING):
        thread.start()
        until(path.exists, "the API does not answer")
        try:
            fuzz(lambda data: exchange(connect, data), SEEDS)
            assert exchange(connect, b"GET /healthz HTTP/1.0\r\n\r\n", PATIENCE).startswith(b"HTTP/1.0 200")
        finally:
            stop[0]()
            thread.join()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
