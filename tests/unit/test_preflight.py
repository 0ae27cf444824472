"""What `farm up` says before it starts anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from farm.config import Config, DhcpConfig, MachineConfig
from farm.errors import FarmError
from farm.home import Home
from farm.instance import VirtualMachine
from farm.serve import preflight
from farm.virtual.qemu import machines


def test_a_home_whose_sockets_have_no_room_is_refused() -> None:
    preflight.require_short_path(Home.at(Path("/srv/" + "h" * 60)))
    with pytest.raises(FarmError, match="path of the farm's home is too long") as caught:
        preflight.require_short_path(Home.at(Path("/srv/" + "h" * 80)))
    assert "at most 78 bytes" in caught.value.why


def test_all_missing_packages_are_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("farm.command.SBIN", ())

    with pytest.raises(FarmError) as caught:
        preflight.require_programs(True, ["aoe"])

    assert "dnsmasq, nginx, icecc-scheduler" in caught.value.what
    assert "vblade" in caught.value.what
    packages = caught.value.fix.removeprefix("Install them: sudo apt-get install ").split()
    expected = "dnsmasq-base icecc iproute2 nftables nginx-light openssh-client qemu-system-x86 socat util-linux vblade"
    assert expected.split() == packages


def test_a_developers_machine_is_told_how_to_become_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervisor", None)

    with pytest.raises(FarmError, match="only the part of the farm that developers' machines need") as caught:
        preflight.require_server_package()

    assert "sudo apt-get install ./icecream-farm_*.deb" in caught.value.fix


def test_a_real_lab_needs_no_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("farm.command.SBIN", ())

    with pytest.raises(FarmError) as caught:
        preflight.require_programs(False, ["aoe"])

    assert "qemu" not in str(caught.value)


def test_a_full_disk_is_said_with_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    preflight.require_space(tmp_path)
    monkeypatch.setattr(preflight, "HOME_SPACE", 1 << 62)

    with pytest.raises(FarmError) as caught:
        preflight.require_space(tmp_path)

    assert caught.value.what.startswith("The disk is almost full: ")
    assert f"below {tmp_path}" in caught.value.what
    assert "farm image remove VERSION" in caught.value.fix


def test_only_root_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(FarmError) as caught:
        preflight.require_root("farm up")

    assert ("`farm up` must be run by root.", "Try: sudo farm up") == (caught.value.what, caught.value.fix)


def test_an_interface_that_is_up_is_fine() -> None:
    preflight.require_interface_up(Config(interface="lo"))


def test_machines_of_a_lab_have_names_and_macs_of_their_own() -> None:
    lab = machines(250, "e1000")

    assert 250 == len({machine.mac for machine in lab}) == len({machine.name for machine in lab})
    assert VirtualMachine(name="virtual-1", mac="52:54:00:fa:00:01", nic="e1000") == lab[0]
    assert "52:54:00:fa:00:fa" == lab[-1].mac


def test_the_parts_of_a_home_lie_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FARM_IMAGES", raising=False)
    home = Home.at(Path("/srv/farm"))

    parts = (home.config, home.state, home.runtime, home.logs, home.images, home.supervisor_socket)
    assert all(part.is_relative_to("/srv/farm") for part in parts)


def test_a_range_too_small_for_the_machines_of_a_virtual_lab_is_refused() -> None:
    named = [MachineConfig(mac=machine.mac, name=machine.name) for machine in machines(3, "virtio")]
    config = Config(dhcp=DhcpConfig("10.77.0.8", "10.77.0.9"), machines=named)

    with pytest.raises(FarmError) as caught:
        preflight.require_addresses(config)

    said = "The DHCP range is not valid: 10.77.0.8 to 10.77.0.9 is 2 addresses; at least 3 are needed."
    assert said == caught.value.what
    preflight.require_addresses(Config(machines=named))
