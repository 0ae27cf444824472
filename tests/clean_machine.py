"""A machine that has nothing: a minimal Debian in a folder, with a fresh clone of this checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.image.apt_sources import host_sources

CHECKOUT = Path(__file__).parents[1]

# What leads this host to its package registries, and which certificates it trusts.
HOST_SETTINGS = (
    "/etc/pip.conf",
    "/etc/xdg/pip",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/resolv.conf",
    "/etc/hosts",
)

IN_CHROOT = r"""
set -eu
mount --bind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
exec chroot . sh -c "$1"
"""


def install_debian(root: Path, *packages: str) -> None:
    """Install a minimal Debian with these packages into a folder, from this machine's apt sources."""
    sources = "".join(f"deb [signed-by={s.keyring}] {s.uri} {s.suite} {s.component}\n" for s in host_sources())
    argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", "bookworm", str(root), "-"]
    subprocess.run(argv, input=sources, text=True, check=True)


def kept_debian(name: str, *packages: str) -> Path:
    """Such a root, made when it is not there yet (one to two minutes) and kept, in a folder of that name."""
    images = Path(os.environ.get("FARM_TEST_IMAGES", "/var/cache/icecream-farm/images"))
    cache = images.parent / name
    root = cache / hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    if not root.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            new = Path(scratch) / "root"
            install_debian(new, *packages)
            new.rename(root)
    return root


def settle(root: Path) -> None:
    """Let a root find this host's package registries."""
    for setting in map(Path, HOST_SETTINGS):
        target = root / setting.relative_to("/")
        if setting.is_dir():
            shutil.copytree(setting, target)
        elif setting.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(setting, target)


@pytest.fixture(scope="module")
def clean_machine() -> Iterator[Path]:
    """A minimal Debian with a fresh clone of this checkout in /src; what comes first installs the packages there."""
    root = Path(tempfile.mkdtemp(prefix="farm-clean-", dir="/var/tmp"))
    try:
        install_debian(root, "ca-certificates", "debian-archive-keyring")
        settle(root)
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", CHECKOUT, root / "src"], check=True)
        yield root
    finally:
        shutil.rmtree(root)


def in_chroot(root: Path, script: str) -> str:
    """Run a shell script in the clean machine, in mount and process namespaces that go with it."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")}
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", IN_CHROOT, root, script],
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": "/root",
            **kept,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-12000:]
    return done.stdout
