"""A thin client boots in the virtual lab, and its greeter is on the screen."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Lab
from tests.lab import until

NAME = "virtual-1"
DRIVERS = (
    *("i915", "amdgpu", "radeon", "nouveau", "ast", "mgag200", "bochs"),
    *(
        "snd-hda-intel",
        "snd-usb-audio",
        "snd-hda-codec-hdmi",
        "usb-storage",
        "uas",
        "usblp",
        "parport_pc",
        "lp",
        "sdhci-pci",
    ),
    *("vfat", "exfat", "isofs", "udf", "ixgbe", "igc", "r8169", "b44", "hv_netvsc"),
)
"""Of an ordinary PC's screen, sound, sticks, printers and network cards."""
LACKING = """
import re, sys
from pathlib import Path

modules = Path(*Path("/lib/modules").iterdir())
built_in = {Path(line).name[:-3].replace("-", "_") for line in (modules / "modules.builtin").read_text().split()}
there = {path.name[:-3].replace("-", "_"): path for path in modules.rglob("*.ko")}
wanted, seen = [name.replace("-", "_") for name in sys.argv[1:]], set()
while wanted:
    name = wanted.pop()
    if name in seen or name in built_in:
        continue
    seen.add(name)
    if name not in there:
        print(name)
        continue
    wanted += re.search(rb"\\0depends=([^\\0]*)", there[name].read_bytes())[1].decode().replace("-", "_").split(",")
    wanted = [each for each in wanted if each]
"""
"""Which of some drivers, and of those that they need, are not in the image."""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Lab:
    """A lab with one thin client, which is ready."""
    (lab.home / "farm.yaml").write_text(f"name: {lab.name}\nvirtual: {{memory: 1024}}\nnodes: {{image: thin-client}}\n")
    lab.farm("image", "build", "thin-client")
    lab.farm("up", "--virtual", "1")
    return lab


def node(lab: Lab) -> dict[str, Any]:
    """What `farm node show` says."""
    shown: dict[str, Any] = json.loads(lab.farm("node", "show", NAME, "--json").stdout)["node"]
    return shown


def screen(lab: Lab) -> bytes:
    """The picture that is on its screen, unpacked."""
    target = lab.home / "screen.png"
    lab.farm("node", "screen", NAME, target)
    data, place, packed = target.read_bytes(), 8, b""
    while place < len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        packed += data[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += length + 12
    return zlib.decompress(packed)


def test_it_is_ready_when_its_greeter_is_up_and_compiles_nothing(client: Lab) -> None:
    shown = node(client)
    assert ("ready", None, "nobody-there") == (shown["stage"], shown["compile"], shown["idle"]["code"])
    assert {"ready": True, "greeter": True, "users": []} == shown["session"]["agent"]
    assert "greeter" in shown["uptime"]
    assert "greeter" in client.farm("node", "list").stdout
    until(lambda: len(set(screen(client))) > 16, "there is no picture on the screen")


def test_the_drivers_of_ordinary_pcs_are_there_with_all_that_they_need(client: Lab, tmp_path: Path) -> None:
    script = f"python3 - {' '.join(DRIVERS)} <<'END'\n{LACKING}\nEND\n"
    assert "" == client.farm("node", "ssh", NAME, "--", script).stdout


def test_its_doctor_finds_nothing_wrong(client: Lab) -> None:
    said = client.farm("node", "ssh", NAME, "--", "python3 -I -m farm.node doctor", check=False).stdout
    assert ["ok   node-configured", "ok   node-greeter"] == [line.partition(":")[0] for line in said.splitlines()[:2]]
