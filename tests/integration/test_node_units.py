"""The units of a node, as its own systemd starts them: what failed once is started all the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.image.kinds import KINDS, layer_dirs
from tests.integration.test_node import MAC, NODE, SERVER, SETTINGS, nginx, node_root
from tests.lab import Namespace, namespaces, until
from tests.workstation import Workstation, workstation

UNITS = [path for layer in layer_dirs(KINDS["icecream-node"]) for path in layer.glob("root/etc/systemd/system/*")]
STARTED = ("farm-node-configure", "farm-node-agent", "iceccd")
PYTHON = f"""/usr/bin/unshare --mount sh -c 'mount -t sysfs none /sys && exec "$$0" "$$@"' {sys.executable}"""
"""With the network interfaces of its namespace in /sys."""
MANY = 6
"""Failures; systemd's own limit is 5 in 10 seconds."""


def install(machine: Workstation, root: Path) -> None:
    """The node's units, but for what a bare machine lacks (networkd, a console), and with files below ``root``."""
    for unit in UNITS:
        if unit.stem not in STARTED:
            continue
        text = unit.read_text()
        text = text.replace("Wants=systemd-networkd.service\n", "").replace("StandardOutput=journal+console\n", "")
        text = text.replace("/usr/bin/python3", PYTHON).replace("EnvironmentFile=", f"EnvironmentFile={root}")
        for verb in ("configure", "agent"):
            text = text.replace(f"farm.node {verb}\n", f"farm.node {verb} --root {root}\n")
        (machine.etc / "systemd/system" / unit.name).write_text(text)
    machine.run("systemctl", "daemon-reload", root=True)


@pytest.fixture
def node() -> Iterator[tuple[Namespace, Namespace, Workstation]]:
    with namespaces(f"{SERVER}/24", f"{NODE}/24") as (server, node):
        node.run("ip", "link", "set", "lab0", "address", MAC)
        tree = server.folder / "run/http/nodes"
        tree.mkdir(parents=True)
        (tree / f"{MAC.replace(':', '-')}.json").write_text(json.dumps(SETTINGS))
        nginx(server)
        with workstation(node, systemd=True) as machine:
            yield server, node, machine


def test_a_node_that_could_not_be_configured_at_first_compiles_later(
    node: tuple[Namespace, Namespace, Workstation],
) -> None:
    _, namespace, machine = node
    root = node_root(namespace)
    (root / "etc/hosts").mkdir(parents=True)  # in the way of the file
    (root / "run/farm/upper").mkdir()
    install(machine, root)

    def restarts(unit: str) -> int:
        return int(machine.run("systemctl", "show", "--property=NRestarts", "--value", unit, root=True).stdout)

    def active(unit: str) -> bool:
        return machine.run("systemctl", "is-active", unit, root=True, check=False).stdout == "active\n"

    machine.run("systemctl", "start", "--no-block", *STARTED, root=True)
    for unit in STARTED[1:]:
        until(lambda unit=unit: restarts(unit) >= MANY, f"{unit} is given up")  # type: ignore[misc]
    (root / "etc/hosts").rmdir()
    for unit in STARTED:
        until(lambda unit=unit: active(unit), f"{unit} is not started")  # type: ignore[misc]
    machine.run("systemctl", "restart", "farm-node-configure", root=True)
    for unit in STARTED:
        until(lambda unit=unit: active(unit), f"{unit} is not started again")  # type: ignore[misc]
