"""The export by NBD as a farm runs it: a real nbdkit under supervisord, asked from the lab and from elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.config import Config, DhcpConfig, ImageConfig
from farm.export import prepare
from farm.export.nbd import PORT
from farm.export.nbd.handshake import Described, look
from farm.export.served_folder import served_folder
from farm.serve import health
from tests.bench.roads.streams import nbd, read_together
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.made_up_store import add_version
from tests.server import VERSION, Server, served

ADDRESS, NODE = "10.99.41.1", "10.99.41.2"
CONFIG = Config(
    name="blocks",
    address=f"{ADDRESS}/24",
    dhcp=DhcpConfig("10.99.41.50", "10.99.41.51"),
    image=ImageConfig(root="nbd"),
)
ROOT = b"root" * 1000


@pytest.fixture(scope="module")
def places() -> Iterator[list[Namespace]]:
    with namespaces(f"{ADDRESS}/24", f"{NODE}/24") as found:
        yield found


@pytest.fixture(scope="module")
def server(places: list[Namespace]) -> Iterator[Server]:
    with served(CONFIG, places[0]) as found:
        until(lambda: "nbd" in wells(found), "nbdkit does not answer")
        yield found


@pytest.fixture
def node(places: list[Namespace]) -> Namespace:
    return places[1]


def wells(server: Server) -> dict[str, str]:
    """The services that answer, with what they say."""
    return {each.service: each.detail for each in health.check(server.home, server.instance) if each.ok}


def seen(place: Namespace, name: str = VERSION, address: str = ADDRESS) -> Described:
    return place.call(lambda: look(address, PORT, name, PATIENCE))


def test_a_version_is_read_by_its_name_and_cannot_be_written(server: Server, node: Namespace) -> None:
    assert Described(len(ROOT), True, ROOT) == seen(node)


def test_the_farm_runs_this_export_alone_and_finds_it_well(server: Server) -> None:
    assert ["nbd"] == server.instance.exports
    said = wells(server)
    assert f"serves {server.store.path(VERSION)}/root.squashfs" == said["nbd"]
    assert not [name for name in said if name.startswith("aoe")]


def test_a_version_of_another_kind_is_there_at_once_and_gone_with_its_folder(server: Server, node: Namespace) -> None:
    add_version(server.store, "1", 2.0, "toy-client")
    prepare(server.store)
    assert 4096 == seen(node, "toy-client:1").size

    server.store.remove("toy-client/1", ())
    prepare(server.store)
    with pytest.raises(OSError, match="has no export toy-client:1"):
        seen(node, "toy-client:1")
    assert [VERSION] == sorted(os.listdir(served_folder(server.store.directory)))


@pytest.mark.parametrize("name", ["", "v2", "..", ".", "/etc/passwd", "../v1/manifest.json", "a\nb", "x" * 3000])
def test_nothing_else_is_exported(server: Server, node: Namespace, name: str) -> None:
    with pytest.raises(OSError, match=r"NBD server"):
        seen(node, name)


def test_only_the_lab_gets_at_it(server: Server, node: Namespace) -> None:
    """A packet for the server's address that comes in by another interface would reach the socket, too."""
    pair = ["link", "add", "wan0", "type", "veth", "peer", "name", "wan0", "netns", node.name]
    subprocess.run(["ip", "-n", server.place.name, *pair], check=True)
    try:
        for place, address in ((server.place, "10.99.42.1"), (node, "10.99.42.2")):
            place.run("ip", "address", "add", f"{address}/24", "dev", "wan0")
            place.run("ip", "link", "set", "wan0", "up")
        node.run("ip", "route", "add", f"{ADDRESS}/32", "via", "10.99.42.1")
        with pytest.raises(TimeoutError):
            node.call(lambda: look(ADDRESS, PORT, VERSION, 2.0))
        server.place.run("nft", "delete", "table", "inet", "farm_blocks")
        assert len(ROOT) == seen(node).size, "without the filter it is read"
    finally:
        subprocess.run(["ip", "-n", server.place.name, "link", "del", "wan0"], check=True)
        server.apply_filter()


def test_it_listens_on_the_labs_address_alone(server: Server) -> None:
    listening = server.place.run("ss", "-Hltn", f"sport = :{PORT}").stdout.split("\n")[:-1]

    assert [f"{ADDRESS}:{PORT}"] == [line.split()[3] for line in listening]


def test_one_that_was_killed_is_back(server: Server, node: Namespace) -> None:
    pid = server.pid("nbd")
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.pid("nbd") not in (0, pid) and "nbd" in wells(server), "it is not started again")

    assert len(ROOT) == seen(node).size


def test_clients_that_are_switched_off_while_they_read_take_nobody_along(server: Server, node: Namespace) -> None:
    """With several threads for each client, nbdkit 1.32 aborts now and then: one answers where another has closed."""
    pid, big = server.pid("nbd"), served_folder(server.store.directory) / "big"
    big.write_bytes(bytes(8 << 20))

    def switched_off() -> None:
        clients = [nbd(ADDRESS, "big") for _ in range(32)]
        read_together(clients, big.stat().st_size, 0.3)
        for client in clients:
            client.connection.close()

    try:
        for _ in range(20):
            node.call(switched_off)
        assert len(ROOT) == seen(node).size
        assert pid == server.pid("nbd")
    finally:
        big.unlink()


def test_it_ends_while_clients_are_connected(server: Server, node: Namespace) -> None:
    def connected() -> socket.socket:
        return socket.create_connection((ADDRESS, PORT))

    with node.call(connected) as client:
        client.recv(18)
        server.supervisor.stop("nbd")
        assert 0 == server.pid("nbd")
    server.supervisor.start("nbd")
    until(lambda: "nbd" in wells(server), "nbdkit does not answer")


def test_one_that_is_stopped_is_not_well(server: Server) -> None:
    os.kill(server.pid("nbd"), signal.SIGSTOP)
    try:
        assert "nbd" not in wells(server)
    finally:
        os.kill(server.pid("nbd"), signal.SIGCONT)


def test_another_file_in_the_versions_place_is_not_well_until_it_is_exported(server: Server) -> None:
    path = server.store.path(VERSION) / "root.squashfs"
    kept = path.with_name("kept")
    path.rename(kept)
    path.write_bytes(b"evil" * 1000)
    try:
        assert "nbd" not in wells(server)
        prepare(server.store)
        assert "nbd" in wells(server)
    finally:
        kept.rename(path)
        prepare(server.store)
    assert "nbd" in wells(server)


def test_a_client_takes_few_of_many_descriptors(server: Server) -> None:
    limits = Path(f"/proc/{server.pid('nbd')}/limits").read_text().splitlines()
    soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))

    assert soft == hard


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=8), st.booleans())
def test_whatever_a_server_says_the_answer_is_an_error(said: list[bytes], greets: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, contextlib.suppress(ConnectionError):
                if greets:
                    client.sendall(b"NBDMAGICIHAVEOPT\0\3")
                for piece in said:
                    client.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(OSError, match=r".+"):
            look("127.0.0.1", listening.getsockname()[1], "v1", PATIENCE)
        thread.join()
