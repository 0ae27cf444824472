"""Rules that take the lab's packets away."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config.routing import ANYWHERE, KernelRoute, PolicyRule, diverted

LAB, SERVER = IPv4Network("10.77.0.0/24"), IPv4Address("10.77.0.1")
AWAY = KernelRoute(ANYWHERE, "tun0")


def rule(
    *routes: KernelRoute,
    source: str = "0.0.0.0/0",
    to: str = "0.0.0.0/0",
    inverted: bool = False,
    drops: bool = False,
    main: bool = False,
) -> PolicyRule:
    return PolicyRule(IPv4Network(source), IPv4Network(to), inverted, drops, main, routes, "100: …")


@pytest.mark.parametrize(
    ("found", "clashes"),
    [
        (rule(AWAY), True),
        (rule(AWAY, to="10.0.0.0/8"), True),
        (rule(AWAY, to="10.77.0.64/28"), True),
        (rule(AWAY, to="10.78.0.0/16"), False),
        (rule(AWAY, source="10.77.0.1/32"), True),
        (rule(AWAY, source="192.0.2.0/24"), False),
        (rule(AWAY, source="192.0.2.0/24", inverted=True), True),
        (rule(AWAY, to="10.0.0.0/8", inverted=True), False),
        (rule(), False),
        (rule(KernelRoute(IPv4Network("192.0.2.0/24"), "tun0")), False),
        (rule(AWAY, KernelRoute(LAB, "eno2")), False),
        (rule(KernelRoute(IPv4Network("10.77.0.64/28"), "tun0"), KernelRoute(LAB, "eno2")), True),
        (rule(KernelRoute(LAB, "")), True),
        (rule(drops=True), True),
        (rule(drops=True, to="10.78.0.0/16"), False),
    ],
)
def test_a_rule_that_takes_the_labs_packets_away_is_named(found: PolicyRule, clashes: bool) -> None:
    assert clashes == bool(diverted(LAB, SERVER, "eno2", [found]))


@pytest.mark.parametrize(
    ("before", "settles"),
    [
        (rule(main=True), True),
        (rule(main=True, to="10.77.0.0/24"), True),
        (rule(main=True, to="10.77.0.0/28"), False),
        (rule(main=True, source="192.0.2.0/24"), False),
        (rule(main=True, to="10.0.0.0/8", inverted=True), False),
        (rule(KernelRoute(LAB, "eno2")), True),
        (rule(KernelRoute(IPv4Network("10.77.0.0/28"), "eno2")), False),
        (rule(), False),
    ],
)
def test_a_rule_after_one_that_sends_all_packets_to_the_lab_does_no_harm(before: PolicyRule, settles: bool) -> None:
    assert settles == (not diverted(LAB, SERVER, "eno2", [before, rule(AWAY)]))


def test_it_is_said_where_they_go() -> None:
    assert ["a rule (100: …) sends packets for 10.77.0.0/24 to tun0"] == diverted(LAB, SERVER, "eno2", [rule(AWAY)])
    assert ["a rule (100: …) drops packets for 10.77.0.0/24"] == diverted(LAB, SERVER, "eno2", [rule(drops=True)])


networks = st.tuples(st.ip_addresses(v=4, network="10.0.0.0/8"), st.integers(8, 32)).map(
    lambda both: IPv4Network(both, strict=False)
)


@given(networks, st.booleans(), st.sampled_from([*LAB][::37]))
def test_no_rule_is_named_that_matches_no_packet_to_a_node(to: IPv4Network, inverted: bool, node: IPv4Address) -> None:
    takes = (node in to) != inverted
    assert not takes or diverted(LAB, SERVER, "eno2", [rule(AWAY, to=str(to), inverted=inverted)])
