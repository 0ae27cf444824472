"""What the real kernel's rules do to the lab's packets, as `ip` tells of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farm.config import Config
from farm.config.interfaces import check_interface, elsewhere
from farm.errors import ConfigError
from tests.lab import Namespace, namespaces

LAB, OTHER = "10.99.34.1/24", "10.99.35.1/24"
CONFIG = Config(interface="lab0", address=LAB)


@pytest.fixture(scope="module")
def here() -> Iterator[Namespace]:
    """A server with a lab, and another card whose default route is in a table of its own."""
    with namespaces(LAB, "10.99.34.2/24") as (place, _):
        place.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
        place.run("ip", "address", "add", OTHER, "dev", "up0")
        for card in ("up0", "up1"):
            place.run("ip", "link", "set", card, "up")
        place.run("ip", "route", "add", "default", "via", "10.99.35.9", "table", "101")
        place.run("ip", "route", "add", "prohibit", "default", "table", "102")
        yield place


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("to 10.99.34.0/24 lookup 101", "sends packets for 10.99.34.0/24 to up0"),
        ("from 10.99.34.1 lookup 101", "sends packets for 10.99.34.0/24 to up0"),
        ("lookup 101", "sends packets for 10.99.34.0/24 to up0"),
        ("not fwmark 7 lookup 101", "sends packets for 10.99.34.0/24 to up0"),
        ("iif lo lookup 101", "sends packets for 10.99.34.0/24 to up0"),
        ("to 10.99.34.77 prohibit", "drops packets for 10.99.34.0/24"),
        ("lookup 102", "drops packets for 10.99.34.0/24"),
        ("fwmark 7 lookup 101", ""),
        ("iif up0 lookup 101", ""),
        ("from 10.99.35.0/24 lookup 101", ""),
        ("to 10.99.36.0/24 lookup 101", ""),
        ("lookup 101 priority 40000", ""),
        ("lookup 103", ""),
    ],
)
def test_a_rule_that_takes_the_labs_packets_away_is_found(here: Namespace, rule: str, said: str) -> None:
    here.run("ip", "rule", "add", *rule.split())
    try:
        found = here.call(lambda: elsewhere(LAB, "lab0"))
        assert [said] == [each.partition(") ")[2] for each in found] or (not said and not found)
        route = here.run("ip", "route", "get", "10.99.34.77", "from", "10.99.34.1", check=False).stdout
        assert ("dev lab0" in route) != bool(said), "the kernel does as is said"
        if said:
            with pytest.raises(ConfigError, match="do not go to lab0"):
                here.call(lambda: check_interface(CONFIG))
        else:
            here.call(lambda: check_interface(CONFIG))
    finally:
        here.run("ip", "rule", "del", *rule.split())


def test_a_vpn_that_spares_local_networks_is_fine(here: Namespace) -> None:
    """As wg-quick(8) sets it up."""
    rules = ("not fwmark 51820 lookup 101", "lookup main suppress_prefixlength 0")
    for rule in rules:
        here.run("ip", "rule", "add", *rule.split())
    try:
        assert [] == here.call(lambda: elsewhere(LAB, "lab0"))
    finally:
        for rule in rules:
            here.run("ip", "rule", "del", *rule.split())


def test_the_way_out_that_is_offered_works(here: Namespace) -> None:
    here.run("ip", "rule", "add", "lookup", "101")
    here.run("ip", "rule", "add", "priority", "1", "to", "10.99.34.0/24", "lookup", "main")
    try:
        here.call(lambda: check_interface(CONFIG))
        assert "dev lab0" in here.run("ip", "route", "get", "10.99.34.77").stdout
    finally:
        here.run("ip", "rule", "del", "lookup", "101")
        here.run("ip", "rule", "del", "priority", "1")
