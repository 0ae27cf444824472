"""A second export, which says of itself what exports say: all parts of a farm go by that."""

from __future__ import annotations

import os
import socket
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import SocketKind

import msgspec
import pytest

from farm import export
from farm.config import FIRST_KIND, Config, ImageConfig, MachineConfig
from farm.config.values import RootName
from farm.errors import FarmError
from farm.export import EXPORTS, Root
from farm.home import Home
from farm.image.store import Store
from farm.image.uses import note_user, noted
from farm.instance import Instance, decode, encode
from farm.netboot import render
from farm.serve import firewall, health, preflight
from farm.serve.service_list import services
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

    def services(self, instance: Instance, roots: Sequence[Root], runtime: Path) -> list[Service]:
        return [Service("toy", ["toyd", *(str(root.file) for root in roots)])] if roots else []

    most_versions = 0

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
    """A further export."""
    made = Toy()
    monkeypatch.setitem(EXPORTS, "toy", made)
    return made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two versions."""
    home = Home.at(tmp_path)
    home.create()
    for built, version in enumerate(("v1", "v2"), 1):
        add_version(Store(home.images), version, built)
    return home


TOY: RootName = typing.cast("RootName", "toy")
IMAGES = {FIRST_KIND: "v2"}
CONFIG = Config(machines=[MachineConfig(mac="52:54:00:00:00:01", name="toy01", root=TOY)])
INSTANCE = Instance(config=CONFIG, interface="lo", images=IMAGES, exports=["aoe", "toy"], started=0.0)


def test_farm_yaml_takes_the_exports_that_there_are() -> None:
    assert set(typing.get_args(RootName)) == EXPORTS.keys()


def test_a_farm_runs_the_exports_that_its_machines_boot_by_and_those_that_they_booted_by(toy: Toy) -> None:
    all_toys = Config(image=ImageConfig(root=TOY))
    local = msgspec.structs.replace(CONFIG, machines=[msgspec.structs.replace(CONFIG.machines[0], boot="local")])

    assert ["aoe"] == export.needed(Config())
    assert ["aoe", "toy"] == export.needed(CONFIG)
    assert ["toy"] == export.needed(all_toys)
    assert ["aoe"] == export.needed(local)
    assert ["aoe", "toy"] == export.needed(Config(), INSTANCE.exports)
    assert ["aoe", "toy"] == export.needed(all_toys, ["aoe"])


def test_what_nodes_were_left_running_by_runs_when_the_farm_is_up_again(toy: Toy, home: Home) -> None:
    store = Store(home.images)
    note_user(store, home, kept=["v1"], exports=["toy"])

    assert ["aoe", "toy"] == export.needed(Config(), noted(store, home).exports)
    note_user(store, home, served=["v1"])
    assert [] == noted(store, home).exports


def test_a_farm_whose_frames_are_small_is_told_of_the_faster_export() -> None:
    assert "image.root: nbd" in export.remark(["aoe", "nbd"], 1500)
    assert ("", "") == (export.remark(["aoe"], 9000), export.remark(["nbd"], 1500))


def test_a_farm_that_came_up_before_there_was_a_choice_runs_the_first(toy: Toy) -> None:
    record = {"config": {"name": "lab"}, "interface": "eno2", "images": {FIRST_KIND: "1"}, "started": 5.0}

    assert ["aoe"] == decode(msgspec.json.encode(record)).exports


def test_a_record_without_a_choice_has_no_key_that_a_release_of_before_refuses(toy: Toy) -> None:
    plain = msgspec.structs.replace(
        INSTANCE, config=Config(machines=[MachineConfig(mac="52:54:00:00:00:01", name="toy01")])
    )

    assert b'"root"' not in encode(plain)
    assert plain == decode(encode(plain))
    assert b'"root":"toy"' in encode(INSTANCE)


def test_every_export_gets_ready_for_all_versions(toy: Toy, home: Home) -> None:
    store = Store(home.images)
    export.prepare(store)

    assert ["v1", "v2"] == toy.prepared
    for name, told in {"aoe": {"aoe:e7.1", "aoe:e7.2"}, "toy": {"toy:10.77.0.1/v1", "toy:10.77.0.1/v2"}}.items():
        assert told == {export.root_argument(CONFIG, store, manifest, name) for manifest in store.list()}
    assert {"aoe": {"slot": 1}} == export.facts(store, store.get("v1"))


def test_its_services_run_and_nodes_are_told_where_their_root_is(toy: Toy, home: Home) -> None:
    store = Store(home.images)
    export.prepare(store)
    assert {"aoe-1", "aoe-2", "toy"} <= {service.name for service in services(home, INSTANCE)}
    toys = msgspec.structs.replace(INSTANCE, exports=["toy"])
    assert not {"aoe-1", "aoe-2"} & {service.name for service in services(home, toys)}

    render.write_boot_files(home, CONFIG, store, IMAGES, mtu=1500, farm_key="ssh-ed25519 AAAA farm")

    for name, root in {"52-54-00-00-00-01": "toy:10.77.0.1/v2", "default": "aoe:e7.2"}.items():
        assert f" farm.root={root} farm.image=v2 " in (home.http / f"boot/{name}.ipxe").read_text()


def test_it_is_asked_whether_it_works(toy: Toy, home: Home) -> None:
    answer = health.ask(home, INSTANCE, "toy", os.getpid())

    assert (False, "its battery is empty") == (answer.ok, answer.detail)


def test_a_service_whose_version_cannot_be_told_is_not_well(toy: Toy, home: Home) -> None:
    export.prepare(Store(home.images))
    (home.images / ".aoe" / "slots.json").write_text("{")

    answer = health.ask(home, INSTANCE, "aoe-1", os.getpid())

    assert (False, "The record of the images' AoE slots cannot be read.") == (answer.ok, answer.detail)


def test_what_it_needs_of_the_server(toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rules = firewall.ruleset(Config(), "eno2", ["toy"]).splitlines()
    assert ["ether type 0x9999 drop"] == [line.strip() for line in rules if "ether type" in line]
    assert 1 << 30 == export.socket_buffer_needed(Config(), ["aoe", "toy"], 1500)
    assert 1 << 30 > export.socket_buffer_needed(Config(), ["aoe"], 1500)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError) as caught:
        preflight.require_programs(False, ["toy"])
    assert "toyd" in caught.value.what
    assert "toy-server" in caught.value.fix


def test_a_port_of_its_own_must_be_free(toy: Toy) -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:
        toy.port = other.getsockname()[1]
        instance = msgspec.structs.replace(INSTANCE, config=Config(), exports=["toy"])
        with pytest.raises(FarmError) as caught:
            preflight.require_free_ports(instance, frozenset())

    assert f"TCP port {toy.port}, wanted for the export of images, is in use." == caught.value.what
    assert f"(pid {os.getpid()})" in caught.value.why


@pytest.mark.parametrize(
    ("root", "advice"),
    [
        ("toy", "does its toy light up?"),
        ("aoe", "check that ATA over Ethernet reaches it"),
        ("", "check that its root is exported; see its console"),
    ],
)
def test_its_advice_is_given_where_a_boot_by_it_hangs(toy: Toy, root: str, advice: str) -> None:
    node = NodeStatus(key="a", mac="a", name="a", address="", stage=Stage.KERNEL, since=0.0, stages={}, root=root)

    found = hanging(node, spans(node, 1000.0), {})

    assert found
    assert found.look.startswith(advice)
