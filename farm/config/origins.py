"""Which line of farm.yaml, or of one of KIWI's client files beside it, says what a machine gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from farm.config import Config, GroupConfig, Inherited, MachineConfig, NamedImageConfig, NodesConfig, Place
from farm.config.file import lines_of, load_or_default, parse, read_text
from farm.config.kiwi_clients import FOLDER, read_clients
from farm.config.machine_words import covers
from farm.config.problem import dotted
from farm.home import Home


class SettingOrigin(Struct, frozen=True):
    """Why a setting is what it is."""

    value: str | int
    """What farm.yaml says now."""
    key: str
    """The key that decides, as `machines[3].image`."""
    file: str
    line: int | None
    """None: the key is not in the file, and its default holds."""

    @property
    def at(self) -> str:
        """File and line as from the folder of farm.yaml: `farm.yaml:14`, `kiwi/config.default:1`; empty: a default."""
        path = Path(self.file)
        name = f"{FOLDER}/{path.name}" if path.parent.name == FOLDER else path.name
        return f"{name}:{self.line}" if self.line else ""

    def __str__(self) -> str:
        """FILE:LINE and the key, or that it is a default."""
        return f"{self.file}:{self.line}: {self.key}" if self.line else f"the default of {self.key}"


class Origins:
    """The settings of a farm's machines, each with the line that says it.

    A machine is None where it is not listed. KIWI's client files stand in for keys that farm.yaml does not have; they
    also add kernel options and files.
    """

    def __init__(self, home: Home) -> None:
        """Read the files; raises ConfigError when farm.yaml has mistakes."""
        self.config = load_or_default(home, virtual=True)
        self._path = home.config
        self._lines = lines_of(home.config)
        self._clients = read_clients(home.config.parent / FOLDER)
        self._own = _sections(parse(read_text(home.config), str(home.config)))

    def name(self, machine: MachineConfig | None) -> SettingOrigin | None:
        """Its name; None for one that is not under `machines`, which its MAC names."""
        place = self._entry(machine)
        return self._origin((*place, "name"), machine.name) if machine and place else None

    def address(self, machine: MachineConfig | None) -> SettingOrigin | None:
        """Its fixed address, if it has one."""
        place = self._entry(machine)
        return self._origin((*place, "address"), machine.address) if machine and machine.address and place else None

    def group(self, machine: MachineConfig | None) -> SettingOrigin | None:
        """Its group, and the member of it that means this machine; None: it is in no group."""
        for name, group in self.config.groups.items() if machine else ():
            for at, member in enumerate(group.machines):
                if machine and covers(member, machine.mac, machine.name):
                    return self._origin(("groups", name, "machines", at), name)
        return None

    def boot(self, machine: MachineConfig | None) -> SettingOrigin:
        """Whether it boots as a node or from its own disk."""
        if not machine:
            return self._origin(("nodes", "unknown"), self.config.nodes.unknown)
        return self._origin((*(self._entry(machine) or ("machines[]",)), "boot"), machine.boot)

    def free_after(self) -> SettingOrigin:
        """After how many minutes a machine counts as free, which is one for all."""
        return self._origin(("nodes", "free_after"), self.config.nodes.free_after)

    def setting(self, machine: MachineConfig | None, key: Inherited) -> SettingOrigin:
        """What a machine has from itself, its group, or what holds for all."""
        place, value = self.config.setting(machine, key)
        origin = self._origin(place, value)
        kiwi = self._kiwi_origin(place, value, "root: ") if key == "root" and not origin.line else None
        return kiwi or origin

    def kernel_options(self, machine: MachineConfig | None) -> Iterator[SettingOrigin]:
        """What is added to its kernel command line, in this order."""
        for place, section in self.config.layers(machine):
            own = self._own[place].kernel_options if place in self._own else ""
            added = section.kernel_options.removesuffix(own).strip()
            if origin := self._kiwi_origin(place, added, "kernel_options: "):
                yield origin
            if own:
                yield self._origin((*place, "kernel_options"), own)

    def files(self, machine: MachineConfig | None) -> list[SettingOrigin]:
        """The files that it gets, by where it has them."""
        found = {}
        for place, section in self.config.layers(machine):
            own = [each.path for each in getattr(self._own.get(place), "files", ())]
            for file in getattr(section, "files", ()):
                if file.path in own:
                    found[file.path] = self._origin((*place, "files", own.index(file.path)), file.path)
                elif origin := self._kiwi_origin(place, file.path, f"files: {file.path} from "):
                    found[file.path] = origin
        return list(found.values())

    def _entry(self, machine: MachineConfig | None) -> Place | None:
        """Its entry under `machines`, if farm.yaml has one."""
        places: list[Place] = [("machines", at) for at, each in enumerate(self.config.machines) if each == machine]
        return next((place for place in places if place in self._own), None)

    def _origin(self, place: Place, value: str | int) -> SettingOrigin:
        return SettingOrigin(value, dotted(place), str(self._path), self._lines.get(place))

    def _kiwi_origin(self, place: Place, value: str | int, said: str) -> SettingOrigin | None:
        """The line of a client file that says a value of this section, if one does; ``said``: as KiwiClient.line_of."""
        mac = self.config.machines[int(place[1])].mac if place[0] == "machines" else None
        lines = (client.line_of(said) for client in self._clients if client.mac == mac and value)
        line = next(filter(None, lines), None)
        if line is None:
            return None
        return SettingOrigin(value, line.text.partition(":")[0], str(self._path.parent / FOLDER / line.file), line.line)


def _sections(config: Config) -> dict[Place, NodesConfig | NamedImageConfig | GroupConfig | MachineConfig]:
    """Where settings of machines are: what `Config.layers` tells of all machines."""
    return {
        ("nodes",): config.nodes,
        **{("images", name): each for name, each in config.images.items()},
        **{("groups", name): each for name, each in config.groups.items()},
        **{("machines", at): each for at, each in enumerate(config.machines)},
    }
