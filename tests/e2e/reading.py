"""A booted node that reads its root as hard as it can."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.e2e.conftest import Lab
from tests.lab import until

_DEVICE = "device=$(tr ' ' '\\n' < /proc/cmdline | sed -n 's/^farm.root=aoe://p')"
_FRAMES = """
cat "/sys/class/net/$(cat /run/farm/boot-nic)/mtu"
cat "/sys/block/etherd!$device/payload"
"""
_SET_FRAMES = """
ip link set dev "$(cat /run/farm/boot-nic)" mtu {mtu}
echo discover > /dev/etherd/discover
"""
_READ = """
for round in $(seq {times}); do
  echo 3 > /proc/sys/vm/drop_caches
  dd if="/dev/$(ls /sys/block/dm-0/slaves | tr '!' /)" of=/dev/null bs=1M status=none
done
echo 3 > /proc/sys/vm/drop_caches
dd if=/dev/mapper/farm-root of=/dev/null bs=1M status=none
dmsetup status farm-root
"""


def on(lab: Lab, node: str, script: str) -> str:
    """What a shell script says on a node; fails the test when it fails. ``$device`` is the root's, such as e7.1."""
    return lab.farm("node", "ssh", node, "--", f"set -e\n{_DEVICE}\n{script}").stdout


def use_small_frames(lab: Lab, node: str) -> None:
    """Until its next boot: ordinary frames carry 1 KiB, of which the driver wants more than it can bear."""
    _use_frames(lab, node, ["1500", "1024"])


@contextlib.contextmanager
def small_frames(lab: Lab, node: str) -> Iterator[None]:
    """As `use_small_frames`, for so long."""
    usual = on(lab, node, _FRAMES).split()
    use_small_frames(lab, node)
    try:
        yield
    finally:
        _use_frames(lab, node, usual)


def _use_frames(lab: Lab, node: str, wanted: list[str]) -> None:
    """Have the interface's MTU so, and wait until the driver's requests are so large; both in bytes."""
    script = _SET_FRAMES.format(mtu=wanted[0]) + _FRAMES
    until(lambda: on(lab, node, script).split() == wanted, f"the driver does not take frames of {wanted[0]} bytes")


def read_whole_root(lab: Lab, node: str, times: int) -> None:
    """From the server each time, not from the page cache; once more with the kernel's check, which takes far longer."""
    assert on(lab, node, _READ.format(times=times)).split()[-2:] == ["verity", "V"]
