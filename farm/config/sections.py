"""The sections of farm.yaml: their keys, types, defaults and help texts (see farm/config/__init__.py)."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct, field

from farm.config.values import (
    Address,
    AlertAddress,
    AlertEvent,
    AlertWord,
    Compression,
    DesktopName,
    DomainName,
    Duration,
    FreeMinutes,
    ImageName,
    KernelOptions,
    KindName,
    KnownAddress,
    Mac,
    Member,
    Name,
    Netname,
    Package,
    Port,
    PublicKey,
    PublishedAddress,
    RootName,
    Slots,
    WhenUsed,
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


class DhcpConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses that the farm hands out."""

    first: Annotated[Address, Meta(description="first address of the range for nodes")] = "10.77.0.50"
    last: Annotated[Address, Meta(description="last address of that range")] = "10.77.0.250"
    lease: Annotated[Duration, Meta(description="lease time of an address")] = "12h"
    name_servers: Annotated[
        list[Address],
        Meta(
            max_length=3,
            description="servers that machines with a log-in ask for addresses of names; without any they know none",
        ),
    ] = field(default_factory=list)
    domain: Annotated[DomainName, Meta(description="domain in which they look up names without a dot")] = ""


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
    kind: Annotated[
        KindName | None,
        Meta(
            description=(
                "the built-in image as which its machines work, for a description that stands alone: one that "
                "includes no built-in image (docs/own-images.md)"
            )
        ),
    ] = None
    packages: Annotated[
        list[Package], Meta(description="Debian packages to install besides those of the description")
    ] = field(default_factory=list)
    desktop: Annotated[
        DesktopName | None,
        Meta(
            description=(
                "the desktop of fat clients; none: what its packages bring (docs/fat-clients.md); unset: xfce, if its "
                "machines run a desktop themselves"
            )
        ),
    ] = None
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
    when_used: Annotated[
        WhenUsed,
        Meta(
            description=(
                "how many of its slots a machine with a desktop of its own offers while somebody uses it: all, half, "
                "one or none"
            )
        ),
    ] = "half"
    free_after: Annotated[
        FreeMinutes,
        Meta(
            description=(
                "minutes without input, or with a locked or idle screen, after which a machine counts as free although "
                "somebody is logged in"
            ),
        ),
    ] = 10
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
    when_used: Annotated[
        WhenUsed | None,
        Meta(description="slots while somebody uses it; unset: as its group or nodes.when_used says"),
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
    when_used: Annotated[
        WhenUsed | None, Meta(description="slots while somebody uses them; unset: as nodes.when_used says")
    ] = None
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
    sound: Annotated[
        Literal["silent", "recorded"], Meta(description="what becomes of the sound of machines at which people sit")
    ] = "silent"


class AlertConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One receiver of alerts: a command, or an address of HTTP."""

    command: Annotated[
        list[AlertWord],
        Meta(
            description=(
                "program with its arguments, each an item; it gets the event as JSON on its standard input, and no "
                "shell reads anything of it"
            ),
            examples=[["/usr/local/bin/tell-admins"]],
        ),
    ] = field(default_factory=list)
    url: Annotated[AlertAddress, Meta(description="address to which the event is sent as JSON (POST)")] = ""
    events: Annotated[
        list[AlertEvent],
        Meta(description="events that it gets, see docs/server.md; none: all", examples=[["node-lost"]]),
    ] = field(default_factory=list)
    user: Annotated[
        str,
        Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$", description="the name of a user of this server (nobody)"),
        Meta(description="the user as whom the command runs"),
    ] = "nobody"
    seconds: Annotated[int, Meta(ge=1, le=60, description="time limit of an attempt in seconds")] = 10


class HistoryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of builds (`farm history`)."""

    days: Annotated[int, Meta(ge=1, le=36500, description="maximum age in days")] = 90
    megabytes: Annotated[
        int, Meta(ge=8, le=1048576, description="maximum size; the oldest builds are removed first")
    ] = 256
