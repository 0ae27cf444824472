"""What a machine's next boot gets, and which line of farm.yaml says so: a part of `farm node show`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from farm.cli.status import plain_table
from farm.config.lts_file import LTS_FILE, load_lts
from farm.config.origins import Origins, SettingOrigin
from farm.errors import ConfigError, FarmError
from farm.errors.hints import hint
from farm.home import Home
from farm.node.lts.precedence import KnownMachine, values
from farm.view.status import NodeStatus


class NextBoot(Struct, frozen=True):
    """What a machine's next boot gets, and why."""

    image: str
    """The version; empty when the farm serves none."""
    root: str
    """The export by which it reads its root."""
    name_from: SettingOrigin | None
    """None: `machines` does not have it, so that its MAC names it."""
    group_from: SettingOrigin | None
    """Its group, and the member that means it; None: it is in no group."""
    boot_from: SettingOrigin
    """Whether it boots as a node or from its own disk."""
    image_from: SettingOrigin
    root_from: SettingOrigin
    address_from: SettingOrigin | None
    """None: it has no fixed address."""
    slots_from: SettingOrigin
    when_used_from: SettingOrigin
    free_after_from: SettingOrigin
    kernel_options_from: list[SettingOrigin]
    """They add up in this order."""
    files_from: list[SettingOrigin]
    """``value``: where the machine has it."""
    lts_conf: list[str]
    """The variables that lts.conf has for it, by name; what they are: `farm lts show NODE`."""

    def origins(self) -> Iterator[tuple[str, SettingOrigin]]:
        """Every setting, and what says so."""
        for name in (each.name for each in msgspec.structs.fields(self) if each.name.endswith("_from")):
            found = getattr(self, name)
            for origin in found if isinstance(found, list) else [found] if found else []:
                yield name.removesuffix("_from").replace("_", " "), origin


def next_boot(home: Home, node: NodeStatus, images: dict[str, str]) -> NextBoot | None:
    """What a machine boots next; None for one that is not this farm's, or while farm.yaml has mistakes.

    ``images``: the version that next boots get, by the name of the image.
    """
    if not node.mac:
        return None
    try:
        said = Origins(home)
    except ConfigError:
        return None
    machine = next((each for each in said.config.listed if each.mac == node.mac), None)
    return NextBoot(
        image=images.get(node.kind, ""),
        root=node.root,
        name_from=said.name(machine),
        group_from=said.group(machine),
        boot_from=said.boot(machine),
        image_from=said.setting(machine, "image"),
        root_from=said.setting(machine, "root"),
        address_from=said.address(machine),
        slots_from=said.setting(machine, "slots"),
        when_used_from=said.setting(machine, "when_used"),
        free_after_from=said.free_after(),
        kernel_options_from=list(said.kernel_options(machine)),
        files_from=said.files(machine),
        lts_conf=_lts_conf(home, node),
    )


def settings_table(boots: NextBoot, node: NodeStatus) -> Table:
    """The settings of a machine, each with what says so; paths are as from the folder of farm.yaml."""
    table = plain_table("SETTING", "VALUE", "FROM")
    hidden = set() if {"compile", "session"} <= set(node.roles) else {"when used", "free after"}
    serves = {"image": node.kind, "root": node.root}
    for setting, origin in boots.origins():
        if setting not in hidden:
            said = f"{origin.at}: {origin.key}" if origin.line else f"default ({origin.key})"
            differs = origin.value != serves.get(setting, origin.value)
            later = hint(". The farm serves another one. Apply it: sudo farm up") if differs else ""
            table.add_row(setting, Text(_shown(setting, origin.value)), Text(f"{said}{later}"))
    return table


def _shown(setting: str, value: str | int) -> str:
    if setting == "slots":
        return str(value) if value else "one per processor"
    return f"{value} min" if setting == "free after" else str(value)


def _lts_conf(home: Home, node: NodeStatus) -> list[str]:
    path = home.config.with_name(LTS_FILE)
    if not path.is_file():
        return []
    try:
        return sorted(values(load_lts(path), KnownMachine(node.name, node.address, node.mac)))
    except FarmError:
        return []
