"""farm.yaml: the one declaration of its keys.

Types, defaults and help texts live in the structs below and in sections.py; the file's reader (farm/config/file.py),
`farm init`'s comments, the JSON schema and docs/configuration.md all come from them. Where a type and a field both have
a description, the type's says what a value looks like and the field's what it is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from farm.config.machine_words import covers
from farm.config.sections import BUILT_IN as BUILT_IN
from farm.config.sections import FIRST_KIND as FIRST_KIND
from farm.config.sections import FIRST_ROOT as FIRST_ROOT
from farm.config.sections import TREE_ROOT as TREE_ROOT
from farm.config.sections import AlertConfig as AlertConfig
from farm.config.sections import ApiConfig as ApiConfig
from farm.config.sections import DhcpConfig as DhcpConfig
from farm.config.sections import ExportConfig as ExportConfig
from farm.config.sections import FileConfig as FileConfig
from farm.config.sections import GroupConfig as GroupConfig
from farm.config.sections import HistoryConfig as HistoryConfig
from farm.config.sections import ImageConfig as ImageConfig
from farm.config.sections import MachineConfig as MachineConfig
from farm.config.sections import NamedImageConfig as NamedImageConfig
from farm.config.sections import NodesConfig as NodesConfig
from farm.config.sections import SchedulerConfig as SchedulerConfig
from farm.config.sections import VirtualConfig as VirtualConfig
from farm.config.values import Interface, Name, OptionalAddress, Port, PublishedAddress, ServerAddress

Place = tuple[str | int, ...]
"""Where in the file: ("machines", 2, "mac"), ("images", "cad", "packages")."""
Inherited = Literal["image", "root", "slots", "when_used"]
"""What a machine has from its group, or from what holds for all, unless it says otherwise."""
VIRTUAL_NAME = "lab"
"""The name of a virtual lab that has no farm.yaml."""
VIRTUAL_MTU = 9000
"""The virtual lab's frame size unless farm.yaml sets one: its own bridge carries jumbo frames."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole farm.yaml: its sections and top-level keys."""

    name: Annotated[Name, Meta(description="the farm's name")] = "farm"
    interface: Annotated[
        Interface,
        Meta(description="network interface of the lab; the farm serves only there; the virtual lab needs none"),
    ] = ""
    address: Annotated[ServerAddress, Meta(description="this server's address on that interface")] = "10.77.0.1/24"
    mtu: Annotated[
        int,
        Meta(
            ge=1500,
            le=9216,
            description=(
                "frame size of the lab's network: 9000 (jumbo) if every switch and NIC supports it; default in the "
                "virtual lab: 9000"
            ),
        ),
    ] = 1500
    http_port: Annotated[Port, Meta(description="HTTP port for kernel, initrd and boot scripts")] = 8069
    dhcp: Annotated[DhcpConfig, Meta(description="addresses that the farm assigns")] = field(default_factory=DhcpConfig)
    scheduler: Annotated[SchedulerConfig, Meta(description="icecream's scheduler")] = field(
        default_factory=SchedulerConfig
    )
    image: Annotated[ImageConfig, Meta(description="what holds for all images")] = field(default_factory=ImageConfig)
    images: Annotated[
        dict[Name, NamedImageConfig],
        Meta(description="images with settings of their own, by name (docs/images.md); built-in ones need not be here"),
    ] = field(default_factory=dict)
    other_server: Annotated[
        OptionalAddress,
        Meta(
            description="address of the other boot server of this lab, if there are two (docs/two-servers.md)",
            examples=["10.77.0.2"],
        ),
    ] = ""
    mirror: Annotated[
        PublishedAddress,
        Meta(
            description=(
                "where another boot server of this lab publishes its images: this server holds the same ones, and "
                "builds none (docs/two-servers.md)"
            ),
            examples=["http://10.77.0.1:8069/published"],
        ),
    ] = ""
    export: Annotated[
        ExportConfig, Meta(description="the export of root file systems over ATA over Ethernet (AoE)")
    ] = field(default_factory=ExportConfig)
    nodes: Annotated[NodesConfig, Meta(description="settings of every node")] = field(default_factory=NodesConfig)
    api: Annotated[ApiConfig, Meta(description="farmd's HTTP API on the lab's network")] = field(
        default_factory=ApiConfig
    )
    machines: Annotated[
        list[MachineConfig], Meta(description="machines with settings of their own: names, fixed addresses, slots")
    ] = field(default_factory=list)
    groups: Annotated[
        dict[Name, GroupConfig],
        Meta(description="machines with settings in common, by the group's name; a machine's own settings win"),
    ] = field(default_factory=dict)
    virtual: Annotated[VirtualConfig, Meta(description="the machines of the virtual lab (`farm up --virtual N`)")] = (
        field(default_factory=VirtualConfig)
    )
    history: Annotated[HistoryConfig, Meta(description="the history of builds (`farm history`)")] = field(
        default_factory=HistoryConfig
    )

    alerts: Annotated[
        list[AlertConfig], Meta(description="who is told when something happens in the farm (docs/server.md)")
    ] = field(default_factory=list)

    @property
    def netname(self) -> str:
        """The icecream network name, private to this farm unless set."""
        return self.scheduler.netname or f"icecream-{self.name}"

    @property
    def submitter(self) -> str:
        """The name by which the server's own iceccd, which submits jobs, logs in to the scheduler."""
        return f"submitter-{self.name}{'-2' if self.mirror else ''}"

    @property
    def listed(self) -> list[MachineConfig]:
        """The machines that are listed: those of `machines`, and those that only a group names, by their MACs."""
        known = {machine.mac for machine in self.machines}
        macs = (member for group in self.groups.values() for member in group.machines if ":" in member)
        return [*self.machines, *(MachineConfig(mac, own_name(mac)) for mac in macs if mac not in known)]

    def image_of(self, machine: MachineConfig | None) -> str:
        """The name of the image that a machine boots (None: one that is not listed)."""
        image: str = self.setting(machine, "image")[1]
        return image

    def root_of(self, machine: MachineConfig | None) -> str:
        """The export by which a machine reads its root file system (None: one that is not listed)."""
        root: str = self.setting(machine, "root")[1]
        return root

    def slots_of(self, machine: MachineConfig | None) -> int:
        """How many jobs a machine takes at a time; 0: one per processor."""
        slots: int = self.setting(machine, "slots")[1]
        return slots

    def when_used_of(self, machine: MachineConfig | None) -> str:
        """How many of its slots a machine with a desktop offers while somebody uses it (`contract.WHEN_USED`)."""
        policy: str = self.setting(machine, "when_used")[1]
        return policy

    def kernel_options_of(self, machine: MachineConfig | None) -> str:
        """What is added to a machine's kernel command line: of two values of an option the kernel takes the last."""
        return " ".join(section.kernel_options for _, section in self.layers(machine) if section.kernel_options)

    def files_of(self, machine: MachineConfig | None) -> list[FileConfig]:
        """The files that a machine gets, one for each path: the nearest wins, machine, group, all."""
        layers = self.layers(machine)
        return list({file.path: file for _, section in layers for file in getattr(section, "files", ())}.values())

    def layers(
        self, machine: MachineConfig | None
    ) -> list[tuple[Place, NodesConfig | NamedImageConfig | GroupConfig | MachineConfig]]:
        """The sections that add up for a machine, with where they are: all, its image, its group, itself."""
        name = self.image_of(machine)
        image = [(("images", name), self.images[name])] if name in self.images else []
        return [(("nodes",), self.nodes), *image, *[*self._own(machine)][::-1]]

    @property
    def roots(self) -> set[str]:
        """The exports by which machines that boot as nodes read their root file systems."""
        return {self.root_of(machine) for machine in (None, *self.listed) if not machine or machine.boot == "node"}

    def setting(self, machine: MachineConfig | None, key: Inherited) -> tuple[Place, Any]:
        """Where farm.yaml says a setting of a machine, and its value. The nearest wins: machine, group, all.

        For all there is `nodes`, but of a root what the image says and then `image`.
        """
        sections: list[tuple[Place, Struct]] = [*self._own(machine)]
        if key == "root":
            name = self.image_of(machine)
            if name in self.images and self.images[name].tree:
                return ("images", name, "tree"), TREE_ROOT
            sections += [(("images", name), self.images[name])] if name in self.images else []
            sections += [(("image",), self.image)]
        else:
            sections += [(("nodes",), self.nodes)]
        found = ((place, getattr(section, key)) for place, section in sections)
        return next(((*place, key), value) for place, value in found if value is not None)

    def _own(self, machine: MachineConfig | None) -> Iterator[tuple[Place, MachineConfig | GroupConfig]]:
        """The sections of a machine and of its group."""
        if machine:
            yield from ((("machines", at), each) for at, each in enumerate(self.machines) if each.mac == machine.mac)
            for name, group in self.groups.items():
                if any(covers(member, machine.mac, machine.name) for member in group.machines):
                    yield ("groups", name), group

    @property
    def scheduler_host(self) -> str:
        """Where the scheduler is: there is one in a lab, and of two boot servers the first one has it."""
        return self.other_server if self.mirror else self.server

    @property
    def own_range(self) -> DhcpConfig:
        """The addresses that this server lends: of two, the one with the lower address has the lower half."""
        if not self.other_server:
            return self.dhcp
        first, last = IPv4Address(self.dhcp.first), IPv4Address(self.dhcp.last)
        middle = first + (int(last) - int(first)) // 2
        lower = IPv4Address(self.server) < IPv4Address(self.other_server)
        first, last = (first, middle) if lower else (middle + 1, last)
        return msgspec.structs.replace(self.dhcp, first=str(first), last=str(last))

    @property
    def boot_servers(self) -> list[str]:
        """The addresses of the lab's boot servers, this one first."""
        return [self.server, *([self.other_server] if self.other_server else [])]

    @property
    def server(self) -> str:
        """The server's address on the lab's network, without the prefix length."""
        return self.address.split("/")[0]


def own_name(mac: str) -> str:
    """What a node without a name calls itself: node- plus the last six hex digits of its MAC address."""
    return f"node-{mac.replace(':', '')[-6:]}"


def to_yaml_dict(config: Config) -> dict[str, object]:
    """The configuration as plain data, as farm.yaml would hold it."""
    plain: dict[str, object] = msgspec.to_builtins(config)
    return plain
