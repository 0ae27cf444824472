"""Choosing the lab's interface."""

from ipaddress import IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config.interfaces import Interface, pick, rivals
from farm.config.routing import KernelRoute
from farm.errors import ConfigError, UsageError


def card(name: str, *, wired: bool = True, uplink: bool = False, address: str | None = None) -> Interface:
    ip = IPv4Interface(address) if address else None
    return Interface(
        name=name,
        mac="52:54:00:00:00:01",
        up=True,
        wired=wired,
        uplink=uplink,
        address=ip,
        addresses=(ip,) * (ip is not None),
    )


LOOPBACK = card("lo", wired=False, address="127.0.0.1/8")
UPLINK = card("eno1", uplink=True, address="192.0.2.2/24")
LAB = card("eno2")
WIRELESS = card("wlan0", wired=False)


def test_the_only_one_that_can_be_is_picked() -> None:
    assert pick([UPLINK, LAB, LOOPBACK, WIRELESS], None) == LAB


def test_the_one_that_is_named_is_picked() -> None:
    assert pick([UPLINK, LAB, LOOPBACK], "eno1") == UPLINK


@pytest.mark.parametrize(
    ("found", "why", "mend"),
    [
        ([UPLINK, LOOPBACK], "default route goes through", "eno1"),
        ([UPLINK, LAB, card("eno3")], "Several", "eno2"),
        ([LOOPBACK, WIRELESS], "No wired interface", "NAME"),
        ([LOOPBACK], "none but the loopback", "NAME"),
        ([], "No wired interface", "NAME"),
    ],
)
def test_an_unclear_choice_is_the_users(found: list[Interface], why: str, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        pick(found, None)

    assert why in caught.value.why
    assert f"Name it: farm init --interface {mend}" == caught.value.fix


def test_a_name_that_is_none_brings_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        pick([UPLINK, LAB, LOOPBACK], "enp2")

    assert caught.value.what == "this machine has no interface 'enp2'."
    assert "eno1 (up, 192.0.2.2/24, default route); eno2 (up, no IPv4 address)" in caught.value.why
    assert caught.value.fix == "Did you mean eno2?"


def test_the_loopback_is_refused() -> None:
    with pytest.raises(ConfigError, match="lo is the loopback interface"):
        pick([LOOPBACK], "lo")


NETWORK = IPv4Network("10.77.0.0/24")


@pytest.mark.parametrize(
    ("address", "clashes"),
    [
        ("10.77.0.9/24", True),
        ("10.77.0.200/30", True),
        ("10.0.0.5/8", True),
        ("10.77.0.9/32", True),
        ("10.77.1.9/24", False),
        ("172.17.0.1/16", False),
    ],
)
@pytest.mark.parametrize("name", ["wlan0", "docker0", "tun0", "lo"])
def test_another_interface_in_the_labs_network_is_named(name: str, address: str, clashes: bool) -> None:
    found = [LAB, card(name, address=address)]

    assert ([f"{name} has {address}"] if clashes else []) == rivals(NETWORK, "eno2", found, [])


def test_the_labs_own_interface_may_have_more_addresses_of_its_network() -> None:
    found = [card("eno2", address="10.77.0.1/24"), card("eno2:old", address="10.77.0.9/24")]

    assert [] == rivals(NETWORK, "eno2", found, [KernelRoute(NETWORK, "eno2")])


@pytest.mark.parametrize(
    ("network", "interface", "said"),
    [
        ("10.77.0.0/24", "tun0", ["a route sends 10.77.0.0/24 to tun0"]),
        ("10.77.0.64/28", "tun0", ["a route sends 10.77.0.64/28 to tun0"]),
        ("10.77.0.0/24", "", ["a route drops 10.77.0.0/24"]),
        ("10.0.0.0/8", "tun0", []),
        ("10.78.0.0/24", "tun0", []),
    ],
)
def test_a_route_that_takes_the_labs_packets_away_is_named(network: str, interface: str, said: list[str]) -> None:
    assert said == rivals(NETWORK, "eno2", [LAB], [KernelRoute(IPv4Network(network), interface)])


@given(st.ip_addresses(v=4, network="10.0.0.0/8"), st.integers(8, 32))
def test_where_networks_share_an_address_they_clash(address: object, length: int) -> None:
    other = IPv4Interface(f"{address}/{length}")

    clashes = rivals(NETWORK, "eno2", [LAB, card("eno3", address=str(other))], [])

    shared = other.ip in NETWORK or NETWORK[0] in other.network or other.network[0] in NETWORK
    assert shared == bool(clashes)
