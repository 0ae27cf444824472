from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.netboot.boot_logs import parse_dnsmasq, parse_nginx
from farm.netboot.rival import PROBE
from farm.node.contract import BOOT_ID
from farm.node.witness import question
from farm.watch.events import BootEvent, Stage
from farm.watch.refusals import NO_ADDRESS

MAC = "52:54:00:00:00:01"
HYPHENS = "52-54-00-00-00-01"
NOW = datetime(2026, 11, 23, 2, 0, 0).timestamp()
STAMP = "Nov 23 01:28:22"
TIME = datetime(2026, 11, 23, 1, 28, 22).timestamp()


def dhcp(text: str, stamp: str = STAMP, now: float = NOW) -> BootEvent | None:
    return said(f"{stamp} dnsmasq-dhcp[123]: {text}", now)


def said(line: str, now: float = NOW) -> BootEvent | None:
    return next(iter(parse_dnsmasq([line], now)), None)


def access(uri: str, status: int = 200, address: str = "10.77.0.57") -> BootEvent | None:
    return parse_nginx(f'{{"time": 100.5, "address": "{address}", "uri": "{uri}", "status": {status}, "bytes": 7}}\n')


def test_a_discover_is_a_machine_that_is_powered_on() -> None:
    assert BootEvent(Stage.POWERED, TIME, mac=MAC) == dhcp(f"DHCPDISCOVER(farm0) {MAC}")
    assert BootEvent(Stage.POWERED, TIME, mac=MAC) == dhcp(f"DHCPDISCOVER(farm0) 10.77.0.57 {MAC}")


@pytest.mark.parametrize("asked", [f"10.77.0.57 {MAC}", MAC])
def test_a_discover_that_brought_no_address_is_a_refusal_and_no_stage(asked: str) -> None:
    expected = BootEvent(None, TIME, mac=MAC, refused=NO_ADDRESS)
    assert expected == dhcp(f"DHCPDISCOVER(farm0) {asked} no address available")


def test_an_ack_tells_the_address() -> None:
    assert BootEvent(None, TIME, mac=MAC, address="10.77.0.57") == dhcp(f"DHCPACK(farm0) 10.77.0.57 {MAC} pc01")
    assert BootEvent(None, TIME, mac=MAC, address="10.77.0.57") == dhcp(f"123 DHCPACK(farm0) 10.77.0.57 {MAC.upper()}")


def test_a_search_for_other_dhcp_servers_is_no_machine() -> None:
    mac = (PROBE + b"\x07").hex(":")
    assert dhcp(f"DHCPDISCOVER(farm0) {mac}") is None


def test_other_dhcp_lines_are_no_events() -> None:
    for text in (
        f"DHCPREQUEST(farm0) 10.77.0.57 {MAC}",
        f"DHCPOFFER(farm0) 10.77.0.57 {MAC}",
        "DHCPDISCOVER(farm0) 52:54",
        f"DHCPNAK(farm0) 10.0.0.1 {MAC} wrong address",
        "read /etc/ethers",
    ):
        assert dhcp(text) is None


def test_a_stamp_is_of_the_latest_year_that_is_not_in_the_future() -> None:
    new_year = datetime(2027, 1, 1, 0, 5).timestamp()
    leap = datetime(2031, 3, 1).timestamp()
    expected = {
        ("Dec 31 23:59:59", new_year): datetime(2026, 12, 31, 23, 59, 59),
        ("Jan  1 00:04:00", new_year): datetime(2027, 1, 1, 0, 4),
        ("Nov 23 02:00:01", NOW): datetime(2026, 11, 23, 2, 0, 1),
        ("Feb 29 12:00:00", leap): datetime(2028, 2, 29, 12),
    }
    for (stamp, now), when in expected.items():
        event = dhcp(f"DHCPDISCOVER(farm0) {MAC}", stamp, now)
        assert event is not None
        assert when.timestamp() == event.time
    assert dhcp(f"DHCPDISCOVER(farm0) {MAC}", "Feb 30 12:00:00") is None
    assert dhcp(f"DHCPDISCOVER(farm0) {MAC}", "Foo 12 12:00:00") is None
    assert dhcp(f"DHCPDISCOVER(farm0) {MAC}", "Nov 12 25:00:00") is None


def test_files_sent_by_tftp() -> None:
    def tftp(path: str) -> BootEvent | None:
        return said(f"{STAMP} dnsmasq-tftp[9]: sent {path} to 10.77.0.57")

    top = "/srv/a farm/run/http"
    script = f"{top}/boot/52-54-00-00-00-01.ipxe"
    assert BootEvent(Stage.LOADER, TIME, MAC, "10.77.0.57") == tftp(script)
    expected = BootEvent(Stage.KERNEL, TIME, "", "10.77.0.57", "2026.11.23-1", detail="kernel")
    assert expected == tftp(f"{top}/images/2026.11.23-1/kernel")
    assert BootEvent(Stage.AGENT, TIME, "", "10.77.0.57") == tftp(f"{top}/nodes/default.json")
    assert tftp(f"{top}/undionly.kpxe") is None
    aborted = "error 8 User aborted the transfer received from 10.77.0.57"
    assert said(f"{STAMP} dnsmasq-tftp[9]: {aborted}") is None


def test_a_loader_that_there_is_not_is_a_refusal_by_tftp_and_by_http() -> None:
    missing = f"{STAMP} dnsmasq-tftp[9]: file /srv/a farm/run/http/loader/none-for-64-bit_ARM not found for 10.77.0.57"
    other = missing.replace("loader/none-for-64-bit_ARM", "grub/grub.cfg")

    assert BootEvent(None, TIME, "", "10.77.0.57", refused="64-bit ARM") == said(missing)
    assert said(other) is None
    expected = BootEvent(None, 100.5, "", "10.77.0.57", refused="32-bit UEFI")
    assert expected == access("/loader/none-for-32-bit_UEFI", status=404)
    assert access("/loader/none-for-" + "x" * 33, status=404) is None


def test_files_fetched_by_http() -> None:
    node = "/nodes/52-54-00-00-00-01.json?kernel=1.25&nic=3.5&root=5&agent=7.75"
    uptime = {"kernel": 1.25, "nic": 3.5, "root": 5.0, "agent": 7.75}
    expected = {
        "/boot/52-54-00-00-00-01.ipxe": BootEvent(Stage.LOADER, 100.5, MAC, "10.77.0.57", bytes=7),
        "/boot/start.ipxe": BootEvent(Stage.LOADER, 100.5, "", "10.77.0.57", bytes=7),
        "/boot/default.ipxe": BootEvent(Stage.LOADER, 100.5, "", "10.77.0.57", bytes=7),
        "/boot/default.ipxe?mac=52-54-00-00-00-01": BootEvent(Stage.LOADER, 100.5, MAC, "10.77.0.57", bytes=7),
        f"/images/v1/kernel?mac={MAC}": BootEvent(Stage.KERNEL, 100.5, MAC, "10.77.0.57", "v1", {}, 7, "kernel"),
        "/images/v1/initrd": BootEvent(Stage.KERNEL, 100.5, "", "10.77.0.57", "v1", {}, 7, "initrd"),
        node: BootEvent(Stage.AGENT, 100.5, MAC, "10.77.0.57", "", uptime, 7),
    }
    for uri, event in expected.items():
        assert event == access(uri)


def test_what_was_not_sent_is_no_event() -> None:
    assert access("/boot/52-54-00-00-00-01.ipxe", status=404) is None
    assert access("/boot/52-54-00-00-00-01.ipxe", address="::1") is None
    assert access("/images/../kernel") is None
    assert access("/") is None


def test_impossible_numbers_of_a_node_are_left_out() -> None:
    event = access("/nodes/default.json?kernel=-1&nic=nan&root=99&agent=7&bogus=1")
    assert event is not None
    assert event.uptime == {"agent": 7.0}


def lines_of(times: list[float]) -> list[str]:
    """What dnsmasq writes at these times: its stamps name no year."""
    return [
        f"{datetime.fromtimestamp(when):%b %e %H:%M:%S} dnsmasq-dhcp[1]: DHCPDISCOVER(farm0) {MAC}" for when in times
    ]


def test_what_was_written_years_ago_is_not_of_this_year() -> None:
    times = [
        datetime(*when).timestamp()
        for when in ((2023, 11, 23, 1), (2024, 2, 29, 9), (2025, 11, 23, 5), (2026, 11, 23, 1))
    ]
    assert times == [event.time for event in parse_dnsmasq(lines_of(times), NOW)]
    (old,) = parse_dnsmasq(lines_of(times[:1]), times[0])
    assert old.time == times[0], "a log that nobody has written to since is as old as it is"
    assert parse_dnsmasq(["", "Feb 31 00:00:00 dnsmasq-dhcp[1]: x", "x" * 9999], NOW) == []


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_of_the_hour_that_comes_twice_each_is_known_by_what_follows(berlin: None) -> None:
    summer, winter = datetime(2026, 10, 25, 2, 50).timestamp(), datetime(2026, 10, 25, 2, 10, fold=1).timestamp()
    assert winter - summer == 20 * 60
    assert [summer, winter] == [event.time for event in parse_dnsmasq(lines_of([summer, winter]), winter)]
    assert [winter] == [event.time for event in parse_dnsmasq(lines_of([winter]), winter + 60)]


@given(st.integers(0, 4 * 10**9), st.lists(st.integers(0, 364 * 86400), max_size=20), st.integers(0, 300 * 86400))
def test_lines_are_dated_right_however_old_they_are(first: int, gaps: list[int], since: int) -> None:
    times = [float(each) for each in itertools.accumulate(gaps, initial=first)]
    found = [event.time for event in parse_dnsmasq(lines_of(times), times[-1] + since)]
    assert len(found) == len(times)
    assert all(abs(a - b) <= 3600 for a, b in zip(times, found, strict=True)), (
        "but for the hour that summer's end repeats"
    )


@given(st.lists(st.text() | st.integers(0, 4 * 10**9).map(lambda when: lines_of([when])[0])), st.integers(0, 4 * 10**9))
def test_any_lines_are_tolerated(lines: list[str], written: int) -> None:
    assert all(event.time <= written + 86400 for event in parse_dnsmasq(lines, written))


IDS = st.from_regex("[0-9a-f]{32}", fullmatch=True)


def asks(query: str) -> BootEvent | None:
    line = {"time": 9.0, "address": "10.0.0.1", "uri": f"/nodes/{HYPHENS}.json?{query}", "status": 200, "bytes": 1}
    return parse_nginx(msgspec.json.encode(line).decode())


@given(IDS, st.dictionaries(st.sampled_from(["kernel", "nic", "root"]), st.floats(0, 1000)))
def test_what_a_node_asks_is_what_is_read(boot_id: str, stages: dict[str, float]) -> None:
    uri = question(MAC, boot_id, {**stages, "agent": 2000.0})
    event = asks(uri.partition("?")[2])
    assert event is not None
    assert (event.stage, event.mac, event.address, event.boot_id) == (Stage.AGENT, MAC, "10.0.0.1", boot_id)
    assert event.uptime == {**{stage: round(when, 2) for stage, when in stages.items()}, "agent": 2000.0}
    again = asks(question(MAC, boot_id).partition("?")[2])
    assert again is not None
    assert (again.stage, again.uptime, again.boot_id) == (None, {}, boot_id), "it only says where it is"


@given(
    IDS, st.text() | st.characters(categories=["Cc", "Zs", "Nd"]) | st.sampled_from(["%0a", "%00", "\\n", "\x1b[2J"])
)
def test_a_boot_id_is_32_digits_or_none(boot_id: str, more: str) -> None:
    for text in (boot_id[1:], boot_id.upper() + "G", boot_id + quote(more), quote(more) + boot_id, more):
        event = asks(f"boot={text}&agent=1")
        assert event is None or event.boot_id == "" or (event.boot_id == boot_id and not more)
    assert asks(f"boot={boot_id}&boot={boot_id}") is None, "who says a thing twice says nothing"


def test_a_node_of_an_older_image_says_no_boot_id() -> None:
    event = asks("kernel=1.00&agent=2.00")
    assert event is not None
    assert (event.stage, event.boot_id) == (Stage.AGENT, "")
    plain = asks("")
    assert plain is not None
    assert plain.stage is Stage.AGENT


@given(st.text())
def test_any_text_is_tolerated(text: str) -> None:
    said(text)
    said(f"{STAMP} dnsmasq-dhcp[1]: {text}")
    said(f"{STAMP} dnsmasq-tftp[1]: sent /{text} to 10.0.0.1")
    parse_nginx(text)


@given(st.text(), st.floats(allow_nan=False), st.integers(), st.text())
def test_any_request_is_tolerated(uri: str, when: float, size: int, query: str) -> None:
    line = {"time": when, "address": "10.0.0.1", "uri": f"/nodes/{uri}?{query}", "status": 200, "bytes": size}
    parse_nginx(msgspec.json.encode(line).decode())
    line["uri"] = f"/nodes/52-54-00-00-00-01.json?{query}"
    event = parse_nginx(msgspec.json.encode(line).decode())
    assert event is None or event.mac == MAC
    assert event is None or event.boot_id == "" or BOOT_ID.fullmatch(event.boot_id)
