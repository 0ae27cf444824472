"""farm.yaml: the one declaration of its keys.

Types, defaults and help texts live in the structs below; the file's reader (farm/config/file.py), `farm init`'s
comments, the JSON schema and docs/configuration.md all come from them. Where a type and a field both have a
description, the type's says what a value looks like and the field's what it is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct, field

from farm.config.values import (
    Address,
    Compression,
    Duration,
    ImageName,
    Interface,
    KernelOptions,
    KindName,
    KnownAddress,
    Mac,
    Member,
    Name,
    Netname,
    OptionalAddress,
    Package,
    Port,
    PublicKey,
    PublishedAddress,
    RootName,
    ServerAddress,
    Slots,
)
from farm.node.ports import SCHEDULER_PORT, TELEMETRY_PORT

BUILT_IN: tuple[str, ...] = get_args(KindName)
"""The images that there are without being listed."""
FIRST_KIND: KindName = "icecream-node"
"""The kind of image that was once the only one: records that name no kind mean it."""
FIRST_ROOT: RootName = "aoe"
"""The export that was once the only one: records that name none mean it."""
TREE_ROOT: RootName = "nfs"
"""The export by which nodes read a root that is a folder: the others serve single files."""
Place = tuple[str | int, ...]
"""Where in the file: ("machines", 2, "mac"), ("images", "cad", "packages")."""
VIRTUAL_NAME = "lab"
"""The name of a virtual lab that has no farm.yaml."""
VIRTUAL_MTU = 9000
"""The virtual lab's frame size unless farm.yaml sets one: its own bridge carries jumbo frames."""


class DhcpConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses that the farm hands out."""

    first: Annotated[Address, Meta(description="first address of the range for nodes")] = "10.77.0.50"
    last: Annotated[Address, Meta(description="last address of that range")] = "10.77.0.250"
    lease: Annotated[Duration, Meta(description="lease time of an address")] = "12h"


class SchedulerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The `scheduler` section: how icecream's scheduler is reached."""

    netname: Annotated[Netname, Meta(description="icecream network name; default: icecream-NAME")] = ""
    port: Annotated[Port, Meta(description="TCP and UDP port of the scheduler; the control port is the next one")] = (
        SCHEDULER_PORT
    )


class ImageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The `image` section: what holds for all images."""

    compression: Annotated[
        Compression,
        Meta(
            description=(
                "fast: packing takes seconds; small: packing takes a minute longer, and a third less has to be sent"
            ),
        ),
    ] = "fast"
    keep: Annotated[
        int,
        Meta(ge=1, le=1000, description="number of versions of an image to keep in the store besides those in use"),
    ] = 3
    root: Annotated[RootName, Meta(description="how nodes read their root file systems (docs/roots.md)")] = FIRST_ROOT


class NamedImageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One image of `images`."""

    description: Annotated[
        str,
        Meta(
            pattern=r"^[ -~]{0,4096}$",
            description=(
                "a folder with a KIWI description of your own, absolute or from this file's folder (with a slash: "
                "./cad), or the name of a built-in image"
            ),
            examples=["./cad"],
        ),
    ] = ""
    packages: Annotated[
        list[Package], Meta(description="Debian packages to install besides those of the description")
    ] = field(default_factory=list)
    compression: Annotated[
        Compression | None, Meta(description="how it is packed; unset: as image.compression says")
    ] = None
    keep: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="number of its versions to keep besides those in use; unset: as image.keep says"),
    ] = None
    pull: Annotated[
        PublishedAddress,
        Meta(
            description="a published folder of images, from which versions of it are pulled; none is built here then",
            examples=["https://images.example.org/lab"],
        ),
    ] = ""
    root: Annotated[
        RootName | None, Meta(description="how nodes read its root file system; unset: as image.root says")
    ] = None
    tree: Annotated[
        str,
        Meta(
            pattern=r"^(/[A-Za-z0-9._+-]+)*$",
            description=(
                "the absolute path of a folder of this server that is its root file system while you work on it, such "
                "as a chroot: nodes read it by nfs, whatever root says (docs/roots.md)"
            ),
            examples=["/srv/chroots/cad"],
        ),
    ] = ""
    kernel_options: Annotated[
        KernelOptions, Meta(description="added to the kernel command line of machines that boot it")
    ] = ""


class ExportConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Exports of root file systems to nodes. ``shelf`` and ``buffer`` are AoE's."""

    shelf: Annotated[
        int, Meta(ge=0, le=65534, description="AoE shelf; each image version gets a slot of its own on it")
    ] = 7
    buffer: Annotated[
        int,
        Meta(ge=16, le=16384, description="frames an AoE target holds for its clients; 4096 keeps 500 clients fair"),
    ] = 4096


class FileConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One file for nodes."""

    path: Annotated[
        str,
        Meta(pattern=r"^/[!-~]{1,127}$", description="an absolute path (/opt/site/settings)"),
        Meta(
            description="where the node has it (docs/node-files.md lists the folders)", examples=["/opt/site/settings"]
        ),
    ]
    source: Annotated[
        str,
        Meta(
            pattern=r"^[ -~]{1,4096}$",
            description="a file on this server, absolute or from this file's folder (files/settings)",
            examples=["files/settings"],
        ),
    ]
    mode: Annotated[
        Literal["0644", "0755", "0600", "0700"], Meta(description="its permissions on the node, in quotes")
    ] = "0644"


class NodesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every node."""

    unknown: Annotated[
        Literal["boot", "local"],
        Meta(
            description=(
                "machines that are not listed under `machines`: boot them as nodes, or send them to their local disk"
            ),
        ),
    ] = "boot"
    image: Annotated[
        ImageName, Meta(description="image that machines boot, but for those that `groups` or `machines` give another")
    ] = FIRST_KIND
    slots: Annotated[Slots, Meta(description="jobs at a time; 0: one per processor")] = 0
    kernel_options: Annotated[KernelOptions, Meta(description="added to every node's kernel command line")] = ""
    files: Annotated[
        list[FileConfig],
        Meta(description="files of this server that every node gets when it boots (docs/node-files.md)"),
    ] = field(default_factory=list)
    authorized_keys: Annotated[
        list[PublicKey], Meta(description="public ssh keys that can log in as root, besides the farm's own")
    ] = field(default_factory=list)
    telemetry_port: Annotated[Port, Meta(description="HTTP port on which nodes serve their measurements")] = (
        TELEMETRY_PORT
    )
    strangers: Annotated[
        Literal["allow", "warn", "block"],
        Meta(
            description=(
                "daemons at the scheduler that are neither nodes of this farm nor in `known`: allow them, report them "
                "as a problem if they take jobs, or block them"
            ),
        ),
    ] = "warn"
    known: Annotated[
        list[KnownAddress],
        Meta(
            description=(
                "addresses of other machines that may use the scheduler, such as those that joined with "
                "--accept-jobs; with strangers: block, all machines that joined"
            ),
        ),
    ] = field(default_factory=list)


class ApiConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """farmd's HTTP API on the lab's network; on this server it is at a Unix socket in any case."""

    port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="TCP port on the lab's network, for clients with the token (docs/api.md); 0: none",
        ),
    ] = 0
    orders: Annotated[
        bool, Meta(description="whether clients with the token can also block, unblock and kick nodes over the network")
    ] = False


class MachineConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One machine that differs from the rest."""

    mac: Annotated[Mac, Meta(description="address of the NIC from which it boots", examples=["52:54:00:12:34:56"])]
    name: Annotated[Name, Meta(description="host name, and name at the scheduler", examples=["pc01"])]
    address: Annotated[
        Address | None, Meta(description="fixed IPv4 address; outside the DHCP range", examples=["10.77.0.11"])
    ] = None
    slots: Annotated[
        Slots | None, Meta(description="jobs at a time; unset: as its group or nodes.slots says", examples=[4])
    ] = None
    boot: Annotated[
        Literal["node", "local"], Meta(description="node: boot as a node; local: boot from its local disk")
    ] = "node"
    image: Annotated[
        ImageName | None,
        Meta(description="image that it boots; unset: as its group or nodes.image says"),
    ] = None
    root: Annotated[
        RootName | None,
        Meta(description="how it reads its root file system; unset: as its group, its image or image.root says"),
    ] = None
    kernel_options: Annotated[KernelOptions, Meta(description="added to its kernel command line")] = ""
    files: Annotated[
        list[FileConfig], Meta(description="files that it gets besides those of its group and of nodes.files")
    ] = field(default_factory=list)


class GroupConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Several machines with settings in common."""

    machines: Annotated[
        list[Member],
        Meta(
            description="the machines, each by the name or MAC address; a machine can be in one group",
            examples=[["pc01", "52:54:00:12:34:57"]],
        ),
    ] = field(default_factory=list)
    image: Annotated[ImageName | None, Meta(description="image that they boot; unset: as nodes.image says")] = None
    slots: Annotated[Slots | None, Meta(description="jobs at a time; unset: as nodes.slots says", examples=[4])] = None
    root: Annotated[
        RootName | None,
        Meta(description="how they read their root file systems; unset: as their image or image.root says"),
    ] = None
    kernel_options: Annotated[KernelOptions, Meta(description="added to their kernel command line")] = ""
    files: Annotated[list[FileConfig], Meta(description="files that they get besides those of nodes.files")] = field(
        default_factory=list
    )


class VirtualConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The machines of the virtual lab (`farm up --virtual N`)."""

    memory: Annotated[int, Meta(ge=768, le=1048576, description="RAM of each machine in MiB")] = 1536
    cpus: Annotated[int, Meta(ge=1, le=64, description="number of processors of each machine")] = 2
    nic: Annotated[Literal["virtio", "e1000"], Meta(description="network adapter of the machines")] = "virtio"


class HistoryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of builds (`farm history`)."""

    days: Annotated[int, Meta(ge=1, le=36500, description="maximum age in days")] = 90
    megabytes: Annotated[
        int, Meta(ge=8, le=1048576, description="maximum size; the oldest builds are removed first")
    ] = 256


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

    def kernel_options_of(self, machine: MachineConfig | None) -> str:
        """What is added to a machine's kernel command line: of two values of an option the kernel takes the last."""
        image = self.images.get(self.image_of(machine))
        nearest_last = [section for _, section in self._own(machine)][::-1]
        return " ".join(
            each.kernel_options for each in (self.nodes, image, *nearest_last) if each and each.kernel_options
        )

    def files_of(self, machine: MachineConfig | None) -> list[FileConfig]:
        """The files that a machine gets, one for each path: the nearest wins, machine, group, all."""
        nearest_last = [section for _, section in self._own(machine)][::-1]
        found = {file.path: file for section in (self.nodes, *nearest_last) for file in section.files}
        return list(found.values())

    @property
    def roots(self) -> set[str]:
        """The exports by which machines that boot as nodes read their root file systems."""
        return {self.root_of(machine) for machine in (None, *self.listed) if not machine or machine.boot == "node"}

    def setting(self, machine: MachineConfig | None, key: Literal["image", "root", "slots"]) -> tuple[Place, Any]:
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
            own = {machine.mac, machine.name}
            yield from ((("groups", name), each) for name, each in self.groups.items() if own & set(each.machines))

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
