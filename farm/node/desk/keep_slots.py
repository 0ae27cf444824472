"""`farm-node desk`: keeps the number of slots of a machine at what its policy says, as people come and go."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import NamedTuple

from farm.node.desk import FOLDER, STATE
from farm.node.desk.job_memory import ShownMemory, bounds, free_for_jobs, total_memory
from farm.node.desk.presence import Presence
from farm.node.desk.spare_daemon import SpareDaemon, order_systemd
from farm.node.files import write

SETTINGS = f"{FOLDER}/settings.json"
LOOK_SECONDS = 0.5
SLICE = "iceccd.slice"


class DeskSettings(NamedTuple):
    """What the machine was told: how many slots it has, how many stay when it is used, and what counts as left."""

    slots: int
    stay: int
    free_after: float
    """In seconds, since the last sign of anybody."""


class SlotKeeper:
    """Looks who is there, and has the spare iceccd, and what both are shown of memory, follow."""

    def __init__(self, root: str, settings: DeskSettings, presence: Presence, spare: SpareDaemon) -> None:
        self._root = root
        self._settings = settings
        self._presence = presence
        self._spare = spare
        self._most = bounds(total_memory(root)).most
        self._first_shown, self._spare_shown = shown_files(root)
        self._written: dict[str, object] = {}

    def step(self, now: float) -> None:
        """Look once. Raises OSError when /run cannot be written."""
        used = self._presence.look(now)
        slots, stay = self._settings.slots, self._settings.stay
        wanted = not used and stay < slots
        free = free_for_jobs(self._root, self._most)
        show_memory(self._first_shown, stay or slots, slots, self._most, free)
        show_memory(self._spare_shown, slots - stay, slots, self._most, free if wanted else 0)
        if stay < slots:
            self._spare.follow(wanted, now)
        self._tell({"in_use": used, "offered": slots if wanted else stay, "ending": self._spare.jobs})

    def _tell(self, state: dict[str, object]) -> None:
        """For the agent, which tells the server."""
        if state != self._written:
            write(os.path.join(self._root, STATE), json.dumps(state) + "\n")
            self._written = state


def shown_files(root: str) -> tuple[ShownMemory, ShownMemory]:
    """What the two iceccds have at /proc/meminfo: the first, and the spare one."""
    return tuple(ShownMemory(os.path.join(root, FOLDER, f"{name}-meminfo")) for name in ("first", "spare"))  # type: ignore[return-value]


def show_memory(shown: ShownMemory, own_slots: int, slots: int, most: int, free: int) -> None:
    """Show an iceccd its part, by its slots: the limits of all jobs together then stay within the bound."""
    part = own_slots / slots
    shown.show(int(most * part), int(free * part))


def set_up(root: str, slots: int, stay: int, free_after: float) -> None:
    """Leave the settings, and the files that the iceccds need when they start. Raises OSError."""
    write(os.path.join(root, SETTINGS), json.dumps({"slots": slots, "stay": stay, "free_after": free_after}) + "\n")
    most = bounds(total_memory(root)).most
    for shown, own in zip(shown_files(root), (stay or slots, slots - stay), strict=True):
        show_memory(shown, own, slots, most, most)


def main(root: str = "/") -> int:
    """Keep the slots until SIGTERM."""
    with open(os.path.join(root, SETTINGS), encoding="utf-8") as file:
        settings = DeskSettings(**json.load(file))
    keeper = SlotKeeper(root, settings, Presence(settings.free_after), SpareDaemon())
    _bound_memory(root)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        keeper.step(time.monotonic())
        stop.wait(LOOK_SECONDS)
    return 0


def _bound_memory(root: str) -> None:
    """What jobs may use depends on the machine, so that the unit cannot say it."""
    high, most = bounds(total_memory(root))
    try:
        order_systemd(["set-property", "--runtime", SLICE, f"MemoryHigh={high}", f"MemoryMax={most}"])
    except OSError as error:
        sys.stderr.write(f"farm-desk: {SLICE} has no bound: {error}\n")
        sys.stderr.flush()
