"""Local applications: programs of this machine, started from the menu of the server's session, on the user's files.

A Unix socket in the session's folder on the server leads here by the log-in's connection. What comes in there is the
name of a program; which ones are started is decided here. Nothing has to be installed on the server: the session finds
menu entries and the script that they run in its folder.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping

from farm.node.session.extras import Extra, RemoteFolder, complain, on_server
from farm.node.session.local_app_list import LocalApp, local_apps
from farm.node.session.lts_values import LtsValues
from farm.node.session.ssh_client.ssh_command import FOLDER, SFTP

SOCKET = f"{FOLDER}/apps"
MAX_RUNNING = 32
MAX_NAME = 100
SECONDS = 5.0
"""In which a name has to be said."""
MOUNT_SECONDS = 20
SCRIPT = """#!/bin/sh
# Starts a program of the thin client: local-app NAME
socket=${0%/*}/apps
if command -v python3 > /dev/null; then
	exec python3 -c 'import socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect(sys.argv[1])
door.sendall(sys.argv[2].encode() + b"\\n")
sys.exit(door.makefile().read() or None)' "$socket" "$1"
fi
exec perl -MIO::Socket::UNIX -e '$door = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!;
print $door "$ARGV[1]\\n"; $door->flush; print STDERR <$door>' "$socket" "$1"
"""


class LocalApps(Extra):
    """They run for as long as a session lasts."""

    @contextlib.contextmanager
    def during(self, lts: LtsValues, folder: RemoteFolder) -> Iterator[dict[str, str]]:
        """Offer them to the session, in XDG_DATA_DIRS, and end what runs when it ends."""
        apps = local_apps(lts)
        if not apps:
            yield {}
            return
        with Launcher(apps) as launcher:
            launcher.listen()
            on_server(f"sh -c {shlex.quote(set_up(folder.path, apps))}")
            on_server("", "-O", "forward", "-R", f"{folder.path}/apps:{SOCKET}")
            yield {"FARM_DATA": f"{folder.path}/share", "LOCAL_APP": f"{folder.path}/local-app"}


EXTRA = LocalApps()


def set_up(folder: str, apps: Mapping[str, LocalApp]) -> str:
    """What a shell on the server runs to have the script and the menu's entries in the session's folder."""
    files = {
        f"{folder}/share/applications/{app.name}.desktop": entry(app, folder) for app in apps.values() if app.entry
    }
    files[f"{folder}/local-app"] = SCRIPT
    # As they come from this machine's files, their texts are nothing to a shell.
    written = [f"echo {base64.b64encode(text.encode()).decode()} | base64 -d > {path}" for path, text in files.items()]
    return "\n".join([f"mkdir -p {folder}/share/applications", *written, f"chmod 700 {folder}/local-app"])


def entry(app: LocalApp, folder: str) -> str:
    """Its entry in the menu of the server's session, instead of one of the same name there."""
    shown = "".join(f"{key}={value}\n" for key, value in app.entry.items())
    return f"[Desktop Entry]\nType=Application\n{shown}Exec={folder}/local-app {app.name}\n"


class Launcher:
    """Starts programs that are asked for at the socket; a context, at whose end they end."""

    def __init__(self, apps: Mapping[str, LocalApp]) -> None:
        self._apps = apps
        self._door = socket.socket(socket.AF_UNIX)
        self._running: list[subprocess.Popen[bytes]] = []
        self._home = ""
        """Where the user's home on the server is mounted, from the first program on."""

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *failure: object) -> None:
        # Woken by this, what waits for a name sees that there is none any more.
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for program in self._running:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has just ended
                os.killpg(program.pid, signal.SIGTERM)
        if self._home:
            subprocess.run(["fusermount3", "-u", "-z", self._home], capture_output=True, check=False)
            with contextlib.suppress(OSError):
                os.rmdir(self._home)

    def listen(self) -> None:
        """Take names from now on."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)
        self._door.bind(SOCKET)
        self._door.listen(4)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                asker, _ = self._door.accept()
            except OSError:  # the session is over
                return
            with asker, contextlib.suppress(OSError):
                asker.settimeout(SECONDS)
                name = asker.makefile("rb").readline(MAX_NAME).decode(errors="replace").strip()
                asker.sendall(self._start(name).encode(errors="replace"))

    def _start(self, name: str) -> str:
        """Start a program; why not, or empty."""
        app = self._apps.get(name)
        if app is None:
            return "This is no program that the thin client starts.\n"
        self._running = [each for each in self._running if each.poll() is None]
        if len(self._running) >= MAX_RUNNING:
            return f"There are {MAX_RUNNING} programs running at the thin client.\n"
        try:
            self._home = self._home or mount_home()
            environment = {**os.environ, "HOME": self._home, "XDG_CACHE_HOME": f"{os.environ['HOME']}/.cache"}
            program = subprocess.Popen(
                app.argv, stdin=subprocess.DEVNULL, env=environment, cwd=self._home, start_new_session=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            complain("local_apps", error)
            return f"{name} could not be started at the thin client: its log says why.\n"
        self._running.append(program)
        return ""


def mount_home() -> str:
    """Mount the user's home on the server, over the log-in's connection; returns where."""
    folder = tempfile.mkdtemp(prefix="farm-home-")
    own = f"idmap=user,uid={os.getuid()},gid={os.getgid()}"
    try:
        subprocess.run(
            ["sshfs", "-o", f"ssh_command={SFTP}", "-o", own, "server:", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=MOUNT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        os.rmdir(folder)
        raise
    return folder
