"""A node's own initrd and kernel read roots over NFS from a real nfs-ganesha, and check them with dm-verity."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from farm.export.nfs import PORT, SHOWN, ganesha
from farm.image.verity import BLOCK, Verity, append_tree
from tests.e2e.conftest import Lab
from tests.e2e.guest import Guest, guest
from tests.lab import Namespace, namespaces, until

SERVER, NODE = "10.99.45.1", "10.99.45.9"
MEGABYTES = 16
ENOUGH = 9
"""TCP port: once something listens there, the node has read enough of its root."""
SCRIPT = """
	attach() {
		device=$(losetup -f)
		losetup -r $device /run/farm/nfs/$1
	}
	try() {
		attach $1
		(panic() { echo "panic: $*"; exit; }; farm_verify ARGUMENT)
		losetup -d $device
	}
	. /scripts/farm-verity
	try other
	try cut
	attach right
	farm_verify ARGUMENT
	n=0
	until nc -w 1 SERVER ENOUGH < /dev/null 2> /run/nc; do
		echo 3 > /proc/sys/vm/drop_caches
		sum=$(dd if=$device bs=1M skip=$((n % MEGABYTES)) count=1 2> /run/dd | md5sum)
		echo "piece $n ${sum%% *} end"
		n=$((n + 1))
	done
	dmsetup status farm-root
	dmsetup remove farm-root
	attach flipped
	(
		. /scripts/farm
		farm_network() { :; }
		farm_option() { case $1 in farm.root) echo nfs:SERVER:/trees/dev/ ;; ip) echo NODE ;; *) return 1 ;; esac }
		rootmnt=/run/root
		mkdir /run/root
		umount -l /run/farm/nfs  # which devices have files of
		mountroot
		cd /run/root/etc
		mv link renamed
		sed -i s/chroot/changed/ renamed
		echo "a folder as root: $(cat hostname renamed | tr '\\n' ' ')"
	)
	farm_verify ARGUMENT
	dd if=$device of=/dev/null bs=1M
	echo "all was read"
"""


def make_roots(folder: Path) -> tuple[list[str], Verity]:
    """One that is as it was built and three that are not; returns the sums of the first one's MiBs, too."""
    content = os.urandom(MEGABYTES << 20)
    right, other, cut, flipped = (folder / name for name in ("right", "other", "cut", "flipped"))
    right.write_bytes(content)
    other.write_bytes(content[::-1])
    verity = append_tree(right, "5a" * 32)
    append_tree(other, "5a" * 32)
    cut.write_bytes(right.read_bytes()[:-BLOCK])
    changed = bytearray(right.read_bytes())
    changed[MEGABYTES << 19] ^= 1
    flipped.write_bytes(changed)
    return [hashlib.md5(content[at << 20 : (at + 1) << 20]).hexdigest() for at in range(MEGABYTES)], verity


def make_tree(folder: Path) -> None:
    """A root that is a folder."""
    (folder / "etc/systemd/network").mkdir(parents=True)
    (folder / "etc/systemd/network/20-farm.network").write_text("[Match]\nType=ether\n")
    (folder / "etc/hostname").write_text("chroot\n")
    (folder / "etc/link").symlink_to("hostname")


def serve(place: Namespace, folder: Path, tree: Path) -> subprocess.Popen[bytes]:
    """As the farm does it."""
    server = place.start("ganesha", *ganesha(folder, SERVER, place.folder / "ganesha", {"dev": str(tree)}).argv)
    place.wait_for(PORT)
    return server


def pieces(machine: Guest) -> list[tuple[int, str]]:
    """What was read so far: the number of each piece, and its sum."""
    return [(int(number), found) for number, found in re.findall(r"piece (\d+) (\w+) end", machine.console)]


def goes_on(machine: Guest) -> None:
    read = len(pieces(machine))
    until(lambda: len(pieces(machine)) > read + 2, f"nothing more is read:\n{machine.console[-3000:]}")


def stands_still(machine: Guest) -> bool:
    read = len(pieces(machine))
    time.sleep(3)
    return read == len(pieces(machine))


def test_a_root_is_read_over_nfs_and_checked(lab: Lab, tmp_path: Path) -> None:
    store, served, tree = (tmp_path / name for name in ("store", "served", "tree"))
    store.mkdir()
    make_tree(tree)
    sums, verity = make_roots(store)
    # As the farm does it: what is served are hard links.
    shutil.copytree(store, served, copy_function=os.link)
    words = {
        "ARGUMENT": verity.argument,
        "SERVER": SERVER,
        "NODE": NODE,
        "ENOUGH": str(ENOUGH),
        "MEGABYTES": str(MEGABYTES),
    }
    script = re.sub("|".join(words), lambda word: words[word[0]], SCRIPT)
    root = f"nfs:{SERVER}:/{SHOWN}/right"
    with namespaces(f"{SERVER}/24") as (place,):
        server = serve(place, served, tree)
        with guest(place, lab.images_folder / lab.image, tmp_path, root=root, address=NODE, script=script) as machine:
            machine.shows("panic: farm: the root is not the version that farm.verity names, or has changed: /dev/loop")
            machine.shows("panic: farm: the root is cut off, or this kernel cannot check it: device-mapper")
            goes_on(machine)

            os.kill(server.pid, signal.SIGKILL)
            place.stop(server)
            until(lambda: stands_still(machine), "it is not read from the server")
            server = serve(place, served, tree)
            goes_on(machine)

            shutil.rmtree(store)
            goes_on(machine)

            place.start("enough", "busybox", "nc", "-l", "-p", str(ENOUGH))
            until(lambda: "dm-verity device corrupted" in machine.console, "the changed block is not noticed")

        assert "I/O error" not in machine.console.partition("verity V")[0]
        assert "a folder as root: chroot changed" in machine.console
        assert "chroot\n" == (tree / "etc/hostname").read_text()
        assert "all was read" not in machine.console
        assert [(number, sums[number % MEGABYTES]) for number, _ in pieces(machine)] == pieces(machine)
        place.stop(server)
