"""A job comes out of the printer of a thin client that has booted in the virtual lab, by way of the server's CUPS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.home import Home
from farm.virtual.qemu import printed
from tests.diskless import Diskless, diskless
from tests.e2e.conftest import Lab
from tests.lab import Namespace, until

NAME, QUEUE = "virtual-1", "virtual-1-lp0"
JOB = bytes(range(256)) * 40 + b"\x1b%-12345X"


@pytest.fixture(scope="module")
def room(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Diskless]]:
    """A lab with one thin client, and a machine in the server's network that runs CUPS for farmd."""
    folder = tmp_path_factory.mktemp("cups")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUPS_SERVER", str(folder / "cups.sock"))
        (lab.home / "farm.yaml").write_text(
            f"name: {lab.name}\nvirtual: {{memory: 1024}}\nnodes: {{image: thin-client}}\n"
        )
        (lab.home / "lts.conf").write_text("[default]\nPRINTER_0_DEVICE = /dev/lp0\n")
        lab.farm("image", "build", "thin-client")
        lab.farm("up", "--virtual", "1")
        place = Namespace(folder, "127.0.0.1/8", "lo")
        place.name = lab.namespace
        with diskless(place, "server") as server:
            server.start("cupsd", "/usr/sbin/cupsd", "-f")
            until(lambda: server.path("/run/cups/cups.sock").exists(), "CUPS does not start")
            (folder / "cups.sock").symlink_to(server.path("/run/cups/cups.sock"))
            yield lab, server


def printers(lab: Lab) -> list[dict[str, Any]]:
    """What the machine tells of its printers."""
    shown = json.loads(lab.farm("node", "show", NAME, "--json").stdout)["node"]["session"]["agent"]
    found: list[dict[str, Any]] = shown["extras"].get("printers", {}).get("devices", [])
    return found


def test_a_job_comes_out_byte_for_byte(room: tuple[Lab, Diskless]) -> None:
    lab, server = room
    until(lambda: any(each["present"] for each in printers(lab)), "no printer is told of")
    expected = {"device": "/dev/lp0", "port": 9100, "present": True, "queue": QUEUE}
    assert expected.items() <= printers(lab)[0].items()
    until(lambda: server.run("lpstat", "-v", QUEUE, check=False).returncode == 0, "there is no queue")
    server.path("/tmp/job").write_bytes(JOB)
    server.run("lp", "-d", QUEUE, "/tmp/job")
    paper: Path = printed(Home.at(lab.home), NAME)
    until(lambda: paper.exists() and paper.stat().st_size >= len(JOB), "nothing comes out of the printer")
    assert JOB == paper.read_bytes()


def test_what_prints_has_no_rights(room: tuple[Lab, Diskless]) -> None:
    lab, _ = room
    said = lab.farm("node", "ssh", NAME, "--", "ps -o user:20=,supgrp= -C p910nd; nft list table inet farm_printers")
    assert "farm-printer" in said.stdout and "tcp dport 9100-9104 drop" in said.stdout
