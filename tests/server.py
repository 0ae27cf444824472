"""A farm's server without nodes: its own services under its supervisord, in a namespace."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

from farm.api.client import fetch_status
from farm.config import FIRST_KIND, Config
from farm.errors import FarmError
from farm.export import needed, prepare
from farm.home import Home
from farm.image.store import FileEntry, Manifest, Store, sha256
from farm.instance import Instance
from farm.netboot.render import dnsmasq_conf, nginx_conf, write_boot_files
from farm.serve import firewall
from farm.serve.service_list import services
from farm.supervisor import Supervisor
from farm.view.status import Status
from farm.virtual.namespace import enter, exec_prefix, icecc_folder
from tests.lab import Namespace

VERSION = "v1"


class Server:
    """A farm that serves an image of a few bytes, which nobody boots."""

    def __init__(self, config: Config, place: Namespace) -> None:
        self.config, self.place = config, place
        self.home = Home.at(place.folder / "home")
        self.home.create()
        self.store = Store(self.home.images)
        self.instance = Instance(
            config=config,
            interface="lab0",
            images={FIRST_KIND: VERSION},
            exports=needed(config),
            started=0.0,
            namespace=place.name,
        )
        self.supervisor = Supervisor(self.home)

    def up(self) -> None:
        """As `farm up` does it, but for the network, which is there."""
        self.instance.save(self.home)
        if not self.store.list():
            self._add_image()
        prepare(self.store)
        write_boot_files(
            self.home, self.config, self.store, {FIRST_KIND: VERSION}, mtu=1500, farm_key="ssh-ed25519 AAAA farm"
        )
        (self.home.runtime / "nginx.conf").write_text(nginx_conf(self.config, self.home))
        (self.home.runtime / "dnsmasq.conf").write_text(dnsmasq_conf(self.config, self.home, "lab0"))
        (icecc_folder(self.home) / "environments").mkdir(parents=True, exist_ok=True)
        subprocess.run(["chown", "-R", "icecc", str(icecc_folder(self.home))], check=True)
        self.apply_filter()
        self.supervisor.converge(services(self.home, self.instance), prefix=enter(self.instance, self.home))

    def apply_filter(self) -> None:
        """Make the tables again."""
        firewall.apply(self.config, "lab0", self.instance.exports, exec_prefix(self.place.name))

    def _add_image(self) -> None:
        folder, files = self.store.directory / ".new", {}
        folder.mkdir()
        for name in ("root.squashfs", "kernel", "initrd"):
            (folder / name).write_bytes(b"root" * 1000)
            files[name] = FileEntry(4000, sha256(folder / name))
        more: dict[str, Any] = {"seconds": 1.0, "inputs": "", "base": "", "kernel": "6", "packages": {}}
        self.store.add(folder, Manifest(version=VERSION, built=1.0, files=files, **more))

    def pid(self, service: str) -> int:
        """The process of a service."""
        return next(each.pid for each in self.supervisor.status() if each.name == service)

    def status(self) -> Status | None:
        """What farmd knows."""
        with contextlib.suppress(FarmError):
            return fetch_status(self.home)
        return None

    def wrong(self) -> set[tuple[str, str]]:
        """Code of each problem, and what it is about."""
        status = self.status()
        return {(each.code, each.about) for each in status.findings} if status else {("nothing", "")}


@contextlib.contextmanager
def served(config: Config, place: Namespace) -> Iterator[Server]:
    """It is brought up, and taken down at the end."""
    server = Server(config, place)
    try:
        server.up()
        yield server
    finally:
        server.supervisor.shutdown()
