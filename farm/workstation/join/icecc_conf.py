"""The distribution's configuration of iceccd: a file of shell assignments, of which a few keys are ours to change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from farm.errors import FarmError
from farm.node.ports import SCHEDULER_PORT


class Layout(Struct, frozen=True):
    """Where a distribution keeps it. ``overrides`` is read after ``file`` by its start script, if it is there."""

    file: Path
    prefix: str
    services: tuple[str, ...]
    overrides: Path | None = None


DEBIAN = Layout(Path("/etc/icecc/icecc.conf"), "ICECC_", ("iceccd",), Path("/etc/default/icecc"))
SYSCONFIG = Layout(Path("/etc/sysconfig/icecream"), "ICECREAM_", ("iceccd", "icecream"))
"""Where Fedora and openSUSE keep the settings."""
LAYOUTS = (DEBIAN, SYSCONFIG)

OUR_KEYS = ("NETNAME", "SCHEDULER_HOST", "ALLOW_REMOTE", "MAX_JOBS")
"""Those that are ours to change, after the prefix."""

_VALUE = r"""((?:"(?:[^"\\]|\\(?s:.))*"|'[^']*'|\\(?s:.)|\$\([^)\n]*\)|`[^`\n]*`|[^\s"'`\\;&|()<>])*)"""
"""A word as a shell reads it, which may be put together from quoted parts."""


def layout() -> Layout:
    """The one of this machine. Raises FarmError when it has none of them."""
    for known in LAYOUTS:
        if known.file.exists():
            return known
    raise FarmError(
        "icecream's configuration was not found.",
        f"There is none of {', '.join(str(known.file) for known in LAYOUTS)}.",
        "Install the distribution's icecream package, or join without root: farm join as a user",
    )


def wanted(prefix: str, *, scheduler: str, port: int, netname: str, jobs: int | None) -> dict[str, str]:
    """The keys to set. ``jobs``: how many of others to take at a time; 0: as many as processors; None: none at all."""
    keys = {
        "NETNAME": netname,
        "SCHEDULER_HOST": scheduler if port == SCHEDULER_PORT else f"{scheduler}:{port}",
        "ALLOW_REMOTE": "no" if jobs is None else "yes",
    }
    if jobs:
        keys["MAX_JOBS"] = str(jobs)
    elif jobs == 0:
        keys["MAX_JOBS"] = ""
    return {prefix + key: setting for key, setting in keys.items()}


def value(text: str, key: str) -> str | None:
    """What a shell would read for ``key``: the last assignment counts. None without one."""
    found = _assignment(key).findall(text)
    return found[-1][1].strip("\"'") if found else None


def assign(text: str, settings: Mapping[str, str]) -> str:
    """The text with these keys set, all else as it was; what is not in it yet is added at the end."""
    for key, setting in settings.items():
        quoted = f'"{setting}"'
        text, count = _assignment(key).subn(lambda match, quoted=quoted: match[1] + quoted, text)  # type: ignore[misc]
        if not count:
            text += f"{'' if not text or text.endswith(chr(10)) else chr(10)}{key}={quoted}\n"
    return text


def override(text: str, settings: Mapping[str, str]) -> str:
    """A second file with those of the keys set that it sets itself."""
    return assign(text, {key: setting for key, setting in settings.items() if value(text, key) is not None})


def without(text: str, prefix: str) -> str:
    """The text with our keys empty: equal for two files that differ in nothing else."""
    return assign(text, {prefix + key: "" for key in OUR_KEYS})


def _assignment(key: str) -> re.Pattern[str]:
    return re.compile(rf"^([ \t]*(?:export[ \t]+)?{re.escape(key)}=){_VALUE}", re.MULTILINE)
