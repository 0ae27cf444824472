"""The iceccd of this machine: the distribution's service, or a user's own process that submits jobs and takes none.

A process is known by a mark in its environment, as those of a farm are (farm.processes), so none of another farm, user
or home is ever meant. Without root iceccd takes no jobs and listens on no TCP port, only at ``~/.iceccd.socket``
(daemon/main.cpp of icecc 1.4).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from msgspec import Struct

from farm import command
from farm.errors import CommandError, FarmError
from farm.home import write_atomic
from farm.processes import end_processes, processes_with_environment
from farm.unix_http import LONGEST_SOCKET
from farm.workstation.join.icecc_conf import Layout
from farm.workstation.membership import SYSTEM_SOCKET, home_folder, user_folder

if TYPE_CHECKING:
    from farm.workstation.join.candidates import Target  # it brings zeroconf, which farm run needs not wait for

WORKSTATION_MARK = "FARM_WORKSTATION"
UNIT = "farm-iceccd.service"
SYSTEMD = Path("/run/systemd/system")
"""There when systemd is process 1 (sd_booted(3))."""
INIT_SCRIPTS = Path("/etc/init.d")
SYSTEM_LOG = Path("/var/log/iceccd.log")
"""Of the distribution's service, where its start script has it write a file."""
START_SECONDS = 15.0


def answers(path: str | Path) -> bool:
    """Whether an iceccd listens at a socket; one that waits for its scheduler looks for it at once when asked."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(1.0)
        visitor.connect(str(path))
        return True
    return False


def wait_for(path: str | Path, there: bool = True) -> bool:
    """Wait until an iceccd listens there, or none does any more; False when that does not come about in time."""
    deadline = time.monotonic() + START_SECONDS
    while answers(path) != there:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class SystemService(Struct, frozen=True):
    """The distribution's service: a systemd unit, or an init script where systemd does not run."""

    name: str
    systemd: bool

    @property
    def active(self) -> bool:
        """Whether the machine's iceccd runs."""
        if self.systemd:
            return self._systemctl("is-active", "--quiet", check=False)
        return answers(SYSTEM_SOCKET)  # its script's "status" means every iceccd, those of users as well

    @property
    def enabled(self) -> bool:
        """Whether it starts when the machine does. Without systemd nobody here changes that."""
        return not self.systemd or self._systemctl("is-enabled", "--quiet", check=False)

    def restart(self) -> None:
        """Stop it if it runs, and start it. Raises FarmError when iceccd does not answer then."""
        self.stop()
        self._order("start")
        if not wait_for(SYSTEM_SOCKET):
            raise FarmError(
                "iceccd does not answer.",
                f"The service {self.name} was started, but does not listen on {SYSTEM_SOCKET}.",
                f"Look at its log: {SYSTEM_LOG}, or journalctl -u {self.name}",
            )

    def stop(self) -> None:
        """Stop it, and wait for its end: Debian's start script starts nothing while any iceccd is there."""
        self._order("stop")
        wait_for(SYSTEM_SOCKET, there=False)

    def enable(self, wanted: bool) -> None:
        """Have it started with the machine, or not any more. Raises CommandError."""
        if self.enabled != wanted:
            self._systemctl("enable" if wanted else "disable", "--quiet")

    def _order(self, order: str) -> None:
        if self.systemd:
            self._systemctl(order)
        else:
            # Root by a plain `su` has no sbin folder in PATH, and the script does not add them.
            path = os.pathsep.join([os.environ.get("PATH", os.defpath), *command.SBIN])
            command.run([str(INIT_SCRIPTS / self.name), order], env={"PATH": path}, timeout=120)

    def _systemctl(self, *words: str, check: bool = True) -> bool:
        verb, *options = words
        done = command.run(["systemctl", verb, *options, self.name], check=check, timeout=120)
        return done.returncode == 0


def service(layout: Layout) -> SystemService:
    """The service that reads this configuration. Raises FarmError when there is none."""
    for name in layout.services:
        if SYSTEMD.is_dir():
            if command.run(["systemctl", "cat", name], check=False, timeout=60).returncode == 0:
                return SystemService(name, systemd=True)
        elif (INIT_SCRIPTS / name).exists():
            return SystemService(name, systemd=False)
    where = "systemd has no unit" if SYSTEMD.is_dir() else f"systemd does not run, and {INIT_SCRIPTS} has no script"
    raise FarmError(
        "iceccd cannot be started as a service.",
        f"{where} {' or '.join(layout.services)}.",
        "Join as a user, without root: farm join",
    )


class UserDaemon(Struct, frozen=True, kw_only=True):
    """A user's own iceccd, and where it keeps its things."""

    socket: Path
    cache: Path
    """The toolchains it packs; iceccd empties it when it starts."""
    log: Path
    unit: Path

    def argv(self, target: Target, name: str) -> list[str]:
        """How it is started, to submit to that scheduler as ``name``."""
        scheduler = f"{target.scheduler}:{target.port}"
        argv = [command.find("iceccd"), "--no-remote", "-s", scheduler, "-n", target.netname, "-N", name]
        return [*argv, "-b", str(self.cache), "-l", str(self.log)]

    def processes(self) -> list[psutil.Process]:
        """It, and what it has started."""
        return processes_with_environment(WORKSTATION_MARK, str(self.socket))

    def runs_as(self, argv: list[str]) -> bool:
        """Whether it runs with these arguments, and answers."""
        return any(_argv(process) == argv for process in self.processes()) and answers(self.socket)

    def start(self, argv: list[str]) -> None:
        """Start it, by the user's systemd if there is one. Raises FarmError when it does not answer soon."""
        if user_manager():
            self.unit.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.unit, unit_file(argv, str(self.socket)))
            command.run(["systemctl", "--user", "daemon-reload"], timeout=60)
            command.run(["systemctl", "--user", "--quiet", "enable", UNIT], timeout=60)
            command.run(["systemctl", "--user", "restart", UNIT], timeout=60)
        else:
            environment = ["-u", "ICECC_TEST_SOCKET", f"{WORKSTATION_MARK}={self.socket}", f"HOME={self.socket.parent}"]
            # Not in the folder where the user stands: it may be on a disk that is to be unmounted.
            command.start(["env", "--chdir=/", *environment, *argv], seconds=0.5)
        if not wait_for(self.socket):
            raise FarmError(
                "iceccd does not answer.",
                f"iceccd does not listen on {self.socket} after {START_SECONDS:.0f} s.",
                f"Look at its log: {self.log}",
            )

    def restart(self) -> None:
        """Start it again as it runs. Raises FarmError when it does not run, or does not answer soon."""
        running = self.processes()
        # What it has started has its mark, too, but other words.
        argv = next((words for words in map(_argv, running) if Path(words[0] if words else "").name == "iceccd"), None)
        if argv is None:
            raise FarmError("iceccd does not run.", f"Its socket was {self.socket}.", "Start it: farm join")
        self.cache.parent.mkdir(parents=True, exist_ok=True)  # somebody may have emptied ~/.cache
        if not user_manager():
            end_processes(running)
        self.start(argv)

    def stop(self) -> None:
        """Stop it, and see that systemd does not start it again; what it has written stays."""
        if self.unit.exists() and user_manager():
            with contextlib.suppress(CommandError):  # a unit that systemd has not loaded yet
                command.run(["systemctl", "--user", "--quiet", "disable", "--now", UNIT], timeout=60)
        link = self.unit.parent / "default.target.wants" / UNIT
        link.unlink(missing_ok=True)
        end_processes(self.processes())

    def remove(self) -> None:
        """Stop it, and remove its unit, its socket and its log."""
        self.stop()
        self.socket.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        if self.unit.exists():
            self.unit.unlink()
            if user_manager():
                command.run(["systemctl", "--user", "daemon-reload"], timeout=60)


def user_daemon() -> UserDaemon:
    """Where this user's iceccd keeps its things. Raises FarmError when the home's path is too long for a socket."""
    home = home_folder()
    found = UserDaemon(
        socket=home / ".iceccd.socket",
        cache=cache_folder() / "iceccd",
        log=state_folder() / "iceccd.log",
        unit=user_folder("XDG_CONFIG_HOME", ".config") / "systemd" / "user" / UNIT,
    )
    if len(os.fsencode(found.socket)) > LONGEST_SOCKET:
        raise FarmError(
            "The path of your home folder is too long.",
            f"iceccd's socket is {found.socket}; a socket's path can have at most {LONGEST_SOCKET} bytes.",
            "Join as root: sudo farm join",
        )
    return found


def cache_folder() -> Path:
    """What may be lost, of this user's."""
    return user_folder("XDG_CACHE_HOME", ".cache") / "farm"


def state_folder() -> Path:
    """Logs, of this user's."""
    return user_folder("XDG_STATE_HOME", ".local/state") / "farm"


def user_manager() -> bool:
    """Whether a systemd of this user's own runs."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime or not Path(runtime, "systemd", "private").exists():
        return False
    return command.run(["systemctl", "--user", "show-environment"], check=False, timeout=60).returncode == 0


def unit_file(argv: list[str], mark: str) -> str:
    """A unit for a user's systemd that keeps an iceccd running."""
    return f"""# Written by `farm join`; `farm leave` removes it.
[Unit]
Description=icecream daemon that submits jobs to a farm

[Service]
Environment={_quote(f"{WORKSTATION_MARK}={mark}")}
UnsetEnvironment=ICECC_TEST_SOCKET
ExecStart={" ".join(_quote(word).replace("$", "$$") for word in argv)}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


def _quote(word: str) -> str:
    """A word as systemd.syntax(7) wants it: quoted, and no % in it a specifier."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _argv(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []
