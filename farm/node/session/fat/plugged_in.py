"""What a fat client's desktop has mounted of sticks and discs: none of it outlives the session, and all is written."""

from __future__ import annotations

from farm.node.session.fat import unmounting
from farm.node.session.fat.unmounting import Unmounted

PLACES = ("/media", "/run/media")
"""udisks(8) mounts for a user in a folder there that has the user's name."""
_LEFT = {
    Unmounted.WHOLE: "",
    Unmounted.IN_USE: "A stick was still in use when you were logged out: look whether your last changes are on it.",
    Unmounted.BEING_WRITTEN: "A stick was still being written to when you were logged out: leave it plugged in for "
    "some minutes, and this machine on.",
}


def unmount(user: str, seconds: float) -> str:
    """Unmount all that is the user's, when no program of the session is left; what there is to say, or empty."""
    folders = unmounting.mounted_below(*(f"{place}/{user}" for place in PLACES))
    said = dict.fromkeys(_LEFT[unmounting.unmount(folder, seconds)] for folder in folders)
    return " ".join(filter(None, said))
