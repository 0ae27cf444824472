"""A lab on a real interface of a server that has another one: what leaves there, and what is left after `farm down`."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.export.socket_buffer import RECORD
from farm.home import Home
from farm.image.store import Store
from farm.supervisor import Supervisor
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.made_up_store import add_version

ETH_P_ALL = 3
OUTGOING = 4
IPV4 = b"\x08\x00"
OTHER = "other0"


class Server:
    """A machine with an interface to the room and another one to the office."""

    def __init__(self, namespace: Namespace, home: Path) -> None:
        self.namespace = namespace
        self.home = Home.at(home)
        self.home.create()
        self.home.config.write_text(
            f"name: real{os.getpid()}\ninterface: {namespace.interface}\naddress: 10.99.61.9/24\n"
            "dhcp: {first: 10.99.61.50, last: 10.99.61.60}\n"
        )
        store = Store(home / "state" / "images")
        add_version(store, "v1", 1)
        add_version(store, "v2", 2)
        store.use("v1")
        namespace.run("ip", "address", "flush", "dev", namespace.interface, "scope", "global")
        namespace.run("ip", "link", "add", OTHER, "type", "veth", "peer", "name", "office0")
        namespace.run("ip", "address", "add", "192.0.2.5/24", "brd", "+", "dev", OTHER)
        for name in (OTHER, "office0"):
            namespace.run("ip", "link", "set", name, "up")
        # Until the kernel has tried its own addresses, routes of theirs are not there.
        until(lambda: "tentative" not in namespace.run("ip", "-6", "address").stdout, "an address stays tentative")

    def farm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [*self.namespace.as_server, sys.executable, "-m", "farm", "--home", str(self.home.directory), *words]
        environment = {name: value for name, value in os.environ.items() if name != "FARM_IMAGES"}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE, stdin=subprocess.DEVNULL
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done

    def traces(self) -> dict[str, str]:
        """What of this machine a farm changes."""
        said = {
            what: self.namespace.run(*words).stdout
            for what, words in {
                "addresses": ["ip", "-br", "address"],
                "routes": ["ip", "route", "show", "table", "all"],
                "IPv6 routes": ["ip", "-6", "route", "show", "dev", self.namespace.interface],
                "tables": ["nft", "list", "ruleset"],
            }.items()
        }
        said["processes"] = subprocess.check_output(["ip", "netns", "pids", self.namespace.name], text=True)
        # The setting is the whole machine's: other farms on it may come and go meanwhile.
        needs = RECORD.read_text() if RECORD.exists() else ""
        said["socket buffer"] = "needed" if f'"{self.home.runtime}"' in needs else "as others want it"
        return {**said, "runtime": str([*self.home.runtime.iterdir()])}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    home = Path(tempfile.mkdtemp(prefix="farm-test-", dir="/var/tmp"))
    home.chmod(0o755)
    with namespaces("10.99.61.1/24", "10.99.61.2/24") as (here, _):
        server = Server(here, home)
        try:
            yield server
        finally:
            server.farm("down", check=False)
            shutil.rmtree(home)


@contextlib.contextmanager
def heard(namespace: Namespace) -> Iterator[list[bytes]]:
    """IPv4 packets that leave by the other interface."""
    packets: list[bytes] = []
    ready, end = threading.Event(), threading.Event()

    def listen() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
            sock.bind((OTHER, 0))
            sock.settimeout(0.2)
            ready.set()
            while not end.is_set():
                with contextlib.suppress(TimeoutError):
                    frame, sender = sock.recvfrom(2048)
                    if sender[2] == OUTGOING and frame[12:14] == IPV4:
                        packets.append(frame[14:])

    thread = threading.Thread(target=lambda: namespace.call(listen))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield packets
    finally:
        end.set()
        thread.join()


def test_nothing_is_announced_on_another_interface(server: Server) -> None:
    with heard(server.namespace) as packets:
        server.farm("up")
        assert [] == packets

        # Without the filter they would be heard, so this test would see them.
        server.namespace.run("nft", "flush", "ruleset")
        Supervisor(server.home).restart("scheduler")
        until(lambda: any(packet[28:30] == b"IC" for packet in packets), "icecc-scheduler does not announce itself")


def test_down_leaves_the_machine_as_it_was(server: Server) -> None:
    server.farm("down")
    before = server.traces()
    assert "farm" not in before["tables"]
    server.farm("up")
    assert "10.99.61.9/24" in server.traces()["addresses"]
    assert "needed" == server.traces()["socket buffer"]

    server.farm("down")

    assert before == server.traces()


@pytest.mark.parametrize("lost", ["run/running.json", "run/supervisord.pid", "run"])
def test_down_finds_what_is_left_without_its_record(server: Server, lost: str) -> None:
    server.farm("down")
    before = server.traces()
    server.farm("up")
    assert server.home.directory is not None
    path = server.home.directory / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    server.farm("down")

    assert before == server.traces()


def test_down_without_any_record_removes_what_is_surely_the_farms_and_names_the_rest(server: Server) -> None:
    before = server.traces()
    server.farm("up")
    for path in (server.home.runtime, server.home.state):
        (path / "running.json").unlink()

    said = server.farm("down").stderr

    after = server.traces()
    assert f"10.99.61.9/24 on {server.namespace.interface}" in said
    assert "10.99.61.9/24" in after["addresses"]
    assert ("", "") == (after["tables"], after["processes"])
    server.namespace.run("ip", "address", "delete", "10.99.61.9/24", "dev", server.namespace.interface)
    assert before["addresses"] == server.traces()["addresses"]


def test_addresses_that_others_added_meanwhile_stay(server: Server) -> None:
    interface = server.namespace.interface
    server.farm("up")
    server.namespace.run("ip", "address", "add", "10.99.61.77/24", "brd", "+", "dev", interface)

    server.farm("down")

    assert "10.99.61.77/24" in server.namespace.run("ip", "-br", "address", "show", "dev", interface).stdout
    assert "10.99.61.9/24" not in server.namespace.run("ip", "-br", "address", "show", "dev", interface).stdout
    server.namespace.run("ip", "address", "delete", "10.99.61.77/24", "dev", interface)


def test_an_image_that_nodes_were_left_running_is_kept_while_the_farm_is_down(server: Server) -> None:
    server.farm("up")
    server.farm("image", "use", "v2")
    server.farm("image", "use", "v1")
    Supervisor(server.home).stop("farmd")  # which knew what the nodes run
    down = server.farm("down")
    assert "nodes: left on, since farmd does not say which there are" in down.stdout + down.stderr

    refused = server.farm("image", "remove", "v2", check=False)

    assert refused.returncode == 1
    assert "v2 is in use." in refused.stderr
    assert "Nodes were still running this version when their farm went down." in refused.stderr
    assert f"sudo farm --home {server.home.directory} up" in refused.stderr
