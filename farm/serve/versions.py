"""Which image versions nodes may run, of every farm that uses the image store."""

from __future__ import annotations

import time
from dataclasses import dataclass

from farm.api.client import fetch_status
from farm.errors import FarmError
from farm.home import Home
from farm.image.store import Store
from farm.image.uses import User, noted, users
from farm.instance import Instance

JUST_UP_SECONDS = 300.0
"""After a farm has come up: by then its nodes that were left running have been heard of."""


@dataclass(frozen=True)
class Use:
    """Why a version must stay, and what frees it."""

    why: str
    mend: str


def versions_in_use(home: Home) -> dict[str, Use]:
    """Versions that nodes of any farm may run, this one's and those that share its image store."""
    store = Store(home.images)
    own = noted(store, home)
    others = [user for user in users(store) if user.home != own.home]
    return {version: use for user in (*others, own) for version, use in _versions(store, user).items()}


def _versions(store: Store, user: User) -> dict[str, Use]:
    home = user.at()
    farm = " ".join(["farm", *home.options])
    reboot = f"Reboot the node to move it to the new version: sudo {farm} node reboot NODE"
    instance = Instance.known(home)
    if instance is None:
        why = "Nodes were still running this version when their farm went down."
        mend = f"Bring that farm up to find out what its nodes run: sudo {farm} up"
        return dict.fromkeys([*user.kept, *user.served], Use(why, mend))
    try:
        nodes = fetch_status(home).nodes
    except FarmError:
        use = Use("farmd does not answer, so the versions of the nodes are not known.", f"Restart it: sudo {farm} up")
        return {manifest.image: use for manifest in store.list()}
    live = Use("A running node uses it as its root file system.", reboot)
    fresh = time.time() - instance.started < JUST_UP_SECONDS
    kept = Use(
        "Nodes that were left on may run this version, and may not have been heard of yet.",
        f"Wait, then check: {farm} node list",
    )
    return {
        **dict.fromkeys(user.kept if fresh else [], kept),
        **dict.fromkeys((node.image for node in nodes if node.image), live),
        **{image: _next_boots(farm, image) for image in instance.images.values()},
    }


def _next_boots(farm: str, image: str) -> Use:
    name, slash, _ = image.rpartition("/")
    another = f"Choose another first: sudo {farm} image use {name}{slash}VERSION"
    leave = f", or give its machines another image in farm.yaml: sudo {farm} up" if name else ""
    return Use("This version is chosen for next boots.", another + leave)
