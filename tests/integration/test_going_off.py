"""A fat client goes off while somebody works there: a real systemd, the image's units, and what stands for lightdm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import namespaces, until
from tests.workstation import Workstation, workstation

IMAGES = Path(__file__).parents[2] / "images"
SERVED = "/var/cache/home"
"""Where the files of the home are, on a server in truth."""
SERVER = f"#!/bin/sh\ncd {SERVED} && exec /usr/lib/openssh/sftp-server\n"
SAVE = "trap 'sleep 1; echo last words > /home/bob/saved; exit' TERM"
SESSION = f"{SAVE}; echo ready > /home/bob/ready; while :; do sleep 0.1; done"
"""It saves when it is told to end, as programs of a desktop do."""
LIGHTDM = f"""
import signal, subprocess
subprocess.run(["sshfs", "-o", "ssh_command=/etc/fake/server", "server:", "/home/bob"], check=True)
session = subprocess.Popen(["sh", "-c", {SESSION!r}], cwd="/")
signal.signal(signal.SIGTERM, lambda *_: session.terminate())
session.wait()
subprocess.run(["umount", "/home/bob"])
"""
UNIT = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/bin/python3 /etc/fake/lightdm\n"
OFF = "[Unit]\nDefaultDependencies=no\nConflicts=lightdm.service home-bob.mount\n"
"""What umount.target and shutdown.target do with them (systemd.special(7)), and nothing else."""


@pytest.fixture
def machine() -> Iterator[Workstation]:
    with namespaces("10.99.78.1/24") as (namespace,), workstation(namespace, systemd=True) as machine:
        units, fake = machine.etc / "systemd/system", machine.etc / "fake"
        fake.mkdir()
        (fake / "server").write_text(SERVER)
        (fake / "server").chmod(0o755)
        (fake / "lightdm").write_text(LIGHTDM)
        (units / "lightdm.service").write_text(UNIT)
        (units / "off.target").write_text(OFF)
        for layer in ("session", "fat-client"):
            for file in (IMAGES / layer / "root/etc/systemd/system").glob("*.d/farm.conf"):
                (units / file.parent.name).mkdir(exist_ok=True)
                booted = ("ConditionPathExists", "ExecStartPre")
                lines = (line for line in file.read_text().splitlines() if not line.startswith(booted))
                (units / file.parent.name / "farm.conf").write_text("\n".join(lines))
        machine.run("sh", "-c", f"mount -t tmpfs none /home; mkdir /home/bob {SERVED}", root=True)
        machine.run("systemctl", "daemon-reload", root=True)
        yield machine


def test_what_programs_save_at_the_end_is_saved(machine: Workstation) -> None:
    machine.run("systemctl", "start", "lightdm", root=True)
    until(lambda: "ready" in files(machine), "the session does not begin")

    machine.run("systemctl", "start", "off.target", root=True)
    until(lambda: not runs(machine), "the session does not end")

    assert {"ready": "ready", "saved": "last words"} == files(machine)
    assert " /home/bob " not in machine.run("cat", "/proc/self/mounts", root=True).stdout


def runs(machine: Workstation) -> bool:
    """Whether anything of the display manager is there."""
    state = machine.run("systemctl", "show", "--property=ActiveState", "--value", "lightdm", root=True).stdout
    return state.strip() not in ("inactive", "failed")


def files(machine: Workstation) -> dict[str, str]:
    """What is on the server."""
    said = machine.run("sh", "-c", f"cd {SERVED}; grep -s . ready saved", root=True, check=False).stdout
    return dict(line.split(":", 1) for line in said.splitlines())
