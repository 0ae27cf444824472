"""farmd against the real dnsmasq, nginx, icecc-scheduler, iceccd and a node's agent, in namespaces of its own."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from farm.api.client import fetch_status
from farm.config import FIRST_KIND, Config, DhcpConfig, MachineConfig
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance, VirtualMachine
from farm.netboot.render import dnsmasq_conf, nginx_conf
from farm.netboot.settings import machine_document
from farm.view.status import NodeStatus, Status
from farm.watch.events import BOOT_STAGES, Stage
from tests.lab import PATIENCE, Namespace, namespaces, until

SERVER = "10.99.3.1"
MAC = "52:54:00:00:00:01"
HYPHENS = "52-54-00-00-00-01"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfarm farm@server"


class Lab:
    """A farm's server in one namespace, a machine in the other; no kernel is booted, all else is real."""

    def __init__(self, server: Namespace, node: Namespace) -> None:
        self.server, self.node = server, node
        self.home = Home.at(server.folder / "home")
        self.home.create()
        self.config = Config(name="lab", address=f"{SERVER}/24", dhcp=DhcpConfig("10.99.3.50", "10.99.3.60"))
        machines = [VirtualMachine("pc01", MAC, "tap1")]
        Instance(
            config=self.config, interface="lab0", images={FIRST_KIND: "v1"}, started=time.time() - 1, machines=machines
        ).save(self.home)

    def serve(self, roles: Sequence[str] = ("compile",)) -> None:
        """Start DHCP, HTTP and the scheduler; a machine that asks is for these roles."""
        (self.home.runtime / "nginx.conf").write_text(nginx_conf(self.config, self.home))
        (self.home.runtime / "dnsmasq.conf").write_text(dnsmasq_conf(self.config, self.home, "lab0"))
        machine = MachineConfig(mac=MAC, name="pc01", slots=3)
        self.file(f"nodes/{HYPHENS}.json", json.dumps(machine_document(self.config, machine, KEY, roles)))
        self.file("boot/start.ipxe", "#!ipxe")
        self.file("images/v1/kernel", "x" * 1000)
        self.server.start("nginx", "nginx", "-c", str(self.home.runtime / "nginx.conf"))
        self.server.start("dnsmasq", "dnsmasq", "--keep-in-foreground", f"--conf-file={self.home.runtime}/dnsmasq.conf")
        self.server.wait_for(8069)
        self.server.scheduler()

    def file(self, name: str, content: str) -> None:
        path = self.home.http / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def farmd(self) -> subprocess.Popen[bytes]:
        process = self.server.start("farmd", sys.executable, "-m", "farm.daemon", "--home", str(self.home.directory))
        until(lambda: self.status(), "farmd does not answer")
        return process

    def status(self) -> Status | None:
        with contextlib.suppress(FarmError):
            return fetch_status(self.home)
        return None

    def machine(self) -> NodeStatus:
        status = fetch_status(self.home)
        return next(node for node in status.nodes if node.mac == MAC)

    def reaches(self, stage: Stage) -> None:
        until(lambda: self.machine().stage is stage, f"the node is not {stage}: {self.server.log('farmd')}")

    def dhcp(self) -> None:
        """Ask for an address, as a machine does that is switched on."""
        client = Path(sys.executable).with_name("pyroute2-dhcp-client")
        folder = self.node.folder / "dhcp"
        folder.mkdir(exist_ok=True)
        self.node.start("dhcp", "sh", "-c", f"cd {folder} && exec {client} lab0")
        until(lambda: self.address(), "no address from DHCP")

    def address(self) -> str:
        links = json.loads(self.node.run("ip", "-json", "address", "show", "lab0").stdout)
        return next((each["local"] for each in links[0]["addr_info"] if each["family"] == "inet"), "")

    def fetch(self, path: str) -> None:
        self.node.run("curl", "--noproxy", "*", "-fsS", "-o", "/dev/null", f"http://{SERVER}:8069{path}")

    def configure(self) -> Path:
        root = self.node.folder / "root"
        (root / "proc").mkdir(parents=True)
        (root / "run/farm/upper").mkdir(parents=True)
        cmdline = f"BOOTIF=01-{HYPHENS} farm.server={SERVER} farm.http=8069 farm.image=v1"
        (root / "proc/cmdline").write_text(cmdline)
        up, self.kernel_started = math.modf(time.clock_gettime(time.CLOCK_BOOTTIME))
        (root / "run/farm/boot").write_text(f"kernel {up:.2f}\nnic {up:.2f}\nroot {up:.2f}\n")
        self.node.run(*self.own_uptime(), "--uts", sys.executable, "-m", "farm.node", "configure", "--root", str(root))
        return root

    def own_uptime(self) -> list[str]:
        """An argv prefix: to the machine it shall seem that its kernel has just started."""
        return ["unshare", "--time", "--boottime", f"-{self.kernel_started:.0f}", "--fork", "--kill-child=SIGTERM"]

    def agent(self, root: Path) -> subprocess.Popen[bytes]:
        return self.node.start(
            "agent", *self.own_uptime(), sys.executable, "-m", "farm.node", "agent", "--root", str(root)
        )


@pytest.fixture
def lab() -> Iterator[Lab]:
    with namespaces(f"{SERVER}/24", "10.99.3.200/24") as (server, node):
        node.run("ip", "address", "flush", "dev", "lab0")
        node.run("ip", "link", "set", "lab0", "address", MAC)
        yield Lab(server, node)


def test_a_machine_comes_up_and_is_known_at_every_stage(lab: Lab) -> None:
    lab.serve()
    farmd = lab.farmd()
    assert (lab.machine().stage, lab.machine().name, lab.machine().known) == (Stage.OFF, "pc01", True)
    lab.dhcp()
    lab.reaches(Stage.POWERED)
    lab.fetch("/boot/start.ipxe")
    lab.reaches(Stage.LOADER)
    lab.fetch(f"/images/v1/kernel?mac={HYPHENS}")
    lab.reaches(Stage.KERNEL)
    root = lab.configure()
    lab.reaches(Stage.AGENT)
    iceccd = lab.node.iceccd("pc01", SERVER, "-m", "3")
    agent = lab.agent(root)
    lab.reaches(Stage.READY)
    machine = lab.machine()
    assert list(machine.stages) == list(BOOT_STAGES)
    times = [machine.stages[stage] for stage in BOOT_STAGES[1:5]]
    assert times == sorted(times)
    assert (machine.address, machine.image, machine.verified, machine.outdated) == (lab.address(), "v1", True, False)
    assert machine.fetched >= 1000
    assert machine.host is not None
    assert machine.host.slots == 3
    until(lambda: lab.machine().telemetry, "no telemetry")

    memory = lab.home.runtime / "farmd.json"
    until(lambda: memory.exists() and b"ready" in memory.read_bytes(), "farmd writes nothing down")
    farmd.kill()
    farmd.wait()
    lab.farmd()
    lab.reaches(Stage.READY)
    assert lab.machine().stages == machine.stages

    for process in psutil.Process(agent.pid).children():  # unshare itself does not heed SIGTERM
        process.terminate()
    lab.node.stop(agent)
    lab.node.stop(iceccd)
    lab.reaches(Stage.LOST)
    lab.fetch("/boot/start.ipxe")
    lab.reaches(Stage.LOADER)


def test_a_machine_that_does_not_compile_is_ready_with_its_agent_and_never_logs_in(lab: Lab) -> None:
    lab.serve(roles=())
    farmd = lab.farmd()
    lab.dhcp()
    lab.fetch("/boot/start.ipxe")
    lab.fetch(f"/images/v1/kernel?mac={HYPHENS}")
    root = lab.configure()
    assert not (root / "run/farm/iceccd.env").exists()
    agent = lab.agent(root)
    lab.reaches(Stage.READY)
    machine = lab.machine()
    assert (None, (), True) == (machine.compile, machine.roles, machine.verified)
    assert Stage.REGISTERED not in machine.stages
    assert machine.telemetry

    memory = lab.home.runtime / "farmd.json"
    until(lambda: memory.exists() and b"ready" in memory.read_bytes(), "farmd writes nothing down")
    for process in psutil.Process(agent.pid).children():
        process.terminate()
    lab.node.stop(agent)
    lab.reaches(Stage.LOST)
    farmd.kill()
    farmd.wait()
    lab.farmd()
    lab.reaches(Stage.LOST)


def test_a_stranger_is_shown_and_changes_nothing(lab: Lab) -> None:
    lab.node.run("ip", "address", "add", "10.99.3.200/24", "dev", "lab0")
    lab.farmd()
    before = lab.machine()
    text = {"farm": "lab", "mac": MAC, "slots": "99", "stage": "ready"}
    kind = "_farm-node._tcp.local."
    address = [socket.inet_aton("10.99.3.200")]
    info = ServiceInfo(kind, f"pc01.{kind}", addresses=address, port=9105, properties=text, server="pc01.local.")

    def advertise() -> None:
        zeroconf = Zeroconf(interfaces=["10.99.3.200"], ip_version=IPVersion.V4Only)
        zeroconf.register_service(info)
        until(lambda: fetch_status(lab.home).strangers, "the stranger is not seen")
        zeroconf.unregister_service(info)
        zeroconf.close()

    lab.node.call(advertise)
    assert lab.machine() == before
    until(lambda: not fetch_status(lab.home).strangers, "the stranger stays")


def test_the_farm_says_that_it_is_there(lab: Lab) -> None:
    lab.node.run("ip", "address", "add", "10.99.3.200/24", "dev", "lab0")
    lab.farmd()

    def ask() -> ServiceInfo | None:
        zeroconf = Zeroconf(interfaces=["10.99.3.200"], ip_version=IPVersion.V4Only)
        try:
            return zeroconf.get_service_info("_farm._tcp.local.", "lab._farm._tcp.local.", timeout=60000)
        finally:
            zeroconf.close()

    info = lab.node.call(ask)
    assert info is not None
    assert info.decoded_properties["scheduler"] == f"{SERVER}:8765"


def test_farmd_lives_without_what_it_watches(lab: Lab) -> None:
    farmd = lab.farmd()
    until(lambda: fetch_status(lab.home).scheduler.why, "farmd does not look for the scheduler")
    until(lambda: "services are not running" in " ".join(fetch_status(lab.home).problems), "that is no problem")
    assert fetch_status(lab.home).scheduler.up is False
    shutil.rmtree(lab.home.logs)
    assert farmd.poll() is None
    farmd.terminate()
    assert farmd.wait(timeout=PATIENCE) == 0


def farm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from farm.cli import main; main()", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_command_line_tells_what_farmd_knows_and_does_without_it(lab: Lab) -> None:
    farmd = lab.farmd()
    told = farm("--home", lab.server.folder / "home", "status", "--json")
    assert told.returncode == 3
    status = json.loads(told.stdout)
    assert (status["schema"], status["farmd"], status["nodes"][0]["name"]) == (2, True, "pc01")
    assert "pc01" in farm("--home", lab.server.folder / "home", "node", "list").stdout
    lab.server.stop(farmd)
    told = farm("--home", lab.server.folder / "home", "status")
    assert told.returncode == 3
    assert "farmd does not answer" in told.stdout
    assert farm("--home", lab.server.folder / "home", "node", "list").returncode == 1


def test_without_a_farm_the_command_line_says_so(tmp_path: Path) -> None:
    told = farm("--home", tmp_path, "status")
    assert (told.returncode, "The farm is not up." in told.stderr) == (1, True)


def test_without_a_farm_farmd_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "farm.daemon", "--home", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "The farm is not up." in done.stderr
