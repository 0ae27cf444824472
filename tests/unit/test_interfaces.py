"""Choosing the lab's interface."""

from ipaddress import IPv4Interface

import pytest

from farm.errors import ConfigError, UsageError
from farm.interfaces import Interface, pick


def card(name: str, *, wired: bool = True, uplink: bool = False, address: str | None = None) -> Interface:
    ip = IPv4Interface(address) if address else None
    return Interface(name=name, mac="52:54:00:00:00:01", up=True, wired=wired, uplink=uplink, address=ip)


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
        ([LOOPBACK, WIRELESS], "No wired interface", "lo"),
        ([], "No wired interface", "NAME"),
    ],
)
def test_an_unclear_choice_is_the_users(found: list[Interface], why: str, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        pick(found, None)

    assert why in caught.value.why
    assert f"Name it: farm init --interface {mend}" == caught.value.mend


def test_a_name_that_is_none_brings_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        pick([UPLINK, LAB, LOOPBACK], "enp2")

    assert caught.value.what == "this machine has no interface 'enp2'."
    assert "eno1 (up, 192.0.2.2/24, default route); eno2 (up, no IPv4 address)" in caught.value.why
    assert caught.value.mend == "Did you mean eno2?"


def test_the_loopback_is_refused() -> None:
    with pytest.raises(ConfigError, match="lo is the loopback interface"):
        pick([LOOPBACK], "lo")
