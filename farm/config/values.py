"""The values of farm.yaml's keys: what each looks like, and what it is called in errors and docs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from farm.node.contract import MAX_FREE_MINUTES, MAX_PORT, MAX_SLOTS

Mac = Annotated[
    str, Meta(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$", description="six pairs of hex digits (52:54:00:12:34:56)")
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        description="at most 32 lower-case letters, digits and hyphens (lab-2)",
    ),
]
Address = Annotated[str, Meta(pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}$", description="an IPv4 address (10.77.0.50)")]
OptionalAddress = Annotated[
    str, Meta(pattern=r"^(([0-9]{1,3}\.){3}[0-9]{1,3})?$", description="an IPv4 address (10.77.0.2)")
]
ServerAddress = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$",
        description="an IPv4 address with its prefix length (10.77.0.1/24)",
    ),
]
Interface = Annotated[
    str, Meta(pattern=r"^[!-.0-9;-~]{0,15}$", description="a network interface's name as `ip link` shows it (eno2)")
]
DomainName = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?){0,10})?$(?!\n)",
        description="a domain's name (school.lan)",
    ),
]
Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,5}[mh]$", description="minutes or hours (30m, 12h)")]
Netname = Annotated[
    str, Meta(pattern=r"^[!-~]{0,64}$", description="at most 64 letters, digits and _.:@+,=/-, no hyphen first")
]
KernelOptions = Annotated[str, Meta(pattern=r"^[ -~]*$", max_length=512, description="at most 512 ASCII characters")]
PublicKey = Annotated[
    str,
    Meta(
        pattern=r"(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ AAAA",
        max_length=16384,
        description="a line of a .pub file (ssh-ed25519 AAAA... name)",
    ),
]
KnownAddress = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}(/[0-9]{1,2})?$",
        description="an IPv4 address, or a network with its prefix length (10.77.0.20, 10.77.0.128/26)",
    ),
]
PublishedAddress = Annotated[
    str, Meta(pattern=r"^(https?://[!-~]{1,1024})?$", description="an address of HTTP or HTTPS (http://server/images)")
]
KindName = Literal["icecream-node", "thin-client", "fat-client"]
"""A built-in kind of image, which is the name of an image too; what each is, farm/image/kinds.py says."""
RootName = Literal["aoe", "nbd", "nfs"]
"""An export: a way by which nodes read their root file systems; what each is, farm/export says."""
ImageName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        description="the name of an image, built in or of `images` (icecream-node)",
    ),
]
Package = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]{1,99}$", description="the name of a Debian package (gdb)")]
Member = Annotated[
    str,
    Meta(
        pattern=(
            r"^(([0-9a-f]{2}:){5}[0-9a-f]{2}|[a-z0-9*?]([a-z0-9*?-]{0,30}[a-z0-9*?])?"
            r"|[a-z0-9][a-z0-9-]{0,31}\.\.[a-z0-9][a-z0-9-]{0,31})$"
        ),
        description=(
            'the MAC address of a machine, its name in `machines`, several by pc01..pc30 or "pc*" (52:54:00:12:34:56)'
        ),
    ),
]
AlertEvent = Literal["node-lost", "node-back", "drain-ended", "image-built", "image-failed", "problem", "problem-over"]
"""What farmd tells receivers of alerts; docs/server.md says when."""
AlertWord = Annotated[str, Meta(pattern=r"^[^\x00]{1,4096}$", description="a word (/usr/local/bin/tell-admins)")]
AlertAddress = Annotated[
    str,
    Meta(pattern=r"^(https?://[!-~]{1,1024})?$", description="an address of HTTP or HTTPS (https://hooks.lan/farm)"),
]
Compression = Literal["fast", "small"]
DesktopName = Literal["xfce", "lxqt", "none"]
"""A desktop that machines can run themselves; each but none is a layer, images/desktop-NAME."""
DESKTOP_KIND: KindName = "fat-client"
"""The kind of image whose machines run a desktop."""
Port = Annotated[int, Meta(ge=1, le=MAX_PORT)]
Slots = Annotated[int, Meta(ge=0, le=MAX_SLOTS)]
WhenUsed = Literal["full", "half", "one", "none"]
FreeMinutes = Annotated[int, Meta(ge=1, le=MAX_FREE_MINUTES)]
