"""A joined workstation that offers its slots, fewer while somebody uses it: as a fat client does (farm/node/desk/).

The distribution's iceccd has the slots that stay; the others are those of a second one, which comes and goes. The units
are those of the image ``fat-client``, but that their settings last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from farm import command
from farm.home import write_atomic
from farm.image.kinds import layer_dir
from farm.node.contract import SPARE
from farm.node.desk.keep_slots import SETTINGS
from farm.node.desk.policy import slots_when_used
from farm.node.ports import ICECCD_PORT, SPARE_ICECCD_PORT
from farm.workstation.join import desk_program
from farm.workstation.join.candidates import Target
from farm.workstation.join.desk_program import PROGRAM

UNITS = Path("/etc/systemd/system")
LAYER_UNITS = "root/etc/systemd/system"
SPARE_UNIT, DESK_UNIT, SLICE = "iceccd-spare.service", "farm-desk.service", "iceccd.slice"
SPARE_FILE, DESK_FILE = Path("/etc/farm/iceccd-spare.env"), Path("/etc/farm/desk.json")
BOOTED_ONLY = ("Wants=farm-node-configure.service\n", "PartOf=farm-node-configure.service\n")
"""What units say that a booted machine alone has."""
BESIDE_A_DESKTOP = """\
# Made by `farm join --share`: jobs of others run when nobody here wants the processor, and end first.
[Service]
Slice=iceccd.slice
OOMScoreAdjust=1000
OOMPolicy=continue
IOSchedulingClass=idle
"""


class Share(Struct, frozen=True):
    """How a workstation offers its slots; ``policy``: one of `farm.node.contract.WHEN_USED`."""

    policy: str
    slots: int
    free_minutes: int = 10

    @property
    def stay(self) -> int:
        """The slots that stay while somebody uses it."""
        return slots_when_used(self.policy, self.slots)


def contents(share: Share, target: Target, name: str, service: str) -> dict[Path, str]:
    """What each file is to say. ``name``: with which this machine logs in; ``service``: the distribution's iceccd."""
    layer = layer_dir("fat-client") / LAYER_UNITS
    spare = {
        "FARM_SCHEDULER": f"{target.scheduler}:{target.port}",
        "FARM_NETNAME": target.netname,
        "FARM_SPARE_NAME": name + SPARE,
        "FARM_SPARE_SLOTS": str(share.slots - share.stay),
    }
    settings = {"slots": share.slots, "stay": share.stay, "free_after": share.free_minutes * 60.0}
    return {
        DESK_FILE: json.dumps(settings) + "\n",
        SPARE_FILE: "".join(f'{key}="{value}"\n' for key, value in spare.items()),
        UNITS / SLICE: (layer / SLICE).read_text(),
        UNITS / SPARE_UNIT: _unit((layer / SPARE_UNIT).read_text()),
        UNITS / DESK_UNIT: _unit((layer / DESK_UNIT).read_text()) + "\n[Install]\nWantedBy=multi-user.target\n",
        UNITS / f"{service}.service.d/farm-share.conf": BESIDE_A_DESKTOP,
    }


def _unit(text: str) -> str:
    """A unit of the image, for a machine that keeps its files."""
    for line in BOOTED_ONLY:
        text = text.replace(line, "")
    text = text.replace("EnvironmentFile=/run/farm/iceccd.env", f"EnvironmentFile={SPARE_FILE}")
    take = f"ExecStartPre=/usr/bin/install -D -m 644 {DESK_FILE} /{SETTINGS}\n"
    program = f"{take}ExecStart={desk_program.interpreter()} -I {PROGRAM}"
    return text.replace("ExecStart=/usr/bin/python3 -I -m farm.node", program)


def paths(service: str) -> tuple[Path, ...]:
    """All files that sharing makes; of a machine that does not share, none is there."""
    units = (UNITS / SLICE, UNITS / SPARE_UNIT, UNITS / DESK_UNIT, UNITS / f"{service}.service.d/farm-share.conf")
    return (PROGRAM, DESK_FILE, SPARE_FILE, *units)


def write(files: Mapping[Path, str]) -> bool:
    """Write the files, and the program; whether one of them was another before."""
    changed = False
    for path, content in {PROGRAM: desk_program.packed(), **{path: files[path].encode() for path in files}}.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content, mode=0o644)
            changed = True
    return changed


def start() -> None:
    """Have systemd read the units, and offer the slots from now on, and after each boot. Raises CommandError."""
    command.run(["systemctl", "daemon-reload"], timeout=120)
    command.run(["systemctl", "enable", "--quiet", DESK_UNIT], timeout=120)
    command.run(["systemctl", "restart", DESK_UNIT], timeout=120)


def stop() -> None:
    """Offer no more slots: the second iceccd ends at once. Nothing happens where none are shared."""
    if (UNITS / DESK_UNIT).exists():
        command.run(["systemctl", "disable", "--quiet", "--now", DESK_UNIT], check=False, timeout=120)
        command.run(["systemctl", "stop", SPARE_UNIT], check=False, timeout=120)


def remove(service: str) -> bool:
    """Offer no more slots, and take the files away; whether there were any."""
    there = [path for path in paths(service) if path.exists()]
    if there:
        stop()
        for path in there:
            path.unlink()
        command.run(["systemctl", "daemon-reload"], check=False, timeout=120)
    return bool(there)


def notes(share: Share) -> tuple[str, ...]:
    """What who shares has to know and to do."""
    ports = f"{ICECCD_PORT} and {SPARE_ICECCD_PORT}"
    return (
        f"This machine offers {share.stay} of its {share.slots} slots while somebody uses it, otherwise all of them.",
        f"Other machines send it sources at TCP ports {ports}, and it compiles for all that reach them: open them to "
        "the lab's network and to nothing else.",
    )


def processors() -> int:
    """How many slots a machine has of which nobody says it."""
    return os.cpu_count() or 1
