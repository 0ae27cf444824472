"""Sticks that are plugged into a booted thin client are in the user's home on the server, and gone when pulled out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from farm.home import Home
from farm.virtual.own_root import OwnRoot
from farm.virtual.qemu import qmp_socket
from farm.virtual.qmp import Qmp
from tests.e2e.conftest import Lab
from tests.lab import until
from tests.slow.test_thin_client import NAME, USER, client, log_in, server, told

__all__ = ["client", "server"]

MAKE = {
    "vfat": ("mkfs.vfat", "-n", "VFAT"),
    "exfat": ("mkfs.exfat", "-L", "EXFAT"),
    "ntfs": ("mkntfs", "-q", "-Q", "-F", "-L", "NTFS"),
    "ext4": ("mkfs.ext4", "-q", "-L", "EXT4"),
}
USB = f"/home/{USER}/USB"


def make(lab: Lab, kind: str, megabytes: int = 64) -> Path:
    """Make the image of a stick, whose label is the kind of its file system."""
    image = lab.home / f"{kind}.img"
    if kind == "iso9660":
        (lab.home / "disc").mkdir()
        (lab.home / "disc/note").write_text("read only\n")
        subprocess.run(["genisoimage", "-quiet", "-R", "-V", "ISO9660", "-o", image, lab.home / "disc"], check=True)
    else:
        image.touch()
        os.truncate(image, megabytes << 20)
        subprocess.run([*MAKE[kind], image], check=True, capture_output=True)
    return image


def plug_in(lab: Lab, kind: str, image: Path) -> None:
    """Plug a stick into the running machine."""
    with Qmp(NAME, qmp_socket(Home.at(lab.home), NAME)) as machine:
        file = {"driver": "file", "filename": str(image)}
        machine.execute("blockdev-add", **{"driver": "raw", "node-name": kind, "file": file})
        machine.execute("device_add", driver="usb-storage", bus="usb.0", id=kind, drive=kind, removable=True)


def pull_out(lab: Lab, kind: str) -> None:
    """Pull it out again."""
    with Qmp(NAME, qmp_socket(Home.at(lab.home), NAME)) as machine:
        machine.execute("device_del", id=kind)


def sticks(lab: Lab) -> dict[str, dict[str, Any]]:
    """What the machine tells of its sticks, by label."""
    return {each["label"]: each for each in told(lab).get("extras", {}).get("sticks", {}).get("devices", [])}


def wait_for(lab: Lab, state: str, label: str) -> dict[str, Any]:
    """Wait until a stick is in a state."""
    until(lambda: sticks(lab).get(label, {}).get("state") == state, f"{label} is not {state}: {sticks(lab)}")
    return sticks(lab)[label]


def as_user(host: OwnRoot, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user on the server."""
    return host.run("runuser", "-u", USER, "--", "sh", "-c", command, check=False)


def wait_for_folder(host: OwnRoot, label: str) -> None:
    """Wait until a stick is in the user's home."""
    until(lambda: f" {USB}/{label} fuse.sshfs " in host.run("cat", "/proc/1/mounts").stdout, f"no {label} in the home")


def content(image: Path, file: str) -> str:
    """What a file on a FAT stick's image holds."""
    return subprocess.run(["mtype", "-i", image, f"::{file}"], capture_output=True, text=True, check=False).stdout


def test_sticks_come_and_go(client: Lab, server: OwnRoot) -> None:
    vfat = make(client, "vfat")
    plug_in(client, "vfat", vfat)
    expected = {"kind": "usb", "file_system": "vfat", "size": 64 << 20, "name": "VFAT"}
    assert expected.items() <= wait_for(client, "waiting", "VFAT").items()
    log_in(client)
    wait_for_folder(server, "VFAT")
    assert 0 == as_user(server, f"echo hello > {USB}/VFAT/note").returncode
    # Nothing is unmounted yet.
    until(lambda: content(vfat, "note") == "hello\n", "what was written is not on the stick")

    for kind in ("exfat", "ntfs", "ext4", "iso9660"):
        label = kind.upper()
        plug_in(client, kind, make(client, kind))
        wait_for_folder(server, label)
        written = as_user(server, f"echo hello > {USB}/{label}/mine")
        assert (kind == "iso9660") == bool(written.returncode) == bool(wait_for(client, "shown", label)["read_only"])
    assert "read only\n" == as_user(server, f"cat {USB}/ISO9660/note").stdout

    assert 0 == as_user(server, f"fusermount3 -u {USB}/EXT4").returncode
    wait_for(client, "put away", "EXT4")

    server.start("writing", "runuser", "-u", USER, "--", "sh", "-c", f"cd {USB}/VFAT && cat /dev/zero > big; sleep 600")
    until(lambda: int(as_user(server, f"stat -c %s {USB}/VFAT/big").stdout or 0) > 1 << 20, "nothing is written")
    for kind in ("vfat", "exfat", "ntfs", "ext4", "iso9660"):
        pull_out(client, kind)
    until(lambda: not server.path(USB).exists(), "folders stay in the home")
    until(lambda: not sticks(client), f"sticks stay: {sticks(client)}")
    assert "" == client.farm("node", "ssh", NAME, "--", "pgrep -x sftp-server || true").stdout

    again = client.home / "again.img"
    again.write_bytes(vfat.read_bytes())
    plug_in(client, "again", again)
    wait_for_folder(server, "VFAT")
    assert "hello\n" == as_user(server, f"cat {USB}/VFAT/note").stdout
