"""lts.conf from a server of LTSP's, by TFTP, where its clients look for it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from farm.node.configure import tftp_get

ARCHITECTURES = ("amd64", "x86_64", "i386", "i686")
"""LTSP 5 asks for that of its kernel (uname -m); servers have named the folders by Debian's architectures, too."""
BOOT_FILE = re.compile(r"(?!.*\.\.)[A-Za-z0-9._/+-]{1,128}")


class FetchedLts(NamedTuple):
    """What a server has."""

    path: str
    """Below the server's TFTP root."""
    content: bytes


def lts_paths(boot_file: str = "") -> list[str]:
    """Where it can be, in the order of LTSP 5: beside what the machine booted, then its usual places.

    ``boot_file``: DHCP's name for what was booted; one that would mean something to a URL is left out.
    """
    beside = [str(PurePosixPath(boot_file.lstrip("/")).parent / "lts.conf")] if BOOT_FILE.fullmatch(boot_file) else []
    usual = [f"ltsp/{architecture}/lts.conf" for architecture in ARCHITECTURES]
    return list(dict.fromkeys([*beside, *usual, "lts.conf"]))


def fetch_lts(server: str, boot_file: str = "") -> FetchedLts | None:
    """The first that there is and is not empty; None when there is none. Raises OSError when nobody answers."""
    for path in lts_paths(boot_file):
        try:
            content = tftp_get(server, path)
        except FileNotFoundError:
            continue
        if content.strip():
            return FetchedLts(path, content)
    return None
