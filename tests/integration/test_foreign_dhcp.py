"""A network where another DHCP server gives the addresses: farmd, nginx and a node's agent, with that server, real."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.api.client import fetch_status
from farm.config import FIRST_KIND, Config, DhcpConfig
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.netboot.render import nginx_conf
from farm.view.status import NodeStatus, Status
from farm.watch.events import Stage
from tests.dhcp import Client
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces, until

SERVER, ROUTER, TWIN = "10.99.33.1", "10.99.33.2", "10.99.33.3"
RANGE = "10.99.33.100,10.99.33.120"
ELSEWHERE = "10.99.33.200"
MAC, HYPHENS = "52:54:00:00:21:01", "52-54-00-00-21-01"
PROXY = """
port=0
interface=lab0
bind-interfaces
log-facility={logs}/dnsmasq.log
pid-file=
user=root
dhcp-range=10.99.33.0,proxy,255.255.255.0
dhcp-no-override
pxe-service=X86PC,"farm",loader/undionly.kpxe
"""


class Lab:
    """The farm's nginx and farmd in one namespace, the network's own DHCP server in another, and machines."""

    def __init__(self, server: Namespace, router: Namespace, node: Namespace, twin: Namespace) -> None:
        self.server, self.router, self.node, self.twin = server, router, node, twin
        self.home = Home.at(server.folder / "home")
        self.home.create()
        self.config = Config(name="lab", address=f"{SERVER}/24", dhcp=DhcpConfig("10.99.33.50", "10.99.33.60"))
        self.boot(started=time.time() - 1)
        settings = {
            "schema": 1, "farm": "lab", "name": "pc01", "netname": NETNAME, "scheduler": f"{SERVER}:8765", "slots": 3,
            "telemetry_port": 9105, "authorized_keys": [],
        }  # fmt: skip
        (self.home.http / "nodes").mkdir(parents=True)
        (self.home.http / "nodes/default.json").write_text(json.dumps(settings))
        (self.home.http / "boot").mkdir()
        (self.home.http / "boot/default.ipxe").write_text("#!ipxe")
        (self.home.runtime / "nginx.conf").write_text(nginx_conf(self.config, self.home))
        server.start("nginx", "nginx", "-c", str(self.home.runtime / "nginx.conf"))
        server.wait_for(8069)
        options = [
            "--port=0",
            "--interface=lab0",
            "--no-ping",
            "--log-facility=-",
            f"--dhcp-leasefile={router.folder}/leases",
        ]
        router.start(
            "dnsmasq", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", *options, f"--dhcp-range={RANGE}"
        )
        until(lambda: "DHCP, IP range" in router.log("dnsmasq"), "the network's DHCP server does not start")

    def boot(self, started: float) -> None:
        """The farm was brought up then."""
        Instance(config=self.config, interface="lab0", images={FIRST_KIND: "v1"}, started=started).save(self.home)

    def farmd(self) -> subprocess.Popen[bytes]:
        process = self.server.start("farmd", sys.executable, "-m", "farm.daemon", "--home", str(self.home.directory))
        until(lambda: self.status(), "farmd does not answer")
        return process

    def status(self) -> Status | None:
        with contextlib.suppress(FarmError):
            return fetch_status(self.home)
        return None

    def machine(self) -> NodeStatus | None:
        status = self.status()
        return next((node for node in status.nodes if node.mac == MAC), None) if status else None

    def is_known_at(self, address: str) -> None:
        def known() -> bool:
            found = self.machine()
            return bool(found and found.address == address and found.verified and found.telemetry)

        until(known, f"it is not known at {address}: {self.machine()}, {self.server.log('farmd')}")

    def ask_for_an_address(self) -> str:
        client = Path(sys.executable).with_name("pyroute2-dhcp-client")
        folder = self.node.folder / "dhcp"
        folder.mkdir(exist_ok=True)
        self.node.start("dhcp", "sh", "-c", f"cd {folder} && exec {client} lab0")
        until(lambda: self.address(), "no address from the network's DHCP server")
        return self.address()

    def address(self) -> str:
        links = json.loads(self.node.run("ip", "-json", "address", "show", "lab0").stdout)
        return next((each["local"] for each in links[0]["addr_info"] if each["family"] == "inet"), "")

    def start(self, number: int) -> subprocess.Popen[bytes]:
        """The machine's system comes up, from a stick, say: its kernel has a boot id of its own."""
        root = self.node.folder / f"root{number}"
        (root / "proc/sys/kernel/random").mkdir(parents=True)
        (root / "run/farm/upper").mkdir(parents=True)
        (root / "proc/cmdline").write_text(f"BOOTIF=01-{HYPHENS} farm.server={SERVER} farm.http=8069 farm.image=v1")
        (root / "proc/sys/kernel/random/boot_id").write_text(f"{uuid.uuid4()}\n")
        argv = ["unshare", "--uts", sys.executable, "-m", "farm.node"]
        self.node.run(*argv, "configure", "--root", str(root))
        return self.node.start("agent", *argv, "agent", "--root", str(root))

    def boot_id(self, number: int) -> str:
        return str(json.loads((self.node.folder / f"root{number}/run/farm/node.json").read_text())["boot_id"])

    def ask(self, place: Namespace, path: str) -> None:
        place.run("curl", "--noproxy", "*", "-fsS", "-o", "/dev/null", f"http://{SERVER}:8069{path}")


def send(path: str) -> bytes:
    """A request as it stands, whatever characters are in it; the answer's beginning."""
    with socket.create_connection((SERVER, 8069), timeout=PATIENCE) as connection:
        connection.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode("latin-1"))
        return connection.recv(64)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with namespaces(f"{SERVER}/24", f"{ROUTER}/24", "10.99.33.9/24", f"{TWIN}/24") as places:
        node = places[2]
        node.run("ip", "address", "flush", "dev", "lab0")
        node.run("ip", "link", "set", "lab0", "address", MAC)
        yield Lab(*places)


def test_a_machine_with_an_address_from_elsewhere_is_known_whatever_becomes_of_farmd(lab: Lab) -> None:
    address = lab.ask_for_an_address()
    farmd = lab.farmd()
    agent = lab.start(1)
    lab.is_known_at(address)
    machine = lab.machine()
    assert machine is not None
    assert (machine.name, machine.image, machine.stage) == ("pc01", "v1", Stage.AGENT)

    lab.server.stop(farmd)
    farmd = lab.farmd()
    lab.is_known_at(address)

    lab.server.stop(farmd)  # the server was started again, and the farm brought up: all is forgotten but the log
    (lab.home.runtime / "farmd.json").unlink()
    lab.boot(started=time.time())
    farmd = lab.farmd()
    lab.is_known_at(address)

    for log in (*lab.home.logs.glob("*.log"), *lab.home.logs.glob("*.1")):
        log.write_bytes(b"")
    lab.server.stop(farmd)
    (lab.home.runtime / "farmd.json").unlink()
    lab.farmd()
    lab.node.run("ip", "address", "flush", "dev", "lab0")
    lab.node.run("ip", "address", "add", f"{ELSEWHERE}/24", "brd", "+", "dev", "lab0")
    lab.is_known_at(ELSEWHERE)
    assert agent.poll() is None


def test_a_reboot_from_a_stick_is_a_new_boot(lab: Lab) -> None:
    address = lab.ask_for_an_address()
    lab.farmd()
    agent = lab.start(1)
    lab.is_known_at(address)
    first = lab.machine()
    lab.node.stop(agent)
    lab.start(2)
    lab.is_known_at(address)

    def rebooted() -> bool:
        second = lab.machine()
        return bool(first and second and second.verified and second.stages[Stage.AGENT] > first.stages[Stage.AGENT])

    until(rebooted, "it is not seen to have booted again")


def test_a_second_machine_with_its_mac_waits_until_the_first_is_silent(lab: Lab) -> None:
    address = lab.ask_for_an_address()
    lab.farmd()
    agent = lab.start(1)
    lab.is_known_at(address)
    before = lab.machine()
    assert before is not None
    for boot_id in (lab.boot_id(1), "e" * 32):
        for path in (f"nodes/{HYPHENS}.json?boot={boot_id}", f"nodes/{HYPHENS}.json?kernel=1&agent=2&boot={boot_id}",
                     f"boot/{HYPHENS}.ipxe", f"nodes/{HYPHENS}.json?agent=3&boot={boot_id}%1b[2J%0a",
                     f'nodes/{HYPHENS}.json?agent=4&boot={boot_id}"\\\x7f\xff'):  # fmt: skip
            assert lab.twin.call(lambda path=path: send(path)).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))  # type: ignore[misc]
    twin = {"farm": "lab", "name": "evil", "mac": MAC, "uptime": 1, "iceccd": True, "boot_id": "e" * 32}
    (lab.twin.folder / "status.json").write_text(json.dumps(twin))
    serve = ["-m", "http.server", "--bind", TWIN, "--directory", str(lab.twin.folder), "9105"]
    lab.twin.start("http", sys.executable, *serve)
    lab.twin.wait_for(9105)

    def uptime() -> float:
        found = lab.machine()
        return found.telemetry.uptime if found and found.telemetry else 0.0

    last = uptime()
    until(lambda: uptime() > last, "it is no longer asked")
    now = lab.machine()
    assert now is not None
    assert (now.address, now.name, now.stages) == (address, "pc01", before.stages)
    assert "GET /status.json" not in lab.twin.log("http"), "nobody asks the second one"

    lab.node.stop(agent)
    lab.is_known_at(TWIN)


def test_beside_a_proxy_the_word_of_the_node_decides(lab: Lab) -> None:
    conf = lab.home.runtime / "proxy.conf"
    conf.write_text(PROXY.format(logs=lab.home.logs))
    lab.server.start("dnsmasq", "dnsmasq", "--keep-in-foreground", f"--conf-file={conf}")
    log = lab.home.logs / "dnsmasq.log"
    until(lambda: log.exists() and "DHCP, proxy" in log.read_text(), "the proxy does not start")
    lab.farmd()
    firmware = lab.node.call(lambda: Client(MAC, architecture=0).ask("lab0"))
    assert firmware is not None
    until(lambda: "PXE(lab0)" in log.read_text(), f"the proxy says nothing: {log.read_text()}")
    address = lab.ask_for_an_address()
    lab.start(1)
    lab.is_known_at(address)


def test_a_node_of_an_older_image_is_no_node_without_a_lease(lab: Lab) -> None:
    lab.ask_for_an_address()
    lab.farmd()
    lab.ask(lab.node, f"/nodes/{HYPHENS}.json?kernel=1.00&agent=2.00")
    until(lambda: (found := lab.machine()) and found.stage is Stage.AGENT, "its question is not seen")
    found = lab.machine()
    assert found is not None
    assert (found.address, found.verified) == ("", False)
