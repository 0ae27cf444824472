"""Several kinds of image: one store, a selection each; a store and records of before are those of the first kind."""

from __future__ import annotations

import json
import os
import typing
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from farm.cli import image as image_commands
from farm.config import FIRST_KIND, Config, MachineConfig, NodesConfig
from farm.config.values import KindName
from farm.errors import FarmError
from farm.export import prepare, root_argument
from farm.home import Home
from farm.image import kinds
from farm.image.build import require_limits, set_squashfs_options
from farm.image.recipe import booted
from farm.image.store import FILES, Selection, Store
from farm.image.uses import note_user
from farm.instance import Instance, VirtualMachine, decode, encode
from farm.netboot.render import Booted, boot_scripts, write_boot_files
from farm.netboot.settings import machine_settings
from farm.node.contract import ROLES
from farm.node.settings import parse_cmdline
from farm.serve.versions import versions_in_use
from farm.view.from_state import build
from farm.virtual import qemu
from farm.watch.events import BootEvent, Stage
from farm.watch.state import fold, initial
from tests.made_up_store import add_version

REAL = kinds.KINDS
OTHER = "toy-client"
MAC, OTHER_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
MACHINES = [MachineConfig(mac=MAC, name="pc01"), MachineConfig(mac=OTHER_MAC, name="toy01", image=OTHER)]


@pytest.fixture(autouse=True)
def two_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second kind besides the first one."""
    other = replace(REAL[FIRST_KIND], name=OTHER, roles=())
    monkeypatch.setattr(kinds, "KINDS", {FIRST_KIND: REAL[FIRST_KIND], OTHER: other})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A version that two kinds share by name, and a second one of each."""
    store = Store(tmp_path / "images")
    for built, (kind, version) in enumerate([(FIRST_KIND, "1"), (OTHER, "1"), (FIRST_KIND, "2"), (OTHER, "2")], 1):
        add_version(store, version, built, kind)
    prepare(store)
    return store


def names(store: Store, kind: str | None = None) -> list[str]:
    return [manifest.image for manifest in store.list(kind)]


def older_versions(folder: Path) -> list[str]:
    """The store as a release reads it that knows one kind."""
    return sorted(json.loads(path.read_bytes())["version"] for path in folder.glob("*/manifest.json"))


def older_selection(folder: Path) -> str:
    """Likewise."""
    current: str = json.loads((folder / "selection.json").read_bytes())["current"]
    return current


# -- the table


def test_farm_yaml_takes_the_kinds_that_there_are() -> None:
    assert set(typing.get_args(KindName)) == REAL.keys()


@pytest.mark.parametrize("kind", REAL.values(), ids=lambda kind: kind.name)
def test_every_kind_has_a_description_that_boots_from_the_network(kind: kinds.ImageKind, tmp_path: Path) -> None:
    page = tmp_path / "config.xml"
    page.write_bytes((kinds.layer_dir(kinds.COMMON) / "appliance.kiwi").read_bytes())

    set_squashfs_options(page, "-b 128K")

    (made,) = ElementTree.parse(page).findall("preferences/type")
    assert ("kis", "-b 128K") == (made.get("image"), made.get("fscreateoptions"))
    assert set(FILES) == kind.limits.keys()
    assert set(ROLES) >= set(kind.roles) > set()


def test_a_description_of_another_type_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "config.xml"
    page.write_text('<image><preferences><type image="iso"/></preferences></image>')

    with pytest.raises(FarmError) as caught:
        set_squashfs_options(page, "-b 128K")

    assert 'has no <type image="kis">' in caught.value.why


def test_a_version_larger_than_its_kind_allows_is_refused(tmp_path: Path) -> None:
    kind = replace(REAL[FIRST_KIND], limits={"kernel": 1 << 20, "initrd": 3 << 20})
    for name in kind.limits:
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, kind.limits[name])
    require_limits(kind, tmp_path)

    os.truncate(tmp_path / "initrd", 5 << 20)
    with pytest.raises(FarmError) as caught:
        require_limits(kind, tmp_path)
    assert "The image that was built is too large: initrd has 5 MiB." == caught.value.what
    assert "allows 3 MiB" in caught.value.why


def test_a_farm_serves_the_kinds_that_its_machines_boot() -> None:
    assert [FIRST_KIND] == booted(Config())
    assert [FIRST_KIND, OTHER] == booted(Config(machines=MACHINES))
    local = msgspec.structs.replace(MACHINES[1], boot="local")
    assert [FIRST_KIND] == booted(Config(machines=[local]))


def test_a_virtual_machine_at_which_people_sit_has_more_devices(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "KINDS", {FIRST_KIND: REAL[FIRST_KIND], OTHER: replace(REAL[FIRST_KIND], desk=True)})
    images = {FIRST_KIND: "1", OTHER: "toy-client/1"}
    machines = [VirtualMachine("pc01", MAC, "virtio"), VirtualMachine("toy01", OTHER_MAC, "virtio")]
    instance = Instance(
        config=Config(machines=MACHINES), interface="farm0", images=images, started=1.0, machines=machines
    )

    plain, desk = qemu.services(Home.at(tmp_path), instance, store)

    assert ["pc01", "toy01"] == [plain.name, desk.name]
    assert "usb-tablet,bus=usb.0" not in plain.argv
    assert "usb-tablet,bus=usb.0" in desk.argv
    assert "isa-parallel,chardev=paper" in desk.argv
    assert "none,id=sound" in desk.argv


# -- the store


def test_versions_are_listed_by_kind_and_all_together(store: Store) -> None:
    assert ["1", "2"] == names(store, FIRST_KIND)
    assert ["toy-client/1", "toy-client/2"] == names(store, OTHER)
    assert ["1", "toy-client/1", "2", "toy-client/2"] == names(store)
    assert OTHER == store.get("toy-client/2").kind


def test_each_kind_has_a_selection_of_its_own(store: Store) -> None:
    store.use("1")
    for image in ("toy-client/1", "toy-client/2"):
        store.use(image)

    assert ("1", "toy-client/2") == (store.selected(FIRST_KIND), store.selected(OTHER))
    assert "toy-client/1" == store.rollback(OTHER)
    assert (Selection("1"), Selection("1")) == (store.selection(FIRST_KIND), store.selection(OTHER))


def test_only_the_version_that_is_meant_goes(store: Store) -> None:
    store.use("1")
    store.use("toy-client/2")
    store.remove("toy-client/1", in_use={"1"})

    assert ["1", "2", "toy-client/2"] == names(store)
    with pytest.raises(FarmError):
        store.remove("toy-client/2", in_use=())


def test_what_was_built_for_one_kind_is_nothing_to_another(store: Store) -> None:
    assert store.with_inputs(FIRST_KIND, "toy-client/1") is None
    assert store.get("toy-client/1") == store.with_inputs(OTHER, "toy-client/1")


def test_a_version_of_a_kind_that_is_gone_stays_exported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", REAL)

    prepare(store)

    assert len({root_argument(Config(), store, manifest, "aoe") for manifest in store.list()}) == 4


def test_a_build_under_way_is_no_version(store: Store) -> None:
    for folder in (store.folder(FIRST_KIND), store.folder(OTHER)):
        half = folder / ".build" / "version"
        half.mkdir(parents=True)
        (half / "manifest.json").write_text("{")

    assert ["1", "toy-client/1", "2", "toy-client/2"] == names(store)


@pytest.mark.parametrize("image", ["toy-client", "toy-client/", "toy-client/3", "/1", "../images/1", "a/b/c", ".x/1"])
def test_what_is_no_image_is_refused(store: Store, image: str) -> None:
    with pytest.raises(FarmError):
        store.get(image)


# -- what was there before


def test_a_store_of_before_holds_the_first_kind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for built, version in enumerate(("20260101.1", "20260101.2"), 1):
        add_version(store, version, built)
        path = store.path(version) / "manifest.json"
        older = json.loads(path.read_bytes())
        del older["kind"]
        path.write_text(json.dumps(older))
    (tmp_path / "selection.json").write_text('{"current":"20260101.2","previous":["20260101.1"]}')

    assert ["20260101.1", "20260101.2"] == names(store, FIRST_KIND) == names(store)
    assert "20260101.2" == store.selected(FIRST_KIND)
    store.verify("20260101.2")
    assert "20260101.1" == store.rollback(FIRST_KIND)


def test_a_farm_of_an_older_release_sees_the_first_kind_and_no_other(store: Store) -> None:
    store.use("2")
    store.use("toy-client/1")

    assert ["1", "2"] == older_versions(store.directory)
    assert "2" == older_selection(store.directory)


def test_what_an_older_release_builds_and_chooses_counts(store: Store) -> None:
    store.use("1")
    manifest = json.loads((store.path("2") / "manifest.json").read_bytes())
    del manifest["kind"]
    (store.path("2") / "manifest.json").write_text(json.dumps(manifest))
    (store.directory / "selection.json").write_text('{"current":"2","previous":["1"]}')

    assert "2" == store.selected(FIRST_KIND)
    assert store.selected(OTHER) is None


def test_a_record_of_a_farm_that_came_up_before_is_read() -> None:
    older = {"config": {"name": "lab"}, "interface": "eno2", "image": "20260101.1", "started": 5.0}

    assert {FIRST_KIND: "20260101.1"} == decode(json.dumps(older).encode()).images
    assert {FIRST_KIND: "20260101.1"} == decode(msgspec.json.encode(decode(json.dumps(older).encode()))).images


def test_a_record_without_another_kind_has_no_key_that_an_older_release_refuses() -> None:
    config = Config(machines=[MachineConfig(mac=MAC, name="pc01", slots=3)])
    instance = Instance(config=config, interface="eno2", images={FIRST_KIND: "20260101.1"}, started=5.0)

    record = json.loads(encode(instance))

    assert "20260101.1" == record["image"]
    assert "image" not in record["config"]["nodes"]
    assert ["image" not in machine for machine in record["config"]["machines"]] == [True]
    assert instance == decode(encode(instance))


@pytest.mark.parametrize("config", [Config(machines=MACHINES), Config(nodes=NodesConfig(image=OTHER))])
def test_a_record_with_another_kind_keeps_who_boots_it(config: Config) -> None:
    images = {kind: "1" for kind in booted(config)}
    instance = Instance(config=config, interface="eno2", images=images, started=5.0)

    record = json.loads(encode(instance))

    assert "image" not in record
    assert OTHER in {section["image"] for section in (record["config"]["nodes"], *record["config"]["machines"])}


# -- a farm with two kinds


def test_every_machine_boots_its_kind(store: Store, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    config = Config(machines=MACHINES)

    write_boot_files(home, config, store, {FIRST_KIND: "1", OTHER: "toy-client/1"}, mtu=1500, farm_key="")

    for name, image in (("default", "1"), ("52-54-00-00-00-01", "1"), ("52-54-00-00-00-02", "toy-client/1")):
        script = (home.http / "boot" / f"{name}.ipxe").read_text()
        assert f"/images/{image}/kernel" in script
        assert image == parse_cmdline(script.replace("\n", " ")).image
        assert f"farm.root={root_argument(config, store, store.get(image), 'aoe')} " in script
        assert (home.http / "images" / image / "initrd").read_bytes() == (store.path(image) / "initrd").read_bytes()


def test_a_machine_plays_the_roles_of_its_kind() -> None:
    told = machine_settings(Config(machines=MACHINES), "")

    assert {"default.json": ["compile"], "52-54-00-00-00-01.json": ["compile"], "52-54-00-00-00-02.json": []} == {
        name: document["roles"] for name, document in told.items()
    }


def test_unlisted_machines_boot_the_kind_that_is_set_for_them(store: Store) -> None:
    config = Config(nodes=NodesConfig(image=OTHER))

    scripts = boot_scripts(config, {OTHER: Booted("toy-client/2", {"aoe": "aoe:e7.4"})}, 1500)

    assert "farm.image=toy-client/2 " in scripts["default.ipxe"]


def test_only_served_files_of_images_that_went_go(store: Store, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    images = {FIRST_KIND: "1", OTHER: "toy-client/1"}
    write_boot_files(home, Config(machines=MACHINES), store, images, mtu=1500, farm_key="")
    store.remove("toy-client/1", in_use=())

    write_boot_files(home, Config(machines=MACHINES), store, {**images, OTHER: "toy-client/2"}, mtu=1500, farm_key="")

    served = {path.parent.relative_to(home.http / "images") for path in (home.http / "images").rglob("kernel")}
    assert {Path("1"), Path("toy-client/2")} == served


def test_commands_show_and_choose_by_kind(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_IMAGES", str(store.directory))
    home = Home.at(tmp_path / "home")

    def said(*words: str) -> str:
        done = CliRunner().invoke(image_commands.image, words, obj=home, catch_exceptions=False)
        return done.stdout

    store.use("1")
    for version in ("1", "2"):
        said("use", f"{OTHER}/{version}")

    listed = json.loads(said("list", "--json"))
    assert ("1", {FIRST_KIND: "1", OTHER: "toy-client/2"}) == (listed["current"], listed["selected"])
    assert ["toy-client/1", "toy-client/2"] == [
        each["image"] for each in json.loads(said("list", OTHER, "--json"))["images"]
    ]
    assert "toy-client/2" == json.loads(said("show", OTHER, "--json"))["image"]
    assert "1" == json.loads(said("show", "--json"))["image"]
    assert "Next boots get toy-client/1.\n" == said("rollback", OTHER)
    assert "Removed toy-client/2.\n" == said("remove", "toy-client/2")


def test_a_machine_is_outdated_by_what_its_own_kind_boots_next() -> None:
    config = Config(machines=MACHINES)
    state = initial("lab", {MAC: "pc01", OTHER_MAC: "toy01"}, kind=FIRST_KIND, kinds={OTHER_MAC: OTHER})
    for mac, address, image in ((MAC, "10.77.0.11", "1"), (OTHER_MAC, "10.77.0.12", "toy-client/1")):
        state = fold(state, BootEvent(Stage.KERNEL, 100.0, mac, address, image, detail="kernel"))

    def outdated(images: dict[str, str]) -> list[str]:
        instance = Instance(config=config, interface="lab0", images=images, started=1.0)
        return [node.kind for node in build(state, instance).nodes if node.outdated]

    assert [] == outdated({FIRST_KIND: "1", OTHER: "toy-client/1"})
    assert [OTHER] == outdated({FIRST_KIND: "1", OTHER: "toy-client/2"})
    assert [FIRST_KIND] == outdated({FIRST_KIND: "2", OTHER: "toy-client/1"})


def test_what_a_farm_serves_of_any_kind_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_IMAGES", str(tmp_path / "images"))
    one, two = Home.at(tmp_path / "one"), Home.at(tmp_path / "two")
    for home in (one, two):
        home.create()
    store = Store(one.images)
    for kind in (FIRST_KIND, OTHER):
        add_version(store, "1", kind=kind)
    note_user(store, one, served=["toy-client/1"])

    assert {"toy-client/1"} == versions_in_use(two).keys()
