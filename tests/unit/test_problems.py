"""What is wrong: what follows from leases and telemetry, and that each problem is documented."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farm.config import FIRST_KIND, Config, DhcpConfig, NodesConfig
from farm.config.rules import check
from farm.instance import Instance
from farm.netboot.leases import Lease, addresses, parse_leases, used_up
from farm.scheduler.protocol import NodeForged
from farm.view.from_state import build
from farm.watch.activity import Listed
from farm.watch.events import (
    BootEvent,
    CanarySeen,
    Examined,
    Finding,
    SchedulerSaid,
    ServicesSeen,
    Stage,
    StrangersRefused,
    TelemetryLost,
    TelemetrySeen,
    WatchedService,
)
from farm.watch.node_telemetry import (
    CompileTold,
    GivenFiles,
    LoggedIn,
    Memory,
    Overlay,
    RolesTold,
    SessionTold,
    Telemetry,
)
from farm.watch.state import ANSWERS, Farm, fold, initial
from tests.scheduler_says import login, logout, up

ROOT = Path(__file__).parents[2]
MAC, ADDRESS = "52:54:00:00:00:01", "10.77.0.57"
RUNNING = Instance(config=Config(name="lab"), interface="farm0", images={FIRST_KIND: "v1"}, started=50.0)
DHCP = DhcpConfig("10.77.0.50", "10.77.0.52")


def test_every_problem_is_documented() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "farm").rglob("*.py"))
    codes = set(re.findall(r'Finding\(\s*"([a-z-]+)"', sources)) | {
        "history",
        "memory",
        "boot-logs",
        "api-port",
        "alerts",
    }
    page = (ROOT / "docs" / "status-json.md").read_text()
    assert len(codes) > 10
    assert [] == sorted(code for code in codes if f"| `{code}` |" not in page)


# -- addresses

LONG = "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03"
"""Of InfiniBand; no machine boots by it, but it can take an address."""
FILE = """1795889999 52:54:00:00:00:01 10.77.0.50 pc01 01:52:54:00:00:00:01
0 52:54:00:00:00:02 10.77.0.51 * *
1795889999 20-80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03 10.77.0.52 * ff:00
duid 00:01:00:01:2e:6d
1795889999 2130706433 fd00::1 * 00:01
"""


def test_leases_are_read() -> None:
    assert [("52:54:00:00:00:01", 1795889999), ("52:54:00:00:00:02", 0), (LONG, 1795889999)] == [
        (lease.mac, lease.expires) for lease in parse_leases(FILE)
    ]
    assert {"52:54:00:00:00:01": "10.77.0.50", "52:54:00:00:00:02": "10.77.0.51"} == addresses(parse_leases(FILE), 100)


def test_of_a_machines_leases_the_one_that_lasts_longest_counts() -> None:
    text = """109 52:54:00:00:00:01 10.77.0.57 pc01 01:52:54:00:00:00:01
105 52:54:00:00:00:01 10.77.0.58 * *
95 52:54:00:00:00:02 10.77.0.59 * *
0 52:54:00:00:00:03 10.77.0.60 * *
109 52:54:00:00:00:04 10.77
109 52:54:00:00:00:04 10.77.0.999 * *
"""
    assert {"52:54:00:00:00:01": "10.77.0.57", "52:54:00:00:00:03": "10.77.0.60"} == addresses(parse_leases(text), 100)


@given(st.text(max_size=400) | st.text(st.sampled_from("0123456789abcdef:. \n*"), max_size=400))
def test_any_file_of_leases_is_borne(text: str) -> None:
    assert all(isinstance(lease.address, IPv4Address) for lease in parse_leases(text))


@pytest.mark.parametrize(
    ("last", "expected", "now", "size"),
    [
        ("10.77.0.52", set(), 100.0, 3),
        ("10.77.0.53", set(), 100.0, 0),
        ("10.77.0.52", set(), 2e9, 0),
        ("10.77.0.51", {f"52:54:00:00:00:0{n}" for n in (1, 2)}, 100.0, 0),
        ("10.77.0.52", {f"52:54:00:00:00:0{n}" for n in (1, 2)}, 100.0, 3),
    ],
)
def test_a_range_is_used_up_when_each_address_is_lent_to_somebody(
    last: str, expected: set[str], now: float, size: int
) -> None:
    assert used_up(DhcpConfig("10.77.0.50", last), parse_leases(FILE), expected, now) == size


def test_an_address_counts_once() -> None:
    same = [Lease(0, f"52:54:00:00:00:0{n}", IPv4Address("10.77.0.50")) for n in range(3)]
    assert used_up(DHCP, same, set(), 0.0) == 0


# -- what a farm's state says


def farm(used: int = 0, available: int = 500 << 20, session: SessionTold | None = None) -> Farm:
    told = Telemetry(
        farm="lab", name="pc01", mac=MAC, uptime=20.0, memory=Memory(1 << 30, available),
        overlay=Overlay(512 << 20, used),
    )  # fmt: skip
    state = initial("lab", {MAC: "pc01"})
    for event in (
        BootEvent(None, 100.0, MAC, ADDRESS),
        BootEvent(Stage.AGENT, 101.0, MAC, ADDRESS),
        up(90.0),
        login(120.0),
        TelemetrySeen(MAC, ADDRESS, told, 121.0, RolesTold(CompileTold(ready=True, slots=2), session)),
        ServicesSeen(
            (WatchedService("nginx", "RUNNING", 12, 60.0), WatchedService("scheduler", "RUNNING", 13, 60.0)), 125.0
        ),
    ):
        state = fold(state, event)
    return state


def codes(state: Farm) -> list[str]:
    return [each.code for each in build(state, RUNNING).findings]


def test_a_node_without_room_for_a_job_is_named_with_what_helps() -> None:
    assert codes(farm(400 << 20)) == []
    full = build(farm(500 << 20), RUNNING)
    assert [each.code for each in full.findings] == ["node-full"]
    assert "sudo farm node reboot pc01" in full.problems[0]
    assert codes(farm(0, 200 << 20)) == []
    assert codes(farm(0, 20 << 20)) == ["node-full"]


def test_a_desk_in_use_is_named_before_it_is_full() -> None:
    used = SessionTold(ready=True, users=[LoggedIn("alice", 1.0)])
    assert codes(farm(430 << 20, session=used)) == ["desk-nearly-full"]
    assert codes(farm(0, 90 << 20, session=used)) == ["desk-nearly-full"]
    assert codes(farm(0, 20 << 20, session=used)) == ["node-full"]
    assert codes(farm(430 << 20, session=SessionTold(ready=True))) == []
    assert codes(farm(300 << 20, session=used)) == []
    said = build(farm(0, 90 << 20, session=used), RUNNING).problems[0]
    assert said.startswith("The RAM of pc01, where somebody is logged in, is nearly full: 90.0 MiB of memory")


def test_a_node_that_the_scheduler_counts_on_and_that_does_not_answer_is_named() -> None:
    silent = fold(farm(), TelemetryLost(MAC, 130.0))
    status = build(silent, RUNNING)
    assert [each.code for each in status.findings] == ["node-silent"]
    assert status.problems[0].startswith("pc01 does not answer")
    assert codes(fold(silent, logout(140.0))) == [], "a machine that was switched off is no problem"


def test_a_service_that_is_silent_is_no_other_than_it_was_called() -> None:
    silent = fold(farm(), Examined(ANSWERS, (Finding("service-silent", "timed out", "", "scheduler"),)))
    status = build(silent, RUNNING)
    assert [each.code for each in status.findings] == ["service-silent"]
    assert (status.scheduler.up, status.scheduler.why) == (False, "timed out")
    assert {each.name: each.silent for each in status.services} == {"nginx": "", "scheduler": "timed out"}
    assert codes(fold(silent, Examined(ANSWERS, ()))) == []


def test_what_a_probe_finds_stays_until_it_finds_it_no_more() -> None:
    found = fold(farm(), Examined("ground", (Finding("disk-full", "Full.", "Make room."),)))
    assert build(found, RUNNING).problems == ["Full. Make room."]
    assert codes(fold(found, Examined("dhcp", ()))) == ["disk-full"]
    assert codes(fold(found, Examined("ground", ()))) == []


def settings(strangers: Literal["allow", "warn", "block"] = "warn", *known: str) -> Instance:
    return replace(RUNNING, config=Config(name="lab", nodes=NodesConfig(strangers=strangers, known=[*known])))


def with_guest(slots: int = 4) -> Farm:
    return fold(farm(), login(130.0, 66, "guest", "10.77.0.66", slots))


def about(state: Farm, instance: Instance) -> list[tuple[str, str]]:
    return [(each.code, each.about) for each in build(state, instance).findings]


def test_a_daemon_that_is_no_machine_of_the_farm_is_named_when_it_takes_jobs() -> None:
    named = [("stranger", "guest@10.77.0.66")]
    assert about(with_guest(), settings()) == named
    assert about(with_guest(slots=0), settings()) == []
    assert about(with_guest(), settings("allow")) == []
    assert about(with_guest(), settings("block")) == named
    for known in ("10.77.0.66", "10.77.0.64/26", "0.0.0.0/0"):
        assert about(with_guest(), settings("warn", known)) == []
    assert about(with_guest(), settings("warn", "10.77.0.67", "10.77.0.0/26")) == named


def test_a_machine_that_only_has_a_lease_is_no_node_yet() -> None:
    leased = fold(with_guest(), BootEvent(None, 131.0, "52:54:00:00:00:66", "10.77.0.66"))
    assert about(leased, settings()) == [("stranger", "guest@10.77.0.66")]
    asked = fold(leased, BootEvent(Stage.AGENT, 132.0, "52:54:00:00:00:66", "10.77.0.66"))
    assert about(asked, settings()) == []


def test_a_name_is_no_proof_of_a_node() -> None:
    rogue = fold(farm(), login(130.0, 66, "pc01", "10.77.0.66"))
    assert about(rogue, settings()) == [("stranger", "pc01@10.77.0.66")]


def test_whoever_makes_other_objects_is_named_even_if_known() -> None:
    wrong = fold(with_guest(), CanarySeen(("guest", "10.77.0.66"), "wrong"))
    assert about(wrong, settings("allow", "10.77.0.66")) == [("wrong-objects", "guest@10.77.0.66")]
    assert fold(wrong, CanarySeen(("nobody", ""), "wrong")) is wrong


def test_whom_farmd_has_blocked_is_named_while_it_is() -> None:
    refused = fold(farm(), StrangersRefused(frozenset(["10.77.0.66", "10.77.0.67"])))
    blocked = fold(refused, SchedulerSaid(Listed((), ("10.77.0.66", "pc09")), 131.0))
    assert about(blocked, settings("block")) == [("stranger-blocked", "10.77.0.66")]


def test_many_strangers_are_counted() -> None:
    crowd = farm()
    for number in range(9):
        crowd = fold(crowd, login(130.0, 70 + number, f"guest{number}", f"10.77.0.7{number}"))
    said = build(crowd, settings()).problems
    assert (len(said), said[-1].partition(" more")[0]) == (5, "5")


def test_known_addresses_must_be_some() -> None:
    wrong = [each.place for each in check(settings("warn", "10.77.0.20", "300.1.1.1", "10.0.0.0/40").config)]
    assert wrong == [("nodes", "known", 1), ("nodes", "known", 2)]


def test_a_daemon_that_nothing_is_believed_of_is_a_problem() -> None:
    assert codes(fold(farm(), SchedulerSaid(NodeForged(66), 130.0))) == ["forged-login"]


def test_a_node_without_a_file_that_it_was_given_is_named() -> None:
    state = farm()
    node = state.nodes[MAC]
    assert node.telemetry and node.told
    files = GivenFiles(1, {"/etc/motd": "HTTP: 404\x1b"})
    told = replace(node.telemetry, files=files)
    found = build(fold(state, TelemetrySeen(MAC, ADDRESS, told, 126.0, node.told)), RUNNING).findings
    assert ["node-files"] == [each.code for each in found]
    assert "pc01 did not get all files: no /etc/motd, HTTP: 404" in found[0].what
    assert "\x1b" not in found[0].what
