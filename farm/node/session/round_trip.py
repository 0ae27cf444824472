"""How long a packet takes to the server and back, as the kernel measures it on the log-in's own connection."""

from __future__ import annotations

import pwd
import re
import subprocess

from farm.node.session.ssh_client.ssh_command import SESSION_USER

LIST = ("ss", "--no-header", "--oneline", "--tcp", "--info", "--processes", "--extended", "--numeric")
"""ss(8): a line for each connection, with the owner's uid, its programs and the kernel's figures."""
SECONDS = 2.0
_ROUND_TRIP = re.compile(r"\srtt:([0-9]{1,9}(?:\.[0-9]{1,6})?)/")


def measured() -> float | None:
    """Seconds on the connection of the one who is logged in; None when there is none."""
    try:
        uid = pwd.getpwnam(SESSION_USER).pw_uid
        done = subprocess.run(
            [*LIST, "state", "established"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (KeyError, OSError, subprocess.SubprocessError):
        return None
    return of_listing(done.stdout, uid)


def of_listing(listing: str, uid: int) -> float | None:
    """The same of what ss prints, for the account with this uid; ss counts milliseconds."""
    for line in listing.splitlines():
        found = _ROUND_TRIP.search(line)
        if found and f" uid:{uid} " in line and 'users:(("ssh",' in line:
            return round(float(found[1]) / 1000, 6)
    return None
