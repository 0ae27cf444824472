"""The limits that the initrd sets on its root's device: without them the same reading stops for ever."""

from __future__ import annotations

import subprocess
import time

from tests.e2e.conftest import Lab
from tests.e2e.reading import on, read_whole_root, use_small_frames
from tests.lab import until

NODE = "virtual-1"
READ_ANOTHER = """
echo discover > /dev/etherd/discover
until [ -b /dev/etherd/e9.1 ]; do sleep 0.1; done
mount -t debugfs debugfs /sys/kernel/debug
nohup sh -c 'for round in $(seq 20); do
  echo 3 > /proc/sys/vm/drop_caches
  dd if=/dev/etherd/e9.1 of=/dev/null bs=1M status=none
done' > /dev/null 2>&1 < /dev/null &
"""
PROGRESS = "awk '{ print $1, $3, $9 }' '/sys/block/etherd!e9.1/stat'; cat /sys/kernel/debug/aoe/e9.1"
"""Requests and sectors that were read, requests under way; what the driver tells of itself."""
LONG = 20.0
"""Seconds in which nothing is read."""


def test_another_device_without_limits_stops_for_ever_while_the_root_is_read(lab: Lab) -> None:
    lab.farm("image", "build")
    lab.farm("up", "--virtual", "1")
    use_small_frames(lab, NODE)
    # The same file under another name, for which nobody has changed what the driver wants by itself.
    root = lab.images_folder / lab.status()["image"] / "root.squashfs"
    vblade = ["ip", "netns", "exec", lab.namespace, "vblade", "-r", "-b", "1024", "9", "1", "farm0", str(root)]
    with subprocess.Popen(vblade, stdout=subprocess.DEVNULL) as export:
        try:
            on(lab, NODE, READ_ANOTHER)

            def stopped() -> bool:
                before = on(lab, NODE, PROGRESS)
                time.sleep(LONG)
                return "falloc: 512" in before and on(lab, NODE, PROGRESS) == before

            until(stopped, "it does not stop: are the limits still needed?", seconds=600)
            before = on(lab, NODE, PROGRESS)
            read_whole_root(lab, NODE, 20)
            assert on(lab, NODE, PROGRESS) == before
        finally:
            export.terminate()
