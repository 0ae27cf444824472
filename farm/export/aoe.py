"""ATA over Ethernet: one vblade per image version, and the filter that lets nodes read and do nothing else."""

from __future__ import annotations

from pathlib import Path

from farm.image.store import Manifest
from farm.supervisor import Service

RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


def vblade_service(manifest: Manifest, root: Path, *, shelf: int, interface: str, buffer: int) -> Service:
    """The export of a version's root file system, read-only.

    ``buffer`` is the window vblade advertises and sizes its socket buffer by, in frames (vblade(8) -b): at 1024 it
    served 64 readers fairly, at the default 16 some starved. -m (a list of MACs) is not used: it is not bounds-checked.
    """
    file = root.stat() if root.exists() else None
    return Service(
        name=f"aoe-{manifest.slot}",
        argv=["vblade", "-r", "-b", str(buffer), str(shelf), str(manifest.slot), interface, str(root)],
        capabilities=["net_raw"],
        order=30,
        # A file that takes the place of the one it has open is another service: it would go on with the old one.
        environment={"FARM_ROOT": f"{file.st_ino}-{file.st_mtime_ns}" if file else ""},
    )


def socket_buffer_needed(buffer: int, mtu: int) -> int:
    """Bytes that net.core.rmem_max must allow, or vblade's window is silently smaller (aoetools, vblade linux.c)."""
    return buffer * mtu


def ingress_filter(table: str, interface: str) -> str:
    """A netdev table for nft: of AoE only reads, identify and config queries come in.

    Without it one frame locks every node out of vblade (force-reserve, command 3), even with -r, or edits its list of
    MACs (command 2). Offsets are bits from the Ethernet header's start: command at 152, ATA command at 216, config
    command at 232 (AoE specification, sections 3 and 4). In the ATA argument header 0x30 and 0x34 are the writes.
    The last rule: the kernel strips VLAN tags that belong to no interface only after this hook, and vblade would get
    what they hid.
    """
    return f"""table netdev {table} {{
  chain ingress {{
    type filter hook ingress device "{interface}" priority 0;
    ether type 0x88a2 @ll,152,8 2-255 drop
    ether type 0x88a2 @ll,152,8 0 @ll,216,8 0x30 drop
    ether type 0x88a2 @ll,152,8 0 @ll,216,8 0x34 drop
    ether type 0x88a2 @ll,152,8 1 @ll,232,8 & 0x0f != 0 drop
    @ll,96,16 {{ 0x8100, 0x88a8 }} @ll,128,16 {{ 0x88a2, 0x8100, 0x88a8 }} drop
  }}
}}
"""
