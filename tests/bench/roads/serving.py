"""A farm's server that serves a real image by all exports at once."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from farm.config import Config, DhcpConfig, MachineConfig
from farm.export import EXPORTS, root_argument, root_of, socket_buffer_needed
from farm.export.socket_buffer import allow_socket_buffer, release_socket_buffer
from farm.image.store import FILES, Manifest, Store
from tests.lab import Namespace, until
from tests.server import VERSION, Server

SERVER = "10.96.0.1"
CONFIG = Config(
    name="roads",
    interface="lab0",
    address=f"{SERVER}/24",
    dhcp=DhcpConfig(first="10.96.0.50", last="10.96.0.90"),
    machines=[
        MachineConfig(mac="52:54:00:fb:01:01", name="by-nbd", root="nbd"),
        MachineConfig(mac="52:54:00:fb:01:02", name="by-nfs", root="nfs"),
    ],
)


@dataclass(frozen=True)
class Process:
    """What a service has used: seconds of processor time, and the megabytes of memory that it holds."""

    seconds: float
    megabytes: float


class Serving:
    """The server while it serves."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.manifest = server.store.get(VERSION)

    @property
    def root(self) -> Path:
        """The file that is served."""
        return self.server.store.path(VERSION) / "root.squashfs"

    def argument(self, road: str) -> str:
        """The value of ``farm.root`` for a road."""
        return root_argument(self.server.config, self.server.store, self.manifest, road)

    def pid(self, road: str) -> int:
        """The process that serves a road."""
        return self.server.pid(EXPORTS[road].service(root_of(self.server.store, self.manifest)))

    def process(self, road: str) -> Process:
        """What the process of a road has used so far."""
        process = psutil.Process(self.pid(road))
        times = process.cpu_times()
        return Process(times.user + times.system, process.memory_info().rss / 1e6)


@contextlib.contextmanager
def serving(place: Namespace, image: Path, mtu: int) -> Iterator[Serving]:
    """Serve a version (``image``: its folder) out of a namespace, in frames of this size."""
    server = Server(CONFIG, place)
    add_version(server.store, image, VERSION)
    allow_socket_buffer(socket_buffer_needed(CONFIG, server.instance.exports, mtu), server.home.runtime)
    try:
        server.up()
        found = Serving(server)
        until(lambda: all(_answers(found, road) for road in EXPORTS), "a root is not served")
        yield found
    finally:
        server.supervisor.shutdown()
        release_socket_buffer(server.home.runtime)


def _answers(serving: Serving, road: str) -> bool:
    if not (pid := serving.pid(road)):
        return False
    export = EXPORTS[road]
    for _, port in export.ports(CONFIG):
        serving.server.place.wait_for(port)
    return bool(export.ports(CONFIG)) or f"{pid}" in serving.server.place.run("ss", "-Hlpn0").stdout


def add_version(store: Store, image: Path, version: str, *, verified: bool = True) -> None:
    """Take a version of another store into this one under another name; nodes check its root, or believe it."""
    folder = store.directory / ".new"
    folder.mkdir(parents=True)
    for name in FILES:
        try:
            os.link(image / name, folder / name)
        except OSError:  # another file system
            shutil.copyfile(image / name, folder / name)
    manifest = msgspec.json.decode((image / "manifest.json").read_bytes(), type=Manifest)
    verity = manifest.verity if verified else None
    store.add(folder, msgspec.structs.replace(manifest, version=version, verity=verity))
