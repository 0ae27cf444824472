"""The role compile: iceccd takes jobs of others from the farm's scheduler."""

from __future__ import annotations

import os
import pwd

from farm.node.contract import (
    MAX_FREE_MINUTES,
    MAX_SLOTS,
    NETNAME,
    SCHEDULER,
    SPARE,
    WHEN_USED,
    SettingsError,
    number_of,
    text_of,
)
from farm.node.desk import STATE
from farm.node.files import read, write
from farm.node.finding import finding, why_silent
from farm.node.ports import ICECCD_PORT, SPARE_ICECCD_PORT
from farm.node.roles import TYPE_CHECKING, Probe, Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from farm.node.metrics import Family
    from farm.node.roles import Finding, Node, Said, Section

ENVIRONMENT = "run/farm/iceccd.env"
"""What iceccd.service takes its arguments from (systemd's EnvironmentFile)."""
FOLDER = "/var/cache/icecc"
"""Where iceccd unpacks toolchains (its option ``-b``)."""
WHEN_USED_UNSAID, FREE_AFTER = "half", 10
"""What holds where the server does not say ``when_used`` or ``free_after``."""


class Compile(Role):
    """Its settings: ``netname``, ``scheduler`` (ADDRESS:PORT), ``slots`` (0: one per processor).

    And, for machines at which people sit, ``when_used`` (how many slots stay then) and ``free_after`` (minutes without
    a sign of anybody, after which the machine is free). A server from before them says neither.
    """

    def parse(self, said: Said) -> dict[str, Any]:
        """At the top of what is said, where images from before roles look for them."""
        return {
            "netname": text_of(said, "netname", NETNAME),
            "scheduler": text_of(said, "scheduler", SCHEDULER),
            "slots": number_of(said, "slots", 0, MAX_SLOTS),
            "when_used": _when_used(said),
            "free_after": number_of({"free_after": FREE_AFTER, **said}, "free_after", 1, MAX_FREE_MINUTES),
        }

    def set_up(self, root: str, node: Node) -> str:
        """Write iceccd's settings, and give it its folder."""
        settings = node["roles"]["compile"]
        _environment_folder(os.path.join(root, FOLDER[1:]))
        stay = slots(settings)
        if "session" in node["roles"]:
            stay = _set_up_desk(root, settings)
        write(os.path.join(root, ENVIRONMENT), iceccd_environment(settings, node["name"], stay))
        used = f" ({stay} while somebody uses the machine)" * (stay < slots(settings))
        return f"{slots(settings)} slots{used} for {settings['netname']}, scheduler {settings['scheduler']}"

    def advertised(self, settings: dict[str, Any]) -> dict[str, str]:
        """How many jobs it takes at a time."""
        return {"slots": str(slots(settings))}

    def probe(self, settings: dict[str, Any]) -> Probe:
        """iceccd's process and folder."""
        return CompileProbe(slots(settings))

    def kept(self, section: Section) -> dict[str, Any]:
        """The two that such programs do not do without."""
        return {"iceccd": section["ready"], "slots": section["slots"]}

    def metrics(self, section: Section) -> list[Family]:
        """Whether iceccd runs, and how many jobs it takes."""
        return [
            ("iceccd_up", "gauge", "Whether icecream's daemon runs.", [({}, float(section["ready"]))]),
            ("slots", "gauge", "Jobs this node takes at a time.", [({}, section["slots"])]),
        ]

    def examine(self, root: str, settings: dict[str, Any]) -> list[Finding]:
        """Whether this machine is fit to compile."""
        folder = os.path.join(root, FOLDER[1:])
        iceccds = [_iceccd(), *_spare_iceccd(root)]
        return [*iceccds, _owner(folder), _room(folder, slots(settings)), _scheduler(settings["scheduler"])]


ROLE = Compile()


def slots(settings: dict[str, Any]) -> int:
    """Jobs that it takes at a time."""
    return int(settings["slots"]) or os.cpu_count() or 1


def _when_used(said: Said) -> str:
    policy = said.get("when_used", WHEN_USED_UNSAID)
    if not isinstance(policy, str) or policy not in WHEN_USED:
        raise SettingsError(f"when_used is none of {', '.join(WHEN_USED)}")
    return policy


def _set_up_desk(root: str, settings: dict[str, Any]) -> int:
    """Prepare the slots' changes as people come and go; returns how many slots stay."""
    from farm.node.desk import keep_slots  # machines without people do without
    from farm.node.desk.policy import slots_when_used

    stay = slots_when_used(settings["when_used"], slots(settings))
    keep_slots.set_up(root, slots(settings), stay, settings["free_after"] * 60.0)
    return stay


def iceccd_environment(settings: dict[str, Any], name: str, stay: int | None = None) -> str:
    """The variables of iceccd.service (the values' characters were checked).

    ``stay``: the slots that stay while somebody uses the machine, None: all. The others are the spare iceccd's.
    """
    total = slots(settings)
    stay = total if stay is None else stay
    values = {
        "FARM_SCHEDULER": settings["scheduler"],
        "FARM_NETNAME": settings["netname"],
        "FARM_NAME": name,
        "FARM_SLOTS": str(stay),
    }
    if stay < total:
        values |= {"FARM_SPARE_NAME": name + SPARE, "FARM_SPARE_SLOTS": str(total - stay)}
    return "".join(f'{key}="{value}"\n' for key, value in values.items())


def _environment_folder(path: str) -> None:
    """It takes no remote jobs unless the folder is its own."""
    os.makedirs(path, exist_ok=True)
    user = pwd.getpwnam("icecc")
    os.chown(path, user.pw_uid, user.pw_gid)


class CompileProbe(Probe):
    """Whether iceccd runs, and which toolchains it holds."""

    def __init__(self, slots: int, folder: str = FOLDER, desk: str = f"/{STATE}") -> None:
        from farm.node.environments import Environments  # psutil, which the next one brings, is not for the boot
        from farm.node.process import Process

        self.slots = slots
        self.desk = desk
        self.environments = Environments(folder)
        self.iceccd = Process("iceccd")

    def look(self) -> Section:
        """iceccd's state; bytes of RAM for each toolchain; on a machine with people what it offers now."""
        return {
            "ready": self.iceccd.find() is not None,
            "slots": self.slots,
            "environments": self.environments.look(),
            **_desk_state(self.desk),
        }

    def stages(self) -> dict[str, float]:
        """When iceccd was started."""
        started = self.iceccd.started()
        return {} if started is None else {"iceccd": started}


def _desk_state(path: str) -> dict[str, Any]:
    """``in_use``, ``offered`` (slots) and ``ending`` (jobs in slots that are no longer offered); empty elsewhere."""
    import json

    try:
        said: dict[str, Any] = json.loads(read(path))
    except ValueError:
        return {}
    return said


def _iceccd() -> Finding:
    why = why_silent("127.0.0.1", ICECCD_PORT)
    seen = why or f"iceccd answers on TCP port {ICECCD_PORT}."
    return finding("node-iceccd", not why, seen, "systemctl restart iceccd; journalctl -u iceccd")


def _spare_iceccd(root: str) -> Iterator[Finding]:
    """Of a machine at which people sit: the iceccd of the slots that it offers while nobody does."""
    from farm.node.desk.keep_slots import SETTINGS

    told, state = (_desk_state(os.path.join(root, file)) for file in (SETTINGS, STATE))
    if told and told["stay"] < told["slots"] and not state.get("in_use", True):
        why = why_silent("127.0.0.1", SPARE_ICECCD_PORT)
        seen = why or f"The spare iceccd answers on TCP port {SPARE_ICECCD_PORT}."
        order = "systemctl restart iceccd-spare; journalctl -u iceccd-spare"
        yield finding("node-iceccd-spare", not why, seen, order)


def _owner(folder: str) -> Finding:
    try:
        owner = pwd.getpwuid(os.stat(folder).st_uid).pw_name
    except (OSError, KeyError) as error:
        return finding("node-folder", False, str(error), f"install -d -o icecc {folder}")
    return finding("node-folder", owner == "icecc", f"{folder} belongs to {owner}.", f"chown icecc {folder}")


def _room(folder: str, slots: int) -> Finding:
    from farm.node.environments import ROOM_PER_SLOT

    wanted = ROOM_PER_SLOT * (slots + 1)
    try:
        stat = os.statvfs(folder)
    except OSError as error:
        return finding("node-space", False, str(error), f"install -d -o icecc {folder}")
    free = stat.f_bavail * stat.f_frsize
    seen = f"{free >> 20} MiB are free in {folder}, {wanted >> 20} are needed."
    return finding("node-space", free >= wanted, seen, "reboot, or give it more RAM or fewer slots")


def _scheduler(address: str) -> Finding:
    host, _, port = address.partition(":")
    why = why_silent(host, int(port))
    return finding("node-scheduler", not why, why or f"{address} answers.", "farm status on the server")
