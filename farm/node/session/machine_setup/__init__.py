"""What lts.conf says of the machine itself: a module here is a theme, such as its keyboard or its clock.

Each is a pure function from the values to what they change; `apply` does that, once at boot, before anybody can log in.
Nothing of a value becomes another directive: what does not look like the one that is meant is left out, and said.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from farm.node.contract import MAX_FILE_BYTES
from farm.node.files import read, write
from farm.node.lts.precedence import KnownMachine
from farm.node.session.lts_values import LtsValues

PACKAGES = "add {} to images.thin-client.packages in farm.yaml, and build the image again"
COMMAND_SECONDS = 30.0
_NONE: Mapping[str, str] = MappingProxyType({})


class Change(NamedTuple):
    """What a theme does to the machine."""

    files: Mapping[str, str] = _NONE
    """Path below the root → content."""
    added: Mapping[str, str] = _NONE
    """Path → what comes after what the file has."""
    commands: tuple[tuple[str, ...], ...] = ()
    units: tuple[str, ...] = ()
    """Those that are started; nobody waits for them."""
    said: tuple[str, ...] = ()
    """What is not done, and why: one line each in the machine's log."""


class ThinMachine(NamedTuple):
    """The machine that is changed."""

    lts: LtsValues
    known: KnownMachine
    has: Callable[[str], bool]
    """Whether the image has a file, by its path."""


Theme = Callable[[ThinMachine], Change]


def apply(lts: LtsValues, known: KnownMachine, root: str = "/") -> list[str]:
    """Do what all themes say; what is not done is said in the machine's log, and returned."""
    place = ThinMachine(lts, known, lambda path: os.path.exists(os.path.join(root, path.lstrip("/"))))
    change = merged(theme(place) for theme in themes())
    said = [*change.said, *_write(change, root)]
    said += filter(None, map(_run, change.commands))
    if any(path.startswith("etc/systemd/") or path == "etc/fstab" for path in [*change.files, *change.added]):
        said += filter(None, [_run(("systemctl", "daemon-reload"))])
    if change.units:
        said += filter(None, [_run(("systemctl", "--no-block", "start", *change.units))])
    for each in said:
        sys.stderr.write(f"farm-node: lts.conf: {each}\n")
    return said


def themes() -> tuple[Theme, ...]:
    """All of them, in the order in which they change the machine."""
    from farm.node.session.lts_screens import screens_change
    from farm.node.session.machine_setup import (
        disk_access,
        host_names,
        key_map,
        locale_and_clock,
        mounts,
        system_services,
        xorg_monitor,
    )

    return (
        host_names.change,
        locale_and_clock.change,
        key_map.change,
        xorg_monitor.change,
        mounts.change,
        disk_access.change,
        system_services.change,
        screens_change,
    )


def merged(changes: Iterable[Change]) -> Change:
    """All of them as one."""
    found = list(changes)
    return Change(
        {path: text for each in found for path, text in each.files.items()},
        {path: text for each in found for path, text in each.added.items()},
        tuple(command for each in found for command in each.commands),
        tuple(unit for each in found for unit in each.units),
        tuple(text for each in found for text in each.said),
    )


def checked(key: str, value: str, pattern: str) -> tuple[str, tuple[str, ...]]:
    """The value and nothing to say, or an empty value and why it is left out."""
    if not value or re.fullmatch(pattern, value):
        return value, ()
    return "", (unusable(key, value),)


def unusable(key: str, value: str, why: str = "is not a valid value") -> str:
    """What is said of a value that is left out."""
    return f"{key} is left out: {value[:60]!r} {why}"


def _write(change: Change, root: str) -> Iterable[str]:
    texts = dict(change.files)
    for path, text in change.added.items():
        texts[path] = texts.get(path, read(os.path.join(root, path), MAX_FILE_BYTES)) + text
    for path, text in texts.items():
        try:
            write(os.path.join(root, path), text)
        except OSError as error:
            yield f"/{path} can not be written: {error}"


def _run(argv: tuple[str, ...]) -> str:
    """Run a command to its end; what went wrong, empty when nothing did."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(argv)}: {error}"
    if not done.returncode:
        return ""
    return f"{' '.join(argv)}: {done.stderr.strip()[-200:] or f'exit code {done.returncode}'}"
