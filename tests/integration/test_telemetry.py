"""farmd's questions to nodes, with a real agent among machines that are off, and others that answer with anything."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socketserver
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from farm.daemon import telemetry_polls
from farm.watch.events import Event, Stage, TelemetrySeen
from farm.watch.state import Farm, Node, initial
from tests.lab import PATIENCE, Namespace, namespaces

SERVER, NODE = "10.99.4.1", "10.99.4.2"
MAC = "52:54:00:00:00:01"
READINGS = 4
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NESTED = b'{"x":' + b"[" * 5000
HOSTILE = {
    9201: HEAD + b"\r\n" + NESTED,
    9202: HEAD + b"\r\n" + b"[" * 65000,
    9203: HEAD + b"\r\n" + b'{"slots":' + b"9" * 60000 + b"}",
    9204: HEAD + b"\r\n" + b"\xff" * 2_000_000,
    9205: HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(50_000_000)),
    9206: HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    9207: HEAD + b"Content-Length: -1\r\n\r\n{}",
    9208: HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n{}",
    9209: b"HTTP/9.9 \xff\xff\r\n\r\n",
    9210: b"\x16\x03\x01",
    9211: b"HTTP/1.1 301 Moved\r\nLocation: http://\x1b[2J/\r\n\r\n",
    9212: b"",
}  # fmt: skip


@pytest.fixture
def lab() -> Iterator[tuple[Namespace, Namespace]]:
    with namespaces(f"{SERVER}/24", f"{NODE}/24") as (server, node):
        yield server, node


def agent(node: Namespace) -> Node:
    """A real agent, and what farmd knows of its machine."""
    root = node.folder / "root"
    (root / "run/farm/upper").mkdir(parents=True)
    told = {"farm": "lab", "name": "pc01", "mac": MAC, "nic": "lab0", "address": NODE, "image": "v1", "root": "aoe",
            "roles": {},
            "telemetry_port": 9105, "version": "1", "boot": {}, "boot_id": ""}  # fmt: skip
    (root / "run/farm/node.json").write_text(json.dumps(told))
    node.start("agent", sys.executable, "-m", "farm.node", "agent", "--root", str(root))
    node.wait_for(9105)
    return machine(1, NODE)


def machine(number: int, address: str, port: int = 9105) -> Node:
    mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
    return Node(mac=mac, name=f"pc{number:03}", address=address, port=port, stage=Stage.AGENT, stages={Stage.AGENT: 1})


async def watch(farm: Farm) -> tuple[Counter[str], int]:
    """Whose telemetry came until the live node's has come READINGS times, and how many tasks there were at most."""
    seen: Counter[str] = Counter()
    most, enough = 0, asyncio.Event()

    def publish(event: Event) -> None:
        if isinstance(event, TelemetrySeen):
            seen[event.mac] += 1
        if seen[MAC] >= READINGS:
            enough.set()

    def look() -> Farm:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        return farm

    asking = asyncio.create_task(telemetry_polls.poll(look, publish))
    waiting = asyncio.create_task(enough.wait())
    await asyncio.wait((asking, waiting), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    ended = asking.done()
    for task in (asking, waiting):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert not ended
    assert enough.is_set(), f"the live node is not read: {seen}"
    return seen, most


def farm_of(*nodes: Node) -> Farm:
    farm = initial("lab", {})
    for each in nodes:
        farm = Farm(name="lab", nodes=farm.nodes.set(each.mac, each))
    return farm


def test_200_machines_that_are_off_do_not_hide_one_that_is_on(lab: tuple[Namespace, Namespace]) -> None:
    server, node = lab
    off = [machine(number, f"10.99.4.{number}") for number in range(10, 210)]
    seen, most = server.gather(watch(farm_of(agent(node), *off)))
    assert seen.keys() == {MAC}
    assert most <= telemetry_polls.MAX_SURE + telemetry_polls.MAX_UNSURE + 8


def test_no_answer_of_one_host_ends_the_questions_to_others(lab: tuple[Namespace, Namespace]) -> None:
    server, node = lab
    hostile = [machine(number, NODE, port) for number, port in enumerate(HOSTILE, 10)]
    with answering(node):
        seen, _ = server.gather(watch(farm_of(*hostile, agent(node))))
    assert seen.keys() == {MAC}


@contextlib.contextmanager
def answering(node: Namespace) -> Iterator[None]:
    """Each port of HOSTILE answers with its bytes, whatever is asked."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(4096)
                self.request.sendall(HOSTILE[self.server.server_address[1]])  # type: ignore[index]

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    servers = node.call(lambda: [Server((NODE, port), Handler) for port in HOSTILE])
    for each in servers:
        threading.Thread(target=each.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        for each in servers:
            each.shutdown()
            each.server_close()
