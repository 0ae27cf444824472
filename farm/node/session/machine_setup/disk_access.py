"""LOCALDEV and what is denied by it, on a machine with a desktop of its own: udev is asked again of what it has seen.

What it is told then is decided in `farm.node.session.media.desktop_disks`.
"""

from __future__ import annotations

from farm.node.session.machine_setup import Change, ThinMachine

RULES = "/etc/udev/rules.d/72-farm-disks.rules"
"""Of images with a desktop."""


def change(place: ThinMachine) -> Change:
    """udev looks at the disks at the same time as the machine asks for lts.conf, and may have been earlier."""
    if not place.has(RULES) or not any(key.startswith("LOCALDEV") for key in place.lts.found):
        return Change()
    return Change(commands=(("udevadm", "trigger", "--action=change", "--subsystem-match=block"),))
