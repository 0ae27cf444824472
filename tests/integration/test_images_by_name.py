"""A farm that is up and serves images of several names: machines change theirs, and what is left over is removed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.image.store import Store
from tests.made_up_store import add_version
from tests.virtual_lab import Lab

IMAGES = "images: {cad: , old: }\n"
ROOM = 'groups: {room-b: {machines: ["52:54:00:00:00:01"], image: cad}}\n'


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Up without machines; room B boots the image cad."""
    lab = Lab(tmp_path_factory.mktemp("lab"), f"i{os.getpid()}")
    store = Store(lab.home.images)
    for built, (name, version) in enumerate((("cad", "c1"), ("cad", "c2"), ("old", "o1")), 2):
        add_version(store, version, built, name)
    store.use("cad/c1")
    store.use("old/o1")
    write(lab, IMAGES + ROOM)
    try:
        lab.up()
        yield lab
    finally:
        lab.farm("down", "--force", check=False)


def write(lab: Lab, more: str) -> None:
    lab.home.config.write_text(f"name: {lab.name}\n{more}")


def script(lab: Lab) -> str:
    return (lab.home.http / "boot/52-54-00-00-00-01.ipxe").read_text()


def refused(lab: Lab, *words: str) -> str:
    done = lab.farm(*words, check=False)
    assert 1 == done.returncode, done.stdout
    return " ".join(done.stderr.split())


def test_a_room_changes_its_image_and_what_is_left_is_removed(lab: Lab) -> None:
    assert "farm.image=cad/c1 " in script(lab)
    assert "This version is chosen for next boots." in refused(lab, "image", "remove", "cad/c1")

    lab.farm("image", "use", "cad/c2")
    assert "farm.image=cad/c2 " in script(lab)
    lab.farm("image", "rollback", "cad")
    assert "farm.image=cad/c1 " in script(lab)
    assert "old is in farm.yaml." in refused(lab, "image", "remove", "old")

    write(lab, IMAGES + ROOM.replace("cad", "icecream-node"))
    lab.up()
    assert "farm.image=v1 " in script(lab)
    exports = [name for name in lab.pids() if name.startswith("aoe-")]
    assert 4 == len(exports), "what no machine boots any more is served to those that run it"

    write(lab, "")
    assert "Remove all of it:" in lab.farm("image", "list").stderr
    for name, said in (("old", "Removed old/o1.\n"), ("cad", "Removed cad/c1, cad/c2.\n")):
        assert said == lab.farm("image", "remove", name).stdout
    assert ["v1"] == [manifest.image for manifest in Store(lab.home.images).list()]
    assert 1 == len([name for name in lab.pids() if name.startswith("aoe-")])
    assert not Path(lab.home.images, "cad").exists()


def test_images_that_nodes_do_not_check_are_named_with_what_to_do(lab: Lab) -> None:
    told = json.loads(lab.farm("status", "--json", check=False).stdout)["unverified"]
    assert [("v1", True, []), ("cad/c1", True, [])] == [(e["image"], e["next_boots"], e["nodes"]) for e in told]
    assert f"Build it again: sudo farm --home {lab.home.directory} image build cad" == told[1]["fix"]
    said = " ".join(lab.farm("status", check=False).stdout.split())
    assert "Image cad/c1 is not verified: nodes do not check what they read, and next boots get it. Build" in said

    listed = lab.farm("image", "list", "cad")
    assert ["no", "no"] == [line.split()[-4] for line in listed.stdout.splitlines()[1:]]
    assert 1 == listed.stderr.count("cad/c1, for next boots, is not verified")
    assert ["cad/c1", "cad/c2"] == json.loads(lab.farm("image", "list", "cad", "--json").stdout)["unverified"]

    done = lab.farm("doctor", "--json", "--only", "images-verified", check=False)
    found = next(each for each in json.loads(done.stdout)["results"] if each["code"] == "images-verified")
    assert ("warn", "sudo farm --home") == (found["state"], found["command"][:16])


def test_an_image_without_a_description_is_an_error_that_names_the_folder(lab: Lab) -> None:
    write(lab, f"images: {{cad: {{description: ./nowhere}}}}\n{ROOM}")

    assert f"There is no folder {lab.home.config.parent / 'nowhere'}." in refused(lab, "image", "build", "cad")
    lab.up()
    assert "farm.image=cad/c1 " in script(lab), "what was built is served without its description"
