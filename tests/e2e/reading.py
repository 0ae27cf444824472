"""A booted node that reads its root as hard as it can."""

from __future__ import annotations

from tests.e2e.conftest import Lab
from tests.lab import until

_DEVICE = "device=$(tr ' ' '\\n' < /proc/cmdline | sed -n 's/^farm.root=aoe://p')"
_SMALL = """
ip link set dev "$(cat /run/farm/boot-nic)" mtu 1500
echo discover > /dev/etherd/discover
cat "/sys/block/etherd!$device/payload"
"""
_READ = """
for round in $(seq {times}); do
  echo 3 > /proc/sys/vm/drop_caches
  dd if="/dev/etherd/$device" of=/dev/null bs=1M status=none
done
"""


def on(lab: Lab, node: str, script: str) -> str:
    """What a shell script says on a node; fails the test when it fails. ``$device`` is the root's, such as e7.1."""
    return lab.farm("node", "ssh", node, "--", f"set -e\n{_DEVICE}\n{script}").stdout


def use_small_frames(lab: Lab, node: str) -> None:
    """Until its next boot: ordinary frames carry 1 KiB, of which the driver wants more than it can bear."""
    until(lambda: on(lab, node, _SMALL) == "1024\n", "the driver does not take the smaller frames")


def read_whole_root(lab: Lab, node: str, times: int) -> None:
    """From the server each time, not from the page cache."""
    on(lab, node, _READ.format(times=times))
