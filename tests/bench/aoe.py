"""Is one vblade fair to many readers? A real vblade at one end of a veth pair, many initiators at the other."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from farm.config import Config, ExportConfig
from farm.export.aoe import Aoe, vblade
from farm.export.socket_buffer import allow_socket_buffer, release_socket_buffer
from tests.lab import Namespace, namespaces, until

HERE = Path(__file__).parent
SIZE = 256 << 20
"""Bytes of the exported file; it stays in the page cache, as a root that many nodes boot from does."""


@dataclass(frozen=True)
class Fairness:
    """Megabytes per second of the readers of one export; frames that had to be sent again."""

    mtu: int
    rates: list[float]
    resent: int

    @property
    def mean(self) -> float:
        """Of all readers."""
        return sum(self.rates) / len(self.rates)

    @property
    def slowest(self) -> float:
        """The one served worst."""
        return min(self.rates)


def mac(namespace: Namespace) -> str:
    """The address of a namespace's interface."""
    return namespace.run("cat", f"/sys/class/net/{namespace.interface}/address").stdout.strip()


def sectors(mtu: int) -> int:
    """How many a frame can carry."""
    return (mtu - 36) // 512


def start_vblade(server: Namespace, root: Path, *, mtu: int = 1500, slot: int = 1) -> subprocess.Popen[bytes]:
    """Export a file as the farm does and wait until the export is open."""
    settings = ExportConfig()
    allow_socket_buffer(Aoe().socket_buffer(Config(export=settings), mtu), server.folder)
    service = vblade(slot, root, shelf=settings.shelf, interface=server.interface, buffer=settings.buffer)
    process = server.start("vblade", *service.argv)
    # vblade looks at the frame size and opens its packet socket before it opens the gate: /proc says when.
    until(lambda: "88a2" in server.run("cat", "/proc/net/packet").stdout, f"vblade: {server.log('vblade')}")
    return process


def measure(mtu: int, *, readers: int = 64, outstanding: int = 16, seconds: float = 4) -> Fairness:
    """Let ``readers`` read at once for some seconds."""
    with (
        TemporaryDirectory(prefix="farm-bench-") as folder,
        namespaces("10.98.0.1/24", "10.98.0.2/24") as (server, lab),
    ):
        root = Path(folder, "root")
        root.write_bytes(bytes(SIZE))
        for namespace in (server, lab):
            namespace.run("ip", "link", "set", namespace.interface, "mtu", str(mtu))
        start_vblade(server, root, mtu=mtu)
        fairness = read_together(server, lab, SIZE, mtu, readers=readers, outstanding=outstanding, seconds=seconds)
        release_socket_buffer(server.folder)
    return fairness


def read_together(
    server: Namespace, lab: Namespace, size: int, mtu: int, *, readers: int, outstanding: int, seconds: float
) -> Fairness:
    """Let ``readers``, each with so many frames ``outstanding``, read a target of ``size`` bytes, shelf 7, slot 1."""
    program = lab.folder / "aoe_readers"
    subprocess.run(["cc", "-O2", "-o", program, HERE / "aoe_readers.c"], check=True)
    at = (lab.interface, mac(server), ExportConfig().shelf, 1)
    argv = [program, *at, readers, outstanding, sectors(mtu), size // 512, seconds]
    lines = lab.run(*map(str, argv)).stdout.splitlines()
    numbers = [(int(line.split()[0]), int(line.split()[1])) for line in lines]
    return Fairness(mtu, [done / seconds / 1e6 for done, _ in numbers], sum(resent for _, resent in numbers))
