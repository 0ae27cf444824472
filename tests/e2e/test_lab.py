"""A lab of two nodes, from `farm up` to `farm down`.

Each test says which state of the lab it wants by the fixture that it takes, so that it can run alone and in any order.
In the order they are written in, the lab boots least often.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.home import Home
from farm.image.verity import BLOCK
from farm.supervisor import Supervisor
from tests.e2e import states
from tests.e2e.conftest import Lab, environment
from tests.e2e.dashboard import watching
from tests.e2e.joined import join_build_leave
from tests.e2e.reading import read_whole_root, small_frames
from tests.e2e.states import NODES
from tests.lab import until
from tests.projects import LEAST_FILES


@pytest.fixture
def booted_lab(lab: Lab) -> Lab:
    """Both nodes are ready, nothing is blocked, and all run the image that the next boots get."""
    states.boot(lab)
    return lab


@pytest.fixture
def up_lab(lab: Lab) -> Lab:
    """It is up, in whichever state the test before has left it."""
    states.bring_up(lab)
    return lab


@pytest.fixture
def down_lab(lab: Lab) -> Lab:
    """It is not up."""
    states.bring_down(lab)
    return lab


MOST_FETCHED = 22e6
"""Bytes of kernel and initrd."""


@contextlib.contextmanager
def answering_for(lab: Lab, service: str, slot: int, root: Path, byte: int) -> Iterator[None]:
    """The server's vblade stands still, and another host answers for it with one byte changed."""
    pid = lab.services()[service]["pid"]
    words = [sys.executable, "-m", "tests.e2e.forger", "farm0", str(slot), str(root), str(byte)]
    os.kill(pid, signal.SIGSTOP)
    forger = subprocess.Popen(["ip", "netns", "exec", lab.namespace, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert forger.stdout
        assert "answers\n" == forger.stdout.readline()
        yield
    finally:
        forger.kill()
        forger.communicate()
        os.kill(pid, signal.SIGCONT)


def jobs_of(status: dict[str, Any], name: str) -> int:
    """Jobs that a node has begun."""
    host = next(node["compile"]["host"] for node in status["nodes"] if node["name"] == name)
    return 0 if host is None else int(host["jobs_running"] + host["jobs_done"])


def test_up_builds_boots_and_finds_two_nodes(down_lab: Lab) -> None:
    said = down_lab.farm("up", "--virtual", "2").stdout
    assert "is up" in said
    assert "have changed since it was built" not in said
    status = down_lab.status()
    assert status["problems"] == []
    assert sorted(node["name"] for node in status["nodes"]) == NODES
    for node in status["nodes"]:
        assert node["stage"] == "ready"
        assert node["verified"], "zeroconf found it at the address DHCP gave it"
        assert node["compile"]["host"]["slots"] == 2, "the scheduler counts on it"
        assert list(node["stages"]) == ["powered", "loader", "kernel", "root", "agent", "registered", "ready"]
        assert list(node["stages"].values()) == sorted(node["stages"].values())
        assert node["image"] == status["image"]
        assert node["fetched"] < MOST_FETCHED
    nodes = sorted(status["nodes"], key=lambda node: node["name"])
    assert [("aoe", "aoe"), ("nbd", "nbd")] == [(node["root"], node["telemetry"]["root"]) for node in nodes]


def test_a_node_reads_ahead_no_more_than_a_block_of_its_root(booted_lab: Lab) -> None:
    command = "cat /sys/class/bdi/$(mountpoint -d /run/farm/lower)/read_ahead_kb"

    assert "128\n" == booted_lab.farm("node", "ssh", NODES[0], "--", command).stdout


def test_the_doctor_finds_nothing_wrong(booted_lab: Lab) -> None:
    booted_lab.farm("doctor")  # exits with 3 when something is wrong


def test_objects_are_compiled_on_both_nodes(booted_lab: Lab, tmp_path: Path) -> None:
    record = booted_lab.compile(tmp_path / "build", 10)
    assert sorted(record["nodes"]) == NODES
    assert sum(node["jobs"] for node in record["nodes"].values()) == 11
    assert record["failed"] == 0


def test_a_machine_joins_builds_by_every_build_system_and_leaves(booted_lab: Lab) -> None:
    jobs = join_build_leave(booted_lab)
    # The scheduler gives some back to the submitter, which is faster than an emulated node.
    assert sum(jobs[name] for name in [*NODES, "pc"]) >= LEAST_FILES
    assert any(jobs[name] > 0 for name in NODES)


def test_a_drained_node_ends_its_jobs_is_blocked_and_comes_back(booted_lab: Lab, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    for number in range(20):
        (tmp_path / f"part{number}.c").write_text(f"int part{number}(void) {{ return {number}; }}\n")
    objects = " ".join(f"part{number}.o" for number in range(20))
    (tmp_path / "Makefile").write_text(f"all: {objects}\n")
    loop = f"until test -e {stop}; do make -s -B -C {tmp_path} -j6 || exit 1; done"
    argv = booted_lab.argv("run", "--require-remote", "--json", tmp_path / "run.json", "--", "sh", "-c", loop)
    with subprocess.Popen(argv, env=environment(booted_lab.home)) as build:
        try:
            booted_lab.wait("virtual-1 compiles", lambda status: jobs_of(status, NODES[0]) > 0)
            told = json.loads(booted_lab.farm("node", "drain", NODES[0], "--json").stdout)
            assert [(node["node"], node["seen"], node["error"]) for node in told["nodes"]] == [(NODES[0], True, None)]
            status = booted_lab.status()
            assert status["scheduler"]["blocked"] == [NODES[0]]
            assert booted_lab.ready() == [NODES[1]]
            done = jobs_of(status, NODES[1])
            booted_lab.wait("virtual-2 goes on", lambda status: jobs_of(status, NODES[1]) > done + 20)
        finally:
            stop.touch()
        assert build.wait(timeout=120) == 0
    record = json.loads((tmp_path / "run.json").read_text())
    assert sorted(record["nodes"]) == NODES
    assert (record["failed"], record["local"]) == (0, 0), "what it had been given, it has compiled"
    assert json.loads(booted_lab.farm("node", "show", NODES[0], "--json").stdout)["node"]["idle"]["code"] == "blocked"
    held = booted_lab.nodes_by_name()[NODES[1]]["compile"]["agent"]["environments"]
    assert len(held) == 1
    assert held[0]["bytes"] > 1 << 20

    booted_lab.farm("node", "unblock", NODES[0])
    booted_lab.wait("virtual-1 is back", lambda status: sum(node["stage"] == "ready" for node in status["nodes"]) == 2)


def test_orders_show_in_the_status(booted_lab: Lab) -> None:
    logins = booted_lab.nodes_by_name()[NODES[1]]["compile"]["host"]["logins"]
    booted_lab.farm("node", "block", NODES[0])
    assert booted_lab.status()["scheduler"]["blocked"] == [NODES[0]]
    booted_lab.farm("node", "unblock", NODES[0])
    booted_lab.farm("node", "kick", NODES[1])
    status = booted_lab.wait(
        "both are back", lambda status: sum(node["stage"] == "ready" for node in status["nodes"]) == 2
    )
    assert status["scheduler"]["blocked"] == []
    assert booted_lab.nodes_by_name()[NODES[1]]["compile"]["host"]["logins"] == logins + 1


@pytest.mark.parametrize("service", ["aoe", "nbd", "scheduler", "farmd", "dnsmasq", "nginx"])
def test_nodes_go_on_and_compile_after_a_service_was_killed(booted_lab: Lab, tmp_path: Path, service: str) -> None:
    before = booted_lab.services()
    name = next(name for name in before if name.startswith(service))
    os.kill(before[name]["pid"], signal.SIGKILL)
    booted_lab.wait(
        f"{name} runs again",
        lambda status: any(
            s["name"] == name and s["up"] and s["pid"] != before[name]["pid"] for s in status["services"]
        ),
    )
    booted_lab.wait("both nodes are ready", lambda status: sum(n["stage"] == "ready" for n in status["nodes"]) == 2)
    record = booted_lab.compile(tmp_path / "build", 4)
    assert sum(node["jobs"] for node in record["nodes"].values()) == 5
    after = booted_lab.services()
    assert [after[machine]["pid"] for machine in ("virtual-1", "virtual-2")] == [
        before[machine]["pid"] for machine in ("virtual-1", "virtual-2")
    ]


def test_a_second_up_leaves_what_is_right_alone(booted_lab: Lab) -> None:
    before = {name: service["pid"] for name, service in booted_lab.services().items()}
    images = booted_lab.images()
    booted_lab.farm("up", "--virtual", "2")
    assert {name: service["pid"] for name, service in booted_lab.services().items()} == before
    assert booted_lab.images() == images


def test_up_makes_a_bridge_again_and_the_nodes_go_on(booted_lab: Lab, tmp_path: Path) -> None:
    before = booted_lab.services()
    subprocess.run(["ip", "-n", booted_lab.namespace, "link", "set", "tap1", "nomaster"], check=True)
    said = booted_lab.farm("doctor", "--only", "interface", check=False).stdout
    assert "The lab's bridge does not reach virtual-1." in said
    subprocess.run(["ip", "-n", booted_lab.namespace, "link", "del", "farm0"], check=True)
    booted_lab.farm("up")
    booted_lab.wait("both nodes are ready", lambda status: sum(n["stage"] == "ready" for n in status["nodes"]) == 2)
    booted_lab.farm("doctor", "--only", "interface")
    booted_lab.compile(tmp_path / "build", 4)
    assert [booted_lab.services()[name]["pid"] for name in NODES] == [before[name]["pid"] for name in NODES]


def test_a_node_reaches_the_scheduler_but_not_its_control_port(booted_lab: Lab) -> None:
    server = "10.77.0.1"
    denied = booted_lab.farm("node", "ssh", NODES[0], "--", f"timeout 5 bash -c '</dev/tcp/{server}/8766'", check=False)
    assert denied.returncode != 0
    allowed = booted_lab.farm(
        "node", "ssh", NODES[0], "--", f"timeout 5 bash -c '</dev/tcp/{server}/8765'", check=False
    )
    assert allowed.returncode == 0, allowed.stderr


def test_a_node_reads_its_whole_root_again_and_again(booted_lab: Lab) -> None:
    with small_frames(booted_lab, NODES[0]):
        read_whole_root(booted_lab, NODES[0], 20)
    read_whole_root(booted_lab, NODES[1], 5)


def test_a_node_stops_rather_than_run_what_a_forger_answers(booted_lab: Lab) -> None:
    """A host on the segment answers in the place of the server; without the check the node would take it."""
    root = booted_lab.images_folder / booted_lab.image / "root.squashfs"
    shown = json.loads(booted_lab.farm("image", "show", "--json").stdout)
    service, slot = f"aoe-{shown['slot']}", shown["slot"]
    block = shown["verity"]["blocks"] - 100
    with answering_for(booted_lab, service, slot, root, block * BLOCK):
        raw = f"dd if=/dev/etherd/e7.{slot} iflag=direct bs={BLOCK} skip={block} count=1 status=none | sha256sum"
        taken = booted_lab.farm("node", "ssh", NODES[0], "--", raw).stdout.split()[0]
        with root.open("rb") as file:
            file.seek(block * BLOCK)
            assert hashlib.sha256(file.read(BLOCK)).hexdigest() != taken, "the driver takes the forged answer"
        checked = f"dd if=/dev/mapper/farm-root iflag=direct bs={BLOCK} skip={block} count=1 status=none"
        powered = booted_lab.nodes_by_name()[NODES[0]]["stages"]["powered"]
        with contextlib.suppress(subprocess.TimeoutExpired):  # nobody closes the connection
            booted_lab.farm("node", "ssh", NODES[0], "--", checked, check=False, timeout=20)
    console = booted_lab.home / "log" / f"{NODES[0]}.console.log"
    until(lambda: "dm-verity device corrupted" in console.read_text(errors="replace"), "the node goes on")
    booted_lab.wait_for_boot(NODES[0], powered)


def test_another_image_is_for_next_boots_and_a_used_one_stays(booted_lab: Lab) -> None:
    old = booted_lab.status()["image"]
    new = json.loads(booted_lab.farm("image", "build", "--force", "--json").stdout)["version"]
    assert new != old
    assert [(node["image"], node["outdated"]) for node in booted_lab.status()["nodes"]] == [(old, True)] * 2

    before = booted_lab.nodes_by_name()[NODES[1]]["stages"]["powered"]
    assert "has finished its jobs and reboots" in booted_lab.farm("node", "drain", "--then", "reboot", NODES[1]).stdout
    booted_lab.wait_for_boot(NODES[1], before)
    assert {name: node["image"] for name, node in booted_lab.nodes_by_name().items()} == {NODES[0]: old, NODES[1]: new}

    assert f"Next boots get {old}" in booted_lab.farm("image", "rollback").stdout
    refused = booted_lab.farm("image", "remove", new, check=False)
    assert refused.returncode == 1
    assert f"sudo farm --home {booted_lab.home} node reboot" in refused.stderr

    before = booted_lab.nodes_by_name()[NODES[1]]["stages"]["powered"]
    booted_lab.farm("node", "reboot", NODES[1])
    booted_lab.wait_for_boot(NODES[1], before)
    assert {name: node["image"] for name, node in booted_lab.nodes_by_name().items()} == dict.fromkeys(NODES, old)
    booted_lab.farm("image", "remove", new)


async def test_the_dashboard_blocks_and_reboots_nodes_and_shows_them_return(booted_lab: Lab) -> None:
    before = booted_lab.nodes_by_name()
    async with watching(booted_lab) as dashboard:
        for name in NODES:
            await dashboard.shows("● ready", name)
        await dashboard.press("end")
        await dashboard.order("R", f"Reboot {NODES[1]}?")
        await dashboard.shows("↻ reboots", NODES[1])
        await dashboard.press("home")
        await dashboard.order("b", f"Block {NODES[0]}?")
        await dashboard.shows("⊘ blocked", NODES[0])
        await dashboard.order("u", f"Unblock {NODES[0]}?")
        await dashboard.shows("◑ kernel", NODES[1])
        await dashboard.shows("● ready", NODES[1])
        await dashboard.shows("● ready", NODES[0])
    after = booted_lab.nodes_by_name()
    assert after[NODES[1]]["stages"]["powered"] > before[NODES[1]]["stages"]["powered"]
    assert after[NODES[0]]["compile"]["host"]["logins"] > before[NODES[0]]["compile"]["host"]["logins"]


def test_a_node_boots_by_tftp_while_http_is_down(booted_lab: Lab) -> None:
    Supervisor(Home.at(booted_lab.home)).stop("nginx")
    try:
        before = booted_lab.nodes_by_name()[NODES[1]]["stages"]["powered"]
        booted_lab.farm("node", "reboot", NODES[1])
        booted_lab.wait_for_boot(NODES[1], before)
    finally:
        Supervisor(Home.at(booted_lab.home)).start("nginx")


def test_up_after_supervisord_was_killed_recovers_here_with_another_network_adapter(booted_lab: Lab) -> None:
    pid = int((booted_lab.home / "run/supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    booted_lab.farm("up", "--virtual", "1", "--nic", "e1000")
    assert booted_lab.ready() == NODES[:1]
    before = booted_lab.services()["virtual-1"]["pid"]
    booted_lab.farm("up")
    assert booted_lab.services()["virtual-1"]["pid"] == before


def test_down_leaves_nothing(up_lab: Lab) -> None:
    up_lab.farm("down")
    assert up_lab.leftovers() == []
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert up_lab.name not in tables


def test_down_again_is_fine(down_lab: Lab) -> None:
    down_lab.farm("down")
