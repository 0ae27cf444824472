"""`farm-node agent`: says that this node is there, and how it does. It takes no orders from the network."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from farm.node import aoe_paths, metrics, witness
from farm.node.network import address_of, name_now
from farm.node.retry import pauses
from farm.node.telemetry import Sampler

MAX_REQUESTS = 16
"""Requests answered at a time; one more takes the place of another."""
REQUEST_SECONDS = 5.0
"""A request's time, from its connection to the last byte of the answer."""
WATCH_SECONDS = {"agent": 0.5, "ready": 5.0}
"""How often its roles are looked at, by the stage the node is at."""
SERVE_PAUSES = 0.5, 5.0
"""Seconds between attempts to serve, at first and in the end."""


class Server(ThreadingHTTPServer):
    """Answers /metrics and /status.json. Neither a slow client nor one with many connections keeps others out."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], telemetry: Sampler) -> None:
        super().__init__(address, Handler)
        self.telemetry = telemetry
        self._lock = threading.Lock()
        self._open: dict[socket.socket, tuple[str, float]] = {}
        """Connection → who asks, and since when; the oldest first."""

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's full name that the base class makes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; when too many are being answered, hang up on the client with the most connections."""
        with self._lock:
            if len(self._open) >= MAX_REQUESTS:
                self._hang_up(crowding([(client, one) for one, (client, _) in self._open.items()]))
            self._open[request] = client_address[0], time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request, then give its place to the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def service_actions(self) -> None:
        """Called about twice a second: hang up on whoever takes too long."""
        with self._lock:
            for request, (_, since) in list(self._open.items()):
                if time.monotonic() - since > REQUEST_SECONDS:
                    self._hang_up(request)

    def _hang_up(self, request: socket.socket) -> None:
        """End a connection; the thread that waits for it finds it ended. The lock is held."""
        del self._open[request]
        with contextlib.suppress(OSError):  # it has ended by itself
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone or dawdles; that is theirs to notice."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request for the node's status or metrics."""

    server: Server
    server_version = "farm-node"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with telemetry as JSON or as Prometheus' text."""
        telemetry = self.server.telemetry
        if self.path == "/status.json":
            self._answer("application/json", json.dumps(telemetry.snapshot()))
        elif self.path == "/metrics":
            text = metrics.render(telemetry.snapshot(), telemetry.cpu_seconds())
            self._answer("text/plain; version=0.0.4; charset=utf-8", text)
        else:
            self.send_error(404)

    def _answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the log is in RAM."""


def crowding(connections: list[tuple[str, socket.socket]]) -> socket.socket:
    """Of (client, connection) the one to end for a new one: the first of the client that has the most."""
    clients = [client for client, _ in connections]
    return max(connections, key=lambda one: clients.count(one[0]))[1]


def main(root: str = "/") -> int:
    """Serve and advertise until SIGTERM, at whatever address the boot NIC has."""
    with open(os.path.join(root, "run/farm/node.json"), encoding="utf-8") as file:
        node: dict[str, Any] = json.load(file)
    telemetry = Sampler(node, os.path.join(root, "run/farm/upper"))
    stop = threading.Event()
    if node["boot_id"]:
        threading.Thread(target=witness.repeat, args=(node, stop), daemon=True).start()
    if node.get("root") == "aoe":
        threading.Thread(target=aoe_paths.look_again, args=(stop,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    waits = pauses(*SERVE_PAUSES)
    while not stop.is_set():
        node["nic"] = name_now(node["nic"], node["mac"])
        address = address_of(node["nic"])
        try:
            if address:
                _serve({**node, "address": address}, telemetry, stop)
                waits = pauses(*SERVE_PAUSES)
        except OSError as error:  # the address went before it could be used, or something else has the port
            _say(f"{address}:{node['telemetry_port']}: {error.strerror or error}; trying again")
        stop.wait(next(waits))
    return 0


def _serve(node: dict[str, Any], telemetry: Sampler, stop: threading.Event) -> None:
    """Serve and advertise at the node's address until it has another, or none. Raises OSError."""
    with Server((node["address"], node["telemetry_port"]), telemetry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            _advertise(node, telemetry, stop)
        finally:
            server.shutdown()


def _advertise(node: dict[str, Any], telemetry: Sampler, stop: threading.Event) -> None:
    """Advertise, again when that fails, until the node has another address, or none."""
    from zeroconf import Error  # takes long to import: /status.json must not wait for it

    from farm.node.beacon import Advertiser

    waits = pauses(*SERVE_PAUSES)

    def stays() -> bool:
        return not stop.is_set() and address_of(node["nic"]) == node["address"]

    while stays():
        try:
            with Advertiser(node) as beacon:
                while stays():
                    stage = telemetry.snapshot()["stage"]
                    beacon.announce(stage)
                    stop.wait(WATCH_SECONDS[stage])
        except (OSError, Error) as error:
            _say(f"multicast DNS: {error!r}; trying again")
            stop.wait(next(waits))
    if not stop.is_set():
        _say(f"{node['nic']} is no longer {node['address']}")


def _say(text: str) -> None:
    """One line for the journal."""
    sys.stderr.write(f"farm-node: {text}\n")
    sys.stderr.flush()
