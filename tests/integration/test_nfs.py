"""The export by NFS as a farm runs it: a real nfs-ganesha under supervisord, asked from the lab and from elsewhere."""

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
from msgspec.structs import replace

from farm.config import Config, DhcpConfig, ImageConfig, NamedImageConfig
from farm.export import prepare
from farm.export.nfs import PORT
from farm.export.nfs.question import ServedFile, ask_for
from farm.serve import health
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.made_up_store import add_version
from tests.server import VERSION, Server, served

ADDRESS, NODE = "10.99.43.1", "10.99.43.2"
CONFIG = Config(
    name="files",
    address=f"{ADDRESS}/24",
    dhcp=DhcpConfig("10.99.43.50", "10.99.43.51"),
    image=ImageConfig(root="nfs"),
)
ROOT = b"root" * 1000


@pytest.fixture(scope="module")
def places() -> Iterator[list[Namespace]]:
    with namespaces(f"{ADDRESS}/24", f"{NODE}/24") as found:
        yield found


@pytest.fixture(scope="module")
def server(places: list[Namespace]) -> Iterator[Server]:
    with served(CONFIG, places[0]) as found:
        until(lambda: "nfs" in wells(found), "ganesha does not answer")
        yield found


@pytest.fixture
def node(places: list[Namespace]) -> Namespace:
    return places[1]


def wells(server: Server) -> dict[str, str]:
    """The services that answer, with what they say."""
    return {each.service: each.detail for each in health.check(server.home, server.instance) if each.ok}


def seen(place: Namespace, *path: str, seconds: float = PATIENCE) -> ServedFile:
    return place.call(lambda: ask_for(ADDRESS, PORT, list(path), seconds))


def test_a_version_is_read_by_its_name(server: Server, node: Namespace) -> None:
    assert ServedFile(len(ROOT), ROOT) == seen(node, "images", VERSION)


def test_the_farm_runs_this_export_alone_and_finds_it_well(server: Server) -> None:
    assert ["nfs"] == server.instance.exports
    assert f"serves {server.store.path(VERSION)}/root.squashfs" == wells(server)["nfs"]


def test_a_new_version_is_there_at_once_and_gone_with_its_folder(server: Server, node: Namespace) -> None:
    pid = server.pid("nfs")
    add_version(server.store, "1", 2.0, "toy-client")
    prepare(server.store)
    assert 4096 == seen(node, "images", "toy-client:1").size

    server.store.remove("toy-client/1", ())
    prepare(server.store)
    with pytest.raises(OSError, match="has no images/toy-client:1"):
        seen(node, "images", "toy-client:1")
    assert pid == server.pid("nfs")


@pytest.mark.parametrize(
    "path", [["images", "v2"], ["images", "..", "v1"], ["etc"], ["images", ""], ["images", "x" * 3000], []]
)
def test_nothing_else_is_exported(server: Server, node: Namespace, path: list[str]) -> None:
    with pytest.raises(OSError, match="the NFS server"):
        seen(node, *path)


def test_only_the_lab_gets_at_it(server: Server, node: Namespace) -> None:
    """A packet for the server's address that comes in by another interface would reach the socket, too."""
    pair = ["link", "add", "wan0", "type", "veth", "peer", "name", "wan0", "netns", node.name]
    subprocess.run(["ip", "-n", server.place.name, *pair], check=True)
    try:
        for place, address in ((server.place, "10.99.44.1"), (node, "10.99.44.2")):
            place.run("ip", "address", "add", f"{address}/24", "dev", "wan0")
            place.run("ip", "link", "set", "wan0", "up")
        node.run("ip", "route", "add", f"{ADDRESS}/32", "via", "10.99.44.1")
        with pytest.raises(TimeoutError):
            seen(node, "images", VERSION, seconds=2.0)
    finally:
        subprocess.run(["ip", "-n", server.place.name, "link", "del", "wan0"], check=True)


def test_it_listens_on_the_labs_address_alone_and_on_no_other_port(server: Server) -> None:
    pid = server.pid("nfs")
    listening = [line.split() for line in server.place.run("ss", "-Hlnptu").stdout.splitlines()]

    assert [["tcp", f"[::ffff:{ADDRESS}]:{PORT}"]] == [
        [line[0], line[4]] for line in listening if f"pid={pid}," in line[-1]
    ]


def test_one_that_was_killed_is_back(server: Server, node: Namespace) -> None:
    pid = server.pid("nfs")
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.pid("nfs") not in (0, pid) and "nfs" in wells(server), "it is not started again")

    assert len(ROOT) == seen(node, "images", VERSION).size


def test_one_that_is_stopped_is_not_well(server: Server) -> None:
    os.kill(server.pid("nfs"), signal.SIGSTOP)
    try:
        assert "nfs" not in wells(server)
    finally:
        os.kill(server.pid("nfs"), signal.SIGCONT)


def test_another_file_in_the_versions_place_is_not_well_until_it_is_exported(server: Server) -> None:
    path = server.store.path(VERSION) / "root.squashfs"
    kept = path.with_name("kept")
    path.rename(kept)
    path.write_bytes(b"evil" * 1000)
    try:
        assert "nfs" not in wells(server)
        prepare(server.store)
        assert "nfs" in wells(server)
    finally:
        kept.rename(path)
        prepare(server.store)
    assert "nfs" in wells(server)


@pytest.fixture(scope="module")
def tree(server: Server) -> Iterator[Path]:
    """A folder that is an image's root, exported as it is."""
    tree = server.place.folder / "chroot"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("chroot\n")
    (tree / "etc/outside").symlink_to("/etc/shadow")
    server.instance = replace(server.instance, config=replace(CONFIG, images={"dev": NamedImageConfig(tree=str(tree))}))
    server.up()
    until(lambda: "nfs" in wells(server), "ganesha does not answer")
    yield tree


def test_a_folder_is_read_as_it_is_beside_the_versions(server: Server, node: Namespace, tree: Path) -> None:
    assert ServedFile(7, b"chroot\n") == seen(node, "trees", "dev", "etc", "hostname")
    assert len(ROOT) == seen(node, "images", VERSION).size
    (tree / "etc/hostname").write_text("changed\n")
    assert b"changed\n" == seen(node, "trees", "dev", "etc", "hostname").beginning


@pytest.mark.parametrize("path", [["trees", "dev", "..", "..", "etc"], ["trees", "dev", "etc", "outside"], ["trees"]])
def test_of_a_folder_nothing_outside_is_read(server: Server, node: Namespace, tree: Path, path: list[str]) -> None:
    with pytest.raises(OSError, match="the NFS server"):
        seen(node, *path)


def test_what_it_keeps_is_in_the_farms_own_folder(server: Server) -> None:
    assert {"ganesha.conf", "ganesha.pid"} <= set(os.listdir(server.home.runtime / "nfs"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=8), st.booleans())
def test_whatever_a_server_says_the_answer_is_an_error(said: list[bytes], frames: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, contextlib.suppress(ConnectionError):
                data = b"".join(said)
                if frames:
                    client.sendall((1 << 31 | len(data)).to_bytes(4, "big"))
                client.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(OSError, match=r".+"):
            ask_for("127.0.0.1", listening.getsockname()[1], ["images", "v1"], PATIENCE)
        thread.join()
