"""nbd-keeper in a node's initrd: whatever becomes of its servers, readers of the device wait and get no error."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from farm.export.nbd import PORT, nbdkit
from tests.e2e.conftest import Lab
from tests.e2e.guest import Guest, guest
from tests.lab import Namespace, namespaces, until

FIRST, SECOND, NODE = "10.99.44.1", "10.99.44.3", "10.99.44.9"
NAME = "toy-client:1"
MEGABYTES = 32
READ = """
	echo "read-only: $(cat /sys/block/nbd0/ro)"
	mkdir /run/dev
	mount --move /dev /run/dev  # as when a machine changes to its root
	device=/run$device
	n=0
	while :; do
		echo 3 > /proc/sys/vm/drop_caches
		sum=$(dd if=$device bs=1M skip=$((n % 32)) count=1 2> /run/dd | md5sum)
		echo "piece $n ${sum%% *} end"
		n=$((n + 1))
		sleep 0.2
	done
"""
MINUTE = 60.0
"""Longer than the kernel waits for the answer to a read (nbd-keeper.c: REQUEST_SECONDS)."""


class Room:
    """A server with two addresses, at which the same file can be served, or another one of its size."""

    def __init__(self, place: Namespace, folder: Path) -> None:
        place.run("ip", "address", "add", f"{SECOND}/24", "dev", place.interface)
        self.place = place
        content = os.urandom(MEGABYTES << 20)
        pieces = (content[at << 20 : (at + 1) << 20] for at in range(MEGABYTES))
        self.sums = [hashlib.md5(piece).hexdigest() for piece in pieces]
        self.right, self.wrong = folder / "right", folder / "wrong"
        for served, what in ((self.right, content), (self.wrong, bytes(len(content)))):
            served.mkdir()
            (served / NAME).write_bytes(what)

    def serve(self, address: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
        """As the farm does it."""
        server = self.place.start(f"nbdkit-{address}", *nbdkit(folder or self.right, address).argv)
        self.place.run("sh", "-c", f"until ss -Hltn | grep -q {address}:{PORT}; do sleep 0.05; done")
        return server

    def kill(self, server: subprocess.Popen[bytes]) -> None:
        os.kill(server.pid, signal.SIGKILL)
        self.place.stop(server)


def pieces(machine: Guest) -> list[tuple[int, str]]:
    """What was read so far: the number of each piece, and its sum."""
    return [(int(number), found) for number, found in re.findall(r"piece (\d+) (\w+) end", machine.console)]


def goes_on(machine: Guest) -> None:
    read = len(pieces(machine))
    until(lambda: len(pieces(machine)) > read + 3, f"nothing more is read:\n{machine.console[-3000:]}")


def test_readers_wait_for_a_lost_server_and_go_on(lab: Lab, tmp_path: Path) -> None:
    image = lab.images_folder / lab.image
    root = f"nbd:{FIRST},{SECOND}:{PORT}:{NAME}"
    with namespaces(f"{FIRST}/24") as (place,):
        room = Room(place, tmp_path)
        first = room.serve(FIRST)
        with guest(place, image, tmp_path, root=root, address=NODE, script=READ) as machine:
            goes_on(machine)

            room.kill(first)
            machine.shows("reads of the root wait")
            first = room.serve(FIRST)
            machine.shows(f"{FIRST} serves the root")
            goes_on(machine)

            second = room.serve(SECOND)
            room.kill(first)
            machine.shows(f"{SECOND} serves the root")
            goes_on(machine)

            os.kill(second.pid, signal.SIGSTOP)
            time.sleep(MINUTE)
            machine.shows(f"{SECOND} is lost")
            os.kill(second.pid, signal.SIGCONT)
            goes_on(machine)

            room.kill(second)
            first = room.serve(FIRST, room.wrong)
            machine.shows("it has another file under this name")
            room.kill(first)
            first = room.serve(FIRST)
            goes_on(machine)
            room.kill(first)

        assert "read-only: 1" in machine.console
        assert "I/O error" not in machine.console
        assert [(number, room.sums[number % MEGABYTES]) for number, _ in pieces(machine)] == pieces(machine)
