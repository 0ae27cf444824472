"""Two boot servers in one lab: each alone can boot a machine, and both hold the same images."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.config import FIRST_KIND
from farm.home import Home
from farm.image.store import FILES, FileEntry, Manifest, Store, sha256
from farm.image.verity import BLOCK, Verity
from farm.node.network import mac_of
from farm.node.witness import repeat
from farm.supervisor import Supervisor
from tests.dhcp import Client, Lease
from tests.lab import PATIENCE, Namespace, namespaces, until

A, B = "10.99.42.1", "10.99.42.2"
MAC = "52:54:00:77:00:01"
DHCP = "dhcp: {first: 10.99.42.50, last: 10.99.42.69}\n"
ROOT_BYTES = 64 * BLOCK
COMMON = """name: two{pid}
interface: lab0
address: {own}/24
other_server: {other}
machines: [{{mac: '{mac}', name: pc1, root: nbd}}]
"""


class Boot:
    """One of the two, on a real interface of its own."""

    def __init__(self, place: Namespace, folder: Path, own: str, other: str, more: str) -> None:
        self.place, self.address = place, own
        self.home = Home.at(folder)
        self.home.create()
        self.store = Store(self.home.images)
        self.home.config.write_text(COMMON.format(pid=os.getpid(), own=own, other=other, mac=MAC) + more)

    def add(self, version: str) -> None:
        folder = self.home.images / ".new"
        folder.mkdir()
        for file in FILES:
            (folder / file).write_bytes(f"{version} {file}".encode().ljust(ROOT_BYTES))
        manifest = Manifest(
            version=version,
            built=float(version),
            seconds=1.0,
            inputs=version,
            base="",
            kernel="6.1",
            packages={},
            verity=Verity("d" * 64, "e" * 64, ROOT_BYTES // BLOCK - 1),
            files={file: FileEntry(ROOT_BYTES, sha256(folder / file)) for file in FILES},
        )
        self.store.add(folder, manifest)

    def farm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [*self.place.as_server, sys.executable, "-m", "farm", "--home", str(self.home.directory)]
        environment = {name: value for name, value in os.environ.items() if name != "FARM_IMAGES"}
        done = subprocess.run(
            [*argv, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.farm(*words, "--json", check=False).stdout)

    def services(self) -> set[str]:
        return {service.name for service in Supervisor(self.home).status() if service.up}

    def script(self, client: Namespace) -> str:
        """As a machine gets it."""
        url = f"http://{self.address}:8069/boot/{MAC.replace(':', '-')}.ipxe"

        def get() -> str:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return str(answer.read().decode())

        return client.call(get)


class Room:
    """Both of them, and a machine."""

    def __init__(self, places: list[Namespace], top: Path) -> None:
        self.client = places[2]
        self.a = Boot(places[0], top / "a", A, B, DHCP)
        mirror = f"{DHCP}mirror: http://{A}:8069/published\n"
        self.b = Boot(places[1], top / "b", B, A, mirror)

    def lease(self) -> Lease:
        found = self.client.call(lambda: Client(MAC).ask("lab0"))
        assert found
        return found


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    top = Path(tempfile.mkdtemp(prefix="farm-test-", dir="/var/tmp"))
    top.chmod(0o755)
    with namespaces(f"{A}/24", f"{B}/24", "10.99.42.9/24") as places:
        room = Room(places, top)
        try:
            room.a.add("20261101.1")
            room.a.add("20261102.1")
            room.a.store.use("20261102.1")
            room.a.farm("up")
            room.a.farm("image", "publish")
            trust = room.a.json("image", "signers")["own"]["fingerprint"]
            said = room.b.farm("up", check=False).stderr
            assert "whom this farm does not know" in said
            room.b.farm("image", "mirror", "--trust", trust)
            room.b.farm("up")
            yield room
        finally:
            for each in (room.b, room.a):
                each.farm("down", "--force", check=False)
            shutil.rmtree(top)


def test_one_of_them_has_the_scheduler_and_both_have_the_images_in_the_same_slots(room: Room) -> None:
    assert "scheduler" in room.a.services()
    assert "scheduler" not in room.b.services()
    assert "mirror" in room.b.services()
    slots = [
        {image["image"]: image["slot"] for image in each.json("image", "list")["images"]} for each in (room.a, room.b)
    ]
    assert slots[0] == slots[1]
    assert set(slots[0]) == {"20261101.1", "20261102.1"}


def test_neither_takes_the_other_for_a_stranger(room: Room) -> None:
    def wrong(each: Boot, checks: str) -> list[str]:
        said = each.farm("doctor", "--only", checks, check=False).stdout
        return [line for line in said.splitlines() if "✗" in line]

    for each in (room.a, room.b):
        assert [] == wrong(each, "services,rival-dhcp,rival-tftp,other-server")
        checked = {result["code"]: result for result in each.json("doctor", "--only", "other-server")["results"]}
        assert ("ok", "") == (checked["other-server"]["state"], checked["other-server"]["cause"])
    assert [] == room.b.json("status")["problems"]


def test_each_alone_boots_a_machine_and_names_the_other(room: Room) -> None:
    """The first one answers first; what a machine is told by either leads to both."""
    assert A == room.lease().server
    assert "10.99.42.50" <= room.lease().address <= "10.99.42.59"
    script = room.a.script(room.client)
    assert f"farm.server={A} farm.other={B} " in script
    assert f"farm.root=nbd:{A},{B}:10809:20261102.1 " in script
    assert f"set farm http://{B}:8069" in script

    room.a.farm("down", "--keep-nodes")
    try:
        lease = room.lease()
        assert B == lease.server
        assert "10.99.42.60" <= lease.address <= "10.99.42.69"
        assert "boot/start.ipxe" == room.client.call(lambda: Client(MAC, ipxe=True).ask("lab0")).file  # type: ignore[union-attr]
        script = room.b.script(room.client)
        assert f"farm.server={B} farm.other={A} " in script
        assert f"farm.root=nbd:{B},{A}:10809:20261102.1 " in script
        assert "dhcp-rival" not in room.b.farm("status", check=False).stdout
        told = json.loads((room.b.home.http / "nodes/default.json").read_text())
        assert f"{A}:8765" == told["scheduler"], "the one scheduler, also when it is away"
    finally:
        room.a.farm("up")
    until(lambda: A == room.lease().server, "the first one does not answer first")


def test_what_the_first_one_builds_and_chooses_comes_to_the_second(room: Room) -> None:
    room.a.add("20261103.1")
    room.a.farm("image", "use", "20261103.1")

    room.b.farm("image", "mirror")

    assert "20261103.1" == room.b.store.selected(FIRST_KIND)
    assert "farm.image=20261103.1 " in room.b.script(room.client)
    with contextlib.suppress(AssertionError):
        room.b.farm("image", "build")
        raise RuntimeError("it was built")


def test_what_changes_while_the_first_one_is_down_is_published_when_it_comes_up(room: Room) -> None:
    """A version that was damaged meanwhile is left out, and keeps nothing else from being served."""
    room.a.farm("down", "--keep-nodes")
    room.a.add("20261104.1")
    room.a.store.use("20261104.1")
    damaged = room.a.home.images / "20261101.1/kernel"
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(content[::-1])
    room.a.farm("up")

    room.a.farm("image", "use", "20261103.1")
    room.a.farm("image", "use", "20261104.1")
    room.b.farm("image", "mirror")

    assert "20261104.1" == room.b.store.selected(FIRST_KIND)
    index = room.a.home.published / "index.json"
    published = index.read_bytes()
    assert b"20261101.1" not in published
    room.a.farm("up")
    assert published == index.read_bytes(), "nothing has changed"


def test_while_the_first_one_is_away_the_second_goes_on_and_says_so(room: Room) -> None:
    room.a.farm("down", "--keep-nodes")
    try:
        assert "could not be fetched" in room.b.farm("image", "mirror", check=False).stderr
        room.b.farm("up")
        said = room.b.farm("doctor", "--only", "other-server", check=False).stdout
        assert f"The other boot server, {A}, does not answer" in said
        assert "On the other server: sudo farm up" in said
    finally:
        room.a.farm("up")


def test_a_node_tells_both_where_it_is(room: Room) -> None:
    """A server that did not boot a machine learns so that it is one of the lab's, and no stranger."""
    stop = threading.Event()
    told = {"server": A, "other": B, "http_port": 8069, "address": "10.99.42.9", "nic": "lab0", "boot_id": "0" * 32}

    def run() -> None:
        repeat({**told, "mac": mac_of("lab0")}, stop)

    thread = threading.Thread(target=lambda: room.client.call(run))
    thread.start()
    try:
        log = room.b.home.logs / "nginx-access.log"
        until(lambda: f"boot={'0' * 32}" in log.read_text(), "the other server is not told")
    finally:
        stop.set()
        thread.join()


def test_what_the_two_tell_their_nodes_differently_is_named(room: Room) -> None:
    served = room.b.home.http / "farm.json"
    was = served.read_text()
    told = json.loads(was)
    told["dhcp"] = ["10.99.42.50", "10.99.42.99"]
    next(iter(told["versions"].values()))["sha256"] = "0" * 64
    served.write_text(json.dumps(told))
    try:
        results = room.a.json("doctor", "--only", "other-server")["results"]
        found = next(result for result in results if result["code"] == "other-server")
        up = room.a.farm("up")
    finally:
        served.write_text(was)

    assert "doctor --only other-server" in up.stdout + up.stderr
    assert "fail" == found["state"]
    assert "dhcp is 10.99.42.50-10.99.42.99 there and 10.99.42.50-10.99.42.69 here" in found["cause"]
    assert any("is another file there" in line for line in found["evidence"])
