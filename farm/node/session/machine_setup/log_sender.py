"""SYSLOG_HOST: the journal of this boot as syslog's packets (RFC 3164, UDP port 514), as LTSP's clients sent it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

from farm.node.session.lts_values import told_values
from farm.node.session.session_settings import HOST

PORT = 514
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""In English, whatever the machine's language is."""
MAX_PACKET_BYTES = 1024
"""RFC 3164, 4.1: a packet is no longer."""
JOURNAL = ("journalctl", "--boot", "--follow", "--lines=all", "--output=json")


def main() -> int:
    """Send what there is and what comes, until the journal ends."""
    host = told_values().text("SYSLOG_HOST").lower()
    if not HOST.fullmatch(host):
        return os.EX_CONFIG
    try:
        family, _, _, _, address = socket.getaddrinfo(host, PORT, type=socket.SOCK_DGRAM)[0]
    except OSError as error:  # its unit tries again
        sys.stderr.write(f"farm-node: SYSLOG_HOST: {host}: {error.strerror}\n")
        return os.EX_TEMPFAIL
    with (
        socket.socket(family, socket.SOCK_DGRAM) as sender,
        subprocess.Popen(JOURNAL, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as journal,
    ):
        assert journal.stdout
        for line in journal.stdout:
            try:
                sender.sendto(packet(json.loads(line), os.uname().nodename), address)
            except (ValueError, OSError):  # one line is lost, as UDP may lose any
                continue
    return journal.returncode


def packet(entry: Mapping[str, object], host: str) -> bytes:
    """A journal's entry as one packet of a single line; raises ValueError when its numbers are none."""
    priority = int(str(entry.get("SYSLOG_FACILITY", 3))) * 8 + int(str(entry.get("PRIORITY", 6)))
    when = time.localtime(int(str(entry.get("__REALTIME_TIMESTAMP", 0))) / 1e6)
    stamp = f"{MONTHS[when.tm_mon - 1]} {when.tm_mday:2} {time.strftime('%H:%M:%S', when)}"
    tag = _one_line(entry.get("SYSLOG_IDENTIFIER", "-")).replace(" ", "_")[:32]
    source = f"{tag}[{_one_line(entry.get('_PID', 0))}]"
    text = f"<{priority % 192}>{stamp} {host} {source}: {_one_line(entry.get('MESSAGE', ''))}"
    return text.encode(errors="replace")[:MAX_PACKET_BYTES]


def _one_line(value: object) -> str:
    """A field's text; what is no text the journal gives as a list of bytes."""
    if isinstance(value, list):
        value = bytes(each for each in value if isinstance(each, int) and 0 <= each < 256).decode(errors="replace")
    return "".join(sign if sign.isprintable() else " " for sign in str(value))


if __name__ == "__main__":
    sys.exit(main())
