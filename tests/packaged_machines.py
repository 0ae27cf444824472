"""Machines on which nothing of ours is but the Debian packages, which apt has installed."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.image.store import Store
from tests.clean_machine import CHECKOUT, in_chroot, kept_debian, settle
from tests.diskless import Diskless, diskless
from tests.lab import PATIENCE, Namespace, namespaces, until
from tests.made_up_store import add_version

PACKAGES = ("ca-certificates", "g++", "make", "procps", "systemd")
"""What a minimal Debian lacks of a developer's machine, and systemd for its check of units."""
SERVER, NODE, DESK = "10.99.46.1", "10.99.46.2", "10.99.46.3"
USER = "dev"
OLD_VERSION = "0.0.9"
APT = "set -eu; export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; apt-get -qq install -y {} 2>&1"
CPP = "#include <string>\nint part{0}(std::string text) {{ return int(text.size()) + {0}; }}\n"


def build(target: Path) -> None:
    """Build the packages and the wheel of this checkout, and the same packages with the version of an older one."""
    subprocess.run([CHECKOUT / "script/packages", target], check=True)
    (target / "old").mkdir()
    for package in target.glob("*.deb"):
        name = package.name.partition("_")[0]
        with tempfile.TemporaryDirectory(dir=target) as scratch:
            subprocess.run(["dpkg-deb", "--raw-extract", package, scratch], check=True)
            control = Path(scratch) / "DEBIAN/control"
            version = package.name.split("_")[1]
            control.write_text(control.read_text().replace(version, OLD_VERSION))
            # For what the older release had, and this one has no more.
            (Path(scratch) / f"usr/share/doc/{name}/gone").touch()
            subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", scratch, target / f"old/{name}.deb"])


@contextlib.contextmanager
def installed(packages: Path, *debs: str) -> Iterator[Path]:
    """A minimal Debian on which apt has installed these packages; all of them are there in /packages."""
    with tempfile.TemporaryDirectory(prefix="farm-packages-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        subprocess.run(["cp", "-a", kept_debian("packages", *PACKAGES), root], check=True)
        settle(root)
        shutil.copytree(packages, root / "packages")
        if debs:
            in_chroot(root, APT.format(" ".join(f"/packages/{deb}" for deb in debs)))
        yield root


def run(machine: Diskless, script: str, user: str = "root", check: bool = True) -> subprocess.CompletedProcess[str]:
    """What somebody types on a machine, in a shell."""
    home = "/root" if user == "root" else f"/home/{user}"
    become = ["runuser", "-u", user, "--", "env", f"HOME={home}", "PATH=/usr/local/bin:/usr/bin:/bin", "sh", "-c"]
    argv = machine.argv(*(["env", f"HOME={home}", "sh", "-c"] if user == "root" else become), script)
    done = subprocess.run(
        argv, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    assert not check or done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done


@dataclass(frozen=True)
class Room:
    """A server, a node that compiles, and a place for a desk."""

    server: Diskless
    node: Namespace
    desk: Namespace

    def status(self) -> Any:
        """What `farm status --json` says on the server; it exits with 3, as the node is a stranger."""
        return json.loads(run(self.server, "farm status --json", check=False).stdout)

    def builds(self) -> set[int]:
        """The builds that `farm history` knows."""
        done = run(self.server, "farm history --json", check=False)
        return set() if done.returncode else {each["id"] for each in json.loads(done.stdout)["builds"]}

    def pids(self) -> dict[str, int]:
        """The processes of the farm's services."""
        return {each["name"]: each["pid"] for each in self.status()["services"]}


@contextlib.contextmanager
def room(server_root: Path) -> Iterator[Room]:
    """The server's administrator types what README says; the image is one that no PC could boot, and is there."""
    addresses = (f"{each}/24" for each in (SERVER, NODE, DESK))
    with namespaces(*addresses) as (server, node, desk), diskless(server, "server", server_root) as machine:
        store = Store(machine.path("/var/lib/farm/images"))
        store.use(add_version(store, "20261128.1").image)
        run(machine, "farm init --interface lab0 && sed -i 's/^#* *name:.*/name: test/' /etc/farm/farm.yaml")
        run(machine, "farm config check && farm up")
        node.iceccd_behind_a_filter("pc01", SERVER, "-m", "2")
        until(lambda: '"daemons": 2' in run(machine, "farm scheduler --json").stdout, "the farm does not know the node")
        try:
            yield Room(machine, node, desk)
        finally:
            run(machine, "test ! -e /run/farm/running.json || farm down --keep-nodes --force")


def add_user(machine: Diskless) -> None:
    """An account, with a project of eight files in its home."""
    run(machine, f"useradd --create-home {USER}")
    objects = " ".join(f"part{n}.o" for n in range(8))
    for number in range(8):
        machine.write(f"/home/{USER}/part{number}.cpp", CPP.format(number))
    machine.write(f"/home/{USER}/Makefile", f"all: {objects}\nclean:\n\trm -f *.o\n")
    run(machine, f"chown -R {USER}: /home/{USER}")
