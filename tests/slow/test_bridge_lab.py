"""A lab whose interface is a bridge: nodes keep their root while ports come and go, and another address is noticed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.config import Config
from tests.aoe import Initiator
from tests.integration.test_real_interface import Server
from tests.lab import Namespace, namespaces, until

BRIDGE = "room0"
LOW, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
NODE = "02:00:00:00:00:77"


@pytest.fixture
def lab() -> Iterator[tuple[Server, Namespace]]:
    """A server whose bridge has two ports, and a machine of the room."""
    home = Path(tempfile.mkdtemp(prefix="farm-test-", dir="/var/tmp"))
    home.chmod(0o755)
    with namespaces("10.99.61.1/24", "10.99.61.2/24") as (here, room):
        here.run("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
        here.run("ip", "link", "set", here.interface, "master", BRIDGE)
        here.run("ip", "link", "add", "more0", "address", LOW, "type", "veth", "peer", "name", "more1")
        here.run("ip", "link", "set", "more0", "master", BRIDGE)
        here.run("ip", "link", "set", BRIDGE, "up")
        here.run("ip", "address", "flush", "dev", here.interface, "scope", "global")
        here.interface = BRIDGE
        server = Server(here, home)
        try:
            yield server, room
        finally:
            server.farm("down", check=False)
            shutil.rmtree(home)


def root_is_read(room: Namespace, to: str) -> bool:
    """Whether a machine gets its root that has learned the server's address, as nodes do."""

    def read() -> bytes | None:
        with Initiator(room.interface, mac=NODE, shelf=Config().export.shelf, to=to) as node:
            return node.read()

    return room.call(read) is not None


def test_a_root_over_a_bridge_stays(lab: tuple[Server, Namespace]) -> None:
    server, room = lab
    here = server.namespace
    server.farm("up")
    # That of the port which is taken away.
    learned = here.run("cat", f"/sys/class/net/{BRIDGE}/address").stdout.strip()
    assert LOW == learned
    until(lambda: root_is_read(room, learned), "the root is not read")
    here.run("ip", "link", "delete", "more0")
    until(lambda: root_is_read(room, learned), "a port that is gone takes the root away")

    here.run("ip", "link", "set", BRIDGE, "address", OTHER)
    found = server.farm("doctor", "--only", "services", check=False).stdout
    assert f"which is no longer the address of {BRIDGE}" in " ".join(found.split())
    server.farm("up")
    until(lambda: root_is_read(room, OTHER), "the root is not read again")
    assert 0 == server.farm("doctor", "--only", "services", check=False).returncode
