"""Images by name: what farm.yaml says of them, which machine boots which, and what each is built from."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli import image as image_commands
from farm.cli.next_boot import NextBoot, next_boot
from farm.config import Config, MachineConfig, NamedImageConfig
from farm.config.file import parse
from farm.errors import ConfigError, FarmError
from farm.export import prepare
from farm.home import Home
from farm.image.apt_sources import DEFAULT_KEYRING, AptSource
from farm.image.build import current_inputs
from farm.image.kinds import KINDS, layer_dirs
from farm.image.layers import write_base, write_script
from farm.image.recipe import booted, recipe
from farm.image.store import Store
from farm.netboot.render import Booted, boot_scripts, dnsmasq_conf, write_boot_files
from farm.netboot.settings import machine_settings
from farm.serve.preflight import require_trees
from farm.view.status import NodeStatus
from farm.watch.events import Stage
from tests.made_up_store import add_version

SOURCES = [AptSource("http://mirror.example/debian", "bookworm", "main", DEFAULT_KEYRING)]
ROOM = """
image: {keep: 5}
images:
  cad: {description: ./cad, packages: [gdb], kernel_options: i=1}
  small: {compression: small, keep: 1}
  plain:
nodes: {image: small, kernel_options: n=1}
machines:
  - {mac: "52:54:00:00:00:01", name: pc01}
  - {mac: "52:54:00:00:00:02", name: pc02, image: plain, kernel_options: m=1, slots: 2}
  - {mac: "52:54:00:00:00:03", name: pc03}
groups:
  room-b:
    machines: [pc01, pc02, 52-54-00-00-00-0A]
    image: cad
    slots: 6
    kernel_options: g=1
"""
OWN = """<?xml version="1.0" encoding="utf-8"?>
<image schemaversion="8.5" name="cad">
  <include from="this://icecream-node/appliance.kiwi"/>
  <packages type="image">
    <package name="gdb"/>
  </packages>
</image>
"""


@pytest.fixture
def room() -> Config:
    return parse(ROOM)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of a user's own description beside farm.yaml."""
    folder = tmp_path / "cad"
    folder.mkdir()
    (folder / "cad.kiwi").write_text(OWN)
    return folder


def machine(config: Config, name: str) -> MachineConfig:
    return next(each for each in config.listed if each.name == name)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return f"{caught.value.what} {caught.value.why} {caught.value.fix}"


# -- which machine boots which


def test_the_nearest_word_on_an_image_counts(room: Config) -> None:
    assert {"pc01": "cad", "pc02": "plain", "pc03": "small", "node-00000a": "cad"} == {
        each.name: room.image_of(each) for each in room.listed
    }
    assert "small" == room.image_of(None)
    assert [6, 2, 0] == [room.slots_of(machine(room, name)) for name in ("pc01", "pc02", "pc03")]
    assert ["small", "cad", "plain"] == booted(room)


def test_where_it_is_said_is_known(room: Config) -> None:
    assert [("groups", "room-b", "image"), ("machines", 1, "image"), ("nodes", "image")] == [
        room.setting(machine(room, name), "image")[0] for name in ("pc01", "pc02", "pc03")
    ]


def test_kernel_options_add_up_and_the_nearest_is_the_last(room: Config) -> None:
    assert ["n=1 i=1 g=1", "n=1 g=1 m=1", "n=1"] == [
        room.kernel_options_of(machine(room, name)) for name in ("pc01", "pc02", "pc03")
    ]


def test_a_machine_that_only_a_group_names_has_files_of_its_own(room: Config) -> None:
    images = {name: Booted(f"{name}/1", {"aoe": f"aoe:e7.{slot}"}) for slot, name in enumerate(booted(room), 1)}

    script = boot_scripts(room, images, 1500)["52-54-00-00-00-0a.ipxe"]

    assert "farm.root=aoe:e7.2 farm.image=cad/1 " in script
    assert script.count(" n=1 i=1 g=1") == 2
    told = machine_settings(room, "", {"cad": "icecream-node"})["52-54-00-00-00-0a.json"]
    assert ("node-00000a", 6, ["compile"]) == (told["name"], told["slots"], told["roles"])
    assert "dhcp-host=52:54:00:00:00:0a,node-00000a\n" in dnsmasq_conf(room, Home.at(None), "eno2")


def test_roots_are_chosen_by_machine_then_group_then_image_then_for_all(room: Config) -> None:
    text = ROOM.replace("image: {keep: 5}", "image: {root: aoe}").replace("image: cad\n", "image: cad\n    root: aoe\n")
    text = text.replace("small: {", "small: {root: aoe, ")

    found = parse(text)

    assert [("groups", "room-b", "root"), ("images", "small", "root")] == [
        found.setting(machine(found, name), "root")[0] for name in ("pc01", "pc03")
    ]
    assert ("image", "root") == room.setting(machine(room, "pc01"), "root")[0]


def test_an_image_that_is_a_folder_is_read_by_nfs_and_not_checked(tmp_path: Path) -> None:
    found = parse(ROOM.replace("small: {", "small: {tree: /srv/small, root: aoe, "))
    assert (("images", "small", "tree"), "nfs") == found.setting(machine(found, "pc03"), "root")
    assert {"aoe", "nfs"} == found.roots

    home = Home.at(tmp_path / "home")
    home.create()
    store = Store(home.images)
    images = {name: add_version(store, "1", at, name).image for at, name in enumerate(booted(found))}
    prepare(store)
    write_boot_files(home, found, store, images, mtu=1500, farm_key="")
    mac = machine(found, "pc03").mac.replace(":", "-")
    script = (home.http / f"boot/{mac}.ipxe").read_text()
    assert "farm.root=nfs:10.77.0.1:/trees/small/ farm.image=small/1 " in script


def test_a_folder_that_is_no_root_is_refused(tmp_path: Path) -> None:
    config = Config(images={"dev": NamedImageConfig(tree=str(tmp_path))})
    with pytest.raises(FarmError, match=f"images.dev.tree is no root file system: {tmp_path}"):
        require_trees(config)
    (tmp_path / "sbin").mkdir()
    (tmp_path / "sbin/init").symlink_to("/lib/systemd/systemd")
    require_trees(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: {cad: {tree: srv/cad}}", "images.cad.tree: expected the absolute path of a folder"),
        ("nodes: {image: cda}\nimages: {cad: }", "farm.yaml:1: nodes.image: there is no image cda."),
        ("nodes: {image: cda}\nimages: {cad: }", "Did you mean cad?"),
        ("images:\n  cad:\n    packagse: [gdb]", "farm.yaml:3: images.cad.packagse: there is no such key."),
        ("images:\n  cad:\n    packagse: [gdb]", "Did you mean images.cad.packages?"),
        ("images: {cad: {packages: [a b]}}", "images.cad.packages[0]: expected the name of a Debian package"),
        ("images: {cad: {description: cad}}", "a folder with a slash in it: ./cad"),
        ("images: {fat-client: {desktop: kde}}", "images.fat-client.desktop: expected xfce or lxqt or none"),
        ("images: {thin-client: {desktop: xfce}}", "images.thin-client.desktop: thin-client has no desktop. The image"),
        ("images: {cad: {desktop: none}}", "make cad from the other: description: fat-client"),
        ("images: {cad: {kind: thin-client}}", "images.cad.kind: there is no description of your own for which this"),
        ("images: {cad: {description: ./cad, kind: pc}}", "images.cad.kind: expected icecream-node or thin-client or"),
        ("images: {Cad: }", "Write it like this: cad"),
        ("images: {12: }", 'Put it in quotes: "12"'),
        ("images: [cad]", "images: expected sections, each under its name, found a list."),
        ("images:\n  cad:\n  cad:", "farm.yaml:3: images.cad: given twice, first in line 2."),
        ("groups: {b: {machines: [pc1]}}", "groups.b.machines[0]: there is no machine pc1 in `machines`."),
        ("groups: {b: {machines: [52:54:00:12:34:56]}}", 'Put it in quotes: "52:54:00:12:34:56"'),
        ('groups: {b: {machines: ["53:54:00:12:34:56"]}}', "cannot be a NIC's address."),
        (
            'groups:\n  a: {machines: ["52:54:00:00:00:02"]}\n  b: {machines: ["52-54-00-00-00-02"]}',
            "farm.yaml:3: groups.b.machines[0]: 52:54:00:00:00:02 is also groups.a.machines[0].",
        ),
        ("groups: {b: {kernel_options: farm.root=x}}", "groups.b.kernel_options: farm.root=x is an option that only"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, said: str) -> None:
    assert said in refusal(text)


# -- what each is built from


def test_an_image_is_built_from_its_description_or_the_first_kinds(room: Config, own: Path) -> None:
    cad, small, built_in = (recipe(room, name, own.parent) for name in ("cad", "small", "icecream-node"))

    ours = layer_dirs(KINDS["icecream-node"])
    assert ((*ours, own), ("gdb",), "fast", 5) == (cad.layers, cad.packages, cad.compression, cad.keep)
    assert (ours, (), "small", 1) == (small.layers, small.packages, small.compression, small.keep)
    assert (str(own), "icecream-node", "icecream-node") == (cad.source, small.source, built_in.source)
    assert (KINDS["icecream-node"], None) == (built_in.kind, built_in.own)


def test_the_desktop_of_a_fat_client_is_a_layer_of_its_own(own: Path) -> None:
    (own / "cad.kiwi").write_text(OWN.replace("icecream-node", "fat-client"))
    room = parse(
        "images: {fat-client: {desktop: lxqt}, plain: {description: fat-client}, "
        "kde: {description: fat-client, desktop: none, packages: [plasma-desktop]}, cad: {description: ./cad}}"
    )

    names = {name: [layer.name for layer in recipe(room, name, own.parent).layers] for name in room.images}

    shared = ["common", "session", "thin-client", "compile"]
    assert {
        "fat-client": [*shared, "desktop-lxqt", "fat-client"],
        "plain": [*shared, "desktop-xfce", "fat-client"],
        "kde": [*shared, "fat-client"],
        "cad": [*shared, "desktop-xfce", "fat-client", "cad"],
    } == names
    inputs = {name: current_inputs(recipe(room, name, own.parent), SOURCES).base for name in room.images}
    assert 4 == len(set(inputs.values())), "each desktop is installed for itself"


def test_a_desktop_in_an_image_that_runs_none_is_refused(own: Path) -> None:
    room = parse("images: {cad: {description: ./cad, desktop: xfce}}")
    with pytest.raises(FarmError, match=r"images\.cad\.desktop: cad has no desktop\.") as caught:
        recipe(room, "cad", own.parent)
    assert "include this://fat-client/appliance.kiwi in the description" in caught.value.fix


def test_an_image_that_there_is_not_is_named_with_the_nearest(room: Config, own: Path) -> None:
    with pytest.raises(FarmError) as caught:
        recipe(room, "cda", own.parent)

    assert ("There is no image called cda.", "Did you mean cad?") == (caught.value.what, caught.value.fix)
    assert "There are: icecream-node, thin-client, fat-client, cad, small, plain." == caught.value.why


def test_what_kiwi_gets_names_the_included_files_by_where_they_are(room: Config, own: Path, tmp_path: Path) -> None:
    (own / "more.kiwi-part").write_text('<image schemaversion="8.5" name="more"/>')
    (own / "cad.kiwi").write_text(OWN.replace("<packages", '<include from="this://more.kiwi-part"/><packages'))
    (own / "config.sh").write_text("echo theirs\n")
    wanted, into = recipe(room, "cad", own.parent), tmp_path / "into"
    into.mkdir()

    write_base(wanted.layers, wanted.own, ["strace"], into)

    written = (into / "appliance.kiwi").read_text()
    layers = layer_dirs(KINDS["icecream-node"])
    expected = [
        str(path.resolve()) for path in (*(layer / "appliance.kiwi" for layer in layers), own / "more.kiwi-part")
    ]
    assert expected == re.findall(r'<include from="([^"]*)" />', written)
    assert '<package name="gdb" />' in written
    assert '<package name="strace" />' in written
    assert ["appliance.kiwi", "config.sh", "more.kiwi-part", "post_bootstrap.sh"] == sorted(
        path.name for path in into.iterdir()
    )


def test_scripts_of_all_layers_run_one_after_the_other(tmp_path: Path) -> None:
    layers = [tmp_path / "ours", tmp_path / "theirs"]
    for layer, text in zip(layers, ("echo one $#; cat", "echo two\nfalse\necho three\n"), strict=True):
        layer.mkdir()
        (layer / "config.sh").write_text(f"#!/bin/bash\nset -eu\n{text}")

    write_script(layers, "config.sh", tmp_path / "config.sh")

    # Where they run there is no /proc, and so no /dev/fd.
    without = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc; exec bash "$0"', tmp_path / "config.sh"]
    done = subprocess.run(without, input="input\n", capture_output=True, text=True, check=False)
    assert (1, "one 0\ninput\ntwo\n") == (done.returncode, done.stdout)


def test_the_hash_covers_all_that_a_description_includes(room: Config, own: Path) -> None:
    shared = own.parent / "shared.kiwi-part"
    shared.write_text('<image schemaversion="8.5" name="shared"/>')
    (own / "cad.kiwi").write_text(OWN.replace("<packages", '<include from="this://../shared.kiwi-part"/><packages'))
    seen = []

    def note() -> None:
        seen.append(current_inputs(recipe(room, "cad", own.parent), SOURCES))

    note()
    shared.write_text('<image schemaversion="8.5" name="shared"><users/></image>')
    note()
    (own / "root").mkdir()
    (own / "root/motd").touch()
    note()

    assert seen[0].base != seen[1].base == seen[2].base
    assert 3 == len({inputs.all for inputs in seen})
    small, plain = (current_inputs(recipe(room, name, own.parent), SOURCES) for name in ("small", "plain"))
    assert small.base == plain.base != seen[0].base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<image>", "cad.kiwi:1: this is not XML."),
        ("<appliance/>", "cad.kiwi is not a KIWI description. Its root element is <appliance>, not <image>."),
        ("<image/>", "includes none of the built-in descriptions."),
        ("<image/>", '<include from="this://icecream-node/appliance.kiwi"/>'),
        (OWN.replace("icecream-node", "icecream-mode"), "includes this://icecream-mode/appliance.kiwi, which does not"),
        (OWN.replace("<packages", '<include from="this://deep.part"/><packages'), "deep.part includes another file."),
    ],
)
def test_a_description_that_cannot_be_used_says_why(room: Config, own: Path, text: str, said: str) -> None:
    (own / "cad.kiwi").write_text(text)
    (own / "deep.part").write_text('<image><include from="this://cad.kiwi"/></image>')

    with pytest.raises(FarmError) as caught:
        recipe(room, "cad", own.parent)

    assert said in f"{caught.value.what} {caught.value.why} {caught.value.fix}"


def test_a_folder_without_a_description_is_named(room: Config, own: Path) -> None:
    (own / "other.kiwi").touch()
    with pytest.raises(FarmError, match="is not the folder of a KIWI description"):
        recipe(room, "cad", own.parent)
    for path in own.iterdir():
        path.unlink()
    with pytest.raises(FarmError, match="is not the folder of a KIWI description"):
        recipe(room, "cad", own.parent)
    own.rmdir()
    with pytest.raises(FarmError, match="There is no folder"):
        recipe(room, "cad", own.parent)


# -- commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose farm.yaml lists images, with a store that has one more."""
    home = Home.at(tmp_path / "home")
    monkeypatch.setenv("FARM_IMAGES", str(tmp_path / "images"))
    home.create()
    home.config.write_text(ROOM)
    store = Store(home.images)
    for built, (name, version) in enumerate(
        (("icecream-node", "1.1"), ("old", "1.1"), ("old", "1.2"), ("cad", "1.1")), 1
    ):
        add_version(store, version, built, name)
        store.use(store.list(name)[-1].image)
    return home


def run(home: Home, *words: str) -> str:
    """What `farm image WORDS` prints; raises what it raises."""
    done = CliRunner().invoke(image_commands.image, words, obj=home, catch_exceptions=False)
    if isinstance(done.exception, FarmError):
        raise done.exception
    return " ".join(done.output.split())


def test_the_list_says_what_was_not_built_and_what_is_gone(home: Home) -> None:
    said = run(home, "list")

    assert "old is not in farm.yaml. Remove all of it: sudo farm image remove old" in said
    assert "small was not built yet. Build it: sudo farm image build small" in said
    assert "cad was" not in said
    assert "icecream-node was" not in said


def test_farm_yaml_with_a_mistake_hides_no_version(home: Home) -> None:
    home.config.write_text("images: [")

    assert "old/1.2" in run(home, "list")
    assert "old/1.2" in run(home, "show", "old")


def test_an_image_that_farm_yaml_does_not_have_any_more_can_be_removed(home: Home) -> None:
    assert "Removed old/1.1, old/1.2." == run(home, "remove", "old")
    assert not (home.images / "old").exists()
    assert ["icecream-node", "cad"] == Store(home.images).names()


@pytest.mark.parametrize(("name", "said"), [("cad", "cad is in farm.yaml."), ("icecream-node", "is built in.")])
def test_an_image_that_there_is_cannot_be_removed_as_a_whole(home: Home, name: str, said: str) -> None:
    with pytest.raises(FarmError, match=said):
        run(home, "remove", name)
    with pytest.raises(FarmError, match="is chosen for next boots") as caught:
        run(home, "remove", Store(home.images).selected(name) or "")
    assert "sudo farm image use " in caught.value.fix


def test_a_name_that_there_is_not_is_refused_by_all_commands(home: Home) -> None:
    for words in (("list", "cda"), ("rollback", "cda"), ("show", "cda"), ("use", "cda"), ("remove", "cda")):
        with pytest.raises(FarmError, match=r"cda"):
            run(home, *words)
    with pytest.raises(FarmError, match=r"No version of small is chosen") as caught:
        run(home, "show", "small")
    assert "Build one: sudo farm image build small" == caught.value.fix


def test_a_manifest_of_before_is_a_version_of_its_kind(home: Home) -> None:
    path = home.images / "1.1" / "manifest.json"
    older = json.loads(path.read_bytes())
    for key in ("name", "description", "extra_packages"):
        del older[key]
    path.write_text(json.dumps(older))

    assert ("icecream-node", "1.1") == (Store(home.images).get("1.1").name, Store(home.images).get("1.1").image)


def test_what_a_machine_boots_next_has_the_line_that_says_so(home: Home) -> None:
    def boots(mac: str, kind: str) -> NextBoot:
        node = NodeStatus(key=mac, name="x", mac=mac, address="", stage=Stage.READY, since=0.0, kind=kind, root="aoe")
        found = next_boot(home, node, {"cad": "cad/1.1"})
        assert found
        return found

    line = ROOM.splitlines().index("    image: cad") + 1
    by_group, other = boots("52:54:00:00:00:0a", "cad"), boots("52:54:00:00:00:02", "plain")
    assert ("cad/1.1", f"{home.config}:{line}: groups.room-b.image") == (by_group.image, str(by_group.image_from))
    assert ("", "machines[1].image") == (other.image, other.image_from.key)
    assert "the default of image.root" == str(other.root_from)
    assert ("machines[1].slots", 2) == (other.slots_from.key, other.slots_from.value)
    assert ([], "nodes.when_used") == (other.lts_conf, other.when_used_from.key)
    home.config.write_text("images: [")
    assert next_boot(home, NodeStatus(key="", name="", address="", stage=Stage.READY, since=0.0), {}) is None
