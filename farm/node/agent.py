"""`farm-node agent`: says that this node is there, and how it does. It takes no orders from the network."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from farm.node import metrics
from farm.node.network import address_of
from farm.node.telemetry import Telemetry

MAX_REQUESTS = 16
"""Requests answered at a time; more are refused."""
REQUEST_SECONDS = 5.0
WATCH_SECONDS = {"agent": 0.5, "ready": 5.0}
"""How often iceccd is looked for, by the stage the node is at."""


class Server(ThreadingHTTPServer):
    """Answers /metrics and /status.json, a bounded number of requests at a time."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], telemetry: Telemetry) -> None:
        super().__init__(address, Handler)
        self.telemetry = telemetry
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's full name that the base class makes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or hang up when too many are being answered."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone or dawdles; that is theirs to notice."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = REQUEST_SECONDS
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


def main(root: str = "/") -> int:
    """Serve and advertise until SIGTERM; 1 when the boot NIC's address has changed, and systemd shall start it anew."""
    with open(os.path.join(root, "run/farm/node.json")) as file:
        node: dict[str, Any] = json.load(file)
    telemetry = Telemetry(node, os.path.join(root, "run/farm/upper"))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Server((node["address"], node["telemetry_port"]), telemetry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return _advertise(node, telemetry, stop)
        finally:
            server.shutdown()


def _advertise(node: dict[str, Any], telemetry: Telemetry, stop: threading.Event) -> int:
    from farm.node.beacon import Beacon  # zeroconf takes long to import: /status.json shall not wait for it

    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read(8)
    with Beacon(node, boot_id) as beacon:
        while not stop.is_set():
            if address_of(node["nic"]) != node["address"]:
                sys.stderr.write(f"farm-node: {node['nic']} is no longer {node['address']}\n")
                return 1
            stage = telemetry.snapshot()["stage"]
            beacon.announce(stage)
            stop.wait(WATCH_SECONDS[stage])
    return 0
