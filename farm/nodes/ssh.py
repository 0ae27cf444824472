"""The farm's own ssh key, and running a command on a node with it."""

from __future__ import annotations

import subprocess

from farm import command, ssh_key
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
    """The farm's public key, which nodes let in as root; made at first use."""
    return ssh_key.made(home.state / "ssh" / "id_ed25519", "farm")


def argv(home: Home, instance: Instance, address: str, words: list[str]) -> list[str]:
    """The command that runs ``words`` on a node as root; without words a shell."""
    key = home.state / "ssh" / "id_ed25519"
    return [*enter(instance, home), "ssh", "-i", str(key), *OPTIONS, f"root@{address}", *words]


def run(
    home: Home, instance: Instance, address: str, words: list[str], timeout: float = 30, stdin: str | None = None
) -> str:
    """Run a command on a node and return its output; raises FarmError."""
    done: subprocess.CompletedProcess[str] = command.run(
        argv(home, instance, address, words), check=False, timeout=timeout, stdin=stdin
    )
    if done.returncode:
        raise FarmError(
            f"`{' '.join(words)}` failed on the node {address}.",
            done.stdout.strip(),
            "Check whether it has booted: farm node list",
        )
    return done.stdout
