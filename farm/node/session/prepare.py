"""What is done each time before the display manager starts: nobody is logged in, and X listens to whom it is told."""

from __future__ import annotations

import os
import sys

from farm.node.contract import SettingsError
from farm.node.files import write
from farm.node.session import client_account, greeter_mark
from farm.node.session.extras import prepare_all
from farm.node.session.lts_values import told_values
from farm.node.session.port_filter import close_ports
from farm.node.session.server_choice import all_hosts, choose
from farm.node.session.session_settings import SessionSettings, read_session
from farm.node.session.unattended import Unattended, account, offered

LIGHTDM = "etc/lightdm/lightdm.conf.d/60-farm-directx.conf"
GUEST = "etc/lightdm/lightdm.conf.d/61-farm-guest.conf"
X_PORTS = "6000-6009"
"""TCP ports of the displays :0 to :9."""


def main(root: str = "/") -> int:
    """Prepare this machine; without valid settings it gets a greeter too, which then says so."""
    lts = told_values(root)
    own = offered(lts, os.uname().nodename)
    write(client_account.RESTING, account(own), 0o600)
    write(os.path.join(root, GUEST), guest_conf(own))
    client_account.clear()
    greeter_mark.remove()
    try:
        settings = read_session(root)
    except SettingsError as error:
        sys.stderr.write(f"farm-node: no log-in is possible here: {error}\n")
        settings = SessionSettings(servers=())
    choice = choose(settings, lts)
    for sentence in choice.refused:
        sys.stderr.write(f"farm-node: lts.conf: {sentence}\n")
    prepare_all(lts, root)
    write(os.path.join(root, LIGHTDM), lightdm_conf(settings))
    if settings.directx:
        # Of all the network only the servers reach X.
        close_ports("farm_session", X_PORTS, all_hosts(settings, lts))
    return 0


def lightdm_conf(settings: SessionSettings) -> str:
    """Whether X takes TCP connections; who connects needs its cookie, too."""
    return f"[Seat:*]\nxserver-allow-tcp={'true' if settings.directx else 'false'}\n"


def guest_conf(own: Unattended | None) -> str:
    """Whether the greeter has a list, with a guest and those who have a name of their own."""
    return f"[Seat:*]\ngreeter-hide-users={'false' if own and own.in_list else 'true'}\n"


if __name__ == "__main__":
    sys.exit(main())
