"""A lab of two nodes, from `farm up` to `farm down`. The tests run in this order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from farm.home import Home
from farm.services import Supervisor
from tests.e2e.conftest import Lab

NODES = ["virtual-1", "virtual-2"]


def test_up_builds_boots_and_finds_two_nodes(lab: Lab) -> None:
    lab.farm("image", "build")
    said = lab.farm("up", "--virtual", "2").stdout
    assert "is up" in said
    assert "not what a build would make" not in said
    status = lab.status()
    assert status["problems"] == []
    assert sorted(node["name"] for node in status["nodes"]) == NODES
    for node in status["nodes"]:
        assert node["stage"] == "ready"
        assert node["verified"], "zeroconf found it at the address DHCP gave it"
        assert node["host"]["slots"] == 2, "the scheduler counts on it"
        assert list(node["stages"]) == ["powered", "loader", "kernel", "root", "agent", "registered", "ready"]
        assert list(node["stages"].values()) == sorted(node["stages"].values())
        assert node["image"] == status["image"]


def test_objects_are_compiled_on_both_nodes(lab: Lab, tmp_path: Path) -> None:
    record = lab.compile(tmp_path / "build", 10)
    assert sorted(record["nodes"]) == NODES
    assert sum(node["jobs"] for node in record["nodes"].values()) == 11
    assert record["failed"] == 0


@pytest.mark.parametrize("service", ["aoe", "scheduler", "farmd", "dnsmasq", "nginx"])
def test_nodes_go_on_and_compile_after_a_service_was_killed(lab: Lab, tmp_path: Path, service: str) -> None:
    before = lab.services()
    name = next(name for name in before if name.startswith(service))
    os.kill(before[name]["pid"], signal.SIGKILL)
    lab.wait(
        f"{name} runs again",
        lambda status: any(
            s["name"] == name and s["up"] and s["pid"] != before[name]["pid"] for s in status["services"]
        ),
    )
    lab.wait("both nodes are ready", lambda status: sum(n["stage"] == "ready" for n in status["nodes"]) == 2)
    record = lab.compile(tmp_path / "build", 4)
    assert sum(node["jobs"] for node in record["nodes"].values()) == 5
    after = lab.services()
    assert [after[machine]["pid"] for machine in ("virtual-1", "virtual-2")] == [
        before[machine]["pid"] for machine in ("virtual-1", "virtual-2")
    ]


def test_a_second_up_leaves_what_is_right_alone(lab: Lab) -> None:
    before = {name: service["pid"] for name, service in lab.services().items()}
    images = lab.images()
    lab.farm("up", "--virtual", "2")
    assert {name: service["pid"] for name, service in lab.services().items()} == before
    assert lab.images() == images


def test_a_node_reaches_the_scheduler_but_not_its_control_port(lab: Lab) -> None:
    server = "10.77.0.1"
    denied = lab.farm("node", "ssh", NODES[0], "--", f"timeout 5 bash -c '</dev/tcp/{server}/8766'", check=False)
    assert denied.returncode != 0
    allowed = lab.farm("node", "ssh", NODES[0], "--", f"timeout 5 bash -c '</dev/tcp/{server}/8765'", check=False)
    assert allowed.returncode == 0, allowed.stderr


def test_another_image_is_for_next_boots_and_a_used_one_stays(lab: Lab) -> None:
    old = lab.status()["image"]
    new = json.loads(lab.farm("image", "build", "--force", "--json").stdout)["version"]
    assert new != old
    assert [(node["image"], node["outdated"]) for node in lab.status()["nodes"]] == [(old, True)] * 2

    before = lab.nodes_by_name()[NODES[1]]["stages"]["powered"]
    lab.farm("node", "reboot", NODES[1])
    lab.wait_for_boot(NODES[1], before)
    assert {name: node["image"] for name, node in lab.nodes_by_name().items()} == {NODES[0]: old, NODES[1]: new}

    assert f"Next boots get {old}" in lab.farm("image", "rollback").stdout
    refused = lab.farm("image", "remove", new, check=False)
    assert refused.returncode == 1
    assert "farm node reboot" in refused.stderr


def test_a_node_boots_by_tftp_while_http_is_down(lab: Lab) -> None:
    Supervisor(Home.at(lab.home)).stop("nginx")
    try:
        before = lab.nodes_by_name()[NODES[1]]["stages"]["powered"]
        lab.farm("node", "reboot", NODES[1])
        lab.wait_for_boot(NODES[1], before)
    finally:
        Supervisor(Home.at(lab.home)).start("nginx")


def test_up_after_supervisord_was_killed_recovers_here_with_another_network_adapter(lab: Lab) -> None:
    pid = int((lab.home / "run/supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    lab.farm("up", "--virtual", "1", "--nic", "e1000")
    assert lab.ready() == NODES[:1]
    before = lab.services()["virtual-1"]["pid"]
    lab.farm("up")
    assert lab.services()["virtual-1"]["pid"] == before


def test_down_leaves_nothing(lab: Lab) -> None:
    lab.farm("down")
    assert lab.leftovers() == []
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert lab.name not in tables


def test_down_again_is_fine(lab: Lab) -> None:
    lab.farm("down")
