"""A lab with two images: the built-in one, and the first worked example of docs/own-images.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import worked_example
from tests.e2e.conftest import Lab

OWN, OTHER = "virtual-2", "virtual-1"
OPTIONS = "name: {name}\nvirtual: {{memory: 1024}}\n"


@pytest.fixture
def room(lab: Lab) -> tuple[Lab, str]:
    """Up with two machines that run what farm.yaml says, of which the second is in room B; the version of its image."""
    worked_example.write(lab.home, OPTIONS.format(name=lab.name))
    lab.choose_image()
    image = str(json.loads(lab.farm("image", "build", "cad", "--json").stdout)["image"])
    status = lab.status_if_up()
    if status is None or status["images"] != {"icecream-node": lab.image, "cad": image}:
        lab.farm("up", "--virtual", "2")
    for name, wanted in ((OTHER, lab.image), (OWN, image)):
        node = lab.nodes_by_name()[name]
        if node["image"] != wanted:
            lab.farm("node", "reboot", name)
            lab.wait_for_boot(name, node["stages"]["powered"])
    return lab, image


def words(text: str) -> str:
    """Without the lines into which a screen's width cut it."""
    return " ".join(text.split())


def shown(lab: Lab, name: str) -> dict[str, Any]:
    """What `farm node show` says of a node."""
    node: dict[str, Any] = json.loads(lab.farm("node", "show", name, "--json").stdout)["node"]
    return node


def test_each_machine_runs_its_image_and_compiles(room: tuple[Lab, str], tmp_path: Path) -> None:
    lab, image = room
    assert {OTHER: lab.image, OWN: image} == {name: node["image"] for name, node in lab.nodes_by_name().items()}
    assert [OTHER, OWN] == lab.ready()

    said = lab.farm("node", "ssh", OWN, "--", "strace -V | head -1; id -un cad; cat /etc/motd").stdout
    assert "strace -- version" in said
    assert said.endswith("cad\nThis PC belongs to room B.\n")
    assert {OTHER, OWN} <= set(lab.compile(tmp_path / "work", 24)["nodes"])


def test_a_node_says_which_line_gave_it_its_image(room: tuple[Lab, str]) -> None:
    lab, image = room
    lines = (lab.home / "farm.yaml").read_text().splitlines()
    boots = shown(lab, OWN)["next_boot"]

    assert (image, "cad") == (boots["image"], boots["image_from"]["value"])
    reason = boots["image_from"]
    assert ("groups.room-b.image", str(lab.home / "farm.yaml")) == (reason["key"], reason["file"])
    assert "    image: cad" == lines[reason["line"] - 1]
    assert None is shown(lab, OTHER)["next_boot"]["image_from"]["line"]


def test_a_machine_changes_its_image_by_an_edit_and_a_reboot(room: tuple[Lab, str]) -> None:
    lab, image = room
    page = lab.home / "farm.yaml"
    page.write_text(page.read_text().replace("    image: cad\n", "    image: icecream-node\n"))
    assert "Apply it: sudo farm" in words(lab.farm("node", "show", OWN).stdout)

    lab.farm("up")

    node = shown(lab, OWN)
    assert (image, True, lab.image) == (node["image"], node["outdated"], node["next_boot"]["image"])
    refused = lab.farm("image", "remove", image, check=False)
    assert 1 == refused.returncode
    assert "A running node uses it as its root file system." in words(refused.stderr)
    assert lab.images_folder.joinpath(image, "root.squashfs").is_file()

    lab.farm("node", "reboot", OWN)
    lab.wait_for_boot(OWN, node["stages"]["powered"])
    assert lab.image == shown(lab, OWN)["image"]


def test_a_build_that_fails_says_why_and_where_the_log_is(lab: Lab) -> None:
    page = lab.home / "farm.yaml"
    before = page.read_text()
    page.write_text(OPTIONS.format(name=lab.name) + "images: {odd: {packages: [no-such-package]}}\n")
    try:
        failed = lab.farm("image", "build", "odd", check=False)
    finally:
        page.write_text(before)

    log = lab.home / "log/image-build.log"
    assert 1 == failed.returncode
    assert "Unable to locate package no-such-package" in words(failed.stderr)
    assert f"The whole log: {log}" in words(failed.stderr)
    assert "Unable to locate package no-such-package" in log.read_text()
    assert not list((lab.images_folder / "odd").glob("[!.]*"))
