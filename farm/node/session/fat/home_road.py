"""The way of sshfs to the server: the log-in's connection, once it is there.

After a loss sshfs comes here again, and programs wait for their files meanwhile; who waits too long is told so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from farm.node.session.ssh_client.ssh_command import over_master

PATIENCE_SECONDS, POLL_SECONDS = 600.0, 1.0


def main(options: list[str]) -> int:
    """Become the ssh of sshfs, with its options; returns 1 when there is no connection."""
    check = over_master("", "-O", "check")
    end = time.monotonic() + PATIENCE_SECONDS
    while subprocess.run(check, capture_output=True, check=False).returncode:
        if time.monotonic() > end:
            return 1
        time.sleep(POLL_SECONDS)
    argv = over_master("")[:-1]
    return os.execvp(argv[0], [*argv, *options])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
