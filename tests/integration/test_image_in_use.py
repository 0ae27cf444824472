"""A version that a node runs over an export that serves a folder: it is not removed, and is served if it disappears."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from farm.config import Config, DhcpConfig, MachineConfig
from farm.export import nbd, nfs
from farm.export.nbd.handshake import look
from farm.export.nfs.question import ask_for
from farm.serve import health
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.made_up_store import add_version
from tests.server import VERSION, Server, served

ADDRESS, NODE = "10.99.46.1", "10.99.46.2"
MACS = {"nbd": "52:54:00:00:00:01", "nfs": "52:54:00:00:00:02"}
CONFIG = Config(
    name="used",
    address=f"{ADDRESS}/24",
    dhcp=DhcpConfig("10.99.46.50", "10.99.46.51"),
    machines=[MachineConfig(mac=mac, name=f"pc-{root}", root=root) for root, mac in MACS.items()],
)


@pytest.fixture(scope="module")
def places() -> Iterator[list[Namespace]]:
    with namespaces(f"{ADDRESS}/24", f"{NODE}/24") as found:
        yield found


@pytest.fixture(scope="module")
def server(places: list[Namespace]) -> Iterator[Server]:
    with served(CONFIG, places[0]) as found:
        until(
            lambda: MACS.keys() <= {each.service for each in health.check(found.home, found.instance) if each.ok}, "no"
        )
        until(found.status, "farmd does not answer")
        yield found


def wells(server: Server) -> set[str]:
    """The services that answer."""
    return {each.service for each in health.check(server.home, server.instance) if each.ok}


def run_by_nodes(server: Server) -> list[str]:
    """The versions that farmd has seen nodes boot."""
    status = server.status()
    return [node.image for node in status.nodes] if status else []


def farm(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "farm", "--home", str(server.home.directory), *words]
    return server.place.run(*argv, check=False)


def read(node: Namespace, export: str, version: str) -> bytes:
    """The beginning of a root, as a node that connects reads it."""
    if export == "nbd":
        return node.call(lambda: look(ADDRESS, nbd.PORT, version, PATIENCE)).beginning
    return node.call(lambda: ask_for(ADDRESS, nfs.PORT, [nfs.SHOWN, version], PATIENCE)).beginning


@pytest.mark.parametrize("export", MACS)
def test_what_a_node_runs_is_not_removed_and_stays_readable_whoever_deletes_it(
    server: Server, places: list[Namespace], export: str
) -> None:
    version, node = f"for-{export}", places[1]
    add_version(server.store, version, 2.0)
    for chosen in (version, VERSION):
        used = farm(server, "image", "use", chosen)
        assert 0 == used.returncode, used.stderr
    root = server.store.path(version) / "root.squashfs"
    content = root.read_bytes()
    assert content == read(node, export, version)

    node.run("curl", "-sf", f"http://{ADDRESS}:8069/images/{version}/kernel?mac={MACS[export]}")
    until(
        lambda: version in [each.image for each in getattr(server.status(), "nodes", [])], "farmd knows no node of it"
    )
    refused = farm(server, "image", "remove", version)
    assert 1 == refused.returncode
    assert f"{version} is in use. A running node uses it" in " ".join(refused.stderr.split())
    assert root.is_file()

    shutil.rmtree(server.store.path(version))
    assert content == read(node, export, version)
