"""Sticks at a thin client for tests: images on loop devices, told of as udev does, in the session of a real log-in."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import until
from tests.login_room import PASSWORD, USER, LoginRoom, login_room

AS_SESSION = ("setpriv", "--reuid=64000", "--regid=64000", "--clear-groups", "env", "HOME=/run/farm/home")
DURING = """
import sys
from farm.node.session.extras import RemoteFolder
from farm.node.session.extras.sticks import EXTRA
from farm.node.session.lts_values import told_values
with EXTRA.during(told_values(), RemoteFolder(str)):
    print("begun", flush=True)
    sys.stdin.read()
"""
LOOK = "import json; from farm.node.session.extras.sticks import EXTRA; print(json.dumps(EXTRA.look()))"
MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-O", "^has_journal"),
    "ntfs": ("mkntfs", "-q", "-Q", "-F"),
}
"""What makes the file systems that every kernel can mount: by its own driver, or with FUSE."""


@dataclass
class StickRoom:
    """A thin client, at which somebody can log in and plug in sticks."""

    logins: LoginRoom
    home: Path
    """The user's, on the server."""
    _loops: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _session: subprocess.Popen[bytes] | None = None

    @property
    def usb(self) -> Path:
        """Where sticks are shown, as seen on the server."""
        return self.home / "USB"

    def log_in(self) -> None:
        """Log in, and begin what a session has of sticks."""
        client = self.logins.client
        assert client.log_in(USER, PASSWORD)[0]
        session = self._session = subprocess.Popen(
            client.machine.argv(*AS_SESSION, "/usr/bin/python3", "-I", "-c", DURING),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert session.stdout
        assert session.stdout.readline() == b"begun\n"

    def end_session(self) -> None:
        """End the session; what it wrote is then on the sticks."""
        session, self._session = self._session, None
        if session:
            session.communicate()

    def make(self, name: str, file_system: str = "ext4", label: str = "", megabytes: int = 16) -> Path:
        """Make an image of a stick."""
        image = self.logins.client.machine.path(f"/tmp/{name}.img")
        image.touch()
        os.truncate(image, megabytes << 20)
        self.logins.client.machine.run(*MAKE[file_system], *(["-L", label] if label else []), f"/tmp/{name}.img")
        return image

    def plug_in(self, name: str, *options: str, **properties: str) -> str:
        """Plug one in: udev has looked at it, and its unit starts; returns the device's name."""
        machine = self.logins.client.machine
        path = machine.run("losetup", "--find", "--show", *options, f"/tmp/{name}.img").stdout.strip()
        device = path.removeprefix("/dev/")
        probed = machine.run("blkid", "-p", "-o", "udev", path, check=False).stdout.split("\n")
        told = {"ID_BUS": "usb", **dict(line.split("=", 1) for line in probed if line), **properties}
        major, minor = Path(f"/sys/block/{device}/dev").read_text().strip().split(":")
        machine.write(f"/run/udev/data/b{major}:{minor}", "".join(f"E:{key}={told[key]}\n" for key in told))
        self._loops[device] = machine.start(
            device, "/usr/bin/python3", "-I", "-m", "farm.node.session.media.stick", device
        )
        return device

    def in_a_session(self, label: str = "STICK", file_system: str = "ext4", megabytes: int = 16) -> str:
        """Plug a new stick in, log in, and wait until it is shown; returns the device's name."""
        self.make("stick", file_system, label, megabytes)
        device = self.plug_in("stick")
        self.log_in()
        self.wait_for_folders(label)
        return device

    def unplug(self, device: str) -> None:
        """Pull it out: systemd ends its unit."""
        machine = self.logins.client.machine
        unit = self._loops.pop(device)
        machine.run("pkill", "-f", f"media.stick {device}$", check=False)
        unit.wait()
        machine.run("losetup", "-d", f"/dev/{device}")

    def put_away(self, device: str, name: str) -> None:
        """Unmount it as its user does on the server, and wait until the machine says that it can be unplugged."""
        self.as_user("fusermount3", "-u", f"/home/{USER}/USB/{name}")
        self.wait_for("put away", device)

    def look(self) -> list[dict[str, Any]]:
        """What the machine tells of its sticks."""
        told = self.logins.client.machine.run("/usr/bin/python3", "-I", "-c", LOOK).stdout
        devices: list[dict[str, Any]] = json.loads(told).get("devices", [])
        return devices

    def wait_for(self, state: str, device: str) -> dict[str, Any]:
        """Wait until a stick is in a state; what is told of it."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [each for each in self.look() if each["device"] == device]
            return bool(found) and found[0]["state"] == state

        until(there, f"{device} is not {state}: {found} {self.logins.client.machine.log(device)}")
        return found[0]

    def folders(self) -> list[str]:
        """The sticks that the user has in the home: nobody else may look into those, root included."""
        mounts = Path(f"/proc/{self.logins.server.machine.pid}/mounts").read_text().splitlines()
        points = [line.split()[1].replace("\\040", " ") for line in mounts if " fuse.sshfs " in line]
        return sorted(os.path.relpath(point, f"/home/{USER}/USB") for point in points)

    def wait_for_folders(self, *names: str) -> None:
        """Wait until these are the sticks in the user's home."""
        until(lambda: self.folders() == sorted(names), f"not the sticks in the home: {self.folders()}")

    def as_user(self, *argv: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as the user, on the server."""
        words = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", f"HOME=/home/{USER}")
        return self.logins.server.machine.run(*words, *argv, check=check, **options)

    def clear(self) -> None:
        """Unplug all, and log out."""
        self.end_session()
        for device in [*self._loops]:
            self.unplug(device)
        self.logins.client.log_out()
        self.logins.client.set_lts()


@contextlib.contextmanager
def stick_room() -> Iterator[StickRoom]:
    """A room at which nobody is logged in."""
    with login_room() as logins:
        room = StickRoom(logins, logins.server.machine.path(f"/home/{USER}"))
        try:
            yield room
        finally:
            room.clear()
