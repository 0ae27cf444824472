"""README's first command on a machine that has nothing: a minimal Debian in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.image.apt_sources import host_sources

CHECKOUT = Path(__file__).parents[2]

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


@pytest.fixture(scope="module")
def clean_machine() -> Iterator[Path]:
    """A minimal Debian with a fresh clone of this checkout in /src; what comes first installs the packages there."""
    root = Path(tempfile.mkdtemp(prefix="farm-clean-", dir="/var/tmp"))
    sources = "".join(f"deb [signed-by={s.keyring}] {s.uri} {s.suite} {s.component}\n" for s in host_sources())
    try:
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                "--include=ca-certificates,debian-archive-keyring",
                "bookworm",
                root,
                "-",
            ],
            input=sources,
            text=True,
            check=True,
        )
        for setting in map(Path, HOST_SETTINGS):
            target = root / setting.relative_to("/")
            if setting.is_dir():
                shutil.copytree(setting, target)
            elif setting.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copy(setting, target)
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


def test_demo_on_a_bare_machine_ends_with_objects_from_both_nodes_and_down_leaves_nothing(clean_machine: Path) -> None:
    said = in_chroot(
        clean_machine,
        """
        set -eu
        /src/script/demo
        echo "== status"
        farm status --json
        farm down
        echo "== left"
        ip netns list
        nft list tables
        ps -eo args | grep -E 'qemu|vblade|dnsmasq|nginx|icecc|supervisord|farm' | grep -vE 'grep|sh -c' || true
        grep -E 'farm|netns/' /proc/mounts || true
        ls -A /run/farm
        """,
    )
    assert "Lua 5.4 was built by the farm and runs here: 6 × 7 = 42" in said
    assert "objects were compiled on 2 diskless nodes" in said
    _, status, left = said.split("== ")
    assert status.count('"stage": "ready"') == 2, status
    assert left.removeprefix("left").split() == [], left


def test_bootstrap_again_changes_nothing(clean_machine: Path) -> None:
    in_chroot(clean_machine, "/src/script/bootstrap")
    before = (clean_machine / "src/.venv/.bootstrapped").stat().st_mtime_ns
    assert in_chroot(clean_machine, "/src/script/bootstrap") == ""
    assert (clean_machine / "src/.venv/.bootstrapped").stat().st_mtime_ns == before
