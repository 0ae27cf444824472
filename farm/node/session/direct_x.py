"""Programs that draw over TCP connections of their own, past ssh (LDM_DIRECTX): faster, and not encrypted.

X listens to the network then, and lets in who has its cookie; only the server that somebody is logged in to reaches it.
"""

from __future__ import annotations

import os

from farm.node.files import write
from farm.node.session.lts_values import LtsValues
from farm.node.session.port_filter import close_ports
from farm.node.session.session_kind import THIN, kind_of

LIGHTDM = "etc/lightdm/lightdm.conf.d/60-farm-directx.conf"
X_PORTS = "6000-6009"
"""TCP ports of the displays :0 to :9."""
TABLE = "farm_session"


def is_direct(lts: LtsValues) -> bool:
    """Whether lts.conf wants it on this machine, and its sessions come over the network."""
    return lts.is_on("LDM_DIRECTX") and kind_of(lts) == THIN


def prepare(lts: LtsValues, root: str) -> None:
    """Before X starts: whether it listens; nobody is logged in, so nobody reaches it."""
    let_in(lts)
    write(os.path.join(root, LIGHTDM), lightdm_conf(lts))


def let_in(lts: LtsValues, host: str = "") -> None:
    """Let the server reach X that somebody has logged in to; none after the session.

    Raises OSError or subprocess.CalledProcessError when that cannot be done.
    """
    if is_direct(lts):
        close_ports(TABLE, X_PORTS, [host] if host else [])


def lightdm_conf(lts: LtsValues) -> str:
    """Whether lightdm starts an X server that takes TCP connections."""
    return f"[Seat:*]\nxserver-allow-tcp={'true' if is_direct(lts) else 'false'}\n"
