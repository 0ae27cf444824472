from __future__ import annotations

import time
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from farm.events import BootEvent, Stage
from farm.netboot.events import parse_dnsmasq, parse_nginx
from farm.netboot.rival import PROBE

MAC = "52:54:00:00:00:01"
NOW = datetime(2026, 11, 23, 2, 0, 0).timestamp()
STAMP = "Nov 23 01:28:22"
TIME = datetime(2026, 11, 23, 1, 28, 22).timestamp()


def dhcp(text: str, stamp: str = STAMP, now: float = NOW) -> BootEvent | None:
    return parse_dnsmasq(f"{stamp} dnsmasq-dhcp[123]: {text}\n", now)


def access(uri: str, status: int = 200, address: str = "10.77.0.57") -> BootEvent | None:
    return parse_nginx(f'{{"time": 100.5, "address": "{address}", "uri": "{uri}", "status": {status}, "bytes": 7}}\n')


def test_a_discover_is_a_machine_that_is_powered_on() -> None:
    assert BootEvent(Stage.POWERED, TIME, mac=MAC) == dhcp(f"DHCPDISCOVER(farm0) {MAC}")
    assert BootEvent(Stage.POWERED, TIME, mac=MAC) == dhcp(f"DHCPDISCOVER(farm0) 10.77.0.57 {MAC} no address available")


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
        return parse_dnsmasq(f"{STAMP} dnsmasq-tftp[9]: sent {path} to 10.77.0.57", NOW)

    top = "/srv/a farm/run/http"
    script = f"{top}/boot/52-54-00-00-00-01.ipxe"
    assert BootEvent(Stage.LOADER, TIME, MAC, "10.77.0.57") == tftp(script)
    expected = BootEvent(Stage.KERNEL, TIME, "", "10.77.0.57", "2026.11.23-1", detail="kernel")
    assert expected == tftp(f"{top}/images/2026.11.23-1/kernel")
    assert BootEvent(Stage.AGENT, TIME, "", "10.77.0.57") == tftp(f"{top}/nodes/default.json")
    assert tftp(f"{top}/undionly.kpxe") is None
    aborted = "error 8 User aborted the transfer received from 10.77.0.57"
    assert parse_dnsmasq(f"{STAMP} dnsmasq-tftp[9]: {aborted}", NOW) is None


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


@given(st.text())
def test_any_text_is_tolerated(text: str) -> None:
    now = time.time()
    parse_dnsmasq(text, now)
    parse_dnsmasq(f"{STAMP} dnsmasq-dhcp[1]: {text}", now)
    parse_dnsmasq(f"{STAMP} dnsmasq-tftp[1]: sent /{text} to 10.0.0.1", now)
    parse_nginx(text)


@given(st.text(), st.floats(allow_nan=False), st.integers(), st.text())
def test_any_request_is_tolerated(uri: str, when: float, size: int, query: str) -> None:
    import msgspec

    line = {"time": when, "address": "10.0.0.1", "uri": f"/nodes/{uri}?{query}", "status": 200, "bytes": size}
    parse_nginx(msgspec.json.encode(line).decode())
    line["uri"] = f"/nodes/52-54-00-00-00-01.json?{query}"
    event = parse_nginx(msgspec.json.encode(line).decode())
    assert event is None or event.mac == MAC
