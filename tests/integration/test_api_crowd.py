"""farmd's API among clients that mean no good, or do not know better: real connections to a real farmd."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from farm.api.client import fetch_status
from farm.config import FIRST_KIND, ApiConfig, Config
from farm.daemon.access import token_path
from farm.daemon.door import MAX_CONNECTIONS, MAX_FROM_ONE, OPEN_FILES
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from tests.lab import Namespace, namespaces, until

SERVER, CLIENT = "10.99.42.1", "10.99.42.200"
PORT = 8070
ADDRESSES = 40
"""Of the machine that opens connections."""


class Crowd:
    """farmd, and a machine with many addresses."""

    def __init__(self, server: Namespace, client: Namespace) -> None:
        self.server, self.client = server, client
        self.home = Home.at(server.folder / "home")
        self.home.create()
        config = Config(name="lab", address=f"{SERVER}/24", api=ApiConfig(port=PORT))
        Instance(config=config, interface="lab0", images={FIRST_KIND: "v1"}, started=time.time() - 1).save(self.home)

    def farmd(self, *prefix: str) -> psutil.Process:
        argv = [*prefix, sys.executable, "-m", "farm.daemon", "--home", str(self.home.directory)]
        process = self.server.start("farmd", *argv)
        until(self.answers, "farmd does not answer")
        self.server.wait_for(PORT)
        return psutil.Process(process.pid)

    def answers(self) -> bool:
        with contextlib.suppress(FarmError):
            return fetch_status(self.home).farmd
        return False

    def connect(self, count: int, *, source: str = CLIENT, first: bytes = b"") -> list[socket.socket]:
        """So many connections from one address, which say no more than their first bytes."""

        def inside() -> list[socket.socket]:
            found = []
            for _ in range(count):
                connection = socket.create_connection((SERVER, PORT), timeout=60, source_address=(source, 0))
                connection.sendall(first)
                found.append(connection)
            return found

        return self.client.call(inside)

    def asks(self) -> int:
        """The HTTP status that somebody with the token gets from the network."""
        token = token_path(self.home).read_text().strip()
        url = f"http://{SERVER}:{PORT}/status"
        argv = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}", url]
        return int(self.client.run(*argv).stdout)

    def log(self) -> str:
        return self.server.log("farmd")


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (server, client):
        for number in range(ADDRESSES):
            client.run("ip", "address", "add", f"10.99.42.{10 + number}/24", "dev", "lab0")
        yield Crowd(server, client)


@pytest.fixture
def held() -> Iterator[list[socket.socket]]:
    """Connections that are closed at the end."""
    found: list[socket.socket] = []
    yield found
    for each in found:
        each.close()


def test_idle_connections_shut_nobody_out(crowd: Crowd, held: list[socket.socket]) -> None:
    process = crowd.farmd()
    held += crowd.connect(1200)
    assert crowd.asks() == 200
    assert process.num_fds() < MAX_FROM_ONE + 60
    for number in range(ADDRESSES):
        half = b"GET /status HTTP/1.1\r\nX: " if number % 2 else b""
        held += crowd.connect(MAX_FROM_ONE, source=f"10.99.42.{10 + number}", first=half)
    assert crowd.asks() == 200
    assert process.num_fds() < MAX_CONNECTIONS + 60
    assert crowd.answers()
    assert process.rlimit(psutil.RLIMIT_NOFILE)[0] >= min(OPEN_FILES, process.rlimit(psutil.RLIMIT_NOFILE)[1])
    assert "Traceback" not in crowd.log()


def test_who_has_the_token_keeps_what_is_being_answered(crowd: Crowd, held: list[socket.socket]) -> None:
    """A WebSocket is not sent away for the sake of others, be they of the same address."""
    crowd.farmd()
    token = token_path(crowd.home).read_text().strip()
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    words = f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}"
    (watcher,) = crowd.connect(1, first=f"{words}Authorization: Bearer {token}\r\n\r\n".encode())
    held.append(watcher)
    assert watcher.recv(1 << 16).startswith(b"HTTP/1.1 101")
    held += crowd.connect(3 * MAX_FROM_ONE)
    assert crowd.asks() == 200
    watcher.settimeout(60)
    for _ in range(20):
        assert watcher.recv(1 << 16), "the watcher was sent away"


HOLD = """
import socket, sys, time
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


def test_a_user_of_this_machine_shuts_out_neither_root_nor_others(crowd: Crowd) -> None:
    process = crowd.farmd()
    for folder in (crowd.home.directory, crowd.home.runtime):
        assert folder is not None
        folder.chmod(0o755)
    argv = ["setpriv", "--reuid=nobody", "--clear-groups", "--", sys.executable, "-Ic", HOLD]
    holder = subprocess.Popen([*argv, str(crowd.home.farmd_socket), "900"], stdout=subprocess.PIPE, cwd="/")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert crowd.answers(), crowd.log()
        assert process.num_fds() < MAX_FROM_ONE + 60
        ask = ["setpriv", "--reuid=daemon", "--clear-groups", "--", "curl", "-sS", "--unix-socket"]
        told = subprocess.run([*ask, str(crowd.home.farmd_socket), "http://x/status"], capture_output=True, check=True)
        assert json.loads(told.stdout)["farmd"]
    finally:
        holder.kill()
        holder.communicate()


def test_without_file_descriptors_farmd_says_so_in_a_line_and_comes_back(
    crowd: Crowd, held: list[socket.socket]
) -> None:
    process = crowd.farmd()
    used = process.num_fds()
    process.rlimit(psutil.RLIMIT_NOFILE, (used + 4, used + 4))
    held += crowd.connect(MAX_FROM_ONE)
    until(lambda: "No connection can be taken: Too many open files" in crowd.log(), "farmd does not say so")
    for each in held:
        each.close()
    until(crowd.answers, "farmd does not come back")
    assert "socket.accept() out of system resource" not in crowd.log()


POST = b"POST /builds/tag HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
GET = b"GET /status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
WATCH = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
)
BROKEN = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "header with a control character": b"GET / HTTP/1.1\r\nHost: x\r\nA: \x01\x1b[31m\r\n\r\n",
    "header without a colon": b"GET /status HTTP/1.1\r\nnonsense\r\n\r\n",
    "header name": b"GET /status HTTP/1.1\r\nA B: x\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
    "long path": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"A: x\r\n" * 2000 + b"\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "huge length": POST + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "broken chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "chunk cut off": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "body cut off": POST + b"Content-Length: 100\r\n\r\n{",
    "body too large": POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000,
    "gzip that is none": POST + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "nested JSON": POST + b"Content-Length: 4000\r\n\r\n" + b"[" * 4000,
    "body that nobody reads": GET + b"Content-Length: 100\r\n\r\n{",
    "broken body that nobody reads": GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "without a token, cut off": b"POST /builds/tag HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
    "handshake with a key that is no ASCII": WATCH + b"Sec-WebSocket-Key: \xc3\xa9\r\n\r\n",
    "version": b"GET / HTTP/7.7\r\n\r\n",
    "upgrade": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\xff\xff\xff",
    "frame": GET.replace(b"/status", b"/ws") + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\xff\xff\xff",
    "null": bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("leaves", ["waits", "closes", "resets"])
def test_requests_that_make_no_sense_leave_no_traceback(crowd: Crowd, leaves: str) -> None:
    crowd.farmd()
    token = token_path(crowd.home).read_text().strip().encode()
    for sent in BROKEN.values():
        (connection,) = crowd.connect(1)
        with contextlib.suppress(OSError):
            connection.sendall(sent.replace(b"%s", token))
            if leaves == "waits":
                connection.settimeout(1)
                while connection.recv(1 << 16):
                    pass
            elif leaves == "resets":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    assert crowd.asks() == 200
    assert crowd.answers()
    assert "Traceback" not in crowd.log()
    assert "\x1b" not in crowd.log()


def test_a_socket_left_by_a_farmd_that_was_killed_is_replaced(crowd: Crowd) -> None:
    process = crowd.farmd()
    process.kill()
    until(lambda: not crowd.answers(), "it answers though it was killed")
    assert Path(crowd.home.farmd_socket).is_socket()
    assert os.access(crowd.home.farmd_socket, os.W_OK)
    crowd.farmd()
