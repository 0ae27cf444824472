"""A room that is switched on at once: played at the level of protocols, at a real server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from farm.config import Config, DhcpConfig, ImageConfig
from tests.lab import until
from tests.storm.room import Room, Sizes, room

NODES = 40
SIZES = Sizes(kernel=60_000, initrd=140_001, root=1 << 20, read=300_000)


def config(root: str, last: str = "10.95.9.127") -> Config:
    return Config(
        interface="lab0",
        address="10.95.9.1/24",
        dhcp=DhcpConfig(first="10.95.9.64", last=last),
        image=ImageConfig(root=root),
    )


@pytest.fixture(params=["aoe", "nbd"])
def lab(request: pytest.FixtureRequest) -> Iterator[Room]:
    with room(config(request.param), "10.95.9.64/26", SIZES) as lab:
        yield lab


def test_all_nodes_of_a_room_that_is_switched_on_at_once_boot_and_get_every_byte(lab: Room) -> None:
    storm = lab.play(NODES)

    assert [] == [each for each in storm.told if not each.booted or each.error]
    assert NODES == len({each.address for each in storm.told})
    assert {"address", "loader", "script", "kernel", "root", "settings"} == set(storm.told[0].stages)


def test_a_room_boots_to_its_end_although_all_that_it_boots_from_is_killed_in_between(lab: Room) -> None:
    services = [
        each.name for each in lab.server.supervisor.status() if each.name in ("nginx", "dnsmasq", "aoe-1", "nbd")
    ]
    assert 3 == len(services)
    lab.limit("16mbit")

    with ThreadPoolExecutor(1) as pool:
        storm = pool.submit(lab.play, NODES)
        until(lambda: "kernel" in (lab.server.home.logs / "nginx-access.log").read_text(), "nobody boots")
        for name in services:
            os.kill(lab.server.pid(name), signal.SIGKILL)

    assert [] == [each for each in storm.result().told if not each.booted]
    assert sum(each.again for each in storm.result().told)
