"""A developer's machine for integration tests: a namespace with a folder for /etc, its own /run, processes and name."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from farm.virtual.namespace import namespace_path
from tests.lab import AS_NOBODY, PATIENCE, Namespace, until

NAME = "desk"
INIT = """
import os, time
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.05)
"""
"""Process 1 of the machine: its only duty is to take in processes whose parents have ended."""
BARE = "[Unit]\nDefaultDependencies=no\n"
"""A unit that pulls in nothing: systemd must not set up devices, mounts and the kernel of the machine that tests."""
SETUP = """
set -eu
mount --bind "$0" /etc
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /var/log
mount -t tmpfs -o mode=755 none /var/cache
mkdir /run/icecc /var/cache/icecc
chown icecc:icecc /run/icecc /var/cache/icecc
hostname "$1"
export container=farm-test
shift
exec "$@"
"""
GROUP = """
set -eu
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  mkdir -p "$hierarchy/$0/manager"
  chown -R "$1" "$hierarchy/$0"
  echo $$ > "$hierarchy/$0/manager/cgroup.procs"
done
shift
exec "$@"
"""
"""Runs a systemd in control groups of its own, which belong to a user."""
SYSTEMD = ["/lib/systemd/systemd", "--system", "--unit=bare.target", "--show-status=0"]
FARM = (sys.executable, "-c", "from farm.cli import main; main()")
ADVERTISE = """
import asyncio
from farm.config import Config
from farm.watch.mdns import discovering, farm_advertisement

async def main():
    async with discovering("{server}", lambda event: None) as zeroconf:
        config = Config(name="test", address="{server}/24")
        await (await zeroconf.async_register_service(farm_advertisement(config)))
        print("advertised", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
"""Announces a farm on ``{server}`` by zeroconf, as its server does."""


class Workstation:
    """What has been installed on it is what this machine has; /etc is a copy, in ``etc``."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.folder = namespace.folder / "machine"
        self.etc = self.folder / "etc"
        self.home = self.folder / "home"
        """Of its user, nobody."""
        self.group = f"{namespace.name}-machine"
        """Control group of a systemd on it."""
        self.pid = 0
        """Of its process 1, as seen from outside."""

    def boot(self, systemd: bool) -> None:
        """Make the folders and start process 1."""
        self.folder.mkdir()
        subprocess.run(["cp", "-a", "/etc", str(self.etc)], check=True)
        (self.etc / "hostname").write_text(f"{NAME}\n")
        # A user's systemd starts nothing else there: sound daemons write into homes at any time.
        shutil.rmtree(self.etc / "systemd/user/default.target.wants", ignore_errors=True)
        self.home.mkdir()
        (self.home / ".profile").write_text("# mine\n")
        subprocess.run(["chown", "-R", "nobody:nogroup", str(self.home)], check=True)
        init = SYSTEMD if systemd else [sys.executable, "-c", INIT]
        unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if systemd:
            units = self.etc / "systemd" / "system"
            (units / "bare.target").write_text(BARE)
            (units / "iceccd.service.d").mkdir()
            (units / "iceccd.service.d" / "bare.conf").write_text(BARE)
            # It takes the control group in which it finds itself for the root of all.
            unshare = ["sh", "-c", GROUP, self.group, "root", *unshare, "--cgroup"]
        # Not by `ip netns exec`, which mounts another /sys, without the control groups that a systemd needs.
        enter = ["nsenter", f"--net={namespace_path(self.namespace.name)}"]
        argv = [*enter, *unshare, "sh", "-c", SETUP, str(self.etc), NAME, *init]
        with (self.namespace.folder / "machine.log").open("ab") as log:
            self._unshare = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self._booted(init), "the machine does not boot")
        if systemd:
            up = ("systemctl", "is-active", "bare.target")
            until(lambda: self.run(*up, root=True, check=False).returncode == 0, "systemd does not come up")

    def _booted(self, init: list[str]) -> bool:
        for child in psutil.Process(self._unshare.pid).children():
            with contextlib.suppress(psutil.Error):
                self.pid = child.pid
                return child.cmdline() == init
        return False

    def shut_down(self) -> None:
        """End all that runs on it."""
        self._unshare.kill()
        self._unshare.wait()
        for hierarchy in Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir():
            if (hierarchy / self.group).is_dir():
                until(lambda top=hierarchy / self.group: _remove_groups(top), "control groups stay")

    def argv(self, *argv: str | Path, root: bool = False, **environment: str) -> list[str]:
        """What runs a command on it, by its user or by root."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--pid", "--net", f"--wdns={self.home}"]
        become = [] if root else AS_NOBODY
        sbin = "/usr/local/sbin:/usr/sbin:/sbin:" if root else ""
        base = {
            "PATH": f"{sbin}/usr/local/bin:/usr/bin:/bin",
            "HOME": "/root" if root else str(self.home),
            "LANG": "C.UTF-8",
        }
        settings = [f"{name}={value}" for name, value in {**base, **environment}.items()]
        return [*enter, *become, "env", "-i", *settings, *map(str, argv)]

    def run(
        self, *argv: str | Path, root: bool = False, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on it to its end."""
        done = subprocess.run(
            self.argv(*argv, root=root, **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done

    def farm(
        self, *words: str | Path, root: bool = False, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of ours on it."""
        return self.run(*FARM, *words, root=root, check=check, **environment)

    def processes(self) -> dict[int, list[str]]:
        """What runs on it besides process 1, by the machine's own numbers; not what has ended and awaits its parent."""
        listed = self.run("ps", "-e", "-o", "pid=,stat=,args=", root=True).stdout.splitlines()
        lines = [line.split() for line in listed]
        found = {int(pid): words for pid, state, *words in lines if not state.startswith("Z")}
        return {pid: words for pid, words in found.items() if pid != 1 and words[:1] != ["ps"]}


def _remove_groups(top: Path) -> bool:
    """Innermost first, as soon as nothing runs in them any more."""
    argv = ["find", str(top), "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def workstation(namespace: Namespace, *, systemd: bool = False) -> Iterator[Workstation]:
    """A machine on the network of a namespace; its process 1 is systemd, or nothing much."""
    machine = Workstation(namespace)
    machine.boot(systemd)
    try:
        yield machine
    finally:
        machine.shut_down()
        subprocess.run(["rm", "-rf", str(machine.folder)], check=True)


def tree(folder: Path) -> Mapping[str, tuple[int, int, int, bytes]]:
    """Everything below a folder: mode, owner, group, and content or where a link leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = status.st_mode, status.st_uid, status.st_gid, content
    return found
