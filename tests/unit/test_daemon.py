from __future__ import annotations

import asyncio
import json
import re
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from farm.cli import attach_options
from farm.cli import node as node_cli
from farm.cli.status import view
from farm.config import FIRST_KIND, Config, MachineConfig
from farm.daemon import memory, watcher
from farm.daemon.follow import MAX_LOG_LINE, Follower, Position
from farm.daemon.sources import Seen
from farm.daemon.watcher import Daemon, known_machines
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance, VirtualMachine
from farm.scheduler import protocol
from farm.view.from_state import build
from farm.view.status import Status
from farm.view.wording import duration, size
from farm.watch.events import (
    Beacon,
    BeaconSeen,
    BootEvent,
    Remembered,
    SchedulerSaid,
    ServicesSeen,
    Stage,
    TelemetrySeen,
    WatchedService,
)
from farm.watch.mdns import parse_beacon
from farm.watch.node_telemetry import CompileTold, Processors, RolesTold, Telemetry
from farm.watch.state import Claim, Farm, fold, initial, resumed
from farm.workstation.choice import AttachTarget
from tests.scheduler_says import done, down, login, up

MAC = "52:54:00:00:00:01"
ADDRESS = "10.77.0.57"
RUNNING = Instance(
    config=Config(name="lab"), interface="farm0", images={FIRST_KIND: "v2"}, started=50.0, namespace="farm-lab"
)


# -- log files


def test_a_log_is_read_from_its_beginning_and_as_it_grows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    follower = Follower(log)
    assert follower.lines() == []
    log.write_text("one\ntwo\nthr")
    assert follower.lines() == ["one", "two"]
    with log.open("a") as file:
        file.write("ee\n")
    assert follower.lines() == ["three"]
    assert follower.lines() == []
    follower.close()
    assert follower.lines() == ["one", "two", "three"]
    follower.close()


def test_a_log_that_is_rotated_or_truncated_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\n")
    follower = Follower(log)
    assert follower.lines() == ["one"]
    with log.open("a") as file:
        file.write("late\n")
    log.rename(tmp_path / "log.1")
    assert follower.lines() == ["late"]
    log.write_text("new\n")
    assert follower.lines() == ["new"]
    log.write_text("")
    assert follower.lines() == []
    log.write_text("again\n")
    assert follower.lines() == ["again"]
    log.unlink()
    assert follower.lines() == []
    follower.close()


def test_lines_of_any_bytes_and_length_are_tolerated(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff\n" + b"x" * (MAX_LOG_LINE + 1) + b"\n\0\n")
    follower = Follower(log)
    assert follower.lines() == ["\ufffd", "\0"]
    follower.close()


# -- advertisements

TEXT: dict[bytes, bytes | None] = {b"farm": b"lab", b"mac": MAC.encode(), b"slots": b"4", b"stage": b"ready"}


def test_an_advertisement_becomes_a_beacon() -> None:
    expected = Beacon("pc01.x", "lab", MAC, ADDRESS, 9105, stage="ready")
    assert parse_beacon("pc01.x", [ADDRESS], 9105, TEXT) == expected


def test_advertisements_that_no_node_makes_are_dropped() -> None:
    assert parse_beacon("x", [], 9105, TEXT) is None
    assert parse_beacon("x", [ADDRESS], None, TEXT) is None
    assert parse_beacon("x" * 300, [ADDRESS], 9105, TEXT) is None
    assert parse_beacon("x\x9b31m", [ADDRESS], 9105, TEXT) is None
    for wrong in ({b"mac": b"x"}, {b"image": b"x" * 200}, {b"farm": b"\x1b[2J"}, {b"mac": None}):
        assert parse_beacon("x", [ADDRESS], 9105, {**TEXT, **wrong}) is None


@given(st.dictionaries(st.sampled_from([b"farm", b"mac", b"slots", b"stage"]), st.none() | st.binary()))
def test_any_text_record_is_tolerated(properties: dict[bytes, bytes | None]) -> None:
    beacon = parse_beacon("x", [ADDRESS], 1, {**TEXT, **properties})
    assert beacon is None or beacon.farm.isprintable()


# -- status


def farm() -> Farm:
    told = Telemetry(farm="lab", name="pc01", mac=MAC, uptime=20.0, image="v1", cpu=Processors([50.0, 100.0]))
    state = initial("lab", {MAC: "pc01", "52:54:00:00:00:02": "pc02"})
    for event in (
        BootEvent(Stage.POWERED, 100.0, MAC),
        BootEvent(None, 100.0, MAC, ADDRESS),
        BootEvent(Stage.KERNEL, 107.0, MAC, ADDRESS, "v1", bytes=1 << 20),
        up(90.0),
        login(120.0),
        login(120.0, 2, "submitter\x1b[31m", "10.77.0.1", 0),
        TelemetrySeen(MAC, ADDRESS, told, 121.0, RolesTold(CompileTold(ready=True))),
        SchedulerSaid(protocol.JobBegun(1, 1, 0), 122.0),
        SchedulerSaid(protocol.JobBegun(2, 1, 0), 122.0),
        SchedulerSaid(done(1), 123.0),
        BeaconSeen(Beacon("evil\x1b]0;x", "lab", "52:54:00:00:00:09", "10.77.0.66", 9105), 124.0),
        ServicesSeen(
            (WatchedService("nginx", "RUNNING", 12, 60.0), WatchedService("dnsmasq", "RUNNING", 13, 60.0)), 125.0
        ),
    ):
        state = fold(state, event)
    return state


def test_the_status_of_a_farm_that_is_well() -> None:
    status = build(farm(), RUNNING)
    assert status.problems == []
    first, second = status.nodes
    assert (first.name, first.stage, first.verified, first.outdated) == ("pc01", Stage.READY, True, True)
    assert first.host is not None
    assert (first.host.jobs_running, first.host.jobs_done) == (1, 1)
    assert (second.name, second.stage) == ("pc02", Stage.OFF)
    assert [host.name for host in status.hosts] == ["submitter\N{REPLACEMENT CHARACTER}[31m"]
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


def problems(state: Farm, instance: Instance = RUNNING, farmd_why: str = "") -> list[str]:
    return build(state, instance, farmd_why).problems


def test_what_is_wrong_is_said() -> None:
    dead = fold(
        farm(),
        ServicesSeen(
            (WatchedService("nginx", "FATAL"), WatchedService("pc01", "EXITED"), WatchedService("x", "STARTING")), 1.0
        ),
    )
    assert [problem.split(" (")[0] for problem in problems(dead)] == [
        "The service nginx is down",
        "The service pc01 is down",
    ]
    lab = replace(RUNNING, machines=[VirtualMachine("pc01", MAC, "tap1")])
    assert len(problems(dead, lab)) == 1
    assert "scheduler does not answer" in problems(fold(farm(), down(130.0)))[0]
    assert "farmd does not answer" in problems(farm(), farmd_why="farmd does not answer.")[0]
    assert "not running" in problems(fold(farm(), ServicesSeen((), 1.0, "no socket")))[0]


def test_the_screen_fits_80_columns_and_obeys_nobody() -> None:
    for width in (80, 200):
        screen = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
        screen.print(view(build(fold(farm(), down(130.0, "[red]gone")), RUNNING), 200.0))
        text = screen.file.getvalue()  # type: ignore[attr-defined]
        assert max(map(len, text.splitlines())) <= width
        assert re.search(r"pc01 +agent +\S+ +10\.77\.0\.57 +.*75% +other", text)
        assert "[red]gone" in text
        assert "\x1b" not in text


def test_names_are_found_by_name_mac_or_address() -> None:
    status = build(farm(), RUNNING)
    for name in ("pc01", MAC, "52-54-00-00-00-01", ADDRESS):
        assert node_cli.find_node(status, name).mac == MAC
    with pytest.raises(FarmError, match="no node pc99"):
        node_cli.find_node(status, "pc99")
    with pytest.raises(FarmError, match="Several"):
        node_cli.find_node(replace(status, nodes=[status.nodes[0]] * 2), "pc01")
    with pytest.raises(FarmError, match=r"The state of the nodes is not known: farmd has another version\.") as caught:
        node_cli.find_node(build(farm(), RUNNING, farmd_why="farmd has another version."), "pc01")
    assert caught.value.fix.startswith("Restart it: sudo farm up.")


def test_a_node_is_shown_stage_by_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # farmd itself is met in tests/integration/test_farmd.py
    monkeypatch.setattr(attach_options, "choose", lambda *_: AttachTarget(how="home"))
    monkeypatch.setattr(node_cli, "look", lambda *_: build(farm(), RUNNING))
    shown = CliRunner().invoke(node_cli.show, ["pc01"], obj=Home.at(tmp_path))
    assert shown.exit_code == 0
    assert re.search(r"kernel +\S+ \S+ +7\.0s +7\.0s", shown.output)
    listed = CliRunner().invoke(node_cli.list_nodes, ["--json"])
    assert [each["mac"] for each in msgspec.json.decode(listed.output)["nodes"]] == [MAC, "52:54:00:00:00:02"]


def test_spans_and_sizes_are_for_people() -> None:
    spans = {-1.0: "0s", 59.4: "59s", 65: "1m05s", 3600: "1h00m", 90000: "1d01h"}
    assert {seconds: duration(seconds) for seconds in spans} == spans
    sizes = {0: "0 B", 2048: "2.0 KiB", 3 << 30: "3.0 GiB", 5 << 40: "5.0 TiB"}
    assert {number: size(number) for number in sizes} == sizes


# -- what outlives farmd


def test_what_no_log_tells_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "farmd.json"
    assert memory.recall(path) == []
    memory.save(path, memory.remember(farm()))
    assert memory.recall(path) == [Remembered(MAC, 100.0, {Stage.REGISTERED: 120.0, Stage.READY: 121.0})]
    for damaged in (b"{", b'{"boots":[{"mac":"\xff","started":1,"stages":{}}]}', b"\xff"):
        path.write_bytes(damaged)
        assert memory.recall(path) == []


def test_machines_are_known_again_but_for_what_is_to_be_heard_anew(tmp_path: Path) -> None:
    path = tmp_path / "farmd.json"
    before, seen = farm(), Seen(9.0, {"dnsmasq.log": Position(1, 5, b"ab")})
    memory.save(path, memory.remember(before, 50.0, seen))
    found = memory.recall_machines(path)
    assert found is not None
    assert (found.started, found.seen) == (50.0, seen)
    again = resumed(initial("lab", {MAC: "pc01", "52:54:00:00:00:03": "pc03"}), found.nodes)
    old, new = before.nodes[MAC], again.nodes[MAC]
    assert (old.stages, old.started, old.address, old.image, old.fetched) == (
        new.stages, new.started, new.address, new.image, new.fetched,
    )  # fmt: skip
    assert (new.stage, new.telemetry, new.host) == (Stage.LOST, None, None)
    assert dict(again.addresses) == {ADDRESS: MAC}
    assert again.nodes["52:54:00:00:00:03"].stage is Stage.OFF, "what is configured since is there"
    assert not again.nodes["52:54:00:00:00:02"].known, "what is configured no more is not"
    for damaged in (b"", b'{"boots":[]}', b'{"boots":[],"machines":{"nodes":[1]}}', b"[" * 5000):
        path.write_bytes(damaged)
        assert memory.recall_machines(path) is None


def test_addresses_that_an_older_farmd_wrote_down_were_leases(tmp_path: Path) -> None:
    path = tmp_path / "farmd.json"
    machines = {"started": 1.0, "seen": {}, "nodes": [{"mac": MAC, "name": "pc01", "address": ADDRESS}]}
    path.write_text(json.dumps({"boots": [], "machines": machines}))
    found = memory.recall_machines(path)
    assert found is not None
    again = resumed(initial("lab", {}), found.nodes)
    assert again.nodes[MAC].leased
    told = Telemetry(farm="lab", name="pc01", mac=MAC, uptime=20.0)
    assert fold(again, TelemetrySeen(MAC, ADDRESS, told, 5.0, RolesTold())).nodes[MAC].verified


def test_claims_outlive_farmd(tmp_path: Path) -> None:
    path = tmp_path / "farmd.json"
    asked = BootEvent(Stage.AGENT, 1.0, MAC, ADDRESS, boot_id="a" * 32)
    before = fold(initial("lab", {}), asked)
    memory.save(path, memory.remember(before, 0.5, Seen()))
    found = memory.recall_machines(path)
    assert found is not None
    assert found.claims == dict(before.claims) == {ADDRESS: Claim(MAC, "a" * 32, 1.0)}


def test_names_of_farm_yaml_go_before_the_labs() -> None:
    machines = [VirtualMachine("vm1", MAC, "tap1"), VirtualMachine("vm2", "52:54:00:00:00:02", "tap2")]
    config = Config(name="lab", machines=[MachineConfig(mac=MAC, name="pc01")])
    instance = replace(RUNNING, config=config, machines=machines)
    assert known_machines(instance) == {MAC: "pc01", "52:54:00:00:00:02": "vm2"}


async def test_what_cannot_be_written_down_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.at(tmp_path)
    home.create()
    daemon = Daemon(home, RUNNING)
    monkeypatch.setattr(watcher, "SAVE_SECONDS", 0.01)
    aside = home.runtime.rename(tmp_path / "aside")
    home.runtime.write_text("no folder")
    writing = asyncio.create_task(daemon._write_down())

    async def until_said(wanted: bool) -> None:
        for _ in range(6000):
            if wanted is any("cannot save its state" in problem for problem in daemon.status().problems):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it is not said" if wanted else "it is said still")

    await until_said(True)
    home.runtime.unlink()
    aside.rename(home.runtime)
    await until_said(False)
    writing.cancel()
    assert memory.recall_machines(home.runtime / "farmd.json") is not None
