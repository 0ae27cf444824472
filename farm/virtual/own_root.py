"""A machine made of processes: a root laid over this computer's, processes of its own, and a virtual lab's network.

What is changed there, users and /etc included, is gone with it; what is installed here is installed there.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from farm.errors import FarmError
from farm.virtual.namespace import namespace_path

BOOT_SECONDS = 30.0
COMMAND_SECONDS = 60.0
_INIT = "import os, signal, time; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True: time.sleep(3600)"
"""Process 1: the kernel takes in what ends for it."""
_ROOT = """
set -eu
mount -t tmpfs -o mode=755 none "$0"
cd "$0"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$2,upperdir=$PWD/upper,workdir=$PWD/work" root
cd root
mount -t tmpfs -o mode=1777 none tmp
mount -t tmpfs -o mode=755 none run
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 none dev/shm
mount -t proc proc proc
mount --rbind /sys sys
mkdir -p before
pivot_root . before
cd /
umount --lazy before
hostname "$1"
shift 2
exec "$@"
"""


class OwnRoot:
    """Such a machine, in a network namespace; the output of its programs lies in a folder."""

    def __init__(self, namespace: str, folder: Path, name: str, base: Path = Path("/")) -> None:
        self.name = name
        self.base = base
        """What its root is laid over: this computer's, or a folder with a Debian that has Python."""
        self.pid = 0
        """Of its process 1, as seen from outside."""
        self._namespace = namespace
        self._folder = folder
        self._init: subprocess.Popen[bytes] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    def boot(self) -> None:
        """Make its root, and start process 1. Raises FarmError."""
        mount = self._folder / self.name
        mount.mkdir()
        init = ["/usr/bin/python3", "-I", "-c", _INIT]
        unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
        enter = ["nsenter", f"--net={namespace_path(self._namespace)}"]
        argv = [*enter, *unshare, "sh", "-c", _ROOT, str(mount), self.name, str(self.base), *init]
        with self.log_path("root").open("ab") as log:
            made = self._init = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until(lambda: self._booted(made, init), f"{self.name} does not boot")
        self.run("mkdir", "-p", "/tmp/.X11-unix", "/run/sshd", "/run/lock")
        self.run("chmod", "1777", "/tmp/.X11-unix", "/run/lock")

    def _booted(self, made: subprocess.Popen[bytes], init: list[str]) -> bool:
        if made.poll() is not None:
            raise FarmError(f"{self.name} does not boot.", self.log("root"), f"Look: {self.log_path('root')}")
        for child in psutil.Process(made.pid).children():
            with contextlib.suppress(psutil.Error):
                self.pid = child.pid
                return child.cmdline() == init
        return False

    def shut_down(self) -> None:
        """End all that runs on it, at once: nobody is told."""
        if self._init:
            self._init.kill()
            self._init.wait()
        for process in self._processes:
            process.wait()

    def until(self, holds: Callable[[], bool], what: str, seconds: float = BOOT_SECONDS) -> None:
        """Wait until something holds. Raises FarmError (``what``) when it never does."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise FarmError(f"{what}.", f"Not within {seconds:.0f} s.", f"Look: {self._folder}")
            time.sleep(0.05)

    def argv(self, *argv: str) -> list[str]:
        """What runs a command on it as root."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--pid", "--net", "--wdns=/"]
        return [*enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", *argv]

    def run(self, *argv: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on it to its end."""
        return subprocess.run(
            self.argv(*argv), check=check, text=True, capture_output=True, timeout=COMMAND_SECONDS, **options
        )

    def start(self, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program on it, its output in NAME.log."""
        with self.log_path(name).open("ab") as log:
            process = subprocess.Popen(self.argv(*argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def log_path(self, name: str) -> Path:
        """Where the output of a program lies."""
        return self._folder / f"{self.name}-{name}.log"

    def log(self, name: str) -> str:
        """The output of a program."""
        return self.log_path(name).read_text(errors="replace")

    def path(self, path: str) -> Path:
        """A file of it, as seen from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file on it."""
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        self.path(path).chmod(mode)

    def processes(self, user: str) -> list[str]:
        """The command lines of a user's processes."""
        listed = self.run("ps", "-o", "args=", "-U", user, check=False).stdout
        return listed.splitlines()


@contextlib.contextmanager
def own_root(namespace: str, folder: Path, name: str) -> Iterator[OwnRoot]:
    """A machine that has booted; it is off afterwards."""
    machine = OwnRoot(namespace, folder, name)
    try:
        machine.boot()
        yield machine
    finally:
        machine.shut_down()
