"""The question for settings: by it a node says who and where it is, while it boots, and again while it runs.

The server has no other witness of a node whose address another DHCP server gave. Its log keeps the question: the MAC,
the address that it came from, and the boot id, which telemetry and beacon repeat.
"""

from __future__ import annotations

import contextlib
import os
import time

from farm.node.contract import BOOT_ID
from farm.node.network import address_of, name_now

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself takes long to import, and this is imported while a machine boots
    import threading
    from typing import Any

AGAIN_SECONDS = 600.0
"""Between two questions of a node that runs: so long may a server that has lost its logs not know where it is."""
ADDRESS_POLL_SECONDS = 2.0
"""Between two looks whether the node has another address: then it asks at once."""


def boot_id(root: str = "/") -> str:
    """Of the kernel, as `contract.BOOT_ID` has it; empty where there is none."""
    try:
        with open(os.path.join(root, "proc/sys/kernel/random/boot_id")) as file:
            found = file.read(64).strip().replace("-", "")
    except OSError:
        return ""
    return found if BOOT_ID.fullmatch(found) else ""


def question(mac: str, boot_id: str, stages: dict[str, float] | None = None) -> str:
    """What is asked of the server's HTTP; ``stages``: when each was reached, seconds since the kernel started."""
    said = [f"{stage}={seconds:.2f}" for stage, seconds in (stages or {}).items()]
    if boot_id:
        said.append(f"boot={boot_id}")
    return f"/nodes/{mac.replace(':', '-')}.json?{'&'.join(said)}"


def repeat(node: dict[str, Any], stop: threading.Event) -> None:
    """Ask from every new address at once, and now and then from the same, until told to stop; the answer is no news.

    ``node``: what `configure` left in /run/farm/node.json.
    """
    from farm.node.configure import http_get

    # The server that gave the settings was asked just now. The lab's other boot server learns of this machine only so.
    asked = {node["server"]: (node["address"], time.monotonic() + AGAIN_SECONDS)}
    if node.get("other"):
        asked[node["other"]] = "", 0.0
    while not stop.wait(ADDRESS_POLL_SECONDS):
        address = address_of(name_now(node["nic"], node["mac"]))
        for server, (last, due) in asked.items():
            if address is None or (address == last and time.monotonic() < due):
                continue
            with contextlib.suppress(OSError):
                http_get(server, node["http_port"], question(node["mac"], node["boot_id"]))
                asked[server] = address, time.monotonic() + AGAIN_SECONDS
