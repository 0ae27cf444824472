"""The image of docs/own-images.md that stands alone is built, boots and compiles; one that lacks its kernel is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import worked_example
from tests.e2e.conftest import Lab

NAME = "virtual-1"


@pytest.fixture
def room(lab: Lab) -> Lab:
    """The example's folder, and a farm.yaml whose machines boot what is made from it."""
    worked_example.write(lab.home, top=worked_example.ALONE)
    (lab.home / "farm.yaml").write_text(
        f"name: {lab.name}\nvirtual: {{memory: 1024}}\nnodes: {{image: bench}}\n"
        "images:\n  bench: {description: ./bench, kind: icecream-node}\n"
    )
    return lab


def test_it_boots_and_compiles(room: Lab, tmp_path: Path) -> None:
    assert "is valid" in room.farm("config", "check", "--virtual").stdout
    room.farm("image", "build", "bench")
    assert "is up to date" in room.farm("image", "build", "bench").stdout
    room.farm("up", "--virtual", "1")

    assert [NAME] == room.ready()
    said = room.farm("node", "ssh", NAME, "--", "cat /etc/motd; man --path --where 7 boot; ls /etc/ssh/*_key").stdout
    assert "A machine of room B." in said
    assert "/usr/share/man/man7/boot.7.gz" in said
    assert 1 == said.count("_key"), "this boot's own: none is in the image"
    assert [NAME] == list(room.compile(tmp_path / "work", 8)["nodes"])


def test_without_a_kernel_it_is_not_packed(room: Lab) -> None:
    page = room.home / "bench/appliance.kiwi"
    page.write_text(page.read_text().replace('<package name="linux-image-amd64"/>', ""))

    failed = room.farm("image", "build", "bench", check=False)

    assert 1 == failed.returncode
    said = " ".join(failed.stderr.split())
    assert f"The image made from {room.home / 'bench'} lacks a kernel." in said
    assert 'Add to its description: <package name="linux-image-amd64"/>' in said
