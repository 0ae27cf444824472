"""Two boot servers of one lab: what each is told to serve."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import FIRST_KIND, Config, DhcpConfig, MachineConfig
from farm.config.rules import check, dotted
from farm.export import prepare
from farm.home import Home
from farm.image.store import Store
from farm.instance import Instance, encode
from farm.netboot import render
from farm.netboot.agreement import ServedHere, conflicts, lacks, told
from farm.netboot.settings import machine_document
from farm.serve import firewall
from farm.serve.service_list import services
from farm.view.strangers import networks
from tests.made_up_store import add_version

FIRST = Config(name="lab", address="10.77.0.1/24", other_server="10.77.0.2")
SECOND = Config(name="lab", address="10.77.0.2/24", other_server="10.77.0.1", mirror="http://10.77.0.1:8069/published")
ALONE = Config(name="lab")


def problems(config: Config) -> list[str]:
    return [f"{dotted(problem.place)}: {problem.text}" for problem in check(config)]


@given(st.integers(10, 250), st.integers(10, 250))
def test_the_two_share_the_range_and_lend_no_address_twice(one: int, other: int) -> None:
    dhcp = DhcpConfig(f"10.77.0.{min(one, other)}", f"10.77.0.{max(one, other)}")
    lower, upper = (msgspec.structs.replace(config, dhcp=dhcp).own_range for config in (FIRST, SECOND))

    assert (dhcp.first, dhcp.last) == (lower.first, upper.last)
    assert IPv4Address(lower.last) + 1 == IPv4Address(upper.first)
    assert dhcp == msgspec.structs.replace(ALONE, dhcp=dhcp).own_range


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ("10.77.0.1", "10.77.0.1 is this server."),
        ("10.78.0.2", "10.78.0.2 is outside the lab's subnet, 10.77.0.0/24."),
        ("10.77.0.255", "10.77.0.255 is the broadcast address of 10.77.0.0/24."),
        ("10.77.0.60", "10.77.0.60 is in the DHCP range."),
        ("10.77.0.9", "10.77.0.9 is also the address of pc09."),
        ("10.77.0.999", "this is no address: Octet 999 (> 255) not permitted in '10.77.0.999'."),
    ],
)
def test_an_address_that_no_other_server_can_have(other: str, text: str) -> None:
    machines = [MachineConfig(mac="52:54:00:00:00:09", name="pc09", address="10.77.0.9")]

    assert [f"other_server: {text}"] == problems(Config(other_server=other, machines=machines))


def test_a_range_that_is_none_is_told_of_beside_the_other_server() -> None:
    config = Config(other_server="10.77.0.2", dhcp=DhcpConfig("10.77.0.300", "10.77.0.250"))

    assert ["dhcp.first"] == [each.partition(":")[0] for each in problems(config)]


def test_each_half_of_the_range_holds_every_machine() -> None:
    machines = [MachineConfig(mac=f"52:54:00:00:00:0{number}", name=f"pc0{number}") for number in (1, 2, 3)]
    config = Config(dhcp=DhcpConfig("10.77.0.50", "10.77.0.54"), machines=machines)
    text = "10.77.0.50 to 10.77.0.54 is 5 addresses, of which each server lends 2; at least 3 are needed."

    assert [] == problems(config)
    assert [f"dhcp: {text}"] == problems(msgspec.structs.replace(config, other_server="10.77.0.2"))


def test_the_first_answers_first_and_neither_refuses_what_the_other_has_lent(tmp_path: Path) -> None:
    first, second, alone = (
        render.dnsmasq_conf(config, Home.at(tmp_path), "eno2").splitlines() for config in (FIRST, SECOND, ALONE)
    )

    assert "dhcp-range=10.77.0.50,10.77.0.150,255.255.255.0,12h" in first
    assert "dhcp-range=10.77.0.151,10.77.0.250,255.255.255.0,12h" in second
    assert [False, True, False] == ["dhcp-reply-delay" in str(each) for each in (first, second, alone)]
    assert [False, False, True] == ["dhcp-authoritative" in each for each in (first, second, alone)]


def test_every_goto_of_a_boot_script_leads_somewhere() -> None:
    images = {FIRST_KIND: render.Booted("v1", {"aoe": "aoe:e7.1"})}
    for config in (ALONE, FIRST, SECOND):
        for script in render.boot_scripts(config, images, 1500).values():
            words = script.split()
            labels = {line.removeprefix(":") for line in script.splitlines() if line.startswith(":")}
            assert {words[at + 1] for at, word in enumerate(words) if word == "goto"} <= labels


def test_the_lab_has_one_scheduler(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    first, second = (
        {each.name: each for each in services(home, Instance(config=config, interface="lo", images={}, started=0.0))}
        for config in (FIRST, SECOND)
    )

    assert {"scheduler"} == first.keys() - second.keys()
    assert "10.77.0.1:8765" in second["iceccd"].argv
    assert ["submitter-lab", "submitter-lab-2"] == [FIRST.submitter, SECOND.submitter]
    for config in (FIRST, SECOND):
        assert "10.77.0.1:8765" == machine_document(config, None, "ssh-ed25519 AAAA", ["compile"])["scheduler"]


def test_nodes_of_the_other_server_and_the_server_itself_are_no_strangers() -> None:
    for config in (FIRST, SECOND):
        assert {"10.77.0.1", "10.77.0.2", "10.77.0.50-10.77.0.250"} <= {*firewall.known_addresses(config)}
        assert {"10.77.0.1/32", "10.77.0.2/32"} <= {str(each) for each in networks(config)}


def test_the_record_of_a_farm_that_is_alone_has_no_key_that_a_release_of_before_refuses() -> None:
    for config, there in ((ALONE, False), (SECOND, True)):
        record = encode(Instance(config=config, interface="lo", images={}, started=0.0))
        assert [there, there] == [key in record for key in (b"other_server", b"mirror")]


def store_of(folder: Path, *versions: str) -> Store:
    store = Store(folder)
    for built, version in enumerate(versions, 1):
        add_version(store, version, built)
    prepare(store)
    return store


def said(config: Config, store: Store, version: str) -> ServedHere:
    return msgspec.json.decode(msgspec.json.encode(told(config, store, {FIRST_KIND: version})), type=ServedHere)


def test_servers_that_serve_the_same_agree(tmp_path: Path) -> None:
    first = said(FIRST, store_of(tmp_path / "first", "v1", "v2"), "v2")
    second = said(SECOND, store_of(tmp_path / "second", "v1", "v2"), "v2")

    assert ([], []) == (conflicts(first, second), lacks(first, second))
    assert ([], []) == (conflicts(second, first), lacks(second, first))


def test_what_two_servers_do_not_agree_on_is_named(tmp_path: Path) -> None:
    first = said(FIRST, store_of(tmp_path / "first", "v1", "v2"), "v2")
    second = said(SECOND, store_of(tmp_path / "second", "v2", "v3"), "v3")

    assert conflicts(first, second) == [
        "aoe slot 1 holds v1 here and v2 there",
        "aoe slot 2 holds v2 here and v3 there",
        "version v2 is aoe slot 2 here and aoe slot 1 there",
    ]
    assert lacks(first, second) == [
        "version v3 is not here",
        f"next boots of {FIRST_KIND} get v2 here and v3 there",
    ]
    odd = msgspec.structs.replace(second, farm="la\x1bb", dhcp=("10.77.0.50", "10.77.0.99"), shelf=8, versions={})
    found = conflicts(first, odd)
    assert ["name is", "dhcp is", "export.shelf is"] == [" ".join(each.split()[:2]) for each in found]
    assert "\x1b" not in "".join(found)


def test_another_file_under_the_name_of_a_version_is_named(tmp_path: Path) -> None:
    first = said(FIRST, store_of(tmp_path / "first", "v1"), "v1")
    forged = msgspec.structs.replace(first.versions["v1"], sha256="0" * 64)
    second = msgspec.structs.replace(first, other_server=FIRST.server, versions={"v1": forged})

    assert ["version v1 is another file there"] == conflicts(first, second)
