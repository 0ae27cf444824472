"""A farm under systemd: install and remove its unit; a farm that is up stays up either way."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from farm import command
from farm.config.file import load
from farm.errors import FarmError, PartialError
from farm.home import Home, write_atomic
from farm.serve.systemd_unit import UNIT_NAME, unit_text

MARK = "/run/systemd/system"
"""Exists where systemd runs the machine (sd_booted(3))."""


class UnitState(Struct, frozen=True):
    """What systemd says of a farm's unit."""

    unit: str
    file: str
    """Where its text is; empty when there is none."""
    packaged: bool
    """A Debian package has brought it: it is enabled and disabled, and neither written nor deleted."""
    enabled: bool
    """systemd starts the farm when the machine boots."""
    active: bool
    """systemd runs the farm at this moment."""


@dataclass(frozen=True)
class Systemd:
    """The systemd of this machine, or of one whose root is the folder ``root``, which does not run."""

    root: Path = Path("/")

    @property
    def runs(self) -> bool:
        """Whether it can be told to start and stop something."""
        return self.root == Path("/") and Path(MARK).is_dir()

    def own(self, unit: str) -> Path:
        """Where an administrator's unit is."""
        return self.root / "etc/systemd/system" / unit

    def packaged(self, unit: str) -> Path | None:
        """Where a package's unit is, if there is one."""
        places = (self.root / folder / "systemd/system" / unit for folder in ("usr/lib", "lib"))
        return next((place for place in places if place.is_file()), None)

    def ask(self, word: str, unit: str) -> str:
        """What ``is-enabled`` or ``is-active`` says."""
        return command.run([*self._systemctl, word, unit], check=False).stdout.strip()

    def tell(self, *words: str) -> None:
        """Have systemctl do something. Raises FarmError."""
        command.run([*self._systemctl, *words], fix="See: systemctl status farm")

    @property
    def _systemctl(self) -> list[str]:
        return ["systemctl", *([] if self.root == Path("/") else [f"--root={self.root}"])]


def require_systemd() -> None:
    """Raise FarmError where systemd does not run the machine."""
    if not Systemd().runs or shutil.which("systemctl") is None:
        raise FarmError(
            "systemd does not run this machine.",
            f"There is no {MARK}, as in a container or with another init.",
            "Have what starts services here run in the foreground: farm up --foreground",
        )


def unit_name(home: Home) -> str:
    """farm.service, or for a home of its own farm-PATH.service, a different one for each home."""
    if home.directory is None:
        return UNIT_NAME
    path = str(home.directory).strip("/")
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", path)
    sure = plain.replace("-", "/") == path
    digest = "" if sure else f"-{hashlib.sha256(path.encode()).hexdigest()[:6]}"
    return f"farm-{plain}{digest}.service"


def unit_state(home: Home, systemd: Systemd) -> UnitState:
    """How it is now."""
    unit = unit_name(home)
    own, packaged = systemd.own(unit), systemd.packaged(unit)
    file = own if own.is_file() else packaged
    return UnitState(
        unit,
        str(file or ""),
        packaged=packaged is not None and not own.is_file(),
        enabled=file is not None and systemd.ask("is-enabled", unit) == "enabled",
        active=systemd.runs and systemd.ask("is-active", unit) in ("active", "activating", "reloading"),
    )


def install(home: Home, systemd: Systemd) -> UnitState:
    """Have systemd start the farm when the machine boots; nothing is started or stopped now. Raises FarmError."""
    load(home.config, home.options)  # a farm without a valid farm.yaml would fail at the next boot
    unit, program = unit_name(home), own_program()
    if systemd.packaged(unit) is None or systemd.own(unit).is_file():
        write_atomic(systemd.own(unit), unit_text(program, home.options))
    if systemd.runs:
        systemd.tell("daemon-reload")
    systemd.tell("enable", unit)
    return unit_state(home, systemd)


def uninstall(home: Home, systemd: Systemd) -> UnitState:
    """Have systemd start the farm no more; a farm that it runs stays up. Raises FarmError."""
    before = unit_state(home, systemd)
    if not before.file:
        raise FarmError(f"There is no unit {before.unit}.", "", "Install it: sudo farm service install")
    systemd.tell("disable", before.unit)
    if before.packaged:
        return unit_state(home, systemd)
    if before.active:
        raise PartialError(
            f"The farm no longer starts at boot. systemd still runs it, so {before.file} stays.",
            "Without it, systemd could not take the farm down properly.",
            f"Stop the farm, then remove the unit: sudo systemctl stop {before.unit}; sudo farm service remove",
        )
    Path(before.file).unlink()
    if systemd.runs:
        systemd.tell("daemon-reload")
    return unit_state(home, systemd)


def own_program() -> str:
    """The absolute path of this ``farm``: that on PATH where it is the same program."""
    own = Path(sys.executable).with_name("farm")
    found = shutil.which("farm")
    if found and own.exists() and Path(found).resolve() == own.resolve():
        return found
    if own.exists():
        return str(own)
    if found:
        return str(Path(found).absolute())
    raise FarmError("The program farm is not on PATH.", f"There is none beside {sys.executable}.", "Install it again.")
