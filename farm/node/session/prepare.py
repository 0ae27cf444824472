"""What is done each time before the display manager starts: nobody is logged in, and X listens to whom it is told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable

from farm.node.contract import SettingsError
from farm.node.files import write
from farm.node.session import client_account, greeter_mark
from farm.node.session.extras import prepare_all
from farm.node.session.lts_values import told_values
from farm.node.session.session_settings import SessionSettings, read_session

LIGHTDM = "etc/lightdm/lightdm.conf.d/60-farm-directx.conf"
X_PORTS = "6000-6009"
"""TCP ports of the displays :0 to :9."""


def main(root: str = "/") -> int:
    """Prepare this machine; without valid settings it gets a greeter too, which then says so."""
    client_account.clear()
    greeter_mark.remove()
    try:
        settings = read_session(root)
    except SettingsError as error:
        sys.stderr.write(f"farm-node: no log-in is possible here: {error}\n")
        settings = SessionSettings(servers=())
    prepare_all(told_values(root), root)
    write(os.path.join(root, LIGHTDM), lightdm_conf(settings))
    if settings.directx:
        rules = x_filter(_addresses(settings))
        subprocess.run(["nft", "--file", "-"], input=rules, text=True, check=True)
    return 0


def lightdm_conf(settings: SessionSettings) -> str:
    """Whether X takes TCP connections; who connects needs its cookie, too."""
    return f"[Seat:*]\nxserver-allow-tcp={'true' if settings.directx else 'false'}\n"


def x_filter(addresses: Iterable[str]) -> str:
    """Rules for nft: of all the network only the servers reach X."""
    elements = ", ".join(sorted(addresses))
    allowed = f"\t\ttcp dport {X_PORTS} ip saddr {{ {elements} }} accept\n" if elements else ""
    return (
        "table inet farm_session\n"
        "delete table inet farm_session\n"
        "table inet farm_session {\n"
        "\tchain input {\n"
        "\t\ttype filter hook input priority filter\n"
        '\t\tiifname "lo" accept\n'
        f"{allowed}"
        f"\t\ttcp dport {X_PORTS} drop\n"
        "\t}\n"
        "}\n"
    )


def _addresses(settings: SessionSettings) -> set[str]:
    """The servers' IPv4 addresses, as far as their names are known now."""
    found: set[str] = set()
    for server in settings.servers:
        try:
            found |= {str(each[4][0]) for each in socket.getaddrinfo(server.host, None, socket.AF_INET)}
        except OSError as error:
            sys.stderr.write(f"farm-node: no address of {server.host}: {error}; its programs can not use this screen\n")
    return found


if __name__ == "__main__":
    sys.exit(main())
