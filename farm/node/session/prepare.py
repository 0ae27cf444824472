"""What is done each time before the display manager starts: nobody is logged in, and X listens to whom it is told."""

from __future__ import annotations

import os
import sys

from farm.node.contract import SettingsError
from farm.node.files import write
from farm.node.session import direct_x, quick_acks, session_kind
from farm.node.session.extras import prepare_all
from farm.node.session.lts_values import told_values
from farm.node.session.pam import client_account, desktop_choice, greeter_mark
from farm.node.session.pam.server_choice import choose
from farm.node.session.pam.unattended import Unattended, account, offered
from farm.node.session.session_settings import SessionSettings, read_session

GUEST = "etc/lightdm/lightdm.conf.d/61-farm-guest.conf"


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
    for sentence in (*choice.refused, *desktop_choice.refused(lts)):
        sys.stderr.write(f"farm-node: lts.conf: {sentence}\n")
    quick_acks.prepare()
    session_kind.prepare(lts, root)
    prepare_all(lts, root)
    direct_x.prepare(lts, root)
    return 0


def guest_conf(own: Unattended | None) -> str:
    """Whether the greeter has a list, with a guest and those who have a name of their own."""
    return f"[Seat:*]\ngreeter-hide-users={'false' if own and own.in_list else 'true'}\n"


if __name__ == "__main__":
    sys.exit(main())
