"""Exports: the ways by which nodes read their root file systems over the network.

Each way is a module of this room, which says of itself what description.py declares. Everything else asks the functions
below, and knows no way by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from farm.config import TREE_ROOT, Config
from farm.errors import FarmError
from farm.export.aoe import Aoe
from farm.export.description import Export, Root
from farm.export.nbd import Nbd
from farm.export.nfs import Nfs, tree_address
from farm.image.store import Manifest, Store
from farm.instance import Instance
from farm.supervisor import Service

LARGE_FRAME = 4096
"""Bytes: smaller ones carry one or a few KiB of a root by AoE."""

EXPORTS: Mapping[str, Export] = {export.name: export for export in (Aoe(), Nbd(), Nfs())}


def needed(config: Config, before: Iterable[str] = ()) -> list[str]:
    """The exports that a farm must run, by name: those by which its machines boot, and those that ran ``before``.

    A node that runs keeps the export by which it booted.
    """
    wanted = config.roots | set(before)
    return [name for name in EXPORTS if name in wanted]


def chosen(names: Iterable[str]) -> list[Export]:
    """The exports of these names."""
    return [EXPORTS[name] for name in names]


def root_of(store: Store, manifest: Manifest) -> Root:
    """The root file system of a version."""
    return Root(store.directory, manifest.image)


def prepare(store: Store) -> None:
    """Let every export get ready for the versions in the store, which several farms may share. Raises FarmError."""
    roots = _roots(store)
    for export in EXPORTS.values():
        export.prepare(store.directory, roots)


def adopt(store: Store, known: Mapping[str, Mapping[str, Mapping[str, str | int]]]) -> None:
    """Let every export serve versions as another server does, by what that says of each (`facts`). Raises FarmError."""
    for name, export in EXPORTS.items():
        export.adopt(store.directory, {image: found[name] for image, found in known.items() if name in found})


def require_room(store: Store) -> None:
    """Raise FarmError when a further version in the store could not be exported."""
    versions, selected = store.list(), store.selections().values()
    for export in EXPORTS.values():
        if 0 < export.most_versions <= len(versions):
            spare = [manifest.image for manifest in versions if manifest.image not in selected]
            raise FarmError(
                f"The image store is full: it holds {len(versions)} versions.",
                f"No more than {export.most_versions} can be exported by {export.name}.",
                f"Remove some that no node runs. The oldest first: sudo farm image remove {(spare or ['VERSION'])[0]}",
            )


def services(instance: Instance, store: Store, runtime: Path) -> list[Service]:
    """What must run so that nodes can read the roots of all versions in the store; ``runtime``: see `Export`."""
    roots = _roots(store)
    return [service for export in chosen(instance.exports) for service in export.services(instance, roots, runtime)]


def socket_buffer_needed(config: Config, exports: Iterable[str], mtu: int) -> int:
    """Bytes that the kernel must allow sockets for what they receive, so that each of these has what it wants."""
    return max(export.socket_buffer(config, mtu) for export in chosen(exports))


def serving(instance: Instance, store: Store, service: str) -> tuple[Export, Root] | None:
    """What a service exports; None when it is none of an export."""
    roots = _roots(store)
    found = ((export, root) for export in chosen(instance.exports) for root in roots if export.service(root) == service)
    return next(found, None)


def root_argument(config: Config, store: Store, manifest: Manifest, export: str) -> str:
    """What the kernel of a node is told of its root, by an export: the value of ``farm.root``. Raises FarmError."""
    return f"{export}:{EXPORTS[export].address(config, root_of(store, manifest))}"


def tree_argument(config: Config, name: str) -> str:
    """The same of an image whose root is a folder of the server (`images.NAME.tree`)."""
    return f"{TREE_ROOT}:{tree_address(config, name)}"


def facts(store: Store, manifest: Manifest) -> dict[str, dict[str, str | int]]:
    """What people may want to know of a version's exports, by their names; where there is nothing, none."""
    root = root_of(store, manifest)
    return {name: found for name, export in EXPORTS.items() if (found := export.facts(root))}


def remark(exports: Iterable[str], mtu: int) -> str:
    """What people may want to know of the speed of these exports with such frames; empty when it is as it can be."""
    if Aoe.name not in exports or mtu > LARGE_FRAME:
        return ""
    return f"AoE with frames of {mtu} bytes reads at a third of the speed of NBD: image.root: nbd (docs/roots.md)."


def advice(name: str) -> str:
    """What leads to the cause when a node does not get its root by the export of that name; "": it is not known."""
    return EXPORTS[name].advice if name in EXPORTS else "check that its root is exported"


def _roots(store: Store) -> list[Root]:
    """All there is to export, the oldest first."""
    return [root_of(store, manifest) for manifest in store.list()]
