"""The farm's own ssh key, and running a command on a node with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from farm import command
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.virtual.namespace import enter

OPTIONS = (
    *("-o", "BatchMode=yes"),
    *("-o", "IdentitiesOnly=yes"),
    *("-o", "ConnectTimeout=10"),
    # A node makes its host key anew at every boot: nothing to remember, and its root came over the same wire.
    *("-o", "StrictHostKeyChecking=no"),
    *("-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "LogLevel=ERROR"),
)


def farm_key(home: Home) -> str:
    """The farm's public key, which nodes let in as root; made at first use, the private half readable by root alone."""
    path = home.state / "ssh" / "id_ed25519"
    public = _public_half(path)
    if not public:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        command.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "farm", "-f", str(path)])
        public = _public_half(path)
    return public


def _public_half(path: Path) -> str:
    """The public half of a private key; empty where there is no key, or one that is damaged."""
    done = command.run(["ssh-keygen", "-y", "-P", "", "-f", str(path)], check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def argv(home: Home, instance: Instance, address: str, words: list[str]) -> list[str]:
    """The command that runs ``words`` on a node as root; without words a shell."""
    key = home.state / "ssh" / "id_ed25519"
    return [*enter(instance, home), "ssh", "-i", str(key), *OPTIONS, f"root@{address}", *words]


def run(home: Home, instance: Instance, address: str, words: list[str], timeout: float = 30) -> str:
    """Run a command on a node and return its output; raises FarmError."""
    done: subprocess.CompletedProcess[str] = command.run(
        argv(home, instance, address, words), check=False, timeout=timeout
    )
    if done.returncode:
        raise FarmError(
            f"`{' '.join(words)}` failed on the node {address}.",
            done.stdout.strip(),
            "Check whether it has booted: farm node list",
        )
    return done.stdout
