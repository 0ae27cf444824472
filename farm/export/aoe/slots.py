"""Which slot of its AoE shelf each version has.

A node that runs reads its root over its version's slot for as long as it runs. So a version keeps its slot whatever
becomes of the farm, and a slot of a removed version is given to another as late as can be: a node that still looks for
the removed root must find nothing in its place, rather than another root.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON, FarmError
from farm.export.description import Root
from farm.home import locked, write_atomic

MAX_SLOT = 254
"""Slots are 1 to 254: 255 is the broadcast (AoE specification, section 2.2), and 0 is not used."""


class SlotTable(Struct, frozen=True):
    """The slots of the versions in one store, by their folders' names; the same for all farms that use the store."""

    last: int = 0
    """The slot that was given most recently."""
    slots: dict[str, int] = {}
    gone: list[int] = []
    """Free slots that versions had which were removed, in the order in which these went."""


class _Manifest(Struct, frozen=True):
    """A version's manifest, of which slots were a part once: nodes may be running over those."""

    slot: int | None = None


def slot_of(root: Root) -> int | None:
    """The slot of a version; None when it was given none yet. Raises FarmError when the record cannot be read."""
    slot = _read(root.store).slots.get(root.name)
    return _former(root) if slot is None else slot


def give_slots(store: Path, roots: Sequence[Root]) -> None:
    """See that each version in a store, the oldest first, has a slot.

    Raises FarmError when there are more than a shelf has slots.
    """
    with locked(_path(store).with_suffix(".lock"), "", wait=True):
        before = _read(store)
        former = {root.name: slot for root in roots if (slot := _former(root)) is not None}
        # Another farm may have added versions to the store since these were listed.
        kept = [name for name in before.slots if (store / name).is_dir()]
        after = given(before, list(dict.fromkeys([*kept, *(root.name for root in roots)])), former)
        if after != before:
            write_atomic(_path(store), msgspec.json.encode(after))
    if unnoted := [root for root in roots if root.name not in former]:
        _note(store, unnoted, after.slots)


def take_slots(store: Path, wanted: Mapping[str, str | int]) -> None:
    """See that versions have the slots that another server gave them. Raises FarmError, and changes nothing then.

    ``wanted``: by the versions' folders in the store, where some may not be yet; checked here, for it comes from there.
    """
    with locked(_path(store).with_suffix(".lock"), "", wait=True):
        before = _read(store)
        after = taken(before, wanted)
        if after != before:
            write_atomic(_path(store), msgspec.json.encode(after))


def taken(before: SlotTable, wanted: Mapping[str, str | int]) -> SlotTable:
    """The slots with those that are wanted; raises FarmError where another version has one, or where it is none."""
    slots = {name: slot for name, slot in wanted.items() if isinstance(slot, int) and 0 < slot <= MAX_SLOT}
    holders = {slot: name for name, slot in before.slots.items()}
    for name, slot in wanted.items():
        if name not in slots or list(slots.values()).count(slots[name]) > 1:
            raise FarmError(f"The other server exports {name} in slot {slot}.", "No slot is like that.", "Update it.")
        if (holder := holders.get(slots[name], name)) != name:
            raise FarmError(
                f"Slot {slot}, in which the other server exports {name}, has {holder} here.",
                "Nodes take two servers that export the same slot for one: they must hold the same.",
                f"Remove it here: sudo farm image remove {holder}",
            )
        if (own := before.slots.get(name, slot)) != slot:
            raise FarmError(
                f"{name} has slot {own} here and slot {slot} on the other server.",
                "Nodes that run may read it over either.",
                f"Remove it here, and let it come again: sudo farm image remove {name}",
            )
    gone = [slot for slot in before.gone if slot not in slots.values()]
    return SlotTable(before.last, {**before.slots, **slots}, gone)


def given(before: SlotTable, names: Sequence[str], former: Mapping[str, int]) -> SlotTable:
    """The slots of ``names``: those they have, or had in their manifests (``former``), or else free ones.

    Raises FarmError when there are more names than slots.
    """
    found = {name: before.slots[name] for name in names if name in before.slots}
    for name in names:
        if name not in found and name in former and former[name] not in found.values():
            found[name] = former[name]
    # Of slots that manifests gave the newest version's was given last: it is the last one here.
    last = before.last or next(reversed(found.values()), 0)
    gone = [*before.gone, *(slot for name, slot in before.slots.items() if name not in names)]
    for name in names:
        if name not in found:
            last = found[name] = _free(last, gone, found)
    return SlotTable(last, found, [slot for slot in gone if slot not in found.values()])


def _free(last: int, gone: Sequence[int], found: Mapping[str, int]) -> int:
    """The next slot that no version is known to have had, or the one that has been free for longest."""
    taken = found.values()
    onward = ((last + step) % MAX_SLOT + 1 for step in range(MAX_SLOT))
    for slot in (*(slot for slot in onward if slot not in gone), *gone):
        if slot not in taken:
            return slot
    raise FarmError(
        f"The image store holds more versions than an AoE shelf has slots, {MAX_SLOT}.",
        "Nodes read a version's root over a slot of its own.",
        f"Remove one that no node runs, such as an old one: sudo farm image remove {next(iter(found))}",
    )


def _former(root: Root) -> int | None:
    try:
        slot = msgspec.json.decode((root.folder / "manifest.json").read_bytes(), type=_Manifest).slot
    except (OSError, *NOT_JSON):
        return None
    return slot if slot is not None and 0 < slot <= MAX_SLOT else None


def _note(store: Path, roots: Sequence[Root], slots: Mapping[str, int]) -> None:
    """Write slots into manifests, too: farms of earlier releases may share the store, and read none without.

    Not while the store changes: it is told of again when that has been done.
    """
    with contextlib.suppress(FarmError), locked(store / ".lock", ""):
        for root in roots:
            path = root.folder / "manifest.json"
            with contextlib.suppress(OSError, *NOT_JSON):
                manifest = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
                noted = {**manifest, "slot": slots[root.name]}
                write_atomic(path, msgspec.json.format(msgspec.json.encode(noted)))


def _path(store: Path) -> Path:
    return store / ".aoe" / "slots.json"


def _read(store: Path) -> SlotTable:
    path = _path(store)
    try:
        return msgspec.json.decode(path.read_bytes(), type=SlotTable)
    except FileNotFoundError:
        return SlotTable()
    except (OSError, *NOT_JSON) as error:
        raise FarmError(
            "The record of the images' AoE slots cannot be read.",
            f"{path}: {error}",
            f"Remove {path}, bring the farm up again (sudo farm up), and reboot nodes that wait for their root.",
        ) from error
