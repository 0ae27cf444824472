"""Sound: the session's programs on the server play and record by way of the log-in's connection.

PipeWire runs on the machine in the session's account, and speaks PulseAudio's protocol at a Unix socket. ssh forwards
that to a socket in the session's folder on the server, which its user alone can reach: nothing listens on the network.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import select
import signal
import subprocess
import syslog
import time
from collections.abc import Iterator

from farm.node.files import read, write
from farm.node.session.extras import Extra, RemoteFolder, on_server
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam import client_account
from farm.node.session.pam.notice import read_left
from farm.node.session.pipewire_dump import heard
from farm.node.session.session_kind import FAT, kind_of
from farm.node.session.ssh_client.ssh_command import FOLDER, SESSION_USER

VOLUME = 90
"""Percent, when nothing else is said."""
MIC_VOLUME = 100
WIREPLUMBER = "etc/wireplumber/main.lua.d/60-farm.lua"
SOCKET = "pulse/native"
"""Of PipeWire's, in the account's runtime folder: systemd makes it at the log-in, and starts PipeWire by it."""
LEFT = f"{FOLDER}/sound"
"""How the session's sound began: empty, or why there is none."""
USER_UNITS = "run/systemd/user"
PIPEWIRE = (
    "pipewire.socket",
    "pipewire.service",
    "pipewire-pulse.socket",
    "pipewire-pulse.service",
    "wireplumber.service",
)
MIXER_SECONDS = 5
DUMP_SECONDS = 3
MAX_DUMP = 4 * 1024 * 1024
_CARD = re.compile(r"^ *([0-9]{1,2}) \[", re.MULTILINE)
_CHANNEL = re.compile("([A-Z][A-Z_]{0,30})_VOLUME")
_ABBREVIATIONS = {"Pcm": "PCM", "Cd": "CD"}


class Sound(Extra):
    """Its volumes are set at boot, and its socket is forwarded for as long as a session lasts."""

    def prepare(self, lts: LtsValues, root: str) -> None:
        """Write the volumes at which PipeWire begins, and set the cards' channels that lts.conf names."""
        write(os.path.join(root, WIREPLUMBER), wireplumber_conf(lts))
        if not lts.is_on("SOUND", default=True) and kind_of(lts, root) == FAT:
            _silence(os.path.join(root, USER_UNITS))
        for card in _CARD.findall(read(os.path.join(root, "proc/asound/cards"))):
            for words in mixer_words(lts):  # a card that lacks the channel is no failure
                subprocess.run(
                    ["amixer", "-q", "-c", card, "sset", *words],
                    timeout=MIXER_SECONDS,
                    capture_output=True,
                    check=False,
                )

    @contextlib.contextmanager
    def during(self, lts: LtsValues, folder: RemoteFolder) -> Iterator[dict[str, str]]:
        """The socket on the server, in PULSE_SERVER."""
        if not lts.is_on("SOUND", default=True):
            yield {}
            return
        failed = _forward(folder, f"{_runtime(os.getuid())}/{SOCKET}")
        write(LEFT, failed)
        if failed:
            syslog.syslog(syslog.LOG_WARNING, f"the session has no sound: {failed}")
        yield {} if failed else {"PULSE_SERVER": f"unix:{folder.path}/pulse"}

    def look(self) -> dict[str, object]:
        """In a session with sound: ``running``, whether the sound server answers, and ``failed``, why there is none.

        When it answers, the ``output`` and ``microphone`` (their names; empty: there is none), the output's ``volume``
        in percent, and whether it is ``muted``.
        """
        listener = _listener()
        if listener is None:
            return {}
        failed, dump = read_left(LEFT) if os.path.lexists(LEFT) else "", _dump(listener)
        return {"running": bool(dump), "failed": failed, **(heard(dump) if dump else {})}


EXTRA = Sound()


def wireplumber_conf(lts: LtsValues) -> str:
    """The volumes of a card that WirePlumber does not know, as each is at a log-in: the cubes of what people see."""
    volume = lts.number("VOLUME", 0, 100, VOLUME) / 100
    mic = lts.number("MIC_VOLUME", 0, 100, MIC_VOLUME) / 100
    return (
        f'device_defaults.properties["default-volume"] = {volume**3:.6f}\n'
        f'device_defaults.properties["default-input-volume"] = {mic**3:.6f}\n'
    )


def mixer_words(lts: LtsValues) -> list[list[str]]:
    """What amixer(1) is told after ``sset`` for each ``*_VOLUME`` of lts.conf: the channel, its volume, and no mute."""
    told = [["Master", f"{lts.number('VOLUME', 0, 100, VOLUME)}%", "unmute"]]
    for key in sorted(lts.found):
        volume = lts.number(key, 0, 100, -1)
        if (named := _CHANNEL.fullmatch(key)) and volume >= 0:
            channel = " ".join(_ABBREVIATIONS.get(word, word) for word in named[1].title().split("_"))
            # A microphone is to be heard by programs, not by its own loudspeaker.
            way = ["capture", f"{volume}%", "cap"] if channel.endswith("Mic") else [f"{volume}%", "unmute"]
            told.append(["Capture" if channel == "Mic" else channel, *way])
    return told


def _forward(folder: RemoteFolder, local: str) -> str:
    """Have sshd forward a socket of the session's folder; why that failed, or empty."""
    if not os.path.exists(local):
        return "no sound server runs on this machine"
    try:
        there = folder.path
    except OSError as error:
        return f"no folder on the server: {error}"
    try:
        on_server("", "-O", "forward", "-R", f"{there}/pulse:{local}")
    except OSError as error:
        syslog.syslog(syslog.LOG_WARNING, f"sound: {error}")
        return "the server's sshd forwards no sockets (AllowStreamLocalForwarding)"
    return ""


def _silence(folder: str) -> None:
    """Have no session's systemd start PipeWire."""
    os.makedirs(folder, exist_ok=True)
    for unit in PIPEWIRE:
        if not os.path.lexists(path := os.path.join(folder, unit)):
            os.symlink("/dev/null", path)


def _listener() -> pwd.struct_passwd | None:
    """The account under which PipeWire runs: the connection's, or that of the user whose session runs here."""
    if os.path.lexists(LEFT):
        return pwd.getpwnam(SESSION_USER)
    try:
        uid = client_account.sitting()[1]
        return None if uid == client_account.session_uid() else pwd.getpwuid(uid)
    except KeyError:  # nobody has logged in here yet
        return None


def _runtime(uid: int) -> str:
    """The account's runtime folder, which logind makes at the log-in."""
    return f"/run/user/{uid}"


def _dump(account: pwd.struct_passwd) -> str:
    """All that PipeWire tells of itself; empty when it does not answer. Asked as its own user, not as root.

    The exit code is not looked at: what is ended here, even a moment after its last word, has none of its own.
    """
    with subprocess.Popen(
        ["timeout", "--foreground", str(DUMP_SECONDS), "pw-dump", "--no-colors"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": _runtime(account.pw_uid)},
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        start_new_session=True,
    ) as asked:
        assert asked.stdout
        said = _read_in_time(asked.stdout.fileno())
        os.killpg(asked.pid, signal.SIGKILL)  # its user may have stopped both
    return said.decode(errors="replace")


def _read_in_time(descriptor: int) -> bytes:
    """What comes until its end; empty when that takes too long or is more than MAX_DUMP bytes."""
    said, end = b"", time.monotonic() + DUMP_SECONDS + 1
    while select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0] and len(said) < MAX_DUMP:
        if not (more := os.read(descriptor, 1 << 16)):
            return said
        said += more
    return b""
