"""Whether the farm's rules are in force is seen, whatever was changed in the real tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farm.config import Config, DhcpConfig, MachineConfig, NodesConfig
from farm.export import EXPORTS
from farm.serve import firewall
from farm.virtual.namespace import exec_prefix
from tests.lab import Namespace, namespaces

CONFIG = Config(
    name="walled",
    address="10.99.36.1/24",
    dhcp=DhcpConfig("10.99.36.50", "10.99.36.60"),
    machines=[MachineConfig(mac="52:54:00:00:00:01", name="pc01", address="10.99.36.61")],
    nodes=NodesConfig(strangers="block", known=["10.99.36.128/25", "192.0.2.7", "10.99.36.2"]),
)
INET, NETDEV = "inet farm_walled", "netdev farm_walled"


@pytest.fixture(scope="module")
def here() -> Iterator[Namespace]:
    with namespaces(CONFIG.address, "10.99.36.2/24") as (place, _):
        yield place


def flaws(here: Namespace, config: Config = CONFIG) -> dict[str, str]:
    return dict(firewall.flaws(config, "lab0", EXPORTS, exec_prefix(here.name)))


@pytest.mark.parametrize(
    ("changed", "table"),
    [
        ("insert rule inet farm_walled input accept", INET),
        ("insert rule inet farm_walled input ip saddr 10.99.36.66 accept", INET),
        ("insert rule inet farm_walled input return", INET),
        ("add chain inet farm_walled on; insert rule inet farm_walled input goto on", INET),
        ("insert rule inet farm_walled input tcp dport vmap { 8766 : accept }", INET),
        ("insert rule netdev farm_walled ingress accept", NETDEV),
        ("flush chain inet farm_walled input", INET),
        ("flush chain netdev farm_walled ingress", NETDEV),
        ("delete table inet farm_walled", INET),
        ("add table inet farm_walled { flags dormant; }", INET),
        ("flush set inet farm_walled known", INET),
        ("add element inet farm_walled known { 10.99.36.66 }", INET),
        ("add element inet farm_walled known { 10.99.37.0/24 }", INET),
        ("delete element inet farm_walled known { 192.0.2.7 }", INET),
        ("insert rule inet farm_walled input counter", ""),
        ("add table inet other; add chain inet other x { type filter hook input priority -5; }; "
         "add rule inet other x accept", ""),
    ],
)  # fmt: skip
def test_what_lets_packets_past_the_farms_rules_is_seen(here: Namespace, changed: str, table: str) -> None:
    firewall.apply(CONFIG, "lab0", EXPORTS, exec_prefix(here.name))
    assert {} == flaws(here)
    here.run("nft", changed)
    assert {table} - {""} == flaws(here).keys()
    assert ("`known`" in flaws(here).get(INET, "")) == ("known" in changed)
    here.run("nft", "flush ruleset")


def test_without_a_set_of_known_addresses_none_is_missed(here: Namespace) -> None:
    config = Config(name="walled", address=CONFIG.address)
    firewall.apply(config, "lab0", EXPORTS, exec_prefix(here.name))
    assert {} == flaws(here, config)
    assert {INET} == flaws(here).keys()
    here.run("nft", "flush ruleset")
