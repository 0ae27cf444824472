"""A lab on an interface the farm does not make itself: a namespace is the server, another one the room of PCs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from farm.netboot.rival import find_dhcp_servers
from tests.e2e.conftest import environment
from tests.lab import Namespace, namespaces


@dataclass
class Server:
    """A machine with a farm.yaml for the interface that leads to the room."""

    namespace: Namespace
    room: Namespace
    home: Path

    def farm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [*self.namespace.as_server, sys.executable, "-m", "farm", "--home", str(self.home), *words]
        done = subprocess.run(
            argv, env=environment(self.home), capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
        )
        if check:
            assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done

    def addresses(self) -> str:
        return self.namespace.run("ip", "-br", "addr", "show", "dev", self.namespace.interface).stdout


@pytest.fixture(scope="module")
def configured() -> Iterator[Server]:
    """Not up; it has a farm.yaml."""
    home = Path(tempfile.mkdtemp(prefix="farm-real-", dir="/var/tmp"))
    with namespaces("10.99.7.1/24", "10.99.7.2/24") as (here, room):
        server = Server(here, room, home)
        try:
            server.farm("init", "--interface", here.interface)
            yield server
        finally:
            shutil.rmtree(home)


@pytest.fixture
def server(configured: Server) -> Iterator[Server]:
    """Not up, and taken down after the test whatever happened."""
    yield configured
    configured.farm("down", check=False)


def test_another_dhcp_server_is_named_before_anything_is_started(server: Server) -> None:
    conf = [
        "--keep-in-foreground",
        "--port=0",
        "--log-facility=-",
        f"--interface={server.room.interface}",
        "--bind-interfaces",
    ]
    rival = server.room.start(
        "rival",
        "dnsmasq",
        *conf,
        "--conf-file=/dev/null",
        "--dhcp-range=10.99.7.200,10.99.7.210",
        "--dhcp-leasefile=/dev/null",
        "--pid-file=",
    )
    try:
        refused = server.farm("up", check=False)
    finally:
        server.room.stop(rival)
    assert refused.returncode == 1
    assert "Another DHCP server answers" in refused.stderr
    assert "10.99.7.2" in refused.stderr


def test_a_busy_port_is_named_with_its_holder(server: Server) -> None:
    holder = server.namespace.start("holder", sys.executable, "-c", BIND_8765)
    try:
        refused = server.farm("up", check=False)
    finally:
        server.namespace.stop(holder)
    assert refused.returncode == 1
    assert "8765" in refused.stderr
    assert f"pid {holder.pid}" in refused.stderr


BIND_8765 = "import socket, time; s = socket.socket(); s.bind(('0.0.0.0', 8765)); s.listen(); time.sleep(60)"


def test_up_serves_the_room_and_down_leaves_the_interface_as_it_was(server: Server) -> None:
    before = server.addresses()
    said = server.farm("up").stdout
    assert "switch the PCs on" in said
    status = json.loads(server.farm("status", "--json").stdout)
    assert status["problems"] == []
    assert status["namespace"] is None
    assert server.room.call(lambda: find_dhcp_servers(server.room.interface)) == {"10.99.7.1"}
    script = server.room.call(lambda: urlopen("http://10.99.7.1:8069/boot/52-54-00-00-00-01.ipxe").read().decode())
    assert f"farm.image={status['image']}" in script

    server.farm("down")
    assert server.addresses() == before
    assert server.namespace.run("nft", "list", "tables").stdout == ""
    assert subprocess.check_output(["ip", "netns", "pids", server.namespace.name]) == b""
    assert list((server.home / "run").iterdir()) == []


def test_foreground_goes_down_at_sigterm(server: Server) -> None:
    argv = [*server.namespace.as_server, sys.executable, "-m", "farm", "--home", str(server.home)]
    up = [*argv, "up", "--foreground"]
    with subprocess.Popen(up, env=environment(server.home), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "take it down" in line:
                break
        os.kill(process.pid, 15)
        assert process.wait(60) == 0
    assert list((server.home / "run").iterdir()) == []
