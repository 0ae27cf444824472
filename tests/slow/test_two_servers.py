"""Two boot servers and two booted nodes, one by AoE and one by NBD: either server dies, and the nodes read on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from farm.home import Home
from farm.image.verity import BLOCK
from farm.instance import Instance
from farm.nodes.ssh import argv as ssh_argv
from farm.supervisor import Supervisor
from farm.virtual.bridge import BRIDGE
from farm.virtual.namespace import exec_prefix
from tests.e2e.conftest import Lab
from tests.lab import until

A, B = "10.77.0.1", "10.77.0.2"
COMMON = """name: {name}
mtu: 9000
machines: [{{mac: "52:54:00:fa:00:02", name: virtual-2, root: nbd}}]
virtual: {{memory: 1024}}
"""
FIRST = f"other_server: {B}\n"
SECOND = f"""address: {B}/24
interface: lab0
other_server: {A}
mirror: http://{A}:8069/published
"""
ROADS = {"virtual-1": "aoe", "virtual-2": "nbd"}
MACS = ("52:54:00:fa:00:01", "52:54:00:fa:00:02")
"""Theirs: the second server has names of its own for machines that farm.yaml does not list."""
TRIES = 6
READ = "echo 3 > /proc/sys/vm/drop_caches; sha256sum < /dev/mapper/farm-root"


class Second:
    """The second server: a namespace of its own, plugged into the lab's bridge."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.home = lab, Home.at(folder)
        self.home.create()
        self.home.config.write_text((COMMON + SECOND).format(name=lab.name))
        self.namespace = f"{lab.namespace}-2"
        lab_side = ["ip", "-n", lab.namespace]
        _run("ip", "netns", "add", self.namespace)
        _run(*lab_side, "link", "add", "second", "type", "veth", "peer", "name", "lab0", "netns", self.namespace)
        _run(*lab_side, "link", "set", "second", "mtu", "9000", "master", BRIDGE, "up")
        here = ["ip", "-n", self.namespace]
        _run(*here, "link", "set", "lo", "up")
        _run(*here, "link", "set", "lab0", "mtu", "9000", "up")
        _run(*here, "address", "add", f"{B}/24", "brd", "+", "dev", "lab0")

    def farm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [*exec_prefix(self.namespace), sys.executable, "-m", "farm", "--home", str(self.home.directory), *words]
        environment = {name: value for name, value in os.environ.items() if name != "FARM_IMAGES"}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done

    def close(self) -> None:
        self.farm("down", "--force", check=False)
        _run("ip", "netns", "delete", self.namespace)
        shutil.rmtree(str(self.home.directory))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def kill(home: Home) -> None:
    """As if the server had lost its power: all services at once, but for the machines, which are none of it."""
    supervisor = Supervisor(home)
    services = [
        service.pid for service in supervisor.status() if service.pid and not service.name.startswith("virtual-")
    ]
    doomed = [each for pid in services for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    assert supervisor.pid
    for process in [psutil.Process(supervisor.pid), *doomed]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def store(lab: Lab) -> Iterator[None]:
    """A store with one version, which the second server is to copy: that of all tests has many."""
    whole = lab.images_folder / lab.image
    with tempfile.TemporaryDirectory(prefix="farm-e2e-", dir=lab.images_folder.parent) as folder:
        shutil.copytree(whole, Path(folder) / lab.image, copy_function=os.link)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FARM_TEST_IMAGES", folder)
            yield
            lab.farm("down", "--force", check=False)


@pytest.fixture(scope="module")
def pair(lab: Lab, store: None) -> Iterator[Second]:
    (lab.home / "farm.yaml").write_text((COMMON + FIRST).format(name=lab.name))
    lab.farm("image", "use", lab.image)
    lab.farm("up", "--virtual", "0")
    lab.farm("image", "publish")
    trust = json.loads(lab.farm("image", "signers", "--json").stdout)["own"]["fingerprint"]
    second = Second(lab, Path(tempfile.mkdtemp(prefix="farm-e2e-", dir="/var/tmp")))
    try:
        second.farm("image", "mirror", "--trust", trust)
        second.farm("up")
        lab.farm("up", "--virtual", "2")
        yield second
    finally:
        second.close()


def begin(lab: Lab, address: str, command: str) -> subprocess.Popen[str]:
    """Begin a command on a node as `farm node ssh` does it, which wants to know from farmd where a node is."""
    home = Home.at(lab.home)
    argv = ssh_argv(home, Instance.load(home), address, [f"echo begun; {command}"])
    for _ in range(TRIES):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        assert process.stdout
        if process.stdout.readline() == "begun\n":
            return process
        process.wait()
    raise AssertionError(f"{address} lets nobody in")


def expected(lab: Lab) -> str:
    shown = json.loads(lab.farm("image", "show", lab.image, "--json").stdout)
    with (lab.images_folder / lab.image / "root.squashfs").open("rb") as file:
        return hashlib.sha256(file.read(shown["verity"]["blocks"] * BLOCK)).hexdigest()


@pytest.mark.parametrize("dies", ["the first", "the second"])
def test_nodes_read_on_when_a_server_dies(lab: Lab, pair: Second, dies: str, tmp_path: Path) -> None:
    found = lab.nodes_by_name()
    assert ROADS == {name: found[name]["telemetry"]["root"] for name in ROADS}
    wanted = expected(lab)
    addresses = {name: found[name]["address"] for name in ROADS}
    readers = {name: begin(lab, address, READ) for name, address in addresses.items()}

    kill(Home.at(lab.home) if dies == "the first" else pair.home)

    try:
        for name, reader in readers.items():
            assert wanted in reader.communicate(timeout=300)[0], name
        # And all of it again, from the other one alone.
        for name, address in addresses.items():
            assert wanted in begin(lab, address, READ).communicate(timeout=300)[0], name
    finally:
        (lab if dies == "the first" else pair).farm("up")
    until(lambda: list(ROADS) == lab.ready(), "the nodes are not ready again")
    lab.compile(tmp_path / "work", 20)


def test_a_machine_boots_from_the_second_alone(lab: Lab, pair: Second) -> None:
    addresses = [node["address"] for node in lab.nodes_by_name().values() if node["name"] in ROADS]
    kill(Home.at(lab.home))
    before = time.time()
    for address in addresses:
        begin(lab, address, "systemctl reboot").communicate(timeout=60)

    def booted() -> bool:
        nodes = lab_nodes(pair)
        return all(nodes.get(mac, {}).get("stages", {}).get("agent", 0) > before for mac in MACS)

    until(booted, "they do not boot from the second server", seconds=300)
    lab.farm("up")
    until(lambda: list(ROADS) == lab.ready(), "the nodes do not log in to the scheduler again", seconds=300)


def lab_nodes(pair: Second) -> dict[str, dict[str, dict[str, float]]]:
    status = json.loads(pair.farm("status", "--json", check=False).stdout)
    return {node["mac"]: node for node in status["nodes"]}
