"""Images that go from one farm to another over a web server, and all that may be wrong with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import ssh_key
from farm.config import FIRST_KIND
from farm.errors import FarmError
from farm.home import locked
from farm.image.prebuilt import fetch, index, signature
from farm.image.store import FILES
from tests.prebuilt_pair import URL, Pair, flip, pair, small_disk

__all__ = ["pair", "small_disk"]


def test_versions_are_pulled_from_a_web_server(pair: Pair) -> None:
    published = pair.publish()
    assert {"cad/20261101.1", "icecream-node/20261101.1", "icecream-node/20261102.1"} == set(published["versions"])
    assert pair.a.fingerprint == published["signer"]
    pair.serve()

    assert f"--trust {pair.a.fingerprint}" in pair.b.refused("image", "pull", URL)
    pulled = pair.b.json("image", "pull", URL, *pair.trusted())

    assert {"20261102.1", "cad/20261101.1"} == {image["image"] for image in pulled["images"]}
    assert "20261102.1" == pair.b.store.selected(FIRST_KIND)
    pair.b.json("image", "pull", URL, "icecream-node/20261101.1", "--keep-choice")
    assert {"20261101.1", "20261102.1", "cad/20261101.1"} == set(pair.b.images)
    assert "20261102.1" == pair.b.store.selected(FIRST_KIND)
    for image in pair.b.images:
        pair.b.store.verify(image)
    assert "There is no image nothing at" in pair.b.refused("image", "pull", URL, "nothing")


def test_what_is_published_follows_the_store(pair: Pair) -> None:
    first = pair.publish()
    pair.a.farm("image", "remove", "20261101.1")
    pair.a.add("20261103.1")
    second = pair.publish()

    assert ["icecream-node/20261101.1"] == second["removed"]
    assert not (pair.www / "icecream-node/20261101.1").exists()
    assert "icecream-node/20261103.1" == second["selected"][FIRST_KIND]
    assert second["serial"] > first["serial"]
    (pair.www / "index.json").write_text("{")
    (pair.www / "other.html").touch()
    assert pair.publish()["serial"] >= first["serial"]
    assert (pair.www / "other.html").exists()


def test_a_name_in_place_of_the_folder_is_noticed(pair: Pair) -> None:
    done = pair.a.farm("image", "publish", FIRST_KIND, check=False)

    assert 2 == done.returncode
    assert "Name a folder first" in done.stderr


def test_what_is_published_can_be_read_by_a_web_server_and_is_not_the_store(pair: Pair) -> None:
    old = os.umask(0o077)
    try:
        pair.publish()
    finally:
        os.umask(old)
    assert {0o755} == {path.stat().st_mode & 0o777 for path in (pair.www, *pair.www.rglob("*")) if path.is_dir()}

    for folder in (pair.a.home.images, pair.a.home.images / "cad"):
        assert "is the image store, or in it." in pair.a.refused("image", "publish", str(folder))
    assert "is a folder." in pair.a.refused("image", "export", "cad/20261101.1", str(pair.www))
    assert not (pair.a.home.images / index.INDEX).exists()


SERVED = ["index.json", "index.json.sig", *(f"cad/20261101.1/{name}" for name in ("manifest.json", *FILES))]


@pytest.mark.parametrize("name", SERVED)
def test_a_byte_that_was_changed_on_the_web_server_is_refused(pair: Pair, name: str) -> None:
    pair.publish()
    flip(pair.www / name)
    pair.serve()

    said = pair.b.refused("image", "pull", URL, "cad", *pair.trusted())

    assert "does not fit" in said or "is not what was signed" in said
    assert [] == pair.b.images
    pair.publish()
    pair.b.farm("image", "pull", URL, "cad", *pair.trusted())


def test_an_index_of_before_and_one_by_somebody_else_are_refused(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    old = {name: (pair.www / name).read_bytes() for name in (index.INDEX, index.SIGNATURE)}
    pair.publish()
    pair.b.farm("image", "pull", URL, "cad", *pair.trusted())
    new = {name: (pair.www / name).read_bytes() for name in old}

    for name, content in old.items():
        (pair.www / name).write_bytes(content)
    assert "is older than the one that came from there before" in pair.b.refused("image", "pull", URL)

    for name, content in new.items():
        (pair.www / name).write_bytes(content)
    stranger = pair.a.place.folder / "stranger"
    ssh_key.made(stranger, "stranger")
    pair.publish("--key", str(stranger))
    assert "was signed by somebody else than lab-a@" in pair.b.refused("image", "pull", URL)

    name = pair.b.json("image", "signers")["signers"][0]["name"]
    pair.b.farm("image", "signers", "--forget", name)
    assert "whom this farm does not know" in pair.b.refused("image", "pull", URL)
    (pair.www / index.SIGNATURE).unlink()
    assert "404" in pair.b.refused("image", "pull", URL)


def test_a_signed_index_that_gives_a_version_another_name_is_refused(pair: Pair) -> None:
    pair.publish()
    found = index.read_index((pair.www / index.INDEX).read_bytes(), "")
    (pair.www / "cad/20261101.1").rename(pair.www / "icecream-node/20261109.1")
    versions = {"icecream-node/20261109.1": found.versions["cad/20261101.1"]}
    forged = index.Index(
        publisher=found.publisher,
        serial=found.serial + 1,
        versions=versions,
        selected={FIRST_KIND: "icecream-node/20261109.1"},
    )
    write_index(pair, forged)
    pair.serve()

    assert "The file there describes cad/20261101.1." in pair.b.refused("image", "pull", URL, *pair.trusted())
    assert [] == pair.b.images


def write_index(pair: Pair, content: index.Index) -> None:
    import msgspec

    encoded = msgspec.json.encode(content)
    key = pair.a.home.state / "ssh/images_ed25519"
    (pair.www / index.INDEX).write_bytes(encoded)
    (pair.www / index.SIGNATURE).write_bytes(signature.sign(key, encoded, index.NAMESPACE))


def test_what_is_left_of_another_version_is_fetched_again(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    folder = pair.b.home.images / ".pull/cad/20261101.1"
    folder.mkdir(parents=True)
    (folder / "root.squashfs").write_bytes(b"x" * 1000)

    assert "is not what was signed" in pair.b.refused("image", "pull", URL, "cad", *pair.trusted())
    pair.b.farm("image", "pull", URL, "cad")


def test_only_one_command_pulls_at_a_time(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    with locked(pair.b.home.images / ".pull/.lock", ""):
        assert "Another command is pulling images." in pair.b.refused("image", "pull", URL, *pair.trusted())


def test_a_full_disk_is_named_and_nothing_is_left_on_it(pair: Pair, small_disk: Path) -> None:
    pair.publish()
    pair.serve()
    entry = pair.a.store.get("20261102.1").files["root.squashfs"]
    address = f"{URL}/icecream-node/20261102.1/root.squashfs"

    def get() -> None:
        fetch.fetch_file(address, small_disk / "root.squashfs", entry, lambda have: None)

    with pytest.raises(FarmError, match=r"The disk is full\."):
        pair.b.place.call(get)
    assert [] == list(small_disk.iterdir())


def test_too_little_room_is_said_before_anything_is_fetched(pair: Pair, small_disk: Path) -> None:
    pair.publish()
    pair.serve()
    pair.b.farm("image", "signers")
    shutil.rmtree(pair.b.home.images)
    pair.b.home.images.symlink_to(small_disk)

    assert "Too little room for cad/20261101.1" in pair.b.refused("image", "pull", URL, "cad", *pair.trusted())


def test_a_version_that_was_asked_for_stays_when_old_ones_go(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    pair.b.home.config.write_text("name: lab-b\nimage: {keep: 1}\n")
    for version in ("20261103.1", "20261104.1", "20261105.1"):
        pair.b.add(version)

    pair.b.farm("image", "pull", URL, "icecream-node/20261101.1", "--keep-choice", *pair.trusted())

    assert "20261101.1" in pair.b.images
    assert "20261105.1" == pair.b.store.selected(FIRST_KIND)


@pytest.mark.parametrize("url", ["ftp://10.99.41.1/x", "file:///etc", "http://", "http://[", f"{URL}/?a=b"])
def test_only_addresses_of_the_web_are_taken(pair: Pair, url: str) -> None:
    assert "is not the address of a published folder" in pair.b.refused("image", "pull", url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda www: (www / "index.json").write_text("{}"), "does not fit"),
        (lambda www: (www / "index.json").write_bytes(b"x" * (index.MOST_BYTES + 1)), "is too large"),
        (lambda www: shutil.rmtree(www), "404"),
    ],
)
def test_a_folder_that_is_none_is_named(pair: Pair, change: Callable[[Path], object], said: str) -> None:
    pair.publish()
    change(pair.www)
    pair.serve()

    assert said in pair.b.refused("image", "pull", URL)


def test_a_farm_pulls_what_farm_yaml_says_and_needs_nothing_that_builds(pair: Pair) -> None:
    """The farm comes up with an image that it has only pulled; the programs of a build are not to be found."""
    pair.publish()
    pair.serve()
    pulled = f"images: {{cad: {{pull: '{URL}'}}}}\nnodes: {{image: cad}}\n"
    # A namespace cannot raise the kernel's limit for socket buffers: this one fits Debian's default.
    pair.b.home.config.write_text(f"name: p{os.getpid()}\nexport: {{buffer: 16}}\n{pulled}")
    assert "cad is not built here." in pair.b.refused("image", "build", "cad")
    try:
        said = pair.b.refused("up", "--virtual", "0")
        assert "whom this farm does not know" in said
        pair.b.farm("image", "pull", "cad", *pair.trusted())
        up = pair.b.farm("up", "--virtual", "0").stdout
        assert "have changed since it was built" not in up
        pair.a.add("20261105.1", "cad")
        pair.publish()
        pair.b.farm("image", "pull")
        script = (pair.b.home.http / "boot/default.ipxe").read_text()
        assert "farm.image=cad/20261105.1 " in script
    finally:
        pair.b.farm("down", "--force", check=False)


def test_a_version_of_which_nodes_check_nothing_is_not_given_away(pair: Pair) -> None:
    pair.a.add("20261020.1", checked=False)

    said = pair.a.refused("image", "export", "20261020.1", str(pair.archive))
    assert "Nodes can not check what they read of 20261020.1." in said
    assert "icecream-node/20261020.1" not in pair.publish()["versions"]


def test_a_pulled_version_that_was_damaged_is_pulled_again(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    pair.b.farm("image", "pull", URL, "cad", *pair.trusted())
    flip(pair.b.home.images / "cad/20261101.1/kernel")

    assert f"sudo farm --home {pair.b.home.directory} image pull URL" in pair.b.refused(
        "image", "use", "cad/20261101.1"
    )
    assert [True] == [image["new"] for image in pair.b.json("image", "pull", URL, "cad")["images"]]
    pair.b.store.verify("cad/20261101.1")


def test_a_key_with_which_nothing_can_be_signed_is_named(pair: Pair) -> None:
    key = pair.a.place.folder / "none"
    key.write_text("no key\n")

    assert f"ssh-keygen -l -f {key}" in pair.a.refused("image", "publish", str(pair.www), "--key", str(key))
    assert not (pair.www / index.INDEX).exists()


def test_publishing_is_refused_when_a_version_is_damaged(pair: Pair) -> None:
    flip(pair.a.home.images / "20261102.1/kernel")

    assert "is damaged" in pair.a.refused("image", "publish", str(pair.www))
    assert not pair.www.exists()
