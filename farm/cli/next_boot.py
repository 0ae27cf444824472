"""What a machine boots next, and which line of farm.yaml says so: a part of `farm node show`."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from farm.config import Place
from farm.config.file import line_of, load_or_default
from farm.config.kiwi_clients import FOLDER, read_clients
from farm.config.lts_file import LTS_FILE, load_lts
from farm.config.rules import dotted
from farm.errors import ConfigError
from farm.home import Home
from farm.node.lts.precedence import KnownMachine, values
from farm.view.status import NodeStatus


class SettingOrigin(Struct, frozen=True):
    """Why a setting is what it is."""

    value: str | int
    """What farm.yaml says now."""
    key: str
    """The key that decides, as `machines[3].image`."""
    file: str
    line: int | None
    """None: the key is not in the file, and its default holds."""

    def __str__(self) -> str:
        """FILE:LINE and the key, or that it is a default."""
        return f"{self.file}:{self.line}: {self.key}" if self.line else f"the default of {self.key}"


class NextBoot(Struct, frozen=True):
    """What a machine's next boot gets, and why."""

    image: str
    """The version; empty when the farm serves none."""
    root: str
    """The export by which it reads its root."""
    image_from: SettingOrigin
    root_from: SettingOrigin
    slots_from: SettingOrigin
    when_used_from: SettingOrigin
    lts_conf: list[str]
    """The variables that lts.conf has for it, by name; what they are: `farm lts show NODE`."""


def next_boot(home: Home, node: NodeStatus, images: dict[str, str]) -> NextBoot | None:
    """What a machine boots next; None for one that is not this farm's, or while farm.yaml has mistakes.

    ``images``: the version that next boots get, by the name of the image.
    """
    if not node.mac:
        return None
    try:
        config = load_or_default(home, virtual=True)
    except ConfigError:
        return None
    machine = next((each for each in config.listed if each.mac == node.mac), None)
    image = _reason(home.config, *config.setting(machine, "image"))
    root = _root_reason(home.config, node.mac, *config.setting(machine, "root"))
    slots, when_used = (_reason(home.config, *config.setting(machine, key)) for key in ("slots", "when_used"))
    return NextBoot(images.get(node.kind, ""), node.root, image, root, slots, when_used, _lts_conf(home, node))


def _lts_conf(home: Home, node: NodeStatus) -> list[str]:
    path = home.config.with_name(LTS_FILE)
    if not path.is_file():
        return []
    try:
        return sorted(values(load_lts(path), KnownMachine(node.name, node.address, node.mac)))
    except ConfigError:
        return []


def _reason(file: Path, place: Place, value: str | int) -> SettingOrigin:
    return SettingOrigin(value, dotted(place), str(file), line_of(file, place))


def _root_reason(file: Path, mac: str, place: Place, value: str) -> SettingOrigin:
    """Also when one of KIWI's client files says it, which stands in for a key that farm.yaml does not have."""
    reason = _reason(file, place, value)
    wanted = mac if place[0] == "machines" else None
    clients = read_clients(file.parent / FOLDER) if reason.line is None else []
    line = next((each.root_line for each in clients if each.mac == wanted), None)
    if line is None:
        return reason
    return SettingOrigin(value, line.text.partition(":")[0], str(file.parent / FOLDER / line.file), line.line)
