"""Exports: the ways by which nodes read their root file systems over the network.

Each way is a module of this room, which says of itself what description.py declares. Everything else asks the functions
below, and knows no way by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from farm.config import Config
from farm.export.aoe import Aoe
from farm.export.description import Export, Root
from farm.image import kinds
from farm.image.store import Manifest, Store
from farm.instance import Instance
from farm.supervisor import Service

EXPORTS: Mapping[str, Export] = {export.name: export for export in (Aoe(),)}


def export_of_kind(kind: str) -> Export:
    """How nodes read the roots of a kind's images."""
    return EXPORTS[kinds.export_of(kind)]


def export_of(manifest: Manifest) -> Export:
    """How nodes read the root of a version."""
    return export_of_kind(manifest.kind)


def root_of(store: Store, manifest: Manifest) -> Root:
    """The root file system of a version."""
    return Root(store.directory, manifest.image)


def prepare(store: Store) -> None:
    """Let each export get ready for the versions in the store. Raises FarmError."""
    for export, roots in _roots(store):
        export.prepare(store.directory, roots)


def services(instance: Instance, store: Store) -> list[Service]:
    """What must run so that nodes can read the roots of all versions in the store."""
    return [service for export, roots in _roots(store) for service in export.services(instance, roots)]


def socket_buffer_needed(config: Config, mtu: int) -> int:
    """Bytes that the kernel must allow sockets for what they receive, so that every export has what it wants."""
    return max(export.socket_buffer(config, mtu) for export in EXPORTS.values())


def serving(store: Store, service: str) -> tuple[Export, Root] | None:
    """What a service exports; None when it is none of an export."""
    found = ((export, root) for export, roots in _roots(store) for root in roots if export.service(root) == service)
    return next(found, None)


def root_argument(config: Config, store: Store, manifest: Manifest) -> str:
    """What the kernel of a node is told of its root: the value of ``farm.root``. Raises FarmError."""
    export = export_of(manifest)
    return f"{export.name}:{export.address(config, root_of(store, manifest))}"


def _roots(store: Store) -> Iterator[tuple[Export, list[Root]]]:
    """Each export with what it has to export, the oldest first."""
    manifests = store.list()
    for export in EXPORTS.values():
        yield export, [root_of(store, manifest) for manifest in manifests if export_of(manifest) is export]
