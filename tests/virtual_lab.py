"""A virtual lab without machines, driven by the commands a user types, and ways to break it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from farm.home import Home
from farm.image.store import Store
from farm.supervisor import Supervisor
from farm.virtual.namespace import namespace_path
from tests.lab import PATIENCE
from tests.made_up_store import add_version


class Lab:
    """A lab in a home of its own, whose image holds nothing."""

    def __init__(self, folder: Path, name: str) -> None:
        self.home = Home.at(folder)
        self.home.create()
        self.name = name
        self.namespace = f"farm-{name}"
        self.home.config.write_text(f"name: {name}\n")
        store = Store(folder / "state" / "images")
        add_version(store, "v1", 1)
        store.use("v1")

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "farm", "--home", str(self.home.directory), *words]

    def farm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*words),
            env={name: value for name, value in os.environ.items() if name != "FARM_IMAGES"},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done

    def up(self) -> None:
        self.farm("up", "--virtual", "0")

    def pids(self) -> dict[str, int]:
        return {service.name: service.pid for service in Supervisor(self.home).status()}

    def sick(self) -> list[str]:
        """What `farm doctor` says of the services."""
        done = self.farm("doctor", "--only", "services,filter,interface,exports", check=False)
        return [line for line in done.stdout.splitlines() if "✗" in line]

    def inside(self, *argv: str) -> str:
        return subprocess.check_output(["ip", "netns", "exec", self.namespace, *argv], text=True)

    def leftovers(self) -> list[str]:
        found = [self.namespace] if namespace_path(self.namespace).exists() else []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.home.directory) in " ".join(process.cmdline()) and process.pid != os.getpid():
                    found.append(" ".join(process.cmdline()))
        found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.home.directory) in line]
        return found + [str(path) for path in self.home.runtime.iterdir()]


@contextlib.contextmanager
def made_lab(suffix: str = "") -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="farm-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    lab = Lab(folder, f"ud{os.getpid()}{suffix}")
    try:
        yield lab
    finally:
        lab.farm("down", "--force", check=False)
        shutil.rmtree(folder)


def deleted(*parts: str) -> Callable[[Lab], None]:
    """Lose files of the runtime folder."""

    def lose(lab: Lab) -> None:
        for part in parts:
            for path in lab.home.runtime.glob(part):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return lose


def garbage(*paths: str) -> Callable[[Lab], None]:
    def spoil(lab: Lab) -> None:
        assert lab.home.directory is not None
        for path in paths:
            (lab.home.directory / path).write_bytes(b"\0garbage {")

    return spoil


def socket_replaced(lab: Lab) -> None:
    lab.home.farmd_socket.unlink()
    lab.home.farmd_socket.touch()


def ip(*words: str) -> Callable[[Lab], None]:
    return lambda lab: subprocess.run(["ip", "-n", lab.namespace, *words], check=True) and None


def without_namespace(lab: Lab) -> None:
    subprocess.run(["ip", "netns", "delete", lab.namespace], check=True)


def without_filter(lab: Lab) -> None:
    lab.inside("nft", "flush", "ruleset")


def bridge_again(lab: Lab) -> None:
    ip("link", "delete", "farm0")(lab)
    ip("link", "add", "farm0", "type", "bridge")(lab)


def killed(lab: Lab) -> None:
    pid = Supervisor(lab.home).pid
    assert pid is not None
    supervisord = psutil.Process(pid)
    supervisord.kill()
    supervisord.wait()


def root_replaced(lab: Lab) -> None:
    root = Store(lab.home.images).path("v1") / "root.squashfs"
    shutil.copy2(root, root.with_suffix(".new"))
    root.with_suffix(".new").rename(root)


FAULTS: dict[str, Callable[[Lab], None]] = {
    "farmd's socket": deleted("farmd.sock"),
    "farmd's socket is a file": socket_replaced,
    "iceccd's socket": deleted("icecc/iceccd.socket"),
    "iceccd's folder": deleted("icecc"),
    "supervisord's socket": deleted("supervisor.sock"),
    "supervisord's pid": deleted("supervisord.pid"),
    "the record": deleted("running.json"),
    "the record is garbage": garbage("run/running.json"),
    "all records are garbage": garbage("run/running.json", "state/running.json"),
    "the runtime folder": deleted("*"),
    "state is garbage": garbage("run/supervisord.conf", "run/supervisord.pid", "run/farmd.json", "state/dhcp.leases"),
    "the ssh key is garbage": garbage("state/ssh/id_ed25519", "state/ssh/id_ed25519.pub"),
    "the public ssh key": lambda lab: (lab.home.state / "ssh/id_ed25519.pub").unlink(),
    "supervisord is killed": killed,
    "the namespace": without_namespace,
    "the filter": without_filter,
    "the bridge": ip("link", "delete", "farm0"),
    "the bridge is another": bridge_again,
    "the bridge is down": ip("link", "set", "farm0", "down"),
    "the addresses": ip("address", "flush", "dev", "farm0"),
    "the exported file is another": root_replaced,
}


def stopped(*services: str) -> Callable[[Lab], None]:
    def stop(lab: Lab) -> None:
        pids = lab.pids()
        for service in services:
            os.kill(pids[service], signal.SIGSTOP)

    return stop


SERVICES = ["nginx", "dnsmasq", "scheduler", "farmd", "iceccd", "aoe-1"]
FAULTS |= {f"{service} is stopped": stopped(service) for service in SERVICES}
FAULTS |= {"supervisord is stopped": lambda lab: os.kill(Supervisor(lab.home).pid or 0, signal.SIGSTOP)}
