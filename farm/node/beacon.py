"""The node's advertisement: `_farm-node._tcp.local.` by multicast DNS, on the boot NIC's address and no other."""

from __future__ import annotations

import contextlib
import socket
from types import TracebackType
from typing import Any

from zeroconf import Error, IPVersion, ServiceInfo, Zeroconf

from farm.node import VERSION
from farm.node.roles import load

SERVICE = "_farm-node._tcp.local."
TTL = 120
"""Seconds; the library's own default is 75 minutes. Its browsers keep what died without a word for 1125 s anyway."""


def service_info(node: dict[str, Any], stage: str) -> ServiceInfo:
    """What is advertised; the boot id tells this boot from the last, so that a browser sees a change."""
    text = {
        "farm": node["farm"],
        "mac": node["mac"],
        "image": node["image"],
        "version": VERSION,
        "stage": stage,
        "boot": node["boot_id"],
    }
    for role, settings in node["roles"].items():
        text.update(load(role).advertised(settings))
    return ServiceInfo(
        SERVICE,
        f"{node['name']}.{SERVICE}",
        addresses=[socket.inet_aton(node["address"])],
        port=node["telemetry_port"],
        properties=text,
        server=f"{node['name']}.local.",
        host_ttl=TTL,
        other_ttl=TTL,
    )


class Advertiser:
    """The advertisement while it stands (a context manager)."""

    def __init__(self, node: dict[str, Any]) -> None:
        self.node = node
        self.stage = ""

    def __enter__(self) -> Advertiser:
        self.zeroconf = Zeroconf(interfaces=[self.node["address"]], ip_version=IPVersion.V4Only)
        return self

    def announce(self, stage: str) -> None:
        """Say the stage this node is at; nothing is sent when it was said before."""
        if stage == self.stage:
            return
        info = service_info(self.node, stage)
        if self.stage:
            self.zeroconf.update_service(info)
        else:
            # Another machine with this name is a matter for people; the browser goes by MAC and address.
            self.zeroconf.register_service(info, allow_name_change=True)
        self.stage = stage

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Error, OSError):
            self.zeroconf.unregister_all_services()
        self.zeroconf.close()
