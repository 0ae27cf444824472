"""A server of which nothing is ours: a minimal Debian with sshd, xauth, a light desktop, and LTSP 23 beside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.clean_machine import kept_debian
from tests.diskless import Diskless
from tests.login_room import PASSWORD, USER

PACKAGES = ("openssh-server", "xauth", "x11-common", "openbox", "xterm", "ltsp")
AUTOSTART = "xterm -title 'Far Away' -e sh -c 'env > ~/new && mv ~/new ~/session-environment; exec sleep 10000' &\n"
WINDOW = "Far Away"


def debian() -> Path:
    """Its root, made when it is not there yet (one to two minutes) and kept."""
    return kept_debian("foreign-server", *PACKAGES)


@dataclass
class ForeignServer:
    """Such a server, as its administrator has set it up: with an account, and with Debian's own settings."""

    machine: Diskless
    address: str

    def set_up(self) -> None:
        """Do what Debian's installer does besides, make the account, and start sshd."""
        self.machine.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.machine.name}\n")
        self.machine.run("useradd", "--create-home", "--shell", "/bin/bash", USER)
        self.machine.run("chpasswd", input=f"{USER}:{PASSWORD}\n")
        self.machine.write(f"/home/{USER}/.config/openbox/autostart", AUTOSTART)
        self.machine.run("chown", "-R", f"{USER}:", f"/home/{USER}")
        self.machine.start("sshd", "/usr/sbin/sshd", "-D", "-e")
        self.machine.namespace.wait_for(22)

    def host_keys(self) -> list[str]:
        """Its public keys."""
        files = sorted(self.machine.path("/etc/ssh").glob("ssh_host_*.pub"))
        return [" ".join(file.read_text().split()[:2]) for file in files]

    def version(self, package: str) -> str:
        """The version of a package that is installed there."""
        return self.machine.run("dpkg-query", "--show", "--showformat=${Version}", package).stdout
