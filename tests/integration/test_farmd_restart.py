"""farmd that ends and comes back, and logs that grow, are lost, or cannot be written: real daemons in namespaces."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from farm.api.answers import Builds
from farm.api.client import fetch_status
from farm.config import FIRST_KIND, Config, DhcpConfig
from farm.daemon import follow
from farm.errors import FarmError
from farm.history.build_records import Build
from farm.home import Home
from farm.instance import Instance, VirtualMachine
from farm.netboot.render import dnsmasq_conf, nginx_conf
from farm.supervisor import Service, Supervisor
from farm.unix_http import UnixHTTPConnection
from farm.view.status import NodeStatus
from farm.watch.events import Stage
from farm.watch.state import MAX_GUESTS
from tests.lab import PATIENCE, Namespace, namespaces, until

SERVER = "10.99.5.1"
MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


class Lab:
    """dnsmasq, nginx and farmd under the farm's supervisord; a machine that asks them."""

    def __init__(self, server: Namespace, node: Namespace, folder: Path) -> None:
        self.server, self.node = server, node
        self.home = Home.at(folder / "home")
        self.home.create()
        self.supervisor = Supervisor(self.home)
        self.config = Config(name="lab", address=f"{SERVER}/24", dhcp=DhcpConfig("10.99.5.50", "10.99.5.60"))
        self.instance = Instance(
            config=self.config, interface="lab0", images={FIRST_KIND: "v1"}, started=time.time() - 1,
            machines=[VirtualMachine("pc01", MAC, "tap1")],
        )  # fmt: skip
        self.instance.save(self.home)
        for name, content in (("boot/start.ipxe", "#!ipxe"), ("images/v1/kernel", "x" * 1000)):
            path = self.home.http / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def serve(self) -> None:
        """Bring the services up; twice does no harm."""
        run = self.home.runtime
        (run / "nginx.conf").write_text(nginx_conf(self.config, self.home))
        (run / "dnsmasq.conf").write_text(dnsmasq_conf(self.config, self.home, "lab0"))
        services = [
            Service("nginx", ["nginx", "-c", str(run / "nginx.conf")]),
            Service("dnsmasq", ["dnsmasq", "--keep-in-foreground", f"--conf-file={run}/dnsmasq.conf"]),
            Service("farmd", [sys.executable, "-m", "farm.daemon", *self.home.options]),
        ]
        self.supervisor.converge(services, prefix=["ip", "netns", "exec", self.server.name])
        self.server.wait_for(8069)
        until(self.machines, "farmd does not answer")

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Let farmd end, and come back by itself."""
        pid = self.pid("farmd")
        os.kill(pid, how)
        until(lambda: self.pid("farmd") not in (0, pid), "supervisord does not start farmd again")
        until(self.machines, "farmd does not answer")

    def pid(self, name: str) -> int:
        return next(each.pid for each in self.supervisor.status() if each.name == name)

    def machines(self) -> dict[str, NodeStatus]:
        with contextlib.suppress(FarmError):
            return {node.mac: node for node in fetch_status(self.home).nodes}
        return {}

    def problems(self) -> str:
        with contextlib.suppress(FarmError):
            return " ".join(fetch_status(self.home).problems)
        return ""

    def builds(self) -> list[Build]:
        connection = UnixHTTPConnection(self.home.farmd_socket, PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/builds")
            return msgspec.json.decode(connection.getresponse().read(), type=Builds).builds

    def power_on(self, mac: str) -> None:
        """Ask for an address, as a machine does that is switched on."""
        self.node.run("ip", "address", "flush", "dev", "lab0")
        self.node.run("ip", "link", "set", "lab0", "address", mac)
        client = Path(sys.executable).with_name("pyroute2-dhcp-client")
        folder = self.node.folder / mac.replace(":", "")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        process = self.node.start("dhcp", "sh", "-c", f"cd {folder} && exec {client} lab0")
        until(lambda: "10.99.5." in self.node.run("ip", "-4", "address", "show", "lab0").stdout, "no address from DHCP")
        self.node.stop(process)

    def fetch(self, path: str) -> None:
        self.node.run("curl", "--noproxy", "*", "-fsS", "-o", "/dev/null", f"http://{SERVER}:8069{path}")

    def boot(self, mac: str) -> None:
        """As far as a machine without a kernel comes."""
        self.power_on(mac)
        self.fetch("/boot/start.ipxe")
        self.fetch(f"/images/v1/kernel?mac={mac.replace(':', '-')}")
        until(lambda: self.stage(mac) is Stage.KERNEL, f"{mac} is not seen to boot")

    def stage(self, mac: str) -> Stage | None:
        machine = self.machines().get(mac)
        return None if machine is None else machine.stage

    def log(self, name: str) -> Path:
        return self.home.logs / name


@contextlib.contextmanager
def lab_at(folder: Path | None = None) -> Iterator[Lab]:
    with namespaces(f"{SERVER}/24", "10.99.5.200/24") as (server, node):
        node.run("ip", "address", "flush", "dev", "lab0")
        lab = Lab(server, node, folder or server.folder)
        try:
            yield lab
        finally:
            lab.supervisor.shutdown()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with lab_at() as lab:
        yield lab


@pytest.mark.parametrize("path", ["/boot/{}.ipxe", "/nodes/{}.json?agent=1"])
def test_machines_that_are_made_up_leave_room_for_real_ones(lab: Lab, path: str) -> None:
    for name, content in (("boot/default.ipxe", "#!ipxe"), ("nodes/default.json", "{}")):
        lab.home.http.joinpath(name).parent.mkdir(exist_ok=True)
        lab.home.http.joinpath(name).write_text(content)
    lab.serve()
    lab.node.run("ip", "address", "add", "10.99.5.201/24", "dev", "lab0")
    lab.fetch(path.format("52-54-01-00-[10-39]-[10-99]"))
    last = "52:54:01:00:39:99"
    until(lambda: last in lab.machines(), "the requests are not seen")
    assert len(lab.machines()) == 1 + MAX_GUESTS
    lab.boot(OTHER)
    assert lab.stage(MAC) is Stage.OFF, "a configured machine is there always"
    lab.node.run("ip", "address", "add", "10.99.5.201/24", "dev", "lab0")
    lab.fetch(path.format("52-54-02-00-[10-39]-[10-99]"))
    until(lambda: last.replace("52:54:01", "52:54:02") in lab.machines(), "the requests are not seen")
    assert len(lab.machines()) == 2 + MAX_GUESTS
    assert lab.stage(OTHER) is Stage.KERNEL


@pytest.mark.parametrize(
    ("logs", "how"),
    [
        ("as they were", signal.SIGTERM),
        ("as they were", signal.SIGKILL),
        ("cut", signal.SIGKILL),
        ("removed", signal.SIGTERM),
    ],
)
def test_a_restarted_farmd_knows_what_it_knew_and_nothing_else(lab: Lab, logs: str, how: signal.Signals) -> None:
    lab.serve()
    lab.boot(MAC)
    lab.power_on(OTHER)
    until(lambda: OTHER in lab.machines() and lab.machines()[OTHER].address, "the lease is not seen")
    memory = lab.home.runtime / "farmd.json"
    until(lambda: OTHER.encode() in memory.read_bytes() and b"kernel" in memory.read_bytes(), "nothing is written down")
    before = lab.machines()
    # A line that was written before it, and is read once only, would make it begin to boot again.
    if logs == "cut":
        for name in ("dnsmasq.log", "nginx-access.log"):
            shutil.copy(lab.log(name), lab.log(f"{name}.1"))
            os.truncate(lab.log(name), 0)
    elif logs == "removed":
        lab.log("dnsmasq.log").unlink()
        lab.log("nginx-access.log").unlink()
    lab.restart(how)
    assert lab.machines() == before


def _written_jobs(home: Home) -> int:
    """How many jobs on nodes the history's file knows."""
    path = home.state / "history.db"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            (count,) = db.execute("SELECT coalesce(sum(remote), 0) FROM builds").fetchone()
        except sqlite3.OperationalError:  # its tables are being made
            return 0
    return int(count)


def test_a_build_in_the_midst_of_which_farmd_is_killed_is_one_build(lab: Lab) -> None:
    lab.server.scheduler()
    lab.serve()
    simulate = [sys.executable, "-m", "farm", "simulate", "--scheduler", f"{SERVER}:8765", "--submitters", "1"]
    process = lab.server.start("simulate", *simulate, "--nodes", "2", "--jobs", "20", "--idle", "0", "--local", "0")
    until(lambda: _written_jobs(lab.home) > 20, "no build is written down")  # what is not goes with a killed farmd
    lab.restart()
    (before,) = lab.builds()
    assert before.jobs > 20
    until(lambda: lab.builds()[0].jobs > before.jobs + 20, "the build does not go on")
    assert [before.id] == [build.id for build in lab.builds()]
    lab.server.stop(process)


def test_logs_do_not_grow_without_bound_and_boots_are_seen_all_the_same(lab: Lab) -> None:
    """They were long before this farmd came, too, and what is in them is years old."""
    old = f"Nov  1 00:00:00 dnsmasq-dhcp[1]: DHCPDISCOVER(lab0) {OTHER}\n"
    request = '{"time":1600000000.000,"address":"10.99.5.50","uri":"/nothing","status":404,"bytes":1}\n'
    for name, line in (("dnsmasq.log", old), ("nginx-access.log", request), ("nginx-error.log", request)):
        with lab.log(name).open("w") as file:
            for _ in range(20):
                file.write(line * ((1 << 20) // len(line)))
    os.utime(lab.log("dnsmasq.log"), (1_500_000_000, 1_500_000_000))
    lab.serve()
    logs = [lab.log(name) for name in ("dnsmasq.log", "nginx-access.log", "nginx-error.log")]
    until(lambda: all(log.stat().st_size <= follow.KEPT_BYTES for log in logs), "the logs stay as long as they are")
    assert all(follow.older(log).stat().st_size <= follow.KEPT_BYTES for log in logs)
    assert lab.stage(OTHER) is None, "a boot of years ago is none of today"
    lab.boot(MAC)
    for log in logs:
        with log.open("a") as file:
            file.write(request * (2 * follow.KEPT_BYTES // len(request)))
    until(lambda: all(log.stat().st_size <= follow.KEPT_BYTES for log in logs), "the logs grow")
    lab.boot(OTHER)
    assert psutil.Process(lab.pid("farmd")).memory_info().rss < 400 << 20


def test_removed_logs_are_made_again(lab: Lab) -> None:
    lab.serve()
    lab.boot(MAC)
    for name in ("dnsmasq.log", "nginx-access.log"):
        lab.log(name).rename(lab.home.logs / f"elsewhere-{name}")
    lab.power_on(OTHER)
    until(lambda: OTHER in lab.machines(), "what goes on in the renamed log is not read")
    until(lambda: lab.log("dnsmasq.log").exists() and lab.log("nginx-access.log").exists(), "the logs stay away")
    lab.fetch(f"/images/v1/kernel?mac={OTHER.replace(':', '-')}")
    until(lambda: lab.stage(OTHER) is Stage.KERNEL, "what goes on in the new logs is not read")


def test_an_address_that_no_log_tells_is_known(lab: Lab) -> None:
    lab.serve()
    os.kill(lab.pid("farmd"), signal.SIGSTOP)
    lab.power_on(OTHER)
    os.truncate(lab.log("dnsmasq.log"), 0)
    os.kill(lab.pid("farmd"), signal.SIGCONT)
    until(lambda: OTHER in lab.machines() and lab.machines()[OTHER].address, "the lease is not known")
    lab.fetch(f"/images/v1/kernel?mac={OTHER.replace(':', '-')}")
    until(lambda: lab.stage(OTHER) is Stage.KERNEL, "the boot is not seen")


def test_a_full_disk_is_said_and_all_goes_on_when_there_is_room() -> None:
    disk = Path(tempfile.mkdtemp(prefix="farm-test-"))  # pytest's folders leave sockets no room for their names
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=True)
    try:
        with lab_at(disk) as lab:
            lab.serve()
            lab.boot(MAC)
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(1 << 16))
            # More than what is left of the last block of dnsmasq's log.
            for _ in range(60):
                lab.node.run("curl", "-s", "-o", "/dev/null", f"tftp://{SERVER}/nothing", check=False)
            until(lambda: "are not logged and not seen" in lab.problems(), "the full disk is not said")
            assert lab.stage(MAC) is Stage.KERNEL
            (disk / "filler").unlink()
            until(lambda: "The disk is full" not in lab.problems(), "it is said still")
            # dnsmasq has given its log up, until it is told to open it again.
            until(lambda: sees(lab, OTHER), "boots are not seen any more", 2 * PATIENCE)
            lab.boot(OTHER)
            assert "Traceback" not in lab.log("farmd.log").read_text()
            memory = lab.home.runtime / "farmd.json"
            until(lambda: OTHER.encode() in memory.read_bytes(), "nothing is written down any more")
            before = lab.machines()
            lab.restart()
            assert lab.machines() == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def sees(lab: Lab, mac: str) -> bool:
    """Whether a machine that asks for an address is seen."""
    lab.power_on(mac)
    return mac in lab.machines()
