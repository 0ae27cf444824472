"""SCREEN_DEFAULT: shows a screen once, after the log-in has come up, which would take its place otherwise."""

from __future__ import annotations

import fcntl
import os
import sys
import time

from farm.node.session.lts_screens import has_log_in, screens_of
from farm.node.session.lts_values import told_values
from farm.node.session.pam.greeter_mark import asking_since

VT_ACTIVATE = 0x5606
"""linux/vt.h: what chvt(1) does, which the image does not have."""
GREETER_SECONDS = 120.0
POLL_SECONDS = 0.5


def main(number: int) -> int:
    """Show the screen of this number."""
    screens, _ = screens_of(told_values())
    deadline = time.monotonic() + GREETER_SECONDS
    while has_log_in(screens) and asking_since() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    with open("/dev/tty0", "wb", buffering=0) as console:
        fcntl.ioctl(console, VT_ACTIVATE, number)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
