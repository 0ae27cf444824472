"""What farm.yaml may not say although every key by itself is well formed: addresses, names, ports that collide."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network
from urllib.parse import urlsplit

import msgspec

from farm.config import BUILT_IN, FIRST_KIND, Config, FileConfig, MachineConfig, NamedImageConfig, Place, own_name
from farm.config.address_rules import address_problems
from farm.config.address_rules import dhcp_range as dhcp_range
from farm.config.address_rules import server_problems as server_problems
from farm.config.machine_words import covers, is_pattern, range_names
from farm.config.problem import Problem as Problem
from farm.config.problem import dotted as dotted
from farm.config.values import DESKTOP_KIND
from farm.node import contract
from farm.node.ports import ICECCD_PORT

RESERVED_NAMES = {
    "localhost": "every computer uses this name for itself",
    "default": "the farm's files for unlisted machines have this name",
}
OWN_NAME = re.compile(r"node-[0-9a-f]{6}")
"""What a node without a name calls itself: the last six hex digits of its MAC address."""

MAX_NAMED = 32
"""Machines that a message names."""
_IPXE_WORDS = ("||", "&&", ";")


def check(config: Config) -> list[Problem]:
    """Everything that is wrong with a well-formed configuration, whatever machine it is for."""
    problems = [
        *_ports(config),
        *_netname(config),
        *_identities(config),
        *_keys(config),
        *_known(config),
        *_kernel_options(config),
        *_images(config),
        *_groups(config),
        *_files(config),
        *_alerts(config),
    ]
    try:
        server = IPv4Interface(config.address)
    except ValueError as error:
        return [*problems, Problem(("address",), f"this is no address: {error}.", fix="Write it like 10.77.0.1/24.")]
    wrong = list(server_problems(server))
    if wrong:
        return [*problems, *wrong]
    return [*problems, *address_problems(config, server)]


def _identities(config: Config) -> Iterator[Problem]:
    """Two machines with one name or MAC address, and names and MAC addresses that none may have."""
    names: dict[str, int] = {}
    macs: dict[str, int] = {}
    for index, machine in enumerate(config.machines):
        if machine.name in names:
            yield Problem(
                ("machines", index, "name"),
                f"{machine.name!r} is also the name of machines[{names[machine.name]}].",
                "The scheduler distinguishes nodes by name.",
                "Give one of them another name.",
            )
        if machine.mac in macs:
            yield Problem(
                ("machines", index, "mac"),
                f"{machine.mac} is also the MAC address of machines[{macs[machine.mac]}].",
                "Machines are identified by their MAC address when they boot.",
                "Remove one of the two, or correct its address.",
            )
        names.setdefault(machine.name, index)
        macs.setdefault(machine.mac, index)
        yield from _forbidden(index, machine)


def _forbidden(index: int, machine: MachineConfig) -> Iterator[Problem]:
    place: Place = ("machines", index, "name")
    own = own_name(machine.mac)
    if machine.name in RESERVED_NAMES:
        yield Problem(
            place, f"{machine.name!r} is reserved.", f"Reason: {RESERVED_NAMES[machine.name]}.", "Choose another name."
        )
    elif OWN_NAME.fullmatch(machine.name) and machine.name != own:
        yield Problem(
            place,
            f"{machine.name!r} can be the name of another machine.",
            "A node without a name is called node- plus the last six digits of its MAC address.",
            f"Choose another name, such as {own}, the default of this machine.",
        )
    if not is_nic(machine.mac):
        yield _no_nic(("machines", index, "mac"), machine.mac)


def is_nic(mac: str) -> bool:
    """Whether an address, in six pairs of hex digits, can be that of one NIC."""
    return not int(mac[:2], 16) & 1 and mac != "00:00:00:00:00:00"


def _no_nic(place: Place, mac: str) -> Problem:
    return Problem(
        place,
        f"{mac} cannot be a NIC's address.",
        "The address is all zeros, or its first byte is odd, as in group addresses (multicast).",
        "Look up the machine's address in its firmware set-up, on its boot screen, or with `ip link`.",
    )


def _ports(config: Config) -> Iterator[Problem]:
    scheduler = config.scheduler.port
    place: Place = ("scheduler", "port")
    fix = "Choose another port."
    taken = {scheduler: "the scheduler's port", scheduler + 1: "the scheduler's control port"}
    if scheduler == 65535:
        yield Problem(place, "65535 is too high.", "The control port is the next one, which does not exist.", fix)
    if ICECCD_PORT in taken:
        yield Problem(place, f"{taken[ICECCD_PORT]} would be {ICECCD_PORT}.", "icecream's daemon uses that port.", fix)
    taken[ICECCD_PORT] = "the port of icecream's daemon"
    if config.http_port in taken:
        port = config.http_port
        yield Problem(("http_port",), f"{port} is also {taken[port]}.", "Both run on this server.", fix, place)
    taken[config.http_port] = "the port of HTTP"
    if config.api.port in taken:
        port = config.api.port
        yield Problem(("api", "port"), f"{port} is also {taken[port]}.", "Both run on this server.", fix)
    telemetry: Place = ("nodes", "telemetry_port")
    for port, of in {22: "the port of ssh", ICECCD_PORT: "the port of icecream's daemon"}.items():
        if port == config.nodes.telemetry_port:
            yield Problem(telemetry, f"{port} is also {of}.", "Both run on every node.", fix)


def _netname(config: Config) -> Iterator[Problem]:
    if not contract.NETNAME.fullmatch(config.netname):
        yield Problem(
            ("scheduler", "netname"),
            f"{config.netname!r} cannot be a netname.",
            "Nodes and iceccd's start scripts accept 1 to 64 letters, digits and _.:@+,=/-, not beginning with a "
            "hyphen.",
            "Choose another one, or none; the default is icecream-NAME.",
        )


def _known(config: Config) -> Iterator[Problem]:
    for index, text in enumerate(config.nodes.known):
        try:
            IPv4Network(text, strict=False)
        except ValueError as error:
            place: Place = ("nodes", "known", index)
            yield Problem(place, f"this is no address: {error}.", fix="Write it like 10.77.0.20 or 10.77.0.128/26.")


def _keys(config: Config) -> Iterator[Problem]:
    keys = config.nodes.authorized_keys
    place: Place = ("nodes", "authorized_keys")
    seen: dict[str, int] = {}
    for index, key in enumerate(keys):
        if key in seen:
            yield Problem((*place, index), f"the same key as authorized_keys[{seen[key]}].", fix="Remove one.")
        if not contract.KEY.fullmatch(key):
            yield Problem(
                (*place, index),
                "a node would not accept this key.",
                "A key consists of its type, its base64 data and a comment of at most 256 characters, with one space "
                "between them; only restricting options can precede it (restrict, no-pty, from=…, expiry-time=…).",
                "Write the line of the .pub file.",
            )
        seen.setdefault(key, index)
    most = contract.MAX_KEYS - contract.FARM_KEYS
    size = len(msgspec.json.encode(keys))
    if len(keys) > most:
        yield Problem(place, f"{len(keys)} keys are too many.", f"A node accepts at most {most}.", "Remove some.")
    elif size > contract.KEYS_BYTES:
        text = f"these keys are too long: {size} bytes in total."
        yield Problem(
            place, text, f"A node accepts at most {contract.KEYS_BYTES}.", "Remove some, or shorten their comments."
        )


def _images(config: Config) -> Iterator[Problem]:
    """Images that there are not, and what an image cannot be made from."""
    for name, image in config.images.items():
        yield from _made_from(name, image)
    known = [*dict.fromkeys((*BUILT_IN, *config.images))]
    users: list[tuple[Place, str | None]] = [(("nodes", "image"), config.nodes.image)]
    users += [(("machines", index, "image"), machine.image) for index, machine in enumerate(config.machines)]
    users += [(("groups", name, "image"), group.image) for name, group in config.groups.items()]
    for place, image_name in users:
        if image_name is not None and image_name not in known:
            near = difflib.get_close_matches(image_name, known, n=1)
            meant = f"Did you mean {near[0]}?" if near else f"Write one of these, or add {image_name} to `images`."
            yield Problem(place, f"there is no image {image_name}.", f"There are: {', '.join(known)}.", meant)


def _made_from(name: str, image: NamedImageConfig) -> Iterator[Problem]:
    """Descriptions that are neither a folder nor a built-in image, and keys that are for others."""
    if "/" in image.description:
        return
    place: Place = ("images", name)
    made_from = image.description or (name if name in BUILT_IN else FIRST_KIND)
    if made_from not in BUILT_IN:
        yield Problem(
            (*place, "description"),
            f"there is no built-in image {made_from}.",
            f"Built-in: {', '.join(BUILT_IN)}.",
            f"Write one of these, or a folder with a slash in it: ./{made_from}",
        )
    if image.kind:
        yield Problem(
            (*place, "kind"),
            "there is no description of your own for which this key is.",
            f"The image is made from {made_from}, and is of that kind.",
            f"Remove the key, or make {name} from another image: description: {image.kind}",
        )
    if image.desktop and made_from in BUILT_IN and made_from != DESKTOP_KIND:
        yield Problem(
            (*place, "desktop"),
            f"{name} has no desktop.",
            f"The image is made from {made_from}: only {DESKTOP_KIND} runs a desktop on the machine itself.",
            f"Remove the key, or make {name} from the other: description: {DESKTOP_KIND}",
        )


def _groups(config: Config) -> Iterator[Problem]:
    """Members that there are not, and machines that are in a group twice or in two groups."""
    macs = {machine.name: machine.mac for machine in config.machines}
    first: dict[str, Place] = {}
    for group, settings in config.groups.items():
        for index, member in enumerate(settings.machines):
            place: Place = ("groups", group, "machines", index)
            found = {each.mac: each.name for each in config.machines if covers(member, each.mac, each.name)}
            if ":" in member:
                found.setdefault(member, member)
                if member not in macs.values() and not is_nic(member):
                    yield _no_nic(place, member)
            missing = [name for name in range_names(member) or [member] if name not in macs]
            if missing and not (found and (":" in member or is_pattern(member))):
                yield _no_member(place, member, missing, list(macs))
            for mac, name in found.items():
                if mac in first:
                    text = f"{name} is also {dotted(first[mac])}."
                    yield Problem(
                        place, text, "A machine is in one group, so that one image holds for it.", "Remove one."
                    )
                first.setdefault(mac, place)


def _no_member(place: Place, member: str, missing: list[str], names: list[str]) -> Problem:
    """``missing``: which of those that the member means there are not."""
    if is_pattern(member):
        return Problem(place, f"no machine in `machines` matches {member}.", _named(names), "Change it, or remove it.")
    near = difflib.get_close_matches(member, names, n=1)
    told = ", ".join(missing[:MAX_NAMED])
    text = f"there is no machine {told} in `machines`."
    fix = "Add it to `machines`, or write its MAC address." if missing == [member] else "Add them, or end it before."
    return Problem(place, text, _named(names), f"Did you mean {near[0]}?" if near else fix)


def _named(names: list[str]) -> str:
    return f"Named there: {', '.join(names[:MAX_NAMED])}." if names else "No machine is named there."


def _files(config: Config) -> Iterator[Problem]:
    """Files at places that a node does not accept, or more than it accepts."""
    sections: list[tuple[Place, list[FileConfig]]] = [(("nodes",), config.nodes.files)]
    sections += [(("machines", index), machine.files) for index, machine in enumerate(config.machines)]
    sections += [(("groups", name), group.files) for name, group in config.groups.items()]
    for place, files in sections:
        seen: dict[str, int] = {}
        for index, file in enumerate(files):
            here: Place = (*place, "files", index, "path")
            if not contract.FILE_PATH.fullmatch(file.path):
                text = f"{file.path} is not a place for files."
                yield Problem(here, text, f"Nodes accept files there: {contract.FILE_PLACES}.", "Choose one of these.")
            elif file.path in seen:
                yield Problem(here, f"the same path as files[{seen[file.path]}].", fix="Remove one.")
            seen.setdefault(file.path, index)
    for machine in (None, *config.listed):
        if len(given := config.files_of(machine)) > contract.MAX_FILES:
            text = f"{machine.name if machine else 'every node'} would get {len(given)} files."
            yield Problem(("nodes", "files"), text, f"A node accepts at most {contract.MAX_FILES}.", "Remove some.")
            return


def _alerts(config: Config) -> Iterator[Problem]:
    """Receivers that are no one, or two at once."""
    for index, alert in enumerate(config.alerts):
        place: Place = ("alerts", index)
        if bool(alert.command) == bool(alert.url):
            text = "this receiver has both a command and a url." if alert.url else "there is no command and no url."
            yield Problem(place, text, "A receiver is one of the two.", "Keep one of them, or add one.")
        elif alert.command and not alert.command[0].startswith("/"):
            text = f"{alert.command[0]} is no absolute path."
            yield Problem((*place, "command"), text, "farmd has no PATH of yours.", "Write it with its folder.")
        elif alert.url and not _names_a_host(alert.url):
            text = f"{alert.url} names no host."
            yield Problem((*place, "url"), text, "farmd could tell nobody.", "Write it like https://hooks.lan/farm.")


def _names_a_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname and urlsplit(url).port != 0)
    except ValueError:
        return False


def _kernel_options(config: Config) -> Iterator[Problem]:
    yield from options_problems(("nodes", "kernel_options"), config.nodes.kernel_options)
    for index, machine in enumerate(config.machines):
        yield from options_problems(("machines", index, "kernel_options"), machine.kernel_options)
    for section, entries in (("images", config.images), ("groups", config.groups)):
        for name, entry in entries.items():
            yield from options_problems((section, name, "kernel_options"), entry.kernel_options)


def options_problems(place: Place, text: str) -> Iterator[Problem]:
    """What keeps ``text`` from reaching a kernel through iPXE as it is, and the farm's own options from counting."""
    for word in text.split():
        if contract.OWN_OPTION.fullmatch(word):
            why = "The initrd and the node find their server by the farm's own value."
            yield Problem(place, f"{word} is an option that only the farm can set.", why, "Remove it.")
        elif word in _IPXE_WORDS or word.startswith("#") or "${" in word:
            why = "In an iPXE script, this ends a command, begins a comment or names a variable."
            yield Problem(place, f"iPXE would interpret {word}.", why, "Remove it.")
    if text.count('"') % 2:
        yield Problem(place, "a quotation mark is not closed.", fix='Close it: name="a value"')
