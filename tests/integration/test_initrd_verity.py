"""What the initrd says of a root that cannot be checked: its own script, run by busybox, on real devices.

This machine need not have the kernel's device mapper, so dmsetup prints what it was asked for; a booted machine has the
real one (tests/e2e/test_checked_root.py).
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.image.kinds import COMMON, layer_dir
from farm.image.verity import BLOCK, Verity, append_tree

SCRIPT = layer_dir(COMMON) / "initramfs/scripts/farm-verity"
VERIFY = """
panic() { echo "panic: $*"; exit 1; }
modprobe() { :; }
dmsetup() { [ "$1" != create ] || echo "$6" > "$asked"; }
. "$1"
device=$2 asked=$3
farm_verify "$4"
echo "$device"
"""
BLOCKS = 300
ADVICE = "On the server: sudo farm doctor --only images,exports\n"


@contextlib.contextmanager
def attached(path: Path) -> Iterator[str]:
    """A file as a device."""
    device = subprocess.run(["losetup", "-r", "--show", "-f", path], check=True, capture_output=True, text=True).stdout
    try:
        yield device.strip()
    finally:
        subprocess.run(["losetup", "-d", device.strip()], check=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root.squashfs"
    path.write_bytes(bytes(range(256)) * (BLOCK * BLOCKS // 256))
    return path


@pytest.fixture
def verity(root: Path) -> Verity:
    return append_tree(root, "5a" * 32)


def boot(root: Path, argument: str) -> str:
    """All that the screen shows; DEVICE stands for the root's."""
    with attached(root) as device:
        argv = ["busybox", "sh", "-uc", VERIFY, "sh", str(SCRIPT), device, str(root.parent / "asked"), argument]
        shown = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (shown.stdout + shown.stderr).replace(device, "DEVICE")


def test_a_root_that_is_as_it_was_built_is_checked_from_now_on(root: Path, verity: Verity) -> None:
    assert "/dev/mapper/farm-root\n" == boot(root, verity.argument)
    asked = (root.parent / "asked").read_text().split()
    assert ["0", str(BLOCKS * 8), "verity", "1"] == asked[:4]
    expected = f"4096 4096 {BLOCKS} {BLOCKS} sha256 {verity.root_hash} {verity.salt} 1 panic_on_corruption"
    assert expected.split() == asked[6:]


def test_another_root_hash(root: Path, verity: Verity) -> None:
    other = Verity("ab" * 32, verity.salt, verity.blocks)
    said = "the root is not the version that farm.verity names, or has changed: DEVICE has the root hash"
    assert f"panic: farm: {said} {verity.root_hash}, not {'ab' * 32}. {ADVICE}" == boot(root, other.argument)


def test_a_changed_tree(root: Path, verity: Verity) -> None:
    with root.open("r+b") as file:
        file.seek(BLOCKS * BLOCK)
        file.write(b"x")
    assert boot(root, verity.argument).startswith("panic: farm: the root is not the version that farm.verity names")


@pytest.mark.parametrize("size", [BLOCKS * BLOCK, BLOCKS * BLOCK - 1, 8192])
def test_a_root_that_was_cut_off_or_has_no_tree(root: Path, verity: Verity, size: int) -> None:
    with root.open("r+b") as file:
        file.truncate(size)
    said = f"DEVICE has {size // 512 * 512} bytes, and the hashes begin at {BLOCKS * BLOCK}"
    assert f"panic: farm: the root is cut off, or was built without hashes: {said}. {ADVICE}" == boot(
        root, verity.argument
    )


@pytest.mark.parametrize("argument", ["", "off", f"{'ab' * 32}:5a", f"{'ab' * 32}:5a:300:1", f"{'ab' * 32}:5a:0300"])
def test_an_argument_that_is_none(root: Path, argument: str) -> None:
    said = "is not ROOTHASH:SALT:BLOCKS, so the root cannot be checked. On the server: sudo farm up\n"
    assert f"panic: farm: farm.verity={argument} {said}" == boot(root, argument)
