"""One server and four machines: the built-in image over each export, and a user's own image; a server that dies."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from farm.image.verity import BLOCK
from tests import worked_example
from tests.e2e.conftest import Lab
from tests.lab import until

ROADS = {"virtual-1": "aoe", "virtual-3": "nbd", "virtual-4": "nfs"}
OWN = "virtual-2"
OPTIONS = """name: {name}
virtual: {{memory: 1024}}
machines:
  - {{mac: "52:54:00:fa:00:03", name: virtual-3, root: nbd}}
  - {{mac: "52:54:00:fa:00:04", name: virtual-4, root: nfs}}
"""
READ = """
cat > /run/reader <<'END'
read begun rest < /proc/uptime
touch /run/begun
sum=$(sha256sum < /dev/mapper/farm-root)
read ended rest < /proc/uptime
echo "${sum%% *} $begun $ended" > /run/read
END
rm -f /run/read /run/begun
echo 3 > /proc/sys/vm/drop_caches
nohup sh /run/reader < /dev/null > /dev/null 2>&1 &
until [ -e /run/begun ]; do sleep 0.01; done
"""
SECONDS = 15
"""For so long the server is silent: longer than anything on a node waits before it gives up."""


@pytest.fixture(scope="module")
def room(lab: Lab) -> Lab:
    """All four are ready."""
    worked_example.write(lab.home, OPTIONS.format(name=lab.name))
    lab.choose_image()
    lab.farm("image", "build", "cad")
    lab.farm("up", "--virtual", "4")
    return lab


def nodes(lab: Lab) -> dict[str, dict[str, Any]]:
    return {name: lab.nodes_by_name()[name] for name in (*ROADS, OWN)}


def test_each_reads_its_own_root_by_its_own_export_and_compiles(room: Lab, tmp_path: Path) -> None:
    found = nodes(room)
    assert {"ready"} == {node["stage"] for node in found.values()}
    assert ROADS == {name: found[name]["telemetry"]["root"] for name in ROADS}
    assert {room.image} == {found[name]["image"] for name in ROADS}
    assert found[OWN]["image"].startswith("cad/")
    for name in found:
        told = room.farm("node", "ssh", name, "--", "dmsetup status farm-root").stdout
        assert ["verity", "V"] == told.split()[-2:], name
    assert set(found) <= set(room.compile(tmp_path / "work", 60)["nodes"])


@pytest.mark.parametrize(("name", "road"), ROADS.items())
def test_a_reader_waits_for_a_server_that_dies(room: Lab, tmp_path: Path, name: str, road: str) -> None:
    """The reading begins before the server is killed, and ends with what the file holds."""
    shown = json.loads(room.farm("image", "show", room.image, "--json").stdout)
    service = f"aoe-{shown['slot']}" if road == "aoe" else road
    with (room.images_folder / room.image / "root.squashfs").open("rb") as file:
        expected = hashlib.sha256(file.read(shown["verity"]["blocks"] * BLOCK)).hexdigest()
    pid = room.services()[service]["pid"]
    room.farm("node", "ssh", name, "--", READ)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(SECONDS)
    os.kill(pid, signal.SIGKILL)

    def read() -> list[str]:
        return room.farm("node", "ssh", name, "--", "cat /run/read", check=False).stdout.split()

    until(read, f"{name} does not go on", seconds=300)
    found, begun, ended = read()
    assert expected == found
    assert float(ended) - float(begun) > SECONDS, "it was reading when the server was silent"
    room.wait("the service runs again", lambda status: status["problems"] == [])
    assert name in room.compile(tmp_path / "work", 60)["nodes"]
