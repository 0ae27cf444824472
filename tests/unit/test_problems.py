"""What is wrong: what follows from leases and telemetry, and that each problem is documented."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import Config, Dhcp
from farm.events import (
    BootEvent,
    Examined,
    Finding,
    Overlay,
    SchedulerSaid,
    Service,
    ServicesSeen,
    Stage,
    Telemetry,
    TelemetrySeen,
)
from farm.netboot.leases import Lease, parse_leases, used_up
from farm.running import Running
from farm.scheduler.protocol import NodeForged
from farm.state import ANSWERS, Farm, fold, initial
from farm.view.status import build
from tests.scheduler_says import login, up

ROOT = Path(__file__).parents[2]
MAC, ADDRESS = "52:54:00:00:00:01", "10.77.0.57"
RUNNING = Running(config=Config(name="lab"), interface="farm0", image="v1", started=50.0)
DHCP = Dhcp("10.77.0.50", "10.77.0.52")


def test_every_problem_is_documented() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "farm").rglob("*.py"))
    codes = set(re.findall(r'Finding\(\s*"([a-z-]+)"', sources)) | {"history", "memory", "boot-logs", "api-port"}
    page = (ROOT / "docs" / "status-json.md").read_text()
    assert len(codes) > 10
    assert [] == sorted(code for code in codes if f"| `{code}` |" not in page)


# -- addresses

FILE = """1795889999 52:54:00:00:00:01 10.77.0.50 pc01 01:52:54:00:00:00:01
0 52:54:00:00:00:02 10.77.0.51 * *
1795889999 06-52:54:00:00:00:03 10.77.0.52 * ff:00
duid 00:01:00:01:2e:6d
1795889999 2130706433 fd00::1 * 00:01
"""


def test_leases_are_read() -> None:
    assert [("52:54:00:00:00:01", 1795889999), ("52:54:00:00:00:02", 0), ("52:54:00:00:00:03", 1795889999)] == [
        (lease.mac, lease.expires) for lease in parse_leases(FILE)
    ]


@given(st.text(max_size=400) | st.text(st.sampled_from("0123456789abcdef:. \n*"), max_size=400))
def test_any_file_of_leases_is_borne(text: str) -> None:
    assert all(isinstance(lease.address, IPv4Address) for lease in parse_leases(text))


@pytest.mark.parametrize(
    ("last", "expected", "now", "size"),
    [
        ("10.77.0.52", set(), 100.0, 3),
        ("10.77.0.53", set(), 100.0, 0),
        ("10.77.0.52", set(), 2e9, 0),
        ("10.77.0.52", {f"52:54:00:00:00:0{n}" for n in (1, 2, 3)}, 100.0, 0),
        ("10.77.0.52", {f"52:54:00:00:00:0{n}" for n in (1, 2)}, 100.0, 3),
    ],
)
def test_a_range_is_used_up_when_each_address_is_lent_to_somebody(
    last: str, expected: set[str], now: float, size: int
) -> None:
    assert used_up(Dhcp("10.77.0.50", last), parse_leases(FILE), expected, now) == size


def test_an_address_counts_once() -> None:
    same = [Lease(0, f"52:54:00:00:00:0{n}", IPv4Address("10.77.0.50")) for n in range(3)]
    assert used_up(DHCP, same, set(), 0.0) == 0


# -- what a farm's state says


def farm(used: int = 0) -> Farm:
    told = Telemetry(
        farm="lab", name="pc01", mac=MAC, uptime=20.0, iceccd=True, slots=2, overlay=Overlay(512 << 20, used)
    )
    state = initial("lab", {MAC: "pc01"})
    for event in (
        BootEvent(None, 100.0, MAC, ADDRESS),
        BootEvent(Stage.AGENT, 101.0, MAC, ADDRESS),
        up(90.0),
        login(120.0),
        TelemetrySeen(MAC, ADDRESS, told, 121.0),
        ServicesSeen((Service("nginx", "RUNNING", 12, 60.0), Service("scheduler", "RUNNING", 13, 60.0)), 125.0),
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


def test_a_daemon_that_nothing_is_believed_of_is_a_problem() -> None:
    assert codes(fold(farm(), SchedulerSaid(NodeForged(66), 130.0))) == ["forged-login"]
