"""The public keys of this computer's sshd: thin clients know by them that they log in to it, and to nothing else."""

from __future__ import annotations

from pathlib import Path

from farm.node.session.session_settings import HOST_KEY, MAX_HOST_KEYS

FOLDER = Path("/etc/ssh")


def read(folder: Path = FOLDER) -> list[str]:
    """One line for each, without a comment; none where there is no sshd."""
    found = []
    for path in sorted(folder.glob("ssh_host_*_key.pub")):
        try:
            key = " ".join(path.read_text().split()[:2])
        except (OSError, UnicodeDecodeError):
            continue
        if HOST_KEY.fullmatch(key):
            found.append(key)
    return found[:MAX_HOST_KEYS]
