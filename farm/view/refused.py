"""What is wrong where machines were given no address or no loader."""

from __future__ import annotations

from collections.abc import Iterator

from farm.config import Config
from farm.view.wording import few
from farm.watch.events import Finding
from farm.watch.refusals import NO_ADDRESS
from farm.watch.state import Farm


def refused(farm: Farm, config: Config) -> Iterator[Finding]:
    """A finding for each thing that machines could not be given."""
    machines: dict[str, list[str]] = {}
    for mac, refusal in sorted(farm.refusals.items()):
        node = farm.nodes.get(mac)
        machines.setdefault(refusal.what, []).append(f"{node.name} ({mac})" if node and node.known else mac)
    for what, names in sorted(machines.items()):
        if what == NO_ADDRESS:
            yield Finding(
                "no-address",
                f"No address is left for {few(names)}: {config.dhcp.first} to {config.dhcp.last} are all in use.",
                "Set a larger range in farm.yaml (dhcp.first, dhcp.last), then: sudo farm up",
                names[0],
            )
        else:
            yield Finding(
                "no-loader",
                f"The farm has no loader for {few(names)}, which asked as {what}.",
                "Only PCs with x86-64 processors can boot, by BIOS or 64-bit UEFI: check their firmware's settings.",
                names[0],
            )
