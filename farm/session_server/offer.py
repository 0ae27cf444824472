"""The languages and sessions that this computer offers, how to start one, and how busy it is: LTSP's ldminfod lines.

`language:de_DE.UTF-8` (the first is the default), `session:COMMAND`, `session-with-name:NAME:COMMAND`, `xsession:PATH`
and `rating:0…100` (LTSP 5, server/ldminfod; LDM's ldminfo.c reads them). Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

DESKTOPS = "usr/share/xsessions"
XSESSIONS = ("etc/X11/xinit/Xsession", "etc/X11/Xsession", "usr/lib/X11/xdm/Xsession", "etc/X11/xdm/Xsession")
"""Where distributions have what starts a session, in LTSP's order."""
MAX_LANGUAGES = 512
MAX_DESKTOPS = 64
MAX_DESKTOP_BYTES = 64 << 10
BUSY_LOAD = 8.0
"""The load, over 15 minutes, at which a server counts as busy (LTSP 5)."""
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:_[A-Z]{2})?\.UTF-8(?:@[a-z]{1,16})?")


class Desktop(NamedTuple):
    """A session of /usr/share/xsessions: its name for people, and the command that its Xsession is given."""

    name: str
    command: str


def lines(root: Path = Path("/")) -> str:
    """All that ldminfod says now."""
    found = desktops(root)
    starter = xsession(root)
    said = [
        *(f"language:{each}" for each in languages(_default_locale(root), _locales())),
        *(f"session:{each.command}" for each in found),
        *(f"session-with-name:{each.name}:{each.command}" for each in found),
        *([f"xsession:{starter}"] if starter else []),
        f"rating:{rating(os.getloadavg()[2], _memory(root))}",
    ]
    return "".join(f"{line}\n" for line in said)


def languages(default: str, locales: Iterable[str]) -> list[str]:
    """Locales in UTF-8 as `LL_CC.UTF-8`, the default one first; `locale -a` spells the encoding `utf8`."""
    spelt = [re.sub(r"\.utf-?8", ".UTF-8", each.strip(), flags=re.IGNORECASE) for each in (default, *sorted(locales))]
    return list(dict.fromkeys(each for each in spelt if _LANGUAGE.fullmatch(each)))[:MAX_LANGUAGES]


def desktops(root: Path = Path("/")) -> list[Desktop]:
    """The sessions that can be chosen, by the names of their files."""
    folder = root / DESKTOPS
    files = sorted(folder.glob("*.desktop"))[:MAX_DESKTOPS] if folder.is_dir() else []
    return [found for found in (desktop(_text(file), root) for file in files) if found]


def desktop(text: str, root: Path = Path("/")) -> Desktop | None:
    """The session of a desktop entry; None for one that is hidden, or whose program is not installed."""
    entry = _entry(text)
    command, tried = _clean(entry.get("Exec", "")), entry.get("TryExec", "")
    hidden = "true" in (entry.get("Hidden"), entry.get("NoDisplay"))
    if not command or hidden or (tried and not _installed(tried, root)):
        return None
    # A reader takes what is after the second colon for the command.
    return Desktop(_clean(entry.get("Name", "")).replace(":", " ") or command.replace(":", " "), command)


def xsession(root: Path = Path("/")) -> str:
    """The path of what starts a session; empty when there is none."""
    return next((f"/{path}" for path in XSESSIONS if os.access(root / path, os.X_OK)), "")


def rating(load: float, memory_used: float) -> int:
    """How well the server can take one more session, 0 to 100: half for the load, half for ``memory_used`` (0 to 1)."""
    return max(0, min(100, round(100 - 50 * load / BUSY_LOAD - 50 * memory_used)))


def _entry(text: str) -> dict[str, str]:
    """The keys of the group [Desktop Entry], without translations (freedesktop.org, Desktop Entry Specification)."""
    group, found = "", dict[str, str]()
    for line in text.splitlines():
        if line.startswith("["):
            group = line.strip()
        elif group == "[Desktop Entry]" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value.strip())
    return found


def _clean(value: str) -> str:
    return "".join(each for each in value if each.isprintable())[:200].strip()


def _installed(program: str, root: Path) -> bool:
    if program.startswith("/"):
        return os.access(root / program[1:], os.X_OK)
    path = os.pathsep.join(str(root / each) for each in ("usr/local/bin", "usr/bin", "bin", "usr/games"))
    return shutil.which(program, path=path) is not None


def _default_locale(root: Path) -> str:
    """LANG of /etc/default/locale, where Debian has it, or of /etc/locale.conf."""
    for path in ("etc/default/locale", "etc/locale.conf"):
        if found := re.search(r"""^\s*LANG=["']?([^"'\s]+)""", _text(root / path), re.MULTILINE):
            return found[1]
    return ""


def _locales() -> list[str]:
    try:
        done = subprocess.run(["locale", "-a"], capture_output=True, text=True, errors="replace", timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()


def _memory(root: Path) -> float:
    """The part of the RAM that is used (proc(5), /proc/meminfo)."""
    found = re.findall(r"^(\w+): +([0-9]+)", _text(root / "proc/meminfo"), re.MULTILINE)
    kib: Mapping[str, int] = {key: int(value) for key, value in found}
    return 1 - kib.get("MemAvailable", 0) / max(1, kib.get("MemTotal", 1))


def _text(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(MAX_DESKTOP_BYTES)
    except OSError:
        return ""
