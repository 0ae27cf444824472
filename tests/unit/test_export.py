"""A second export, which says of itself what exports say: all parts of a farm go by that."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import SocketKind

import pytest

from farm import export
from farm.config import FIRST_KIND, Config, MachineConfig
from farm.errors import FarmError
from farm.export import EXPORTS, Root
from farm.home import Home
from farm.image import kinds
from farm.image.store import Store
from farm.instance import Instance
from farm.netboot import render
from farm.serve import firewall, health, preflight
from farm.serve.up import services
from farm.supervisor import Service
from farm.view.boot import hanging, spans
from farm.view.status import NodeStatus
from farm.watch.events import Stage
from tests.made_up_store import add_version


class Toy:
    """One program for all versions, found by their names."""

    name = "toy"
    programs: Mapping[str, str] = {"toyd": "toy-server"}
    ingress_rules = ("ether type 0x9999 drop",)
    advice = "does its toy light up?"

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.port = 1

    def ports(self, config: Config) -> Sequence[tuple[SocketKind, int]]:
        return [(socket.SOCK_STREAM, self.port)]

    def socket_buffer(self, config: Config, mtu: int) -> int:
        return 1 << 30

    def prepare(self, store: Path, roots: Sequence[Root]) -> None:
        self.prepared = [root.name for root in roots]

    def services(self, instance: Instance, roots: Sequence[Root]) -> list[Service]:
        return [Service("toy", ["toyd", *(str(root.file) for root in roots)])] if roots else []

    def service(self, root: Root) -> str:
        return "toy"

    def address(self, config: Config, root: Root) -> str:
        return f"{config.server}/{root.name}"

    def facts(self, root: Root) -> dict[str, str | int]:
        return {}

    def serves(self, pid: int, root: Root) -> bool:
        return True

    def ask(self, instance: Instance, pid: int, root: Root) -> str:
        raise OSError("its battery is empty")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The export of a kind of image, the toys."""
    made = Toy()
    toys = dataclasses.replace(kinds.find(FIRST_KIND), name="toys", export="toy")
    monkeypatch.setitem(EXPORTS, "toy", made)
    monkeypatch.setattr(kinds, "KINDS", {**kinds.KINDS, "toys": toys})
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Three versions, two of them toys."""
    home = Home.at(tmp_path)
    home.create()
    for built, (version, kind) in enumerate({"v1": FIRST_KIND, "t1": "toys", "t2": "toys"}.items(), 1):
        add_version(Store(home.images), version, built, kind)
    return home


IMAGES = {FIRST_KIND: "v1", "toys": "toys/t2"}
INSTANCE = Instance(
    config=Config(machines=[MachineConfig(mac="52:54:00:00:00:01", name="toy01", image="toys")]),
    interface="lo",
    images=IMAGES,
    started=0.0,
)


def test_each_export_gets_ready_for_its_own_versions(toy: Toy, home: Home) -> None:
    store = Store(home.images)
    export.prepare(store)

    assert ["toys/t1", "toys/t2"] == toy.prepared
    assert {"v1": "aoe:e7.1", "t1": "toy:10.77.0.1/toys/t1", "t2": "toy:10.77.0.1/toys/t2"} == {
        manifest.version: export.root_argument(Config(), store, manifest) for manifest in store.list()
    }


def test_its_services_run_and_nodes_are_told_where_their_root_is(toy: Toy, home: Home) -> None:
    store = Store(home.images)
    export.prepare(store)
    assert {"aoe-1", "toy"} <= {service.name for service in services(home, INSTANCE)}

    render.write_boot_files(home, INSTANCE.config, store, IMAGES, mtu=1500, farm_key="ssh-ed25519 AAAA farm")

    assert (
        " farm.root=toy:10.77.0.1/toys/t2 farm.image=toys/t2 "
        in (home.http / "boot/52-54-00-00-00-01.ipxe").read_text()
    )


def test_it_is_asked_whether_it_works(toy: Toy, home: Home) -> None:
    answer = health.ask(home, INSTANCE, "toy", os.getpid())

    assert (False, "its battery is empty") == (answer.ok, answer.detail)


def test_a_service_whose_version_cannot_be_told_is_not_well(toy: Toy, home: Home) -> None:
    export.prepare(Store(home.images))
    (home.images / ".aoe" / "slots.json").write_text("{")

    answer = health.ask(home, INSTANCE, "aoe-1", os.getpid())

    assert (False, "The record of the images' AoE slots cannot be read.") == (answer.ok, answer.detail)


def test_what_it_needs_of_the_server(toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rules = firewall.ruleset(Config(), "eno2").splitlines()
    assert [line.strip() for line in rules if "ether type" in line][-1] == "ether type 0x9999 drop"
    assert 1 << 30 == export.socket_buffer_needed(Config(), 1500)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError) as caught:
        preflight.require_programs(virtual=False)
    assert "toyd" in caught.value.what
    assert "toy-server" in caught.value.fix


def test_a_port_of_its_own_must_be_free(toy: Toy) -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:
        toy.port = other.getsockname()[1]
        with pytest.raises(FarmError) as caught:
            preflight.require_free_ports(Config(), frozenset())

    assert f"TCP port {toy.port}, wanted for the export of images, is in use." == caught.value.what
    assert f"(pid {os.getpid()})" in caught.value.why


@pytest.mark.parametrize(
    ("kind", "advice"), [("toys", "does its toy light up?"), (FIRST_KIND, "check that ATA over Ethernet reaches it")]
)
def test_its_advice_is_given_where_a_boot_from_it_hangs(toy: Toy, kind: str, advice: str) -> None:
    node = NodeStatus(key="a", mac="a", name="a", address="", stage=Stage.KERNEL, since=0.0, stages={}, kind=kind)

    found = hanging(node, spans(node, 1000.0), {})

    assert found
    assert found.look.startswith(advice)
