"""Images as archives: what is taken, and all that may be wrong with them."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.config import FIRST_KIND
from farm.errors import FarmError
from farm.image.store import FileEntry, Manifest
from tests.prebuilt_pair import ROOT_BYTES, Pair, pair, small_disk

__all__ = ["pair", "small_disk"]


def test_an_archive_goes_into_another_store_once_its_signer_is_believed(pair: Pair) -> None:
    told = pair.a.farm("image", "export", FIRST_KIND, "20261102.1", str(pair.archive)).stdout
    assert pair.a.fingerprint in told

    said = pair.b.refused("image", "import", str(pair.archive))
    assert "is signed by somebody whom this farm does not know." in said
    assert f"--trust {pair.a.fingerprint}" in said
    assert [] == pair.b.images

    pair.b.farm("image", "import", str(pair.archive), *pair.trusted())
    assert ["20261102.1"] == pair.b.images
    assert "20261102.1" == pair.b.store.selected(FIRST_KIND)
    pair.b.store.verify("20261102.1")
    manifest = pair.b.store.get("20261102.1")
    assert (pair.a.fingerprint, "cad") == (manifest.signer, manifest.description), "no path of the other server's"
    assert manifest.publisher.startswith("lab-a@")
    again = pair.b.json("image", "import", str(pair.archive))
    assert [False] == [image["new"] for image in again["images"]]
    assert f"signed with {pair.a.fingerprint}" in pair.b.farm("image", "show", "20261102.1").stdout


def test_another_fingerprint_is_not_enough(pair: Pair) -> None:
    pair.a.farm("image", "export", "cad/20261101.1", str(pair.archive))

    assert "does not know" in pair.b.refused("image", "import", str(pair.archive), "--trust", pair.b.fingerprint)
    assert [] == pair.b.images


def test_a_version_of_the_same_name_with_other_files_is_left_alone(pair: Pair) -> None:
    pair.a.farm("image", "export", "20261102.1", str(pair.archive))
    folder = pair.b.home.images / "20261102.1"
    pair.b.add("20261102.1")
    other = msgspec_replace(pair.b.store.get("20261102.1"))
    (folder / "manifest.json").write_bytes(other)

    said = pair.b.refused("image", "import", str(pair.archive), *pair.trusted())

    assert "There is another version 20261102.1 in the store." in said
    assert other == (folder / "manifest.json").read_bytes()


def msgspec_replace(manifest: Manifest) -> bytes:
    """A manifest that says another hash of the kernel."""
    import msgspec

    files = {**manifest.files, "kernel": FileEntry(5000, "0" * 64)}
    return msgspec.json.encode(msgspec.structs.replace(manifest, files=files))


def damaged_members(archive: Path) -> Iterator[tuple[str, list[tuple[tarfile.TarInfo, bytes]]]]:
    """Archives that no export makes, each with what is wrong with it."""
    with tarfile.open(archive) as tar:
        whole = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    for n, (info, content) in enumerate(whole):
        for place in (0, len(content) // 2, len(content) - 2):
            flipped = bytearray(content)
            flipped[place] ^= 1
            yield f"{info.name}, byte {place}", [*whole[:n], (info, bytes(flipped)), *whole[n + 1 :]]
        yield f"without {info.name}", whole[:n] + whole[n + 1 :]
        renamed = tarfile.TarInfo(f"../../{info.name}")
        renamed.size = info.size
        yield f"{info.name} elsewhere", [*whole[:n], (renamed, content), *whole[n + 1 :]]
        link = tarfile.TarInfo(info.name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        yield f"{info.name} as a link", [*whole[:n], (link, b""), *whole[n + 1 :]]
    yield "in another order", whole[::-1]
    yield "nothing", []
    yield "another version's name", [(whole[0][0], whole[0][1].replace(b"20261102.1", b"20261103.1")), *whole[1:]]


def test_what_was_changed_in_an_archive_is_refused_and_leaves_nothing(pair: Pair) -> None:
    pair.a.farm("image", "export", "20261102.1", str(pair.archive))
    trust = pair.trusted()
    pair.b.farm("image", "import", str(pair.archive), *trust)
    pair.b.add("20261001.1")
    pair.b.farm("image", "remove", "20261102.1")
    bad = pair.archive.with_name("bad.tar")

    for what, members in damaged_members(pair.archive):
        with tarfile.open(bad, "w") as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))
        import_bad(pair, bad, what)
    for cut in (0, 1, 511, 512, 4000, ROOT_BYTES // 2):
        bad.write_bytes(pair.archive.read_bytes()[:cut])
        import_bad(pair, bad, f"cut after {cut}")

    assert ["20261001.1"] == pair.b.images
    assert [".lock"] == [path.name for path in (pair.b.home.images / ".pull").iterdir()]


def import_bad(pair: Pair, bad: Path, what: str) -> None:
    """In this process: a command takes half a second, and there are thirty."""
    from farm.config import Config
    from farm.serve.image_transfer import import_image

    with pytest.raises(FarmError) as caught:
        import_image(pair.b.home, Config(), bad, lambda *_: False, lambda *_: None)
    assert caught.value.fix, what


def test_too_little_room_is_said_before_an_archive_is_unpacked(pair: Pair, small_disk: Path) -> None:
    pair.a.farm("image", "export", "20261102.1", str(pair.archive))
    pair.b.farm("image", "signers")
    shutil.rmtree(pair.b.home.images)
    pair.b.home.images.symlink_to(small_disk)

    said = pair.b.refused("image", "import", str(pair.archive), *pair.trusted())
    assert "Too little room for icecream-node/20261102.1" in said
