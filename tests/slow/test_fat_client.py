"""A fat client boots in the virtual lab: who logs in at its greeter has a desktop there, on the server's home."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.virtual.own_root import OwnRoot, own_root
from tests.e2e.conftest import Lab
from tests.lab import until
from tests.login_room import SSHD, SSHD_PAM
from tests.slow.test_thin_client import NAME, PASSWORD, USER, colours, log_in, told

HOME = f"/home/{USER}"
GANESHA = """
NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSV4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = /run/nfs;
  Only_Numeric_Owners = true; Allow_Numeric_Owners = true; }
NFS_KRB5 { Active_krb5 = false; }
EXPORT { Export_Id = 2; Path = /home; Pseudo = /home; Access_Type = RW; Squash = Root_Squash; SecType = sys;
  Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
"""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Lab:
    """A lab with one fat client, which is ready."""
    (lab.home / "farm.yaml").write_text(f"name: {lab.name}\nvirtual: {{memory: 2048}}\nnodes: {{image: fat-client}}\n")
    lab.farm("image", "build", "fat-client")
    lab.farm("up", "--virtual", "1")
    return lab


@pytest.fixture
def server(client: Lab) -> Iterator[OwnRoot]:
    """The lab's server with a root of its own, in which sshd runs with this machine's keys and alice has an account."""
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        own_root(client.namespace, Path(folder), "server") as host,
    ):
        host.write("/etc/pam.d/sshd", SSHD_PAM)
        # Of the server's own root, which is an overlay, nothing can be exported.
        host.run("mount", "-t", "tmpfs", "-o", "mode=755", "homes", "/home")
        host.run("useradd", "--create-home", "--shell", "/bin/bash", "--uid", "4321", USER)
        host.run("chpasswd", "--crypt-method", "SHA256", input=f"{USER}:{PASSWORD}\n")
        host.write("/etc/ssh/sshd_config", SSHD + "KbdInteractiveAuthentication yes\n")
        host.start("sshd", "/usr/sbin/sshd", "-D", "-e")
        yield host


def on_node(lab: Lab, command: str) -> str:
    """What a command prints on the client; empty when it fails."""
    return lab.farm("node", "ssh", NAME, "--", command, check=False).stdout


def test_a_user_has_a_desktop_there_and_files_on_the_server(client: Lab, server: OwnRoot) -> None:
    until(lambda: told(client)["greeter"], "there is no greeter")
    assert "fat" == told(client)["kind"]
    before = colours(client)

    log_in(client)
    until(lambda: told(client)["users"], "nobody is logged in")
    assert [USER] == [user["name"] for user in told(client)["users"]]
    until(lambda: on_node(client, f"pgrep -u {USER} -x xfce4-panel"), "there is no panel")
    until(lambda: on_node(client, f"pgrep -u {USER} -x xfdesktop"), "there is no desktop")
    until(lambda: before.most_common(1)[0][0] != colours(client).most_common(1)[0][0], "the desktop is not seen")
    client.farm("node", "screen", NAME, client.home / "desktop.png")

    client.farm("node", "ssh", NAME, "--", f"runuser -u {USER} -- sh -c 'echo mine > {HOME}/made-here'")
    assert (
        "4321 4321 mine"
        == server.run("sh", "-c", f"echo $(stat -c '%u %g' {HOME}/made-here) $(cat {HOME}/made-here)").stdout.strip()
    )
    assert f"{HOME} fuse.sshfs" in on_node(client, "cat /proc/mounts")
    assert "/run/farm/cache" in on_node(client, f"cat /proc/$(pgrep -u {USER} -x xfce4-panel)/environ | tr '\\0' '\\n'")

    assert f"{USER} logged out" in client.farm("node", "logout", NAME, "--yes").stdout
    until(lambda: not told(client)["users"] and told(client)["greeter"], "the greeter does not come back")
    assert HOME not in on_node(client, "cat /proc/mounts")
    until(lambda: not server.processes(USER), "the connection stays")
    assert server.path(f"{HOME}/made-here").exists()


def test_a_home_by_nfs_where_lts_conf_says_so(client: Lab, server: OwnRoot) -> None:
    server.run("mkdir", "-p", "/run/nfs")
    server.write("/run/nfs/ganesha.conf", GANESHA)
    server.start("nfs", "ganesha.nfsd", "-F", "-f", "/run/nfs/ganesha.conf", "-L", "STDERR", "-p", "/run/nfs/pid")
    # As a boot leaves it that has found this in lts.conf.
    client.farm("node", "ssh", NAME, "--", """echo '{"NFS_HOME": "yes"}' > /etc/farm/lts.json""")

    log_in(client)
    until(lambda: told(client)["users"], "nobody is logged in")
    until(lambda: on_node(client, f"pgrep -u {USER} -x xfce4-panel"), "there is no panel")

    assert f"{HOME} nfs4" in on_node(client, "cat /proc/mounts")
    client.farm("node", "ssh", NAME, "--", f"runuser -u {USER} -- sh -c 'echo fast > {HOME}/made-here'")
    assert (
        "4321 fast"
        == server.run("sh", "-c", f"echo $(stat -c %u {HOME}/made-here) $(cat {HOME}/made-here)").stdout.strip()
    )
    assert f"{USER} logged out" in client.farm("node", "logout", NAME, "--yes").stdout
    until(lambda: not told(client)["users"] and told(client)["greeter"], "the greeter does not come back")
    assert HOME not in on_node(client, "cat /proc/mounts")
