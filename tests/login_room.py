"""A thin client and its server for tests of log-ins: the image's own files, real sshd, real PAM, throw-away users."""

from __future__ import annotations

import contextlib
import json
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.node.lts.meaning import is_secret
from farm.node.session.lts_values import FILE, SECRETS
from tests.diskless import Diskless, copy_into, diskless
from tests.lab import Namespace, namespaces, until

TOP = Path(__file__).parents[1]
CLIENT, SERVER, SECOND = "10.99.7.20", "10.99.7.1", "10.99.7.2"
USER, PASSWORD = "bob", "correct horse"
PACKAGE = "/usr/lib/python3/dist-packages/farm"
PAM = "/usr/lib/python3/dist-packages/farm/node/session/pam/pam_module.py"
SSHD = """
Port 22
UsePAM yes
PasswordAuthentication yes
X11Forwarding yes
PidFile /run/sshd.pid
LogLevel VERBOSE
Subsystem sftp /usr/lib/openssh/sftp-server
"""
SSHD_PAM = """
auth required pam_unix.so nodelay
account required pam_nologin.so
account required pam_unix.so
session required pam_limits.so
session required pam_unix.so
password required pam_unix.so
"""
"""Debian's, but for what a machine without systemd and auditing lacks, and without its delay after a wrong password."""
LIGHTDM = """
[LightDM]
logind-check-graphical=false
"""
X_WITHOUT_A_SCREEN = """#!/bin/sh
[ "$1" != -version ] || { echo "X.Org X Server 1.21.1.7" >&2; exit; }
for word; do
	shift
	case $word in -seat | seat0 | vt* | -novtswitch) ;; *) set -- "$@" "$word" ;; esac
done
exec Xvfb "$@" -screen 0 800x600x24 -fbdir /tmp
"""
"""lightdm asks it for its version, too: a newer X is told when it is to listen to the network."""
BAR = b"\xd9\xe6\xf1"
"""The colour behind what the greeter says, as blue, green and red."""
GREETER, WINDOW = "lightdm-gtk-greeter", "Event Tester"
SESSION = """#!/bin/sh
env > "$HOME/session-environment"
exec xev
"""


@dataclass
class LoginServer:
    """A host with sshd."""

    machine: Diskless
    address: str
    options: str = "KbdInteractiveAuthentication yes\nClientAliveInterval 15\nClientAliveCountMax 3\n"
    _sshd: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def set_up(self) -> None:
        """Make its host key, its PAM and its user, and start sshd."""
        for key in self.machine.path("/etc/ssh").glob("ssh_host_*"):
            key.unlink()
        self.machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key")
        self.machine.write("/etc/pam.d/sshd", SSHD_PAM)
        self.machine.write("/usr/share/xsessions/plain.desktop", "[Desktop Entry]\nDesktopNames=Plain;X;\nExec=plain\n")
        self.machine.write("/usr/bin/plain", SESSION, 0o755)
        self.machine.write("/etc/skel/.dmrc", "[Desktop]\nSession=plain\n")
        self.add_user(USER, PASSWORD)
        self.start()

    def add_user(self, name: str, password: str, *options: str) -> None:
        """Make an account."""
        self.machine.run("useradd", "--create-home", "--shell", "/bin/bash", *options, name)
        self.machine.run("chpasswd", "--crypt-method", "SHA256", input=f"{name}:{password}\n")

    def start(self) -> None:
        """Start sshd with its options."""
        self.machine.write("/etc/ssh/sshd_config", SSHD + self.options)
        self._sshd.append(self.machine.start("sshd", "/usr/sbin/sshd", "-D", "-e"))
        self.machine.namespace.wait_for(22)

    def stop(self) -> None:
        """Stop sshd, but for the connections that there are."""
        sshd = self._sshd.pop()
        self.machine.run("pkill", "-o", "-x", "sshd")
        sshd.wait()

    def restart(self, options: str) -> None:
        """Start sshd again with other options."""
        self.stop()
        self.options = options
        self.start()

    def host_key(self) -> str:
        """Its public key, as a client is told it."""
        return " ".join(self.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

    def settings(self, **changes: Any) -> dict[str, Any]:
        """What a client is told of it."""
        return {"host": self.address, "port": 22, "host_keys": [self.host_key()], **changes}

    def tries(self) -> int:
        """How many passwords have been tried in vain."""
        return len(re.findall(r"^Failed (password|keyboard-interactive/pam) ", self.machine.log("sshd"), re.MULTILINE))

    def visits(self) -> int:
        """How many connections there were."""
        return self.machine.log("sshd").count("Connection from ")


@dataclass
class ThinClient:
    """A machine with the image's files and without its programs running."""

    machine: Diskless

    def set_up(self) -> None:
        """Lay the image's files over it."""
        self.machine.run("rm", "-rf", "/usr/share/xsessions")
        for layer in ("session", "thin-client"):
            copy_into(self.machine, TOP / f"images/{layer}/root", "/")
        copy_into(self.machine, TOP / "farm/node", f"{PACKAGE}/node")
        self.machine.write(f"{PACKAGE}/__init__.py", "")
        self.machine.run("systemd-sysusers", "/usr/lib/sysusers.d/farm-session.conf")
        self.machine.write("/run/farm/node.json", json.dumps({"name": "pc01", "mac": "52:54:00:00:00:01"}))

    def told(self, *servers: dict[str, Any], **settings: Any) -> None:
        """Give it its settings."""
        self.machine.write("/etc/farm/session.json", json.dumps({"servers": servers, **settings}))

    def set_lts(self, **values: str) -> None:
        """Let these be the variables of lts.conf that hold for it."""
        for file, secret, mode in ((FILE, False, 0o644), (SECRETS, True, 0o600)):
            some = {key: value for key, value in values.items() if is_secret(key) == secret}
            self.machine.write(f"/{file}", json.dumps(some), mode)

    def log_in(self, name: str, *answers: str, steps: str = "authenticate") -> tuple[bool, str]:
        """Log in as at a greeter, by PAM alone: whether that succeeded, and all that was said, in one line."""
        typed = "".join(f"{answer}\n" for answer in answers)
        done = self.machine.run("pamtester", "lightdm", name, *steps.split(), input=typed, check=False)
        return done.returncode == 0, f"{done.stdout} {done.stderr}".replace("\n", " ")

    def log_out(self) -> None:
        """End the session, by PAM alone."""
        self.machine.run("pamtester", "lightdm", USER, "close_session")

    def ssh(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command over the connection of the log-in."""
        over = ["ssh", "-F", "none", "-S", "/run/farm/login/ctl", "-o", "ProxyCommand=false"]
        options = argv if argv[0].startswith("-") else ()
        return self.machine.run(*over, *options, "x", *argv[len(options) :], check=False)

    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.ssh("-O", "check").returncode == 0

    def start_greeter(self) -> None:
        """Start lightdm, and wait for the greeter."""
        self.start_lightdm()
        self.wait_for_greeter()

    def start_lightdm(self) -> None:
        """Start lightdm as its unit does, on an X server without a screen."""
        self.machine.write("/etc/lightdm/lightdm.conf", LIGHTDM)
        self.machine.write("/usr/bin/X", X_WITHOUT_A_SCREEN, 0o755)
        self.machine.run("mkdir", "-p", "/run/dbus")
        self.machine.start("dbus", "dbus-daemon", "--system", "--nofork", "--nopidfile")
        until(lambda: self.machine.path("/run/dbus/system_bus_socket").exists(), "there is no bus")
        self.machine.run("/usr/bin/python3", "-I", "-m", "farm.node.session.prepare")
        self.machine.start("lightdm", "lightdm", "--debug")

    def wait_for_session(self, times: int = 1) -> None:
        """Wait for the session's window, in the session that comes up so many times in all."""
        command = "Running command /usr/bin/env"
        until(lambda: self.machine.log("lightdm").count(command) == times, self.machine.log("lightdm")[-3000:])
        until(lambda: WINDOW in self.screen(), "the session does not appear")

    def wait_for_greeter(self, times: int = 1) -> None:
        """Wait until a name can be typed, in the greeter that came up so many times in all.

        Nobody looks at the screen before: X starts again when a visitor leaves it, and lightdm may be connecting then.
        """
        start = "Greeter connected"
        until(lambda: self.machine.log("lightdm").count(start) == times and self._asks(start), "there is no greeter")
        until(lambda: GREETER in self.screen(), "the greeter does not appear")

    def patch(self, file: str, old: str, new: str) -> None:
        """Change a line of the log-in on this machine."""
        path = self.machine.path(f"{PACKAGE}/node/session/{file}")
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def wait_for_question(self, attempts: int = 1, user: str = USER) -> None:
        """Wait until a password can be typed, after so many attempts of a user in all."""
        start = f"Greeter start authentication for {user}"
        log_in = f"the greeter asks for no password: {self.machine.log('lightdm')[-2000:]}"
        until(lambda: self.machine.log("lightdm").count(start) == attempts and self._asks(start), log_in)

    def _asks(self, since: str) -> bool:
        return "Prompt greeter with" in self.machine.log("lightdm").rpartition(since)[2]

    def screen(self) -> str:
        """The names of the windows on its screen."""
        return self.on_screen("xwininfo", "-root", "-tree").stdout

    def said_width(self) -> int:
        """How wide the text is that the greeter shows, in pixels; its own are all narrower than 350."""
        picture = self.machine.path("/tmp/Xvfb_screen0").read_bytes()
        # XWDFile.h: 25 numbers of 4 bytes, a name, and the colours with 12 bytes each.
        header = struct.unpack(">25I", picture[:100])
        first, height, line = header[0] + 12 * header[19], header[5], header[12]
        rows = (picture[first + y * line :][:line] for y in range(height))
        return max(sum(row[x : x + 3] == BAR for x in range(0, line, 4)) for row in rows)

    def on_screen(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program on its X server, as lightdm."""
        return self.machine.run("env", "DISPLAY=:0", "XAUTHORITY=/run/lightdm/root/:0", *argv, check=False)

    def type(self, text: str) -> None:
        """Type a line."""
        self.on_screen("xdotool", "type", "--", text)
        self.on_screen("xdotool", "key", "Return")

    def users(self) -> str:
        """The line of who sits there."""
        return self.machine.path("/var/lib/extrausers/passwd").read_text()


@dataclass
class LoginRoom:
    """A thin client and the servers that it is told of."""

    client: ThinClient
    server: LoginServer
    second: LoginServer
    namespace: Namespace
    """Of the client."""


@contextlib.contextmanager
def login_room() -> Iterator[LoginRoom]:
    """A room that is set up."""
    with contextlib.ExitStack() as stack:
        places = stack.enter_context(namespaces(*(f"{address}/24" for address in (SERVER, SECOND, CLIENT))))
        names = ("server", "second", "pc01")
        machines = [stack.enter_context(diskless(place, name)) for place, name in zip(places, names, strict=True)]
        server, second = LoginServer(machines[0], SERVER), LoginServer(machines[1], SECOND)
        client = ThinClient(machines[2])
        for each in (server, second, client):
            each.set_up()
        client.told(server.settings())
        yield LoginRoom(client, server, second, places[2])
