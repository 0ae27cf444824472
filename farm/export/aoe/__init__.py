"""ATA over Ethernet: a vblade for each version on a slot of its own, and the filter that lets nodes only read."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import SocketKind

import psutil

from farm.config import Config
from farm.errors import FarmError
from farm.export.aoe.slots import MAX_SLOT, give_slots, slot_of, take_slots
from farm.export.description import Root
from farm.instance import Instance
from farm.supervisor import Service

INGRESS_RULES = (
    "ether type 0x88a2 @ll,152,8 2-255 drop",
    "ether type 0x88a2 @ll,152,8 0 @ll,216,8 0x30 drop",
    "ether type 0x88a2 @ll,152,8 0 @ll,216,8 0x34 drop",
    "ether type 0x88a2 @ll,152,8 1 @ll,232,8 & 0x0f != 0 drop",
    "@ll,96,16 { 0x8100, 0x88a8 } @ll,128,16 { 0x88a2, 0x8100, 0x88a8 } drop",
)
"""Of AoE only reads, identify and config queries come in.

Without them one frame locks every node out of vblade (force-reserve, command 3), even with -r, or edits its list of
MACs (command 2). Offsets are bits from the Ethernet header's start: command at 152, ATA command at 216, config command
at 232 (AoE specification, sections 3 and 4). In the ATA argument header 0x30 and 0x34 are the writes.
The last rule: the kernel strips VLAN tags that belong to no interface only after this hook, and vblade would get what
they hid.
"""

SENDER_MAC = "FARM_MAC"
"""Environment variable: the interface's MAC address when vblade was started, which goes on to answer by it."""
HANG_SECONDS = 1.0
"""A vblade that leaves frames unread for so long, and does not work meanwhile, hangs."""


class Aoe:
    """The export by vblade."""

    name = "aoe"
    programs: Mapping[str, str] = {"vblade": "vblade"}
    ingress_rules = INGRESS_RULES
    most_versions = MAX_SLOT
    advice = "check that ATA over Ethernet reaches it and its image is served"

    def ports(self, config: Config) -> Sequence[tuple[SocketKind, int]]:
        """None: AoE is not IP."""
        return ()

    def socket_buffer(self, config: Config, mtu: int) -> int:
        """With less, vblade's window is silently smaller (aoetools, vblade linux.c)."""
        return config.export.buffer * mtu

    def prepare(self, store: Path, roots: Sequence[Root]) -> None:
        """Each gets a slot."""
        give_slots(store, roots)

    def adopt(self, store: Path, known: Mapping[str, Mapping[str, str | int]]) -> None:
        """Each version gets the slot that it has there: the kernel takes two servers of one slot for one device."""
        take_slots(store, {name: found["slot"] for name, found in known.items() if "slot" in found})

    def services(self, instance: Instance, roots: Sequence[Root], runtime: Path) -> list[Service]:
        """A vblade for each."""
        settings = instance.config.export
        slots = [(slot_of(root), root.file) for root in roots]
        return [
            vblade(slot, file, shelf=settings.shelf, interface=instance.interface, buffer=settings.buffer)
            for slot, file in slots
            if slot is not None
        ]

    def service(self, root: Root) -> str:
        """Named by the slot, by which what it logs names it, too."""
        slot = slot_of(root)
        return "" if slot is None else _service(slot)

    def address(self, config: Config, root: Root) -> str:
        """eSHELF.SLOT, as the kernel's driver calls the device."""
        slot = slot_of(root)
        if slot is None:
            raise FarmError(
                f"Image {root.name} has no AoE slot.",
                "The slot is assigned when the image is prepared.",
                "Prepare it: sudo farm up",
            )
        return f"e{config.export.shelf}.{slot}"

    def facts(self, root: Root) -> dict[str, str | int]:
        """The slot in which the version is exported."""
        slot = slot_of(root)
        return {} if slot is None else {"slot": slot}

    def serves(self, pid: int, root: Root) -> bool:
        """A vblade has its file open as long as it runs."""
        folder = Path(f"/proc/{pid}/fd")
        with contextlib.suppress(OSError):
            wanted = root.file.stat()
            for each in folder.iterdir():
                with contextlib.suppress(OSError):
                    if os.path.samestat(each.stat(), wanted):
                        return True
        return False

    def ask(self, instance: Instance, pid: int, root: Root) -> str:
        """vblade cannot be asked from its own machine: a frame does not come back to where it was sent.

        Seen is whether it has the right file open, answers by the interface's address, and reads the frames that come.
        """
        if other := _former_address(pid, instance.interface):
            raise OSError(
                f"it answers by {other}, which is no longer the address of {instance.interface}: sudo farm up"
            )
        if os.geteuid() == 0 and not self.serves(pid, root):
            raise OSError(f"it serves a file that was replaced or removed since: {root.file}")
        waiting, worked = _waiting_frames(pid), _processor_time(pid)
        if waiting:
            time.sleep(HANG_SECONDS)
            if _waiting_frames(pid) >= waiting and _processor_time(pid) == worked:
                raise OSError(f"it leaves {waiting} bytes of frames unread")
        return f"serves {root.file}"


def vblade(slot: int, file: Path, *, shelf: int, interface: str, buffer: int) -> Service:
    """The export of a file, read-only.

    ``buffer`` is the window vblade advertises and sizes its socket buffer by, in frames (vblade(8) -b). When 500 nodes
    boot at once (tests/bench/storm.py), at 4096 few frames are lost and at 1024 thousands are; at the default 16 some
    of 64 readers starved. -m (a list of MACs) is not used: it is not bounds-checked.
    """
    found = file.stat() if file.exists() else None
    return Service(
        name=_service(slot),
        argv=["vblade", "-r", "-b", str(buffer), str(shelf), str(slot), interface, str(file)],
        capabilities=["net_raw"],
        order=30,
        # A file that takes the place of the one it has open is another service: it would go on with the old one.
        environment={"FARM_ROOT": f"{found.st_ino}-{found.st_mtime_ns}" if found else ""},
    )


def _service(slot: int) -> str:
    return f"aoe-{slot}"


def _former_address(pid: int, interface: str) -> str:
    """The MAC address by which a vblade answers, if the interface has another one by now; else empty."""
    with contextlib.suppress(psutil.Error):
        started = psutil.Process(pid).environ().get(SENDER_MAC, "")
        now = [each.address for each in psutil.net_if_addrs().get(interface, []) if each.family == psutil.AF_LINK]
        return started if started and now and started not in now else ""
    return ""


def _waiting_frames(pid: int) -> int:
    """Bytes that wait at the packet sockets of a process (/proc/net/packet: ... Rmem User Inode)."""
    own = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [line.split() for line in Path("/proc/net/packet").read_text().splitlines()[1:]]
    return sum(int(fields[6]) for fields in lines if f"socket:[{fields[8]}]" in own)


def _processor_time(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
