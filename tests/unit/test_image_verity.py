"""The tree of hashes behind a root file system, made and checked by the real veritysetup."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.config import FIRST_KIND, Config
from farm.errors import FarmError
from farm.image.kinds import COMMON, layer_dir
from farm.image.verity import BLOCK, Verity, append_tree
from farm.netboot.render import Booted, boot_scripts

SALT = "5a" * 32
DATA = bytes(range(256)) * (BLOCK * 300 // 256)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root.squashfs"
    path.write_bytes(DATA)
    return path


def is_whole(root: Path, verity: Verity) -> bool:
    """What veritysetup says of it."""
    options = ["--no-superblock", "--hash=sha256", f"--salt={verity.salt}", f"--data-blocks={verity.blocks}"]
    options += [f"--hash-offset={verity.blocks * BLOCK}", f"--data-block-size={BLOCK}", f"--hash-block-size={BLOCK}"]
    argv = ["veritysetup", "verify", str(root), str(root), verity.root_hash, *options]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_the_data_stays_and_the_tree_follows(root: Path) -> None:
    verity = append_tree(root, SALT)

    assert (SALT, 300) == (verity.salt, verity.blocks)
    assert DATA == root.read_bytes()[: len(DATA)]
    assert is_whole(root, verity)


def test_the_same_root_gets_the_same_bytes(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(DATA)

    assert append_tree(root, SALT) == append_tree(other, SALT)
    assert root.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("at", [0, BLOCK * 150 + 7, len(DATA) - 1, len(DATA) + 5])
def test_a_changed_byte_is_found(root: Path, at: int) -> None:
    verity = append_tree(root, SALT)
    with root.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))

    assert not is_whole(root, verity)


def test_a_root_of_another_size_is_refused(root: Path) -> None:
    root.write_bytes(DATA + b"x")
    with pytest.raises(FarmError, match="not a multiple of 4096"):
        append_tree(root, SALT)


def test_the_kernel_is_told_what_to_check_by_if_the_image_has_it() -> None:
    checked = Booted("1", {"aoe": "aoe:e7.1"}, Verity("ab" * 32, SALT, 300))
    believed = Booted("1", {"aoe": "aoe:e7.1"})

    scripts = [boot_scripts(Config(), {FIRST_KIND: each}, 1500)["default.ipxe"] for each in (checked, believed)]

    assert f" farm.verity={'ab' * 32}:{SALT}:300 " in scripts[0]
    assert "farm.verity" not in scripts[1]


SCRIPT = layer_dir(COMMON) / "initramfs/scripts/farm-verity"
TAKE_APART = '. "$0"; farm_verity_words "$1" && printf "%s\\n" "$hash" "$salt" "$blocks"'
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)


def taken_apart(argument: str) -> list[str]:
    """As the initrd does it; nothing: it refuses the argument."""
    argv = ["dash", "-euc", TAKE_APART, str(SCRIPT), argument]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()


@settings(max_examples=50, deadline=None)
@given(HASHES, HASHES, st.integers(1, 1 << 36))
def test_the_initrd_understands_what_the_kernel_is_told(root_hash: str, salt: str, blocks: int) -> None:
    assert [root_hash, salt, str(blocks)] == taken_apart(Verity(root_hash, salt, blocks).argument)


ALMOST = st.builds("{}:{}:{}".format, HASHES, st.text("0af:x$*", max_size=3), st.text("019:x -", max_size=14))


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200) | ALMOST)
def test_what_the_initrd_takes_is_three_words_of_which_the_kernel_makes_a_table(argument: str) -> None:
    words = taken_apart(argument)
    if words:
        root_hash, salt, blocks = words
        assert argument == Verity(root_hash, salt, int(blocks)).argument
        assert 64 == len(root_hash)
        int(root_hash + salt, 16)
