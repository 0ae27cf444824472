"""A virtual lab with a fat client that has booted, and the server of its users' homes: for slow tests and benches."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from farm.virtual.own_root import OwnRoot, own_root
from tests.e2e.conftest import Lab, environment
from tests.lab import PATIENCE, until
from tests.login_room import SSHD, SSHD_PAM
from tests.slow.test_thin_client import NAME, PASSWORD, USER, node, told

UID = 4321
"""Of the user and of their group, on the server."""
HOME = f"/home/{USER}"
SLOW_SECONDS = 400.0
"""For a desktop to come up on an emulated processor, beside other tests."""
SOURCE = "int part{n}(int a) {{ return a + {n}; }}\n"
ON_SCREEN = "DISPLAY=:0 XAUTHORITY=/run/lightdm/root/:0"
ENVIRONMENT = "/run/session-environment"
GANESHA = """
NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSV4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = /run/nfs;
  Only_Numeric_Owners = true; Allow_Numeric_Owners = true; }
NFS_KRB5 { Active_krb5 = false; }
EXPORT { Export_Id = 2; Path = /home; Pseudo = /home; Access_Type = RW; Squash = Root_Squash; SecType = sys;
  Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
"""


def boot_fat_client(lab: Lab, *, image: str = "fat-client", nodes: str = "", more: str = "") -> None:
    """Build the image, and bring the lab up with one machine that boots it; ``more``: of farm.yaml."""
    (lab.home / "farm.yaml").write_text(
        f"name: {lab.name}\nvirtual: {{memory: 2048}}\nnodes: {{image: {image}{nodes}}}\n{more}"
    )
    lab.farm("image", "build", image)
    lab.farm("up", "--virtual", "1")


@contextlib.contextmanager
def home_server(lab: Lab) -> Iterator[OwnRoot]:
    """The lab's server with a root of its own, in which sshd runs with this machine's keys and alice has an account."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, own_root(lab.namespace, Path(folder), "server") as host:
        host.write("/etc/pam.d/sshd", SSHD_PAM)
        # Of the server's own root, which is an overlay, nothing can be exported.
        host.run("mount", "-t", "tmpfs", "-o", "mode=755", "homes", "/home")
        host.run("useradd", "--create-home", "--shell", "/bin/bash", "--uid", str(UID), USER)
        host.run("chpasswd", "--crypt-method", "SHA256", input=f"{USER}:{PASSWORD}\n")
        host.write("/etc/ssh/sshd_config", SSHD + "KbdInteractiveAuthentication yes\n")
        host.start("sshd", "/usr/sbin/sshd", "-D", "-e")
        yield host


def homes_by_nfs(lab: Lab, server: OwnRoot) -> None:
    """Export the homes, and let the next log-ins have them by NFS."""
    server.run("mkdir", "-p", "/run/nfs")
    server.write("/run/nfs/ganesha.conf", GANESHA)
    server.start("nfs", "ganesha.nfsd", "-F", "-f", "/run/nfs/ganesha.conf", "-L", "STDERR", "-p", "/run/nfs/pid")
    # As a boot leaves it that has found this in lts.conf.
    lab.farm("node", "ssh", NAME, "--", """echo '{"NFS_HOME": "yes"}' > /etc/farm/lts.json""")


def on_node(lab: Lab, command: str) -> str:
    """What a command prints on the client; empty when it fails."""
    return lab.farm("node", "ssh", NAME, "--", command, check=False).stdout


def windows(lab: Lab) -> str:
    """The windows on the client's screen."""
    return on_node(lab, f"{ON_SCREEN} xwininfo -root -tree")


def wait_on_node(lab: Lab, condition: str) -> None:
    """Wait until a shell's condition holds: by a loop there, as each log-in by ssh costs the machine seconds."""
    loop = f'timeout {SLOW_SECONDS:.0f} sh -c "until {condition}; do sleep 1; done"'
    done = lab.farm("node", "ssh", NAME, "--", loop, check=False)
    assert done.returncode == 0, f"{condition}: not within {SLOW_SECONDS:.0f} s\n{windows(lab)}"


def wait_for_windows(lab: Lab, *names: str) -> None:
    """Wait until these are on the client's screen."""
    tree = f"{ON_SCREEN} xwininfo -root -tree > /run/windows"
    wait_on_node(lab, " && ".join([tree, *(f"grep -qF '{name}' /run/windows" for name in names)]))


def start_in_session(lab: Lab, program: str, *, beside: str = "xfce4-panel") -> None:
    """Start a program as the session's other programs are, with the environment of one that runs there."""
    copy = f"tr '\\0' '\\n' < /proc/$(pgrep -o -u {USER} -x {beside})/environ > {ENVIRONMENT}"
    unit = f"--uid={USER} --gid={USER} --slice=user.slice -p EnvironmentFile={ENVIRONMENT} -p WorkingDirectory={HOME}"
    lab.farm("node", "ssh", NAME, "--", f"{copy}; systemd-run --quiet --collect {unit} {program}")


def log_out(lab: Lab) -> None:
    """Order the user to log out, and wait until nothing is left of the session there."""
    until(lambda: USER in lab.farm("node", "logout", NAME, "--yes", check=False).stdout, "nobody is logged out")
    until(lambda: told(lab)["greeter"] and not told(lab)["users"], "the greeter does not come back", SLOW_SECONDS)
    assert HOME not in on_node(lab, "cat /proc/mounts")


def slots(lab: Lab) -> tuple[object, ...]:
    """How many it offers, whether somebody uses it, and whether its spare daemon is logged in."""
    compile: dict[str, Any] = node(lab)["compile"]
    agent, spare = compile["agent"] or {}, compile["spare"] or {"online": False}
    return agent.get("offered"), agent.get("in_use"), spare["online"]


def jobs_done(lab: Lab) -> int:
    """How many jobs its daemon that stays has done."""
    done: int = node(lab)["compile"]["host"]["jobs_done"]
    return done


@contextlib.contextmanager
def building(lab: Lab, folder: Path, record: Path) -> Iterator[None]:
    """A build without end, with more jobs at a time than the machine has slots; it must not fail."""
    folder.mkdir()
    for n in range(12):
        (folder / f"part{n}.c").write_text(SOURCE.format(n=n))
    objects = " ".join(f"part{n}.o" for n in range(12))
    (folder / "Makefile").write_text(f"all: {objects}\n")
    loop = f"until test -e {folder}/stop; do make -s -B -C {folder} -j4 || exit 1; done"
    argv = lab.argv("run", "--json", record, "--", "sh", "-c", loop)
    build = subprocess.Popen(
        argv, env=environment(lab.home), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield
    finally:
        (folder / "stop").touch()
        said, _ = build.communicate(timeout=2 * PATIENCE)
    assert build.returncode == 0, said
