"""A farm whose image's manifest still has the AoE slot, as manifests once had, and a node that runs from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from farm.config import Config, DhcpConfig
from farm.serve.images import remove_image, switch_image
from tests.aoe import Initiator
from tests.lab import Namespace, namespaces, until
from tests.made_up_store import add_version
from tests.server import Server

ADDRESS, NODE = "10.99.29.1", "10.99.29.2"
CONFIG = Config(name="upgraded", address=f"{ADDRESS}/24", dhcp=DhcpConfig("10.99.29.50", "10.99.29.51"))


@pytest.fixture
def places() -> Iterator[list[Namespace]]:
    with namespaces(f"{ADDRESS}/24", f"{NODE}/24") as found:
        yield found


@pytest.fixture
def server(places: list[Namespace]) -> Iterator[Server]:
    """It is up and serves version v1 on slot 9, and all that says so is v1's manifest."""
    server = Server(CONFIG, places[0])
    add_version(server.store, "v1")
    server.store.use("v1")
    manifest = server.store.path("v1") / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "slot": 9}))
    try:
        server.up()
        until(lambda: server.pid("aoe-9"), "the export does not start")
        shutil.rmtree(server.store.directory / ".aoe")
        yield server
    finally:
        server.supervisor.shutdown()


def root_of(node: Namespace, slot: int) -> str:
    """The first words of the root that a node reads over a slot, which it asks for until it is there."""
    found: list[bytes] = []

    def read() -> bool:
        with Initiator(node.interface, mac="02:00:00:00:00:01", slot=slot) as initiator:
            found.append(initiator.read() or b"")
        return bool(found[-1])

    until(lambda: node.call(read), f"nothing is served on slot {slot}")
    return found[-1].decode().strip()


def test_a_node_keeps_its_root_while_versions_come_and_go(server: Server, places: list[Namespace]) -> None:
    node, before = places[1], server.pid("aoe-9")
    assert "v1 root.squashfs" == root_of(node, 9)

    add_version(server.store, "v2", built=2.0)
    switch_image(server.home, lambda store: store.use("v2"))

    assert before == server.pid("aoe-9")
    assert "v1 root.squashfs" == root_of(node, 9)
    assert "v2 root.squashfs" == root_of(node, 10)
    assert " farm.root=aoe:e7.10 farm.image=v2 " in (server.home.http / "boot/default.ipxe").read_text()

    switch_image(server.home, lambda store: store.use("v1"))
    until(lambda: server.status() is not None, "farmd does not answer")
    remove_image(server.home, "v2")
    add_version(server.store, "v3", built=3.0)
    switch_image(server.home, lambda store: store.use("v3"))

    assert {"aoe-9", "aoe-11"} == {each.name for each in server.supervisor.status() if each.name.startswith("aoe-")}
    assert before == server.pid("aoe-9")
    assert "v1 root.squashfs" == root_of(node, 9)
    assert "v3 root.squashfs" == root_of(node, 11)
