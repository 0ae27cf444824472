"""The virtual lab's namespace: made, changed and removed with the real tools."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from farm.virtual import bridge
from farm.virtual.namespace import namespace_path
from farm.virtual.qemu import kvm_works
from tests.lab import until

NAME = f"ft-{os.getpid()}-net"


@pytest.fixture
def name() -> Iterator[str]:
    yield NAME
    subprocess.run(["ip", "netns", "delete", NAME], check=False, capture_output=True)


def attributes(name: str) -> str:
    """Each interface with its index: one that was made anew has another."""
    return subprocess.run(["ip", "-n", name, "-o", "link"], check=True, capture_output=True, text=True).stdout


def test_it_has_a_bridge_and_a_tap_per_machine_with_the_labs_frame_size(name: str) -> None:
    bridge.create(name, 9000, 2)

    assert {"lo", "farm0", "tap1", "tap2"} == bridge.links(name)
    assert 3 == attributes(name).count("mtu 9000")
    assert 2 == attributes(name).count("master farm0")


def test_made_again_it_stays_as_it_is(name: str) -> None:
    bridge.create(name, 9000, 2)
    before = attributes(name)

    bridge.create(name, 9000, 2)

    assert before == attributes(name)


def test_its_address_stays_when_machines_are_added(name: str) -> None:
    """vblade keeps the one that it finds when it starts, and its answers would reach nobody."""
    bridge.create(name, 1500, 0)
    before = attributes(name).partition("farm0")[2].partition("brd")[0].split()[-1]
    bridge.create(name, 1500, 12)
    assert before == attributes(name).partition("farm0")[2].partition("brd")[0].split()[-1]


@pytest.mark.parametrize(
    "harm", [("link", "del", "farm0"), ("link", "set", "tap1", "nomaster"), ("link", "set", "tap1", "down")]
)
def test_a_machine_that_was_cut_off_is_found_and_put_back(name: str, harm: tuple[str, ...]) -> None:
    bridge.create(name, 1500, 2)
    assert [] == bridge.cut_off(name, 2)

    subprocess.run(["ip", "-n", name, *harm], check=True)
    assert 1 in bridge.cut_off(name, 2)
    bridge.create(name, 1500, 2)

    assert [] == bridge.cut_off(name, 2)
    assert 2 == attributes(name).count("master farm0")


def test_more_and_fewer_machines_leave_the_others_alone(name: str) -> None:
    bridge.create(name, 1500, 1)
    bridge.create(name, 1500, 3)
    assert {"lo", "farm0", "tap1", "tap2", "tap3"} == bridge.links(name)

    bridge.create(name, 1500, 1)

    assert {"lo", "farm0", "tap1"} == bridge.links(name)


def test_removed_it_leaves_nothing_and_ends_what_ran_in_it(name: str) -> None:
    bridge.create(name, 1500, 1)
    stubborn = ["ip", "netns", "exec", name, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    process = subprocess.Popen(stubborn, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()

    bridge.remove(name)

    until(lambda: process.poll() is not None, "it still runs")
    assert not psutil.pid_exists(process.pid)
    assert not namespace_path(name).exists()
    assert name not in subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout


def test_removing_what_is_not_there_is_no_error(name: str) -> None:
    bridge.remove(name)
    bridge.remove(name)


def test_whether_kvm_works_is_found_out_without_hanging() -> None:
    assert kvm_works() in (True, False)
