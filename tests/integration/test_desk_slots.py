"""A machine gives fewer slots while somebody uses it: real iceccds and units; what logind says is made up."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from farm.config import FIRST_KIND, Config
from farm.home import Home
from farm.instance import Instance
from farm.node.desk import STATE
from farm.node.desk.keep_slots import set_up
from farm.node.ports import ICECCD_PORT, SPARE_ICECCD_PORT
from farm.node.roles.compile import ENVIRONMENT, iceccd_environment
from farm.scheduler.control import ListedNode, list_nodes
from farm.virtual.namespace import icecc_folder
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces, until
from tests.workstation import Workstation, workstation

SERVER, NODE = "10.99.61.1", "10.99.61.2"
CONFIG = Config(name="test", address=f"{SERVER}/24")
IMAGES = Path(__file__).parents[2] / "images"
DESK_UNITS = IMAGES / "fat-client/root/etc/systemd/system"
ICECCD = IMAGES / "compile/root/etc/systemd/system/iceccd.service"
UNITS = ("iceccd.service", "iceccd-spare.service", "farm-desk.service")
LOGINCTL = """#!/bin/sh
case $1 in
  list-sessions) test ! -e /run/systemd/sessions/3 || echo 3 1001 anna seat0 ;;
  show-session) cat /run/systemd/sessions/3 ;;
esac
"""
LONG = """
constexpr unsigned sum(unsigned n) { unsigned s = 0; for (unsigned i = 0; i < n; i++) s += i ^ s; return s; }
static_assert(sum(1500000) != 1);
"""
"""Some seconds of work, in which its compiler can be found and stopped."""
LIMITS = ("-fconstexpr-loop-limit=2000000", "-fconstexpr-ops-limit=90000000")
SESSION = "Id=3\nClass=user\nSeat=seat0\nState=active\nIdleHint=no\nIdleSinceHintMonotonic=0\nLockedHint=no\n"


@dataclass(frozen=True)
class Desk:
    server: Namespace
    machine: Workstation
    home: Home
    sources: Path

    def log_in(self) -> None:
        self.machine.run("sh", "-c", f"printf '{SESSION}' > /run/systemd/sessions/3", root=True)

    def log_out(self) -> None:
        self.machine.run("rm", "/run/systemd/sessions/3", root=True)

    def state(self) -> dict[str, object]:
        said = self.machine.run("cat", f"/{STATE}", root=True, check=False).stdout
        return json.loads(said) if said else {}

    def daemon(self, name: str) -> ListedNode | None:
        return next((each for each in self.server.gather(list_nodes(SERVER, 8765)) if each.name == name), None)

    def slots(self) -> dict[str, int]:
        """Of the machine's daemons at the scheduler."""
        listed = self.server.gather(list_nodes(SERVER, 8765))
        return {each.name: each.max_jobs for each in listed if each.name.startswith("pc01")}

    def gets_jobs(self, name: str) -> bool:
        found = self.daemon(name)
        return found is not None and found.load < 1000

    def compile(self, part: str, host: str = "") -> subprocess.Popen[bytes]:
        """Compile one file through icecream; icecc tells in PART.icecc where."""
        wish = [f"ICECC_PREFERRED_HOST={host}"] if host else []
        log = [f"ICECC_LOGFILE={self.sources}/{part}.icecc", "ICECC_DEBUG=debug", "ICECC_ENV_COMPRESSION=none"]
        argv = ["icecc", "g++", *LIMITS, "-c", "-o", f"{self.sources}/{part}.o", f"{self.sources}/{part}.cpp"]
        return self.server.start(part, "env", *log, *wish, *argv, icecc_folder=icecc_folder(self.home))

    def end(self, compiling: subprocess.Popen[bytes], part: str) -> list[str]:
        """Wait for it; the ports of the machine to which it was sent, of which one is where it was compiled."""
        assert compiling.wait(timeout=PATIENCE) == 0
        said = (self.sources / f"{part}.icecc").read_text(errors="replace")
        assert "building_local" not in said, said
        return re.findall(rf"Have to use host {NODE}:(\d+)", said)

    def compilers(self) -> list[psutil.Process]:
        """Those that run on the machine."""
        inside = psutil.Process(self.machine.pid).children(recursive=True)
        return [process for process in inside if process.name() == "cc1plus"]


def install(machine: Workstation) -> None:
    """The units of the image, as far as a bare machine can start them."""
    units = machine.etc / "systemd/system"
    for unit in UNITS:
        text = (ICECCD if unit == "iceccd.service" else DESK_UNITS / unit).read_text()
        for absent in ("Wants=farm-node-configure.service\n", "PartOf=farm-node-configure.service\n"):
            text = text.replace(absent, "")
        text = text.replace("/usr/bin/python3 -I", sys.executable)
        (units / unit).write_text(text)
        (units / f"{unit}.d").mkdir(exist_ok=True)
        # How busy the machine is that runs the tests must not matter, as with LEFT_ALONE.
        quiet = "[Service]\nBindReadOnlyPaths=/run/farm/stat:/proc/stat\n"
        (units / f"{unit}.d/test.conf").write_text(
            "[Service]\nEnvironment=PATH=/etc/fake:/usr/bin\n" if "desk" in unit else quiet
        )
    (units / "iceccd.service.d/desk.conf").write_text((DESK_UNITS / "iceccd.service.d/desk.conf").read_text())
    (units / "iceccd.slice").write_text((DESK_UNITS / "iceccd.slice").read_text())
    (machine.etc / "fake").mkdir()
    (machine.etc / "fake/loginctl").write_text(LOGINCTL)
    (machine.etc / "fake/loginctl").chmod(0o755)
    machine.run("systemctl", "daemon-reload", root=True)


def configure(machine: Workstation, folder: Path, stay: int = 1) -> None:
    """What `farm-node configure` leaves in /run: two slots, of which ``stay`` do."""
    made = folder / f"made-{stay}"
    (made / "proc").mkdir(parents=True)
    (made / "proc/meminfo").write_text(f"MemTotal: {4 << 20} kB\nMemAvailable: {4 << 20} kB\n")
    set_up(str(made), slots=2, stay=stay, free_after=600.0)
    settings = {"netname": NETNAME, "scheduler": SERVER, "slots": 2}
    (made / ENVIRONMENT).write_text(iceccd_environment(settings, "pc01", stay))
    (made / "run/farm/stat").write_bytes(Path("/proc/stat").read_bytes())
    machine.run("sh", "-c", f"mkdir -p /run/systemd/sessions && cp -r {made}/run/farm /run/", root=True)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with namespaces(f"{SERVER}/24", f"{NODE}/24") as (server, node):
        home = Home.at(server.folder / "home")
        home.create()
        instance = Instance(
            config=CONFIG, interface="lab0", images={FIRST_KIND: "test"}, started=0.0, namespace=server.name
        )
        instance.save(home)
        sources = server.folder / "sources"
        sources.mkdir(mode=0o777)
        sources.chmod(0o777)
        (sources / "early.cpp").write_text(LONG)
        (sources / "late.cpp").write_text("int late() { return 1; }\n")
        server.scheduler()
        server.iceccd(CONFIG.submitter, SERVER, "--no-remote", "-m", "0", icecc_folder=icecc_folder(home))
        with workstation(node, systemd=True) as machine:
            configure(machine, node.folder)
            install(machine)
            machine.run("systemctl", "start", "iceccd.service", root=True)
            node.wait_for(ICECCD_PORT)
            yield Desk(server, machine, home, sources)


def test_slots_go_when_somebody_comes_and_return(desk: Desk) -> None:
    until(lambda: desk.gets_jobs("pc01") and desk.gets_jobs("pc01.spare"), "all slots are offered")
    assert desk.state() == {"in_use": False, "offered": 2, "ending": 0}

    early = desk.compile("early", host="pc01.spare")
    until(desk.compilers, "the spare slot gets no job")
    compiler = desk.compilers()[0]
    compiler.send_signal(signal.SIGSTOP)
    desk.log_in()
    until(lambda: desk.state() == {"in_use": True, "offered": 1, "ending": 1}, "the slot does not go")
    until(lambda: not desk.gets_jobs("pc01.spare"), "the scheduler still gives it jobs")
    late = desk.compile("late")
    assert desk.end(late, "late") == [str(ICECCD_PORT)], "new jobs go to the slots that stay"
    assert early.poll() is None

    compiler.send_signal(signal.SIGCONT)
    assert desk.end(early, "early") == [str(SPARE_ICECCD_PORT)], "a job that ran has ended where it ran"
    until(lambda: desk.daemon("pc01.spare") is None, "the spare daemon stays")
    assert desk.state() == {"in_use": True, "offered": 1, "ending": 0}

    desk.log_out()
    until(lambda: desk.gets_jobs("pc01.spare"), "the slot does not return")
    assert desk.state() == {"in_use": False, "offered": 2, "ending": 0}


def test_with_none_no_slot_stays(desk: Desk) -> None:
    desk.machine.run("systemctl", "stop", *UNITS, root=True)
    configure(desk.machine, desk.server.folder, stay=0)
    desk.machine.run("systemctl", "start", "iceccd.service", root=True)
    until(lambda: desk.slots() == {"pc01": 0, "pc01.spare": 2}, "not all slots are offered")

    desk.log_in()
    until(lambda: desk.slots() == {"pc01": 0}, "slots stay")
    assert desk.state() == {"in_use": True, "offered": 0, "ending": 0}

    desk.log_out()
    until(lambda: desk.slots() == {"pc01": 0, "pc01.spare": 2}, "the slots do not return")
    assert desk.state() == {"in_use": False, "offered": 2, "ending": 0}
