"""Every check of `farm doctor` is provoked: those that no other test provokes are here, and a table says where."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from immutables import Map
from msgspec.structs import replace

from farm.config import FIRST_KIND, Config
from farm.config.lts_file import LTS_FILE
from farm.doctor import node as of_node
from farm.doctor.catalogue import CHECKS_BY_PLACE
from farm.doctor.check import Check, Outcome, State
from farm.doctor.server import fleet, log_in_servers, serving
from farm.doctor.server.clock import Jumps
from farm.doctor.server.serving import ServerFacts
from farm.doctor.workstation import compiling, icecream_network
from farm.doctor.workstation.facts import WorkstationFacts, listens_at
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.netboot.lts_copies import serve_lts
from farm.node import doctor as fit
from farm.scheduler.discovery import FoundScheduler
from farm.view.from_state import build
from farm.view.status import Status
from farm.watch.activity import Host
from farm.watch.events import Finding, Stage
from farm.watch.state import Farm, Node
from farm.workstation.local_iceccd import LocalIceccd
from tests.explain_lab import standing_in
from tests.lab import namespaces, until

MAC = "52:54:00:00:00:01"
ADDRESS = "10.99.36.1"
RUNNING = Instance(
    config=Config(name="lab", address=f"{ADDRESS}/24"), interface="lab0", images={FIRST_KIND: "1"}, started=50.0
)


def look(checks: tuple[Check[Any], ...], code: str, facts: Any) -> Outcome:
    (check,) = [each for each in checks if each.code == code]
    return check.look(facts)


# -- a farm's machines, as farmd knows them


def status(stage: Stage = Stage.READY, since: float = 0.0, **more: Any) -> Status:
    node = Node(
        mac=MAC, name="pc01", address="10.99.36.57", stage=stage, since=since, image="1", heard=True, known=True
    )
    return replace(build(Farm(name="lab", nodes=Map({MAC: node})), RUNNING), **more)


def test_a_desk_that_is_nearly_full_is_a_warning(tmp_path: Path) -> None:
    known = status(findings=[Finding("desk-nearly-full", "Nearly.", "", "pc01")])
    found = look(fleet.CHECKS, "nodes-full", ServerFacts(Home.at(tmp_path), RUNNING, status=known))
    assert (found.state, found.command) == (State.WARN, "sudo farm node message pc01 TEXT")


@pytest.mark.parametrize(
    ("code", "known", "cause"),
    [
        ("nodes-lost", status(Stage.LOST), "pc01: was running, and is no longer heard of."),
        ("nodes-ready", status(Stage.KERNEL), "No node takes jobs."),
        ("nodes-full", status(findings=[Finding("node-full", "Full.", "", "pc01")]), "pc01: the RAM for writes"),
        ("nodes-log-ins", status(findings=[Finding("log-ins-fail", "All.", "", "pc01")]), "pc01: all log-ins fail"),
        ("nodes-strangers", status(findings=[Finding("stranger", "Who?", "", "x@10.99.36.66")]), "Unknown daemons"),
    ],
)
def test_nodes(tmp_path: Path, code: str, known: Status, cause: str) -> None:
    found = look(fleet.CHECKS, code, ServerFacts(Home.at(tmp_path), RUNNING, status=known))
    assert (found.state, found.cause[: len(cause)]) == (State.FAIL, cause)
    assert look(fleet.CHECKS, code, ServerFacts(Home.at(tmp_path), RUNNING, status=status())).state is State.OK or (
        code == "nodes-ready"  # without a scheduler nothing is ready
    )


def test_a_boot_that_hangs(tmp_path: Path) -> None:
    node = Node(
        mac=MAC, name="pc01", address="10.99.36.57", stage=Stage.KERNEL, since=50.0, image="1", heard=True, known=True,
        stages={Stage.POWERED: 40.0, Stage.KERNEL: 50.0},
    )  # fmt: skip
    known = build(Farm(name="lab", nodes=Map({MAC: node})), RUNNING)
    found = look(fleet.CHECKS, "nodes-booting", ServerFacts(Home.at(tmp_path), RUNNING, status=known))
    assert found.cause.startswith("pc01 hangs at stage kernel")


def test_a_block_that_was_forgotten(tmp_path: Path) -> None:
    known = status()
    known = replace(known, scheduler=replace(known.scheduler, blocked=["pc01"]))
    found = look(fleet.CHECKS, "nodes-blocked", ServerFacts(Home.at(tmp_path), RUNNING, status=known))
    assert (found.state, found.command) == (State.WARN, "farm node unblock pc01")


def test_images_that_nodes_do_not_check(tmp_path: Path) -> None:
    node = Node(mac=MAC, name="pc01", address="10.99.36.57", stage=Stage.READY, since=0.0, image="0", known=True)
    farm = Farm(name="lab", nodes=Map({MAC: node}))

    def found(unverified: list[str]) -> Outcome:
        running = replace(RUNNING, unverified=unverified)
        facts = ServerFacts(Home.at(tmp_path), running, status=build(farm, running))
        return look(fleet.CHECKS, "images-verified", facts)

    assert (State.WARN, "sudo farm image build icecream-node") == (found(["1"]).state, found(["1"]).command)
    assert (State.WARN, "sudo farm node reboot pc01") == (found(["0"]).state, found(["0"]).command)
    assert State.OK is found(["other"]).state, "neither next boots nor nodes use it"


# -- the server itself


def test_programs_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError, match="Programs are missing"):
        look(serving.CHECKS, "programs", ServerFacts(Home.at(tmp_path), RUNNING))


def test_a_port_that_another_holds(tmp_path: Path) -> None:
    facts = ServerFacts(Home.at(tmp_path), RUNNING)
    port = RUNNING.config.http_port
    with namespaces(f"{ADDRESS}/24") as (one,):
        other = one.start("other", sys.executable, "-m", "http.server", "--bind", ADDRESS, str(port))
        one.wait_for(port)
        with standing_in(one):
            with pytest.raises(FarmError, match=f"TCP port {port}, wanted for HTTP, is in use") as caught:
                look(serving.CHECKS, "ports", facts)
            assert str(other.pid) in f"{caught.value.why} {caught.value.fix}"
            one.stop(other)  # as the advice says
            assert look(serving.CHECKS, "ports", facts).state is State.OK


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk with hardly any room."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_disk_that_is_full(small: Path) -> None:
    home = Home.at(small / "home")
    home.create()
    found = look(serving.CHECKS, "disk", ServerFacts(home, RUNNING))
    assert (found.state, "is almost full" in found.cause) == (State.FAIL, True)


def test_a_clock_that_was_set(tmp_path: Path) -> None:
    class Set(Jumps):
        """The clock belongs to the whole machine: nobody sets it for a test."""

        def seconds(self) -> float:
            return 7.0

    found = look(serving.CHECKS, "clock", ServerFacts(Home.at(tmp_path), RUNNING, jumps=Set()))
    assert (found.state, "+7.0 s" in found.cause) == (State.WARN, True)


def test_an_lts_conf_that_is_not_served_as_it_is_or_has_faults(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    file = home.config.with_name(LTS_FILE)

    def found() -> Outcome:
        return look(serving.CHECKS, "lts-conf", ServerFacts(home, RUNNING))

    assert found().state is State.OK, "there is none"
    file.write_text("[default]\nLDM_LANGUAGE = de_DE.UTF-8\n")
    assert "lts.conf was changed since it was last served." == found().cause
    serve_lts(file, home.http)
    assert found().state is State.OK
    file.write_text("[default]\nLDM_LANGUAGE\n")
    serve_lts(file, home.http)
    assert (State.WARN, "lts.conf has 1 warning.") == (found().state, found().cause)


def test_a_server_of_log_ins_whose_key_is_not_known(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()

    def found() -> Outcome:
        return look(log_in_servers.CHECKS, "log-in-servers", ServerFacts(home, RUNNING))

    assert found().state is State.OK, "none is named"
    home.config.with_name(LTS_FILE).write_text("[default]\nLDM_SERVER = big.lan\n")
    known = home.config.with_name("ssh_known_hosts")
    assert (State.WARN, f"ssh-keyscan big.lan >> {known}") == (found().state, found().command)
    known.write_text("big.lan ssh-ed25519 AAAAC3Nz\n")
    assert found().state is State.OK
    known.write_text("big.lan ssh-ed25519 AAAAC3Nz\n@revoked big.lan ssh-ed25519 AAAAC3Nz\n")
    assert (State.WARN, "ssh_known_hosts:2: @revoked is not supported") == (found().state, found().seen[0][:44])


# -- a workstation


def workstation(**facts: Any) -> WorkstationFacts:
    return WorkstationFacts(environment=dict(os.environ), folder=Path(), **facts)


def test_versions_that_differ() -> None:
    theirs = FoundScheduler(ADDRESS, 8765, 43, 0, "lab")
    facts = workstation(daemon=LocalIceccd("socket", 37), scheduler=theirs)
    assert look(icecream_network.CHECKS, "icecc-version", facts).state is State.WARN
    assert (
        look(icecream_network.CHECKS, "icecc-version", workstation(daemon=LocalIceccd("", 20), scheduler=theirs)).state
        is State.FAIL
    )
    assert (
        look(icecream_network.CHECKS, "icecc-version", workstation(daemon=LocalIceccd("", 43), scheduler=theirs)).state
        is State.OK
    )


def test_no_slot_is_free() -> None:
    busy = Host(name="pc01", address="10.99.36.57", slots=2, running=2)
    facts = workstation(peers=[busy], reachable={listens_at(busy)})
    found = look(compiling.CHECKS, "slots", facts)
    assert (found.state, found.cause) == (State.WARN, "No node has a free slot: builds will wait.")


def test_a_preprocessor_that_cannot_feed_so_many_nodes() -> None:
    room = [Host(name=f"pc{n}", address=f"10.99.{n // 250}.{n % 250}", slots=10_000) for n in range(1000)]
    found = look(compiling.CHECKS, "preprocessor", workstation(peers=room))
    assert (found.state, "preprocessor is the bottleneck" in found.cause) == (State.WARN, True)
    assert "precompiled" not in found.mend, "icecc preprocesses without them"


# -- a node


class Booted:
    """A node's files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.scheduler = root, root / "var/cache/icecc", "127.0.0.1:1"
        (root / "run/farm").mkdir(parents=True)
        self.folder.mkdir(parents=True)
        shutil.chown(self.folder, "icecc")
        self.configure(1)

    def configure(self, slots: int) -> None:
        roles = {"compile": {"slots": slots, "scheduler": self.scheduler}}
        (self.root / "run/farm/node.json").write_text(json.dumps({"name": "pc01", "farm": "lab", "roles": roles}))

    def desk(self, in_use: bool) -> None:
        """What a machine at which people sit notes of its four slots, of which two stay."""
        told = {"settings": {"slots": 4, "stay": 2, "free_after": 600.0}, "state": {"in_use": in_use}}
        for name, content in told.items():
            (self.root / "run/farm/desk").mkdir(exist_ok=True)
            (self.root / f"run/farm/desk/{name}.json").write_text(json.dumps(content))

    def look(self, code: str) -> Outcome:
        findings = fit.examine(str(self.root))
        return look(of_node.CHECKS, code, of_node.NodeFacts(findings=findings))


@pytest.fixture
def booted(tmp_path: Path) -> Booted:
    return Booted(tmp_path)


def test_a_node_without_settings(booted: Booted) -> None:
    (booted.root / "run/farm/node.json").unlink()
    assert booted.look("node-configured").state is State.FAIL
    booted.configure(1)
    assert booted.look("node-configured").state is State.OK


@pytest.mark.parametrize("gone", [False, True])
def test_a_folder_that_is_not_icecreams(booted: Booted, gone: bool) -> None:
    if gone:
        booted.folder.rmdir()
    else:
        shutil.chown(booted.folder, "root")
    found = booted.look("node-folder")
    assert found.state is State.FAIL
    command = found.command.replace("/var/cache/icecc", str(booted.folder))
    subprocess.run(["sh", "-ec", command], check=True)
    assert booted.look("node-folder").state is State.OK


def test_a_node_without_room(booted: Booted) -> None:
    booted.configure(10**7)
    found = booted.look("node-space")
    assert (found.state, "fewer slots" in found.mend) == (State.FAIL, True)
    booted.configure(0)
    shutil.rmtree(booted.folder)
    booted.folder.mkdir()
    booted.configure(1)
    assert booted.look("node-space").state is State.OK


def test_who_does_not_answer_a_node(booted: Booted, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr("farm.node.roles.compile.ICECCD_PORT", port)
        booted.scheduler = f"127.0.0.1:{port}"
        booted.configure(1)
        assert [booted.look(code).state for code in ("node-iceccd", "node-scheduler")] == [State.OK] * 2
    until(lambda: booted.look("node-iceccd").state is State.FAIL, "it still answers")
    assert [booted.look(code).state for code in ("node-iceccd", "node-scheduler")] == [State.FAIL] * 2


def test_the_spare_daemon_of_a_desk_is_missed_while_nobody_sits_there(
    booted: Booted, monkeypatch: pytest.MonkeyPatch
) -> None:
    booted.configure(4)
    assert booted.look("node-iceccd-spare").state is State.SKIPPED
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr("farm.node.roles.compile.SPARE_ICECCD_PORT", listening.getsockname()[1])
        booted.desk(in_use=False)
        assert booted.look("node-iceccd-spare").state is State.OK
    until(lambda: booted.look("node-iceccd-spare").state is State.FAIL, "it still answers")
    booted.desk(in_use=True)
    assert booted.look("node-iceccd-spare").state is State.SKIPPED


def test_a_machine_that_does_not_compile_is_not_asked_for_what_compiling_needs(booted: Booted) -> None:
    (booted.root / "run/farm/node.json").write_text('{"name": "desk", "farm": "lab", "roles": {}}')
    assert ["node-configured", "node-clock"] == [each["code"] for each in fit.examine(str(booted.root))]
    assert booted.look("node-iceccd").state is State.SKIPPED


def test_a_thin_client_without_a_greeter(booted: Booted) -> None:
    (booted.root / "run/farm/node.json").write_text('{"name": "desk", "farm": "lab", "roles": {"session": {}}}')
    assert booted.look("node-greeter").state is State.FAIL, "this machine has none"


def test_a_clock_that_stands_still(booted: Booted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the whole machine's, so the moment is moved with which it is compared."""
    assert booted.look("node-clock").state is State.OK
    monkeypatch.setattr("farm.node.doctor.LONG_AGO", time.time() + 1e6)
    assert booted.look("node-clock").state is State.FAIL


PROVOKED = {
    "interface": "test_doctor_server.py",
    "services": "test_doctor_server.py",
    "rival-dhcp": "test_doctor_server.py",
    "rival-tftp": "test_doctor_server.py",
    "filter": "test_doctor_server.py",
    "images": "test_doctor_server.py",
    "exports": "test_doctor_server.py",
    "other-server": "test_two_servers.py",
    "alerts": "test_server_life.py",
    "session-sshd": "test_session_server.py",
    "session-sshd-settings": "test_session_server.py",
    "session-host-keys": "test_session_server.py",
    "session-desktop": "test_session_server.py",
    "desk-printing": "test_printers.py",
    "print-queues": "test_printers.py",
    "farm-status": "test_doctor_server.py",
    "nodes-image": "../unit/test_doctor.py",
    "icecc-installed": "test_doctor.py",
    "icecc-settings": "test_doctor_advice.py",
    "compiler-path": "test_doctor_advice.py",
    "ccache-order": "test_doctor_advice.py",
    "cmake-cache": "test_doctor_advice.py",
    "iceccd": "test_doctor.py",
    "scheduler": "test_doctor.py",
    "netname": "test_doctor.py",
    "rival-scheduler": "test_doctor.py",
    "iceccd-login": "test_doctor_joined.py",
    "nodes": "test_doctor.py",
    "node-port": "test_doctor.py",
    "node-room": "test_doctor.py",
    "environment": "test_doctor.py",
    "scheduler-to-node": "test_doctor.py",
}
"""The test file that provokes a check; the rest are provoked in this one."""
OUT_OF_REACH = {
    "socket-buffer": "the buffer is the whole machine's",
    "canary": "wants a node that compiles the same source to something else",
    "throughput": "wants a network that is slow whatever the machine does besides",
}


def test_every_check_is_provoked() -> None:
    """A new check has a test, or says why it cannot have one."""
    codes = {check.code for checks in CHECKS_BY_PLACE.values() for check in checks}
    assert PROVOKED.keys() | OUT_OF_REACH.keys() <= codes
    here = Path(__file__)
    for code in codes - OUT_OF_REACH.keys():
        text = (here.parent / PROVOKED.get(code, here.name)).read_text().partition("PROVOKED = ")[0]
        assert f'"{code}"' in text, f"nothing provokes {code}"
