"""A farm's server and a room of PCs at it, joined by a link whose rate can be limited."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import psutil

from farm.config import Config
from farm.export import socket_buffer_needed
from farm.export.socket_buffer import allow_socket_buffer, release_socket_buffer
from farm.image.store import FileEntry, Manifest, sha256
from tests.lab import Namespace, namespaces
from tests.server import VERSION, Server
from tests.storm.plan import Plan, Told

AFTERWARDS = 60.0
"""Seconds that the room's program has to tell what became of it."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of what a node fetches; ``read``: of the root."""

    kernel: int
    initrd: int
    root: int
    read: int


@dataclass(frozen=True)
class Storm:
    """What became of all nodes; processor seconds by service."""

    told: list[Told]
    processor: dict[str, float]

    @property
    def booted(self) -> list[Told]:
        """Those that came to their end."""
        return [each for each in self.told if each.booted]

    @property
    def seconds(self) -> list[float]:
        """How long each that booted took."""
        return [each.stages["settings"] for each in self.booted]


class Room:
    """The server in one namespace, all nodes in the other; addresses: a part of the network that only nodes have."""

    def __init__(self, server: Server, pcs: Namespace, addresses: str, sizes: Sizes) -> None:
        self.server, self.pcs = server, pcs
        self._addresses, self._sizes = addresses, sizes

    def limit(self, rate: str) -> None:
        """Let the server send no faster than this (tc(8)), as its link would."""
        shape = f"tc qdisc replace dev {self.server.place.interface} root tbf rate {rate} burst 64kb limit 16mb"
        self.server.place.run(*shape.split())

    def play(self, nodes: int, *, mtu: int = 1500, patience: float = 600.0) -> Storm:
        """Switch on so many nodes at once."""
        before = self._processor()
        plan = Plan(
            nodes=nodes,
            interface=self.pcs.interface,
            addresses=self._addresses,
            served=str(self.server.home.http),
            root=str(self.server.store.path(VERSION) / "root.squashfs"),
            read=self._sizes.read,
            mtu=mtu,
            patience=patience,
        )
        argv = [sys.executable, "-m", "tests.storm", msgspec.json.encode(plan).decode()]
        program = self.pcs.start("room", *argv)
        program.wait(patience + AFTERWARDS)
        said = self.pcs.log("room").splitlines() or ["nothing"]
        assert program.returncode == 0, "\n".join(said)
        after = self._processor()
        return Storm(
            msgspec.json.decode(said[-1], type=list[Told]),
            {name: after[name] - before.get(name, 0.0) for name in after},
        )

    def _processor(self) -> dict[str, float]:
        """Seconds that each service has worked."""
        times = {
            each.name: psutil.Process(each.pid).cpu_times() for each in self.server.supervisor.status() if each.pid
        }
        return {name: each.user + each.system for name, each in times.items()}


@contextlib.contextmanager
def room(config: Config, addresses: str, sizes: Sizes, *, mtu: int = 1500) -> Iterator[Room]:
    """A farm that serves an image of these sizes, to a room that is still switched off."""
    with namespaces(config.address, "169.254.9.9/32") as (place, pcs):
        for namespace in (place, pcs):
            namespace.run("ip", "link", "set", namespace.interface, "mtu", str(mtu))
        pcs.run("ip", "route", "add", f"{config.server}/32", "dev", pcs.interface)
        server = Server(config, place)
        _add_image(server, sizes)
        allow_socket_buffer(socket_buffer_needed(config, server.instance.exports, mtu), server.home.runtime)
        try:
            server.up()
            _wait(server)
            yield Room(server, pcs, addresses, sizes)
        finally:
            server.supervisor.shutdown()
            release_socket_buffer(server.home.runtime)


def _add_image(server: Server, sizes: Sizes) -> None:
    folder = server.store.directory / ".new"
    folder.mkdir()
    files = {}
    for name, size in (("kernel", sizes.kernel), ("initrd", sizes.initrd), ("root.squashfs", sizes.root)):
        (folder / name).write_bytes(os.urandom(size))
        files[name] = FileEntry(size, sha256(folder / name))
    manifest = Manifest(
        version=VERSION, built=1.0, seconds=1.0, inputs="", base="", kernel="6", packages={}, files=files
    )
    server.store.add(folder, manifest)


def _wait(server: Server) -> None:
    """Until what nodes talk to first listens."""
    server.place.wait_for(server.config.http_port)
