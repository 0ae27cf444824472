"""FSTAB_n of lts.conf with a server that is away at boot: a real systemd, a real server, and what people see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farm.node.lts.precedence import KnownMachine
from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import Change, ThinMachine, mounts
from tests.diskless import Diskless, diskless
from tests.lab import namespaces, until
from tests.workstation import Workstation, workstation

SERVER, CLIENT = "10.99.78.1", "10.99.78.20"
SSH = "StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,ConnectTimeout=2"
PLACE, KEY = "/run/programs", "/run/key"
SSHD = (
    "PidFile /run/sshd.pid\nHostKey /etc/ssh/host\nPermitRootLogin yes\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
)
WORDS = f"root@{SERVER}:/srv/programs {PLACE} fuse.sshfs IdentityFile={KEY},{SSH}"


@pytest.fixture
def machines() -> Iterator[tuple[Diskless, Workstation]]:
    with (
        namespaces(f"{SERVER}/24", f"{CLIENT}/24") as (there, here),
        diskless(there, "server") as server,
        workstation(here, systemd=True) as client,
    ):
        client.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY, root=True)
        server.write("/root/.ssh/authorized_keys", client.run("cat", f"{KEY}.pub", root=True).stdout, 0o600)
        server.run("rm", "-f", "/etc/ssh/host")
        server.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/host")
        server.write("/etc/ssh/sshd_config", SSHD)
        server.run("sh", "-c", "mkdir -p /srv/programs; cp /bin/true /srv/programs; chmod 4755 /srv/programs/true")
        yield server, client


def change() -> Change:
    known = KnownMachine("pc01", CLIENT, "52:54:00:00:00:01")
    return mounts.change(ThinMachine(LtsValues({"FSTAB_1": WORDS}), known, lambda path: True))


def test_a_server_that_was_away_is_asked_again(machines: tuple[Diskless, Workstation]) -> None:
    server, client = machines
    (client.etc / "fstab").write_text(change().added["etc/fstab"])
    (client.etc / "systemd/system/network-online.target").symlink_to("/dev/null")
    client.run("systemctl", "daemon-reload", root=True)
    client.run("systemctl", "start", *change().units, root=True)

    def seen() -> str:
        return client.run("ls", f"{PLACE}/", root=True, check=False).stdout

    assert "" == seen(), "no server is there"
    server.start("sshd", "/usr/sbin/sshd", "-D", "-e")
    server.namespace.wait_for(22)
    until(lambda: seen() == "true\n", "it is not mounted")
    found = next(line for line in client.run("cat", "/proc/self/mounts").stdout.splitlines() if "fuse.sshfs" in line)
    assert {"nosuid", "nodev"} <= set(found.split()[3].split(","))
