"""The role session: people log in at the machine's screen."""

from __future__ import annotations

import os
import time

from farm.node.contract import SettingsError
from farm.node.files import read, write
from farm.node.finding import finding
from farm.node.roles import TYPE_CHECKING, Probe, Role
from farm.node.session.pam import greeter_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from farm.node.metrics import Family
    from farm.node.roles import Finding, Node, Said, Section
    from farm.node.session.pam.log_ins import LogInNoted
    from farm.node.session.room_warning import RoomWatch

GREETER = "lightdm-gtk-greeter"
SESSIONS = "/run/systemd/sessions"
"""One file for each of logind's, of lines KEY=value (sd_session_get_uid(3) and the like read the same)."""
ACCOUNTS = "/var/lib/extrausers/passwd"
"""Whoever has logged in is here: by the uid of the account under which sessions run, or by the server's uid."""
SESSION_USER = "farm-session"
"""That account (ssh_command has it, too, with modules that the boot does without)."""
MAX_USERS = 8
MAX_LOG_INS = 20
"""The last ones are told."""
GAP_SECONDS = 60.0
"""After a log-out X and the greeter start again; for so long the machine still counts as ready."""
XORG = "etc/X11/xorg.conf.d/90-farm-no-gpu.conf"
NO_GPU = """\
# Written at boot, as this machine's screen has no GPU: 3D would be computed by the processor, which takes X itself
# many seconds when it starts.
Section "OutputClass"
  Identifier "no GPU"
  MatchDriver "bochs-drm|virtio_gpu|cirrus|simpledrm"
  Driver "modesetting"
  Option "AccelMethod" "none"
EndSection
Section "Extensions"
  Option "GLX" "Disable"
EndSection
"""
EMULATED = {("0x1234", "0x1111"), ("0x1b36", "0x0100"), ("0x1af4", "0x1050"), ("0x1013", "0x00b8")}
"""PCI vendor and device of QEMU's screens: std and bochs, QXL, virtio, Cirrus."""
ROUND_TRIP = "session_round_trip_seconds", "gauge", "From the machine to the server of its session and back."
DISPLAY_CLASS = "0x03"
"""How a PCI class begins that is a screen's."""


class Session(Role):
    """Its settings: those of farm/node/session/session_settings.py; none where the server is from before them."""

    def parse(self, said: Said) -> dict[str, Any]:
        """What is said below ``session``, once it is checked."""
        from farm.node.session.session_settings import parse_session  # with dataclasses, which other roles do without

        settings = said.get("session", {})
        if not isinstance(settings, dict):
            raise SettingsError("session is not an object")
        if settings:
            parse_session(settings)
        return settings

    def set_up(self, root: str, node: Node) -> str:
        """Leave the settings where a log-in reads them, and spare X the search for a GPU where there is none."""
        import json

        from farm.node.lts.precedence import KnownMachine
        from farm.node.session.lts_values import settle, told_values
        from farm.node.session.session_settings import FILE

        if settings := node["roles"]["session"]:
            write(os.path.join(root, FILE), json.dumps(settings))
        known = KnownMachine(node["name"], node["address"], node["mac"])
        settle(root, known)
        if (lts := told_values(root)).found:
            from farm.node.session.machine_setup import apply

            apply(lts, known, root)
        screens = list(_screens(os.path.join(root, "sys/bus/pci/devices")))
        emulated = bool(screens) and EMULATED.issuperset(screens)
        if emulated:
            write(os.path.join(root, XORG), NO_GPU)
        return "log-in on the screen" + ", which has no GPU" * emulated

    def probe(self, settings: dict[str, Any]) -> Probe:
        """The greeter, and who is logged in."""
        return SessionProbe()

    def metrics(self, section: Section) -> list[Family]:
        """Whether the greeter is up, how many are logged in, and how far away their server is."""
        seconds = section.get("round_trip")
        away: list[Family] = [] if seconds is None else [(*ROUND_TRIP, [({}, float(seconds))])]
        return [
            (
                "greeter_up",
                "gauge",
                "Whether the log-in is on the screen and takes a name.",
                [({}, float(section["greeter"]))],
            ),
            ("sessions", "gauge", "People who are logged in.", [({}, len(section["users"]))]),
            *away,
        ]

    def examine(self, root: str, settings: dict[str, Any]) -> list[Finding]:
        """Whether somebody can log in."""
        ready = SessionProbe().look()["ready"]
        seen = "The greeter is on the screen, or somebody is logged in." if ready else "There is no greeter."
        if not _has_log_in():
            seen = "No screen is for a log-in, as lts.conf says (SCREEN_nn)."
        return [finding("node-greeter", ready, seen, "systemctl restart lightdm; journalctl -u lightdm")]


ROLE = Session()


def _screens(devices: str) -> Iterable[tuple[str, str]]:
    """Vendor and device of each screen on the PCI bus."""
    try:
        names = os.listdir(devices)
    except OSError:
        return
    for name in names:
        kind, vendor, device = (
            read(os.path.join(devices, name, part)).strip() for part in ("class", "vendor", "device")
        )
        if kind.startswith(DISPLAY_CLASS):
            yield vendor, device


def _has_log_in() -> bool:
    """Whether a screen of the machine is for log-ins."""
    from farm.node.session.lts_screens import NO_LOG_IN

    return not os.path.exists(f"/{NO_LOG_IN}")


class SessionProbe(Probe):
    """Whether the log-in is on the screen, and who is logged in since when."""

    def __init__(
        self,
        sessions: str = SESSIONS,
        accounts: str = ACCOUNTS,
        greeter: str = GREETER,
        gap: float = GAP_SECONDS,
        mark: str = greeter_mark.FILE,
        noted: str = "",
        has_log_in: Callable[[], bool] = _has_log_in,
        kind: Callable[[], str] | None = None,
        room: RoomWatch | None = None,
        log_outs: str = "",
    ) -> None:
        from farm.node.process import Process  # psutil is not for the boot
        from farm.node.session import room_warning, round_trip, session_kind
        from farm.node.session.extras import look_all
        from farm.node.session.pam import log_ins, unsaved

        self._extras = look_all
        self._round_trip = round_trip.measured
        self._kind = kind or session_kind.settled
        self._room = room or room_warning.RoomWatch()
        self._noted = log_ins.noted
        self._unsaved = unsaved.noted
        self.log_outs = log_outs or unsaved.FILE
        self._has_log_in = has_log_in
        self.mark = mark
        self.log_ins = noted or log_ins.FILE
        self.sessions = sessions
        self.accounts = accounts
        self.gap = gap
        self.greeter = Process(greeter)
        self._came: dict[str, float] = {}
        """What the machine has come to, and after how many seconds."""
        self._gap_ends = 0.0

    def look(self) -> Section:
        """``users``: each with ``name`` and ``since`` (Unix time); ``round_trip``: seconds to the server; ``kind``."""
        users = logged_in(self.sessions, self.accounts)
        # While somebody is logged in there is none, and the search looks at every process.
        started = None if users or self.greeter.find() is None else greeter_mark.asking_since(self.mark)
        now = time.monotonic()
        if started is not None:
            self._came.setdefault("greeter", started)
        if users:
            self._came.setdefault("session", round(time.clock_gettime(time.CLOCK_BOOTTIME), 2))
        in_use = bool(users) or started is not None
        if in_use:
            self._gap_ends = now + self.gap
        noted = self._noted(self.log_ins)[-MAX_LOG_INS:]
        kind = self._kind()
        section: Section = {
            "ready": in_use or now < self._gap_ends or not self._has_log_in(),
            "greeter": started is not None,
            "users": users,
            **({"kind": kind} if kind else {}),
            **({"log_ins": [each._asdict() for each in noted]} if noted else {}),
            **({"unsaved": unsaved._asdict()} if (unsaved := self._unsaved(self.log_outs)) else {}),
        }
        if users:
            section |= {"server": server_of(users[0]["name"], noted), "round_trip": self._round_trip()}
        if users and kind == "fat":
            self._room.look()
        else:
            self._room.forget()
        extras = self._extras()
        return {**section, "extras": extras} if extras else section

    def stages(self) -> dict[str, float]:
        """When the greeter first came up, and when somebody was first seen logged in."""
        return dict(self._came)


def server_of(user: object, log_ins: Sequence[LogInNoted]) -> str:
    """Where a user who is logged in logged in last; empty when that was not noted."""
    return next((each.server for each in reversed(log_ins) if each.user == user and not each.failed), "")


def logged_in(sessions: str = SESSIONS, accounts: str = ACCOUNTS) -> list[dict[str, object]]:
    """Who is logged in on the screen; the first MAX_USERS, the longest there first."""
    found = []
    try:
        # NAME.ref is a pipe that keeps the session NAME alive: who reads from it waits until that ends.
        names = sorted(name for name in os.listdir(sessions) if "." not in name)
    except OSError:
        return []
    for name in names:
        said = dict(line.split("=", 1) for line in read(os.path.join(sessions, name)).splitlines() if "=" in line)
        here = said.get("CLASS") == "user" and said.get("SEAT") and said.get("STATE") in ("active", "online")
        if here and said.get("REALTIME", "").isdecimal():
            user = _typed(accounts, said.get("UID", "")) or said.get("USER", "")
            # The account of all sessions has no typed name while one is being taken down: nobody is there then.
            if user != SESSION_USER:
                found.append({"name": user, "since": int(said["REALTIME"]) / 1e6})
    return sorted(found, key=lambda each: float(str(each["since"])))[:MAX_USERS]


def _typed(accounts: str, uid: str) -> str:
    """The name that was typed by the one whose session has that uid; empty when it is a local account's."""
    fields = [line.split(":") for line in read(accounts).splitlines()]
    return next((each[0] for each in fields if len(each) > 2 and each[2] == uid), "")
