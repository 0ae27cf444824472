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
MADE = f"{HOME}/made-here"
"""A file that a program of the session makes."""
OWN_ID = "tr -d : < /sys/class/net/$(cat /run/farm/boot-nic)/address"
"""Says the address of the card that the machine has booted from."""
SLOW_SECONDS = 400.0
"""For a desktop to come up on an emulated processor, beside other tests."""
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


def windows(lab: Lab) -> str:
    """The windows on the client's screen."""
    return on_node(lab, "DISPLAY=:0 XAUTHORITY=/run/lightdm/root/:0 xwininfo -root -tree")


def log_out(lab: Lab) -> None:
    """Order the user to log out, and wait until nothing is left of the session there."""
    until(lambda: USER in lab.farm("node", "logout", NAME, "--yes", check=False).stdout, "nobody is logged out")
    until(lambda: told(lab)["greeter"] and not told(lab)["users"], "the greeter does not come back", SLOW_SECONDS)
    assert HOME not in on_node(lab, "cat /proc/mounts")


def test_a_user_has_a_desktop_there_and_files_on_the_server(client: Lab, server: OwnRoot) -> None:
    until(lambda: told(client)["greeter"], "there is no greeter")
    assert "fat" == told(client)["kind"]
    own, *ids = on_node(client, f"{OWN_ID}; cat /etc/machine-id /var/lib/dbus/machine-id").split()
    assert [own + 20 * "0"] * 2 == ids
    log_in(client)
    until(lambda: told(client)["users"], "nobody is logged in")
    assert [USER] == [user["name"] for user in told(client)["users"]]
    until(lambda: all(each in windows(client) for each in ("xfce4-panel", "xfdesktop")), "no desktop", SLOW_SECONDS)
    until(lambda: len(colours(client)) > 16, "the desktop is not on the screen", SLOW_SECONDS)

    client.farm("node", "ssh", NAME, "--", f"runuser -u {USER} -- sh -c 'echo mine > {MADE}'")
    assert "4321 4321 mine\n" == server.run("sh", "-c", f"echo $(stat -c '%u %g' {MADE}) $(cat {MADE})").stdout
    assert f"{HOME} fuse.sshfs" in on_node(client, "cat /proc/mounts")
    assert "/run/farm/cache" in on_node(client, f"cat /proc/$(pgrep -u {USER} -x xfce4-panel)/environ | tr '\\0' '\\n'")

    log_out(client)
    until(lambda: not server.processes(USER), "the connection stays")
    assert server.path(MADE).exists()


def test_a_home_by_nfs_where_lts_conf_says_so(client: Lab, server: OwnRoot) -> None:
    server.run("mkdir", "-p", "/run/nfs")
    server.write("/run/nfs/ganesha.conf", GANESHA)
    server.start("nfs", "ganesha.nfsd", "-F", "-f", "/run/nfs/ganesha.conf", "-L", "STDERR", "-p", "/run/nfs/pid")
    # As a boot leaves it that has found this in lts.conf.
    client.farm("node", "ssh", NAME, "--", """echo '{"NFS_HOME": "yes"}' > /etc/farm/lts.json""")

    log_in(client)
    until(lambda: told(client)["users"], "nobody is logged in")
    until(lambda: "xfce4-panel" in windows(client), "there is no panel", SLOW_SECONDS)

    assert f"{HOME} nfs4" in on_node(client, "cat /proc/mounts")
    client.farm("node", "ssh", NAME, "--", f"runuser -u {USER} -- sh -c 'echo fast > {MADE}'")
    assert "4321 4321 fast\n" == server.run("sh", "-c", f"echo $(stat -c '%u %g' {MADE}) $(cat {MADE})").stdout
    log_out(client)
